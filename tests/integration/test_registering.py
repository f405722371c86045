"""Who is told of a new version hears of it at least once, signed, and a registration waits for nobody."""

import base64
import hashlib
import hmac
import importlib.util
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overnight.app.registering import TRIES, WEBHOOK, code_of, signed
from overnight.base.errors import ConfigError, MissingExtra, UserMistake
from overnight.engine.model import State
from overnight.registry.store import Candidate
from overnight.testing.bench import Bench

SECRET = "whsec_" + base64.b64encode(b"a secret of some length").decode()


class Ear:
    """A server that hears messages, and answers each with the next of `statuses`, then 204."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ear.heard.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(ear.statuses.pop(0) if ear.statuses else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?of=films"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path, ear, monkeypatch) -> Iterator[Bench]:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    folder = tmp_path / "p"
    folder.mkdir()
    settings = f'[registry]\nwebhook_url = "{ear.url}"\nwebhook_signed_with = "HOOK_SECRET"\n'
    (folder / "overnight.toml").write_text(f'[project]\nname = "films"\n{settings}')
    with Bench(folder, f"sqlite:///{tmp_path / 'db'}") as made:
        yield made


def register(bench, run_id=1):
    candidate = Candidate(
        model="nlu", run_id=run_id, snapshot_id="s", manifest={}, signature={}, metrics={}, verdict={}, code={}
    )
    registry = bench.project.trainings.registry
    return bench.project.database.writer.do(lambda tx: registry.register(tx, candidate, serve=True, why="better"))


def deliveries(bench):
    return list(reversed(bench.project.runs(task_id=WEBHOOK)))


def settled(bench):
    """Whether the newest delivery is not being worked on."""
    return deliveries(bench)[-1].state not in (State.PENDING, State.IN_PROGRESS)


def test_a_version_is_told_once_signed_and_the_signature_can_be_checked(bench, ear):
    register(bench)
    register(bench)
    bench.work_until(lambda: settled(bench))
    [run] = deliveries(bench)
    assert run.state is State.COMPLETED
    [(headers, body)] = ear.heard
    message = json.loads(body)
    assert (message["event"], message["model"], message["version"]) == ("model_ready", "nlu", "v1.0.0")
    assert (message["project"], message["serves"]) == ("films", True)
    assert message["id"] == headers["webhook-id"] == json.loads(run.result)["id"]
    assert int(headers["webhook-timestamp"]) == bench.clock.now_us() // 1_000_000
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = base64.b64encode(hmac.new(b"a secret of some length", content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{right}"


def test_a_receiver_that_is_away_or_says_no_is_told_again_with_the_same_id(bench, ear):
    ear.statuses = [500, 302, 429]
    register(bench)
    for tries, (wait_s, why) in enumerate([(60, "answered 500"), (120, "another address"), (240, "answered 429")], 1):
        bench.work_until(lambda tries=tries: len(ear.heard) == tries and settled(bench))
        [run] = deliveries(bench)
        assert run.state is State.RETRYING and why in run.error.message
        bench.clock.advance(wait_s)
        bench.runtime.worker.wake()
    bench.work_until(lambda: deliveries(bench)[0].state is State.COMPLETED)
    assert len({headers["webhook-id"] for headers, _ in ear.heard}) == 1 and len(ear.heard) == 4
    assert {body for _, body in ear.heard} == {ear.heard[0][1]}


def test_nobody_at_the_address_costs_no_registration(bench, ear):
    ear.close()
    assert register(bench).number == "v1.0.0"
    bench.work_until(lambda: settled(bench))
    [run] = deliveries(bench)
    assert run.state is State.RETRYING and "nobody answers there" in run.error.message
    assert bench.project.book.get(WEBHOOK).task.max_retries == TRIES


def test_a_secret_that_is_not_set_is_waited_for_and_told(bench, ear, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET")
    register(bench)
    bench.work_until(lambda: settled(bench))
    [run] = deliveries(bench)
    assert (
        run.state is State.RETRYING and "the variable HOOK_SECRET (registry.webhook_signed_with)" in run.error.message
    )
    assert ear.heard == []


def test_without_an_address_there_is_nothing_to_tell(tmp_path):
    with Bench(tmp_path / "q", f"sqlite:///{tmp_path / 'db'}") as bench:
        register(bench)
        assert bench.project.runs() == [] and WEBHOOK not in [entry.task.task_id for entry in bench.project.book]


def test_a_signature_is_the_one_of_the_specification():
    # The example of https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests.
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signed(body, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, secret)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed(body, "m", 1, "plain") != signed(body, "m", 1, "other")
    with pytest.raises(UserMistake, match="not Base64"):
        signed(body, "m", 1, "whsec_?")


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("webhook_url", "hooks.example", ConfigError, "registry.webhook_url: 'hooks.example' is not an address"),
        ("storage", "s33://b", ConfigError, "registry.storage: 's33' is no kind of store"),
    ],
)
def test_a_setting_that_cannot_work_is_told_as_the_project_is_opened(tmp_path, key, value, error, message):
    (tmp_path / "overnight.toml").write_text(f'[registry]\n{key} = "{value}"\n')
    with pytest.raises(error, match=message):
        Bench(tmp_path, f"sqlite:///{tmp_path / 'db'}")


@pytest.mark.parametrize(("url", "extra"), [("s3://b", "s3"), ("gs://b", "gs")])
def test_a_store_whose_extra_is_missing_is_told_as_the_project_is_opened(tmp_path, monkeypatch, url, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "overnight.toml").write_text(f'[registry]\nstorage = "{url}/models"\n')
    with pytest.raises(MissingExtra, match=rf"registry.storage: {extra}:// needs the extra '{extra}': pip install"):
        Bench(tmp_path, f"sqlite:///{tmp_path / 'db'}")


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_code_of_a_version_is_the_commit_and_whether_it_was_changed(tmp_path):
    from overnight import __version__

    assert code_of(tmp_path) == {"overnight": __version__, "commit": None, "changed": None}
    git(tmp_path, "init", "-q")
    assert code_of(tmp_path)["commit"] is None
    (tmp_path / "a.py").write_text("x = 1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    git(tmp_path, "tag", "v9")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert code_of(tmp_path) == {"overnight": __version__, "commit": commit, "changed": False}
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code_of(tmp_path / "inner") == {"overnight": __version__, "commit": commit, "changed": True}
