"""The client against a server that answers as it is told to: retries, the breaker, lost connections, other servers."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overnight import Client
from overnight.base.errors import DaemonAway, InvalidTransition, QueueFull, TransientError, UnknownName, UserMistake
from overnight.base.files import write_json
from overnight.client import client as module
from overnight.client.breaker import FAILURES, OPEN_S
from overnight.client.client import TRIES
from overnight.client.following import Follower

JOB = {"status": "training", "epoch": 1}
EVENT = 'id: {0}\nevent: status\ndata: {{"epoch": {0}}}\n\n'
END = 'id: 9\nevent: completed\ndata: {"status": "completed"}\n\n'


@contextmanager
def server(*answers):
    """Give (client, requests): each request gets the next answer, the last one for ever.

    An answer is (code, body, headers), "drop" (the connection is closed), or a list of texts: an event stream that ends
    after them, or breaks where one of them is None.
    """
    left, asked, lock = list(answers), [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                asked.append((self.command, self.path, dict(self.headers), json.loads(content or b"null")))
                answer = left.pop(0) if len(left) > 1 else left[0]
            self.close_connection = True
            if answer == "drop":
                return
            if isinstance(answer, list):
                self.stream(answer)
                return
            code, body, headers = (*answer, {})[:3]
            text = json.dumps(body).encode()
            self.send_response(code)
            for name, value in {"Content-Length": len(text), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def stream(self, texts):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for text in texts:
                if text is None:
                    return
                self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = answer  # noqa: N815  # the names of the standard library

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Client(f"http://127.0.0.1:{made.server_port}", timeout_s=5), asked
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    waits = []
    monkeypatch.setattr(module, "pause", waits.append)
    return waits


def test_reading_is_tried_again_and_waits_longer_each_time(short_waits):
    with server("drop", (500, {}), (503, {}), (200, JOB)) as (client, asked):
        assert client.job("a/b") == JOB
    assert [path for _, path, _, _ in asked] == ["/api/training/status/a%2Fb"] * 4
    assert 0.05 <= short_waits[0] <= 0.15 and 0.1 <= short_waits[1] <= 0.3 and 0.2 <= short_waits[2] <= 0.6


def test_what_carries_a_name_is_asked_again_with_the_same_name():
    with server("drop", (200, {})) as (client, asked):
        client.submit_training("nlu", [{"input": 1, "expected_output": 2}])
        client.run_task("hello")
        client.add_experiences("nlu", [])
    bodies = [body for _, _, _, body in asked]
    assert (
        bodies[0] == bodies[1] and bodies[0]["job_id"].startswith("nlu-") and bodies[2]["key"] and bodies[3]["batch_id"]
    )


def test_what_may_have_been_done_is_not_asked_again():
    with server("drop") as (client, asked):
        for call in (lambda: client.cancel("a"), lambda: client.cancel_run(1), lambda: client.harvest("film")):
            with pytest.raises(DaemonAway):
                call()
    assert len(asked) == 3


def test_what_never_arrived_is_asked_again(short_waits):
    with server((200, {})) as (client, _):
        pass
    with pytest.raises(DaemonAway, match="overnight up"):
        client.cancel("a")
    assert len(short_waits) == TRIES - 1


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((400, {"error": "no", "details": [{"where": "epochs", "what": "few"}]}), UserMistake, "no (epochs: few)"),
        ((404, {"error": "there is no job 'x'"}), UnknownName, "no job 'x'"),
        ((409, {"error": "ended"}), InvalidTransition, "ended"),
        ((413, {"error": "large"}), UserMistake, "large"),
        ((418, []), UserMistake, "418"),
        ((429, {"error": "often"}), TransientError, "often"),
        ((500, {"error": "internal"}), DaemonAway, "internal"),
    ],
)  # fmt: skip
def test_a_refusal_is_an_error_of_its_kind(answer, error, says):
    with server(answer) as (client, _), pytest.raises(error) as raised:
        client.job("x")
    assert type(raised.value) is error and says in str(raised.value)


def test_a_full_queue_says_who_trains_and_is_not_asked_again():
    full = {"error": "full", "active_job_id": "a", "retry_after_seconds": 7}
    with server((503, full)) as (client, asked), pytest.raises(QueueFull) as raised:
        client.submit_training("nlu", [])
    assert (raised.value.active_job_id, raised.value.retry_after_s, len(asked)) == ("a", 7.0, 1)


def test_an_unhealthy_daemon_is_an_answer():
    with server((503, {"status": "unhealthy"})) as (client, asked):
        assert client.health() == {"status": "unhealthy"}
    assert len(asked) == 1


def test_retry_after_is_waited_for_within_reason(short_waits):
    with server((429, {}, {"Retry-After": "1"}), (429, {}, {"Retry-After": "900"}), (200, {"tasks": []})) as (
        client,
        _,
    ):
        assert client.tasks() == []
    assert short_waits == [1.0, 2.0]


def test_after_five_failures_nothing_is_asked_for_half_a_minute_and_then_once():
    with server(*["drop"] * (FAILURES + 1), (200, JOB)) as (client, asked):
        now = 1000.0
        client._now_s = lambda: now
        for _ in range(2):
            with pytest.raises(DaemonAway):
                client.job("x")
        assert len(asked) == FAILURES
        with pytest.raises(DaemonAway, match="failed 5 times in a row; it is asked again in 30 s"):
            client.job("x")
        now += OPEN_S
        with pytest.raises(DaemonAway):
            client.job("x")
        assert len(asked) == FAILURES + 1, "one try, and shut again"
        now += OPEN_S
        assert client.job("x") == client.job("x") == JOB


def test_a_stream_that_breaks_goes_on_behind_its_last_event():
    parts = (["retry: 10\n\n", EVENT.format(1), EVENT.format(2)[:9], None], "drop", (503, {}), [EVENT.format(2), END])
    with server(*parts) as (client, asked):
        events = list(client.stream("x", "0"))
    assert [one.id for one in events] == ["1", "2", "9"] and events[-1].name == "completed"
    assert [headers["Last-Event-ID"] for _, _, headers, _ in asked] == ["0", "1", "1", "1"]


def test_a_server_without_streams_is_asked_for_the_job(monkeypatch):
    monkeypatch.setattr(Follower, "poll_every_s", 0.001)
    stands = [
        {"status": status, "epoch": epoch} for status, epoch in (("training", 1), ("training", 1), ("training", 2))
    ]
    done = {"status": "completed", "epoch": 2}
    with server((405, {}), *((200, one) for one in stands), (200, done)) as (client, asked):
        events = list(client.stream("x"))
    assert [(one.name, one.data["epoch"], one.id) for one in events] == [
        ("status", 1, None), ("status", 2, None), ("completed", 2, None),
    ]  # fmt: skip
    assert asked[0][1] == "/api/training/stream/x" and asked[1][1] == "/api/training/status/x"


def test_epochs_that_a_stream_has_told_are_not_told_again_when_it_is_lost(monkeypatch):
    monkeypatch.setattr(Follower, "poll_every_s", 0.001)
    failed = (200, {"status": "failed", "epoch": 1})
    with server([EVENT.format(1), None], (404, {"error": "Not Found"}), (200, JOB), failed) as (client, _):
        assert [(one.name, one.data["epoch"]) for one in client.stream("x")] == [("status", 1), ("failed", 1)]


def test_a_job_that_is_not_there_is_no_server_without_streams():
    with server((404, {"error": "there is no job 'x'"})) as (client, _), pytest.raises(UnknownName):
        next(client.stream("x"))
    with server((400, {"error": "no id"})) as (client, _), pytest.raises(UserMistake):
        next(client.stream("x", "y"))
    with server((404, {})) as (client, _), pytest.raises(UnknownName):
        next(client.events())


@pytest.mark.parametrize("url", ["ftp://x", "http://", "127.0.0.1:8090", "http://a:b@c", "http://x:99999"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UserMistake, match="url"):
        Client(url)


def test_what_is_no_json_is_refused_before_it_is_sent():
    with pytest.raises(UserMistake, match="not JSON"):
        Client("http://127.0.0.1:1").run_task("x", {"a": float("nan")})


def test_the_address_is_the_variable_or_the_daemon_of_the_project_or_the_usual_one(tmp_path, monkeypatch):
    monkeypatch.delenv("OVERNIGHT_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Client().url == "http://127.0.0.1:8090"
    (tmp_path / "overnight.toml").write_text("")
    (tmp_path / "sub").mkdir()
    write_json(tmp_path / ".overnight" / "daemon.json", {"url": "http://127.0.0.1:4711"})
    monkeypatch.chdir(tmp_path / "sub")
    assert Client().url == "http://127.0.0.1:4711"
    monkeypatch.setenv("OVERNIGHT_URL", "http://127.0.0.1:1/prefix/")
    assert Client().url == "http://127.0.0.1:1/prefix"
