"""All deployers keep to the suite; and what each one alone can do wrong."""

import json
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from overnight.base.errors import ConfigError, DeployFailed
from overnight.base.serving_settings import DeployerSettings
from overnight.processes.table import same_process, started_of
from overnight.serving.deployers.command import Command
from overnight.serving.deployers.http_hook import HttpHook
from overnight.serving.deployers.inside import Inside
from overnight.serving.host import ModelHost
from overnight.testing.deployers import MODEL, DeployerConformance, Stage, version


class Echo:
    def __init__(self, number):
        self.number = number

    def predict(self, inputs):
        return [self.number] * len(inputs)


class TestInside(DeployerConformance):
    def build(self, folder):
        host = ModelHost(
            lambda ref: Echo((ref.folder / "model.txt").read_text()), now_s=time.monotonic, timeout_s=lambda _: 30.0
        )

        def answer():
            return None if host.champion(MODEL) is None else host.answer(MODEL, ["hello"]).outputs[0]

        return Stage(deployer=Inside(host), resident=lambda: set(host.residents(MODEL)), answer=answer)


class Elsewhere:
    """A server of models that is told by HTTP; it says no to what it has done already, as vLLM does."""

    def __init__(self):
        self.resident, self.champion, self.asked, self.pause_s, self.room = {}, None, [], 0.0, True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer(200 if self.path.rpartition("/")[2] in outer.resident else 503)

            def do_POST(self):
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((self.path, told))
                time.sleep(outer.pause_s)
                self._answer(*outer.work(self.path.split("/")[1], told))

            def _answer(self, code, text=b""):
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def work(self, what, told):
        number = told["version"]
        if what == "load":
            if number in self.resident:
                return 400, f"The adapter {number!r} has already been loaded.".encode()
            if not self.room:
                return 400, b"no room"
            self.resident = {**self.resident, number: (Path(told["lora_path"]) / "model.txt").read_text()}
        elif number not in self.resident:
            return (404,)
        elif what == "swap":
            self.champion = self.resident[number]
        else:
            self.resident = {name: text for name, text in self.resident.items() if name != number}
        return (200,)

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def hooks(url, **more):
    urls = {f"{name}_url": f"{url}/{name}/{{model}}" for name in ("load", "swap", "unload")}
    more = {"loaded_text": "already been loaded", "healthy_url": f"{url}/healthy/{{version}}", **more}
    return DeployerSettings(kind="http", **urls, body={"lora_path": "{folder}", "lora_name": "{name}"}, **more)


@pytest.fixture
def elsewhere():
    made = Elsewhere()
    yield made
    made.stop()


class TestHttpHook(DeployerConformance):
    @pytest.fixture(autouse=True)
    def _server(self, elsewhere):
        self.server = elsewhere

    def build(self, folder):
        server = self.server

        return Stage(
            deployer=HttpHook(hooks(server.url), "models.echo.deployer"),
            resident=lambda: set(server.resident),
            answer=lambda: server.champion,
        )


PROGRAM = """
import json, os, pathlib, sys
what, number, folder, state = sys.argv[1:]
path = pathlib.Path(state)
known = json.loads(path.read_text()) if path.exists() else {"resident": {}, "champion": None}
if what == "load":
    known["resident"][number] = (pathlib.Path(folder) / "model.txt").read_text()
elif what == "unload":
    known["resident"].pop(number, None)
elif number not in known["resident"]:
    sys.exit(f"{number} is not loaded")
elif what == "swap":
    known["champion"] = known["resident"][number]
path.with_suffix(".new").write_text(json.dumps(known))
os.replace(path.with_suffix(".new"), path)
"""


class TestCommand(DeployerConformance):
    def build(self, folder):
        (folder / "serve.py").write_text(PROGRAM)
        state = folder / "state.json"

        def words(what):
            return (sys.executable, "-S", "-E", "serve.py", what, "{version}", "{folder}", str(state))

        settings = DeployerSettings(
            kind="command", **{what: words(what) for what in ("load", "healthy", "swap", "unload")}
        )

        def look(name):
            return json.loads(state.read_text())[name] if state.exists() else None

        return Stage(
            deployer=Command(settings, "models.echo.deployer", env={}, cwd=str(folder)),
            resident=lambda: set(look("resident") or ()),
            answer=lambda: look("champion"),
        )


def test_an_address_is_sent_what_its_template_names(elsewhere, tmp_path):
    HttpHook(hooks(elsewhere.url), "d").load(version(tmp_path, "v1.0.0", "a b/c"))
    [(path, told)] = elsewhere.asked
    assert path == "/load/a%20b%2Fc"
    folder = str(tmp_path / "a b/c" / "v1.0.0")
    assert told == {
        "model": "a b/c", "version": "v1.0.0", "folder": folder, "name": "a b/c-v1.0.0", "lora_path": folder,
        "lora_name": "a b/c-v1.0.0",
    }  # fmt: skip


def test_a_server_that_says_no_is_slow_or_away_is_told_in_one_line(elsewhere, tmp_path):
    ref = version(tmp_path, "v1.0.0")
    with pytest.raises(DeployFailed, match=r"/swap/echo: answered 404$"):
        HttpHook(hooks(elsewhere.url), "d").swap(ref)
    elsewhere.room = False
    with pytest.raises(DeployFailed, match=r"/load/echo: answered 400$"):
        HttpHook(hooks(elsewhere.url), "d").load(ref)
    elsewhere.pause_s = 1.0
    with pytest.raises(DeployFailed, match=r"did not answer within 0\.05 s"):
        HttpHook(hooks(elsewhere.url, timeout_s=0.05), "d").swap(ref)
    with pytest.raises(DeployFailed, match="nobody answers there"):
        HttpHook(hooks("http://127.0.0.1:9"), "d").load(ref)
    assert "nobody answers" in HttpHook(hooks("http://127.0.0.1:9", healthy_url="http://127.0.0.1:9"), "d").healthy(ref)


def test_what_has_no_address_or_program_is_granted(elsewhere, tmp_path):
    ref = version(tmp_path, "v1.0.0")
    hook = HttpHook(
        DeployerSettings(kind="http", load_url=elsewhere.url + "/load", body={"lora_path": "{folder}"}), "d"
    )
    program = Command(DeployerSettings(kind="command", load=("true",)), "d", env={}, cwd=".")
    for deployer in (hook, program):
        deployer.load(ref)
        deployer.swap(ref)
        assert deployer.healthy(ref) is None
        deployer.unload(ref)
    assert len(elsewhere.asked) == 1


@contextmanager
def gone(path):
    """See that the process whose id a program writes there is gone after the block."""
    yield
    pid = int(path.read_text())
    assert not same_process(pid, started_of(pid) or 0.0)


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    words = ("sh", "-c", 'sleep 600 & echo $! > "$0"; wait', str(tmp_path / "pid"))
    program = Command(DeployerSettings(kind="command", load=words, timeout_s=0.5), "d", env={}, cwd=str(tmp_path))
    with gone(tmp_path / "pid"), pytest.raises(DeployFailed, match=r"took longer than 0\.5 s"):
        program.load(version(tmp_path, "v1.0.0"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sh", "-c", "echo no room; exit 3"), "no room"),
        (("no-such-program",), "no-such-program"),
    ],
)
def test_a_program_that_fails_or_is_missing_is_told_in_one_line(tmp_path, words, said):
    program = Command(DeployerSettings(kind="command", load=words, healthy=words), "d", env={}, cwd=".")
    ref = version(tmp_path, "v1.0.0")
    with pytest.raises(DeployFailed, match=said) as failed:
        program.load(ref)
    assert "\n" not in str(failed.value)
    assert said in program.healthy(ref)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "http"}, "kind 'http' needs load_url, swap_url or both"),
        ({"kind": "http", "load_url": "localhost"}, r"d\.load_url: 'localhost' is not an address"),
        ({"kind": "http", "load_url": "http://h/{modle}"}, r"d\.load_url: there is no \{modle\}; known are model, "),
        ({"kind": "http", "load_url": "http://h", "body": {"a": "{b}"}}, r"d\.body: there is no \{b\}"),
        ({"kind": "command"}, "kind 'command' needs load, swap or both"),
        ({"kind": "command", "load": ("a", "{b}")}, r"d\.load: there is no \{b\}"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, said):
    made = DeployerSettings(**settings)
    with pytest.raises(ConfigError, match=said):
        HttpHook(made, "d") if made.kind == "http" else Command(made, "d", env={}, cwd=".")
