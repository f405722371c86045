"""Streams of a real daemon: all of a job, once and in order, whatever is killed; readers that do not read."""

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request

import pytest

from daemons import Daemon, wait_for
from http_daemon import ask, job, prepared
from overnight import Client, Project
from overnight.client.following import Follower
from overnight.client.sse import Parser
from overnight.db import stream


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = prepared(tmp_path_factory.mktemp("streams") / "p")
    try:
        made.up()
        yield made
    finally:
        made.end()


def start(daemon, job_id, **changes):
    code, said = ask(daemon, "POST", "/api/training/start", job(job_id=job_id, **changes))
    assert code == 200, said


def messages(daemon, path, last_id=None):
    """Read a stream to its end."""
    request = urllib.request.Request(daemon.about["url"] + path, headers={"Last-Event-ID": last_id} if last_id else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, Parser().feed(answer.read())


def trainers(daemon):
    with Project.open(daemon.folder) as project, project.database.read() as connection:
        return [pid for (pid,) in connection.exec_driver_sql("SELECT pid FROM children")]


class Reader(threading.Thread):
    """Follows a job with the client, for as long as it takes."""

    def __init__(self, daemon: Daemon, job_id: str) -> None:
        super().__init__(daemon=True)
        self.client, self.job_id = Client(daemon.about["url"]), job_id
        self.events, self.error = [], None

    def run(self) -> None:
        try:
            for event in self.client.stream(self.job_id):
                self.events.append(event)
        except Exception as error:  # noqa: BLE001  # told below
            self.error = error

    def all(self):
        self.join(60)
        assert not self.is_alive() and self.error is None, self.error
        return self.events


def test_a_finished_job_is_told_again_and_a_reader_goes_on_behind_any_event(daemon):
    start(daemon, "done", epochs=10, checkpoint_interval=4)
    live = Reader(daemon, "done")
    live.start()
    told = live.all()
    _, again = messages(daemon, "/api/training/stream/done")
    assert [(one.name, json.loads(one.data), one.last_id) for one in again] == told
    assert [one.name for one in told if one.name != "status"] == ["checkpoint"] * 3 + ["completed"]
    assert [one.data["epoch"] for one in told if one.name == "checkpoint"] == [4, 8, 10]
    assert [one.data["epoch"] for one in told if one.name == "status"] == [0, 0, *range(1, 11)]
    assert told[0].data["status"] == "queued" and told[-1].data["model_version"].startswith("v1.")
    for place, event in enumerate(told[:-1]):
        _, rest = messages(daemon, "/api/training/stream/done", event.id)
        assert [one.last_id for one in rest] == [one.id for one in told[place + 1 :]]
    assert messages(daemon, "/api/training/stream/done", told[-1].id) == (204, [])
    assert list(Client(daemon.about["url"]).stream("done", told[-1].id)) == []
    assert list(Client(daemon.about["url"]).stream("done", told[4].id)) == told[5:]


def test_an_id_that_is_none_is_refused(daemon):
    start(daemon, "ids", epochs=1)
    for path in ("/api/training/stream/ids", "/api/events"):
        assert ask(daemon, "GET", path, headers={"Last-Event-ID": "x"})[0] == 400


@pytest.mark.parametrize(("kind", "end"), [("bad", "failed"), ("slow", "cancelled")])
def test_a_job_that_does_not_complete_ends_its_stream_with_the_reason(daemon, kind, end):
    start(daemon, end, model_type=kind, epochs=400)
    reader = Reader(daemon, end)
    reader.start()
    wait_for(lambda: len(reader.events) > 3)
    if end == "cancelled":
        ask(daemon, "POST", "/api/training/cancel/cancelled")
    last = reader.all()[-1]
    assert last.name == last.data["status"] == end and last.data["error"]


def test_nothing_is_missed_and_nothing_comes_twice_whatever_is_killed(daemon):
    """The trainer within an epoch, then the daemon: one reader through it all."""
    start(daemon, "killed", model_type="slow", epochs=24, checkpoint_interval=5)
    reader = Reader(daemon, "killed")
    reader.start()

    def epoch():
        return max((one.data.get("epoch", 0) for one in list(reader.events)), default=0)

    wait_for(lambda: epoch() >= 8)
    for pid in trainers(daemon):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    seen = epoch()
    wait_for(lambda: epoch() >= seen + 4)
    port = daemon.about["url"].rpartition(":")[2]
    daemon.kill()
    daemon.write((daemon.folder / "overnight.toml").read_text().partition('name = "test"\n')[2])
    text = (daemon.folder / "overnight.toml").read_text()
    (daemon.folder / "overnight.toml").write_text(text.replace("port = 0", f"port = {port}"))
    daemon.up()
    told = reader.all()
    assert [one.data["epoch"] for one in told if one.name == "status"] == [0, *range(25)]
    assert [one.data["epoch"] for one in told if one.name == "checkpoint"] == [5, 10, 15, 20, 24]
    assert told[-1].name == "completed"
    _, again = messages(daemon, "/api/training/stream/killed")
    assert [(one.name, json.loads(one.data), one.last_id) for one in again] == told


def test_readers_that_read_nothing_slow_nobody(daemon):
    host, _, port = daemon.about["url"].removeprefix("http://").partition(":")
    stuck = []
    try:
        start(daemon, "many", epochs=3000, checkpoint_interval=1000, experiences=job()["experiences"][:8])
        for _ in range(20):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect((host, int(port)))
            reader.sendall(b"GET /api/training/stream/many HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stuck.append(reader)
        reading = Reader(daemon, "many")
        reading.start()
        told = reading.all()
        assert [one.data["epoch"] for one in told if one.name == "status"] == [0, *range(3001)]
        # What a stuck reader was to be told is not lost to it either.
        stuck[0].settimeout(30)
        parser, found, content = Parser(), [], b""
        while not found or found[-1].name != "completed":
            content = stuck[0].recv(1 << 20)
            assert content
            found += parser.feed(_unchunked(content))
    finally:
        for reader in stuck:
            reader.close()


def _unchunked(content: bytes) -> bytes:
    """Drop the lines that frame chunks: no event has one that looks so."""
    return b"".join(line for line in content.split(b"\r\n") if not _is_size(line))


def _is_size(line: bytes) -> bool:
    return 0 < len(line) < 7 and all(char in b"0123456789abcdef" for char in line)


def test_a_stream_that_holds_nothing_back_beats_while_nothing_happens(tmp_path, monkeypatch):
    from overnight.app import daemon as app
    from overnight.app.signals import Stop
    from overnight.server import streams
    from overnight.server.serving import serve

    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    prepared(tmp_path / "p")
    with Project.open(tmp_path / "p") as project:
        made, stop = app.Daemon(project), Stop()
        thread = threading.Thread(target=made.run, args=(stop, serve))
        thread.start()
        try:
            url = wait_for(lambda: made._url)
            with urllib.request.urlopen(f"{url}/api/events", timeout=10) as answer:
                content = b""
                while content.count(b": heartbeat\n\n") < 3:
                    content += answer.read1(100)
            # A stream that is open does not keep the daemon from ending, and its reader learns of it.
            with urllib.request.urlopen(f"{url}/api/events", timeout=10) as answer:
                stop.ask()
                answer.read()
        finally:
            stop.ask()
            thread.join(30)
    assert not thread.is_alive()


def test_events_of_the_engine_go_on_behind_any_event(daemon):
    reader = Client(daemon.about["url"])
    run = ask(daemon, "POST", "/api/tasks/hello/run", {})[1]["run_id"]
    found = []
    for event in reader.events("0-0"):
        found.append(event)
        if event.data.get("run") == run and event.name == "completed":
            break
    ids = [tuple(map(int, one.id.split("-"))) for one in found]
    assert ids == sorted(set(ids))
    assert [one.name for one in found if one.data.get("run") == run] == ["submitted", "started", "completed"]
    middle = len(found) // 2
    rest = []
    for event in reader.events(found[middle].id):
        rest.append(event)
        if event.id == found[-1].id:
            break
    assert rest == found[middle + 1 :]


def test_who_was_away_for_too_long_is_told_of_the_gap(daemon):
    with Project.open(daemon.folder) as project:
        project.cancel(project.submit("long"))
        project.database.writer.do(lambda tx: stream.trim(tx.connection, 0))
        project.cancel(project.submit("long"))
    events = Client(daemon.about["url"]).events("1-0")
    first, second = next(events), next(events)
    events.close()
    assert first.name == "gap" and second.id.startswith(f"{first.data['resumes_at']}-")


def test_a_proxy_that_holds_streams_back_is_noticed_and_the_job_is_asked_for(daemon, monkeypatch):
    start(daemon, "held", model_type="slow", epochs=12)
    monkeypatch.setattr(Follower, "quiet_s", 0.3)
    monkeypatch.setattr(Follower, "poll_every_s", 0.05)
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        client = Client(daemon.about["url"])
        told = Client(f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(told, "job", client.job)
        events = list(told.stream("held"))
    finally:
        silent.close()
    epochs = [one.data["epoch"] for one in events]
    assert epochs == sorted(epochs) and len(events) > 2 and {one.id for one in events} == {None}
    assert events[-1].name == "completed" and events[-1].data["model_version"]
