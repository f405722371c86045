"""Alerts reach people through a real server, once for each cause and hour, and again when they were not taken."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemons import wait_for
from overnight.app.notifying import Notifier
from overnight.app.project import Project
from overnight.base.errors import ConfigError, MissingExtra
from overnight.base.instants import US
from overnight.engine.model import Standing, Task
from overnight.reports.vitals import Vitals
from overnight.testing.clock import FakeClock


class Inbox:
    """A server that takes what Apprise posts to json:// addresses."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []
        self.status = 200
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if inbox.status == 200:
                    inbox.taken.append(json.loads(body))
                self.send_response(inbox.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def project(tmp_path: Path, inbox: Inbox, clock: FakeClock) -> Iterator[Project]:
    with open_project(tmp_path, f'[notify]\nurls = ["{inbox.url}"]\n', clock) as made:
        yield made


def open_project(folder: Path, toml: str, clock: FakeClock) -> Project:
    (folder / "overnight.toml").write_text(f'[project]\nname = "films"\n{toml}')
    return Project.open(folder, clock=clock)


def signs(project: Project, **values: object) -> Vitals:
    return Vitals(**{"at_us": project.clock.now_us(), "uptime_s": 1.0, "decided_s_ago": 0.0, **values})  # type: ignore[arg-type]


class Watch:
    """A notifier that is told of everything, as the daemon's is."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.notifier = Notifier(project)
        told = project.database.writer.told

        def tell(events, news):
            told(events, news)
            self.notifier.tell(events)

        project.database.writer.told = tell

    def look(self, **values: object) -> None:
        self.notifier.look(signs(self.project, **values), Standing())


def fail(project: Project) -> int:
    project.add_task(Task(task_id="bad", action=_fail, executor="thread", max_retries=0))
    run_id = project.submit("bad")
    with project.running():
        project.wait(run_id)
    return run_id


def _fail() -> None:
    raise ValueError("no film today")


def test_a_failure_for_good_is_told_with_what_to_do(project, inbox):
    watch = Watch(project)
    run_id = fail(project)
    watch.look()
    [message] = wait_for(lambda: inbox.taken)
    assert message["title"] == "Overnight, films: bad failed"
    assert "no film today" in message["message"]
    assert f"`overnight runs show {run_id}`" in message["message"]
    watch.notifier.close()


def test_a_cause_is_told_once_an_hour_also_by_the_next_daemon(project, inbox, clock):
    watch = Watch(project)
    for _ in range(3):
        watch.look(disk_free_bytes=0, disk_reserve_gb=1.0)
        wait_for(lambda: inbox.taken)
    watch.notifier.close()
    again = Watch(project)
    clock.advance(3500)
    again.look(disk_free_bytes=0, disk_reserve_gb=1.0)
    again.look(decided_s_ago=60.0)
    wait_for(lambda: len(inbox.taken) == 2)
    clock.advance(101)
    again.look(disk_free_bytes=0, disk_reserve_gb=1.0)
    wait_for(lambda: len(inbox.taken) == 3)
    again.notifier.close()
    assert [message["title"].partition(": ")[2] for message in inbox.taken] == ["unhealthy"] * 3
    assert ["disk" in message["message"] for message in inbox.taken] == [True, False, True]


def test_what_the_server_did_not_take_is_sent_again(project, inbox):
    watch = Watch(project)
    inbox.status = 500
    fail(project)
    watch.look()
    wait_for(lambda: watch.notifier._unsent)
    assert inbox.taken == []
    inbox.status = 200
    watch.look()
    [message] = wait_for(lambda: inbox.taken)
    assert "bad failed" in message["title"]
    watch.notifier.close()


def test_missed_instants_are_told(project, inbox, clock):
    watch = Watch(project)
    clock.advance((-clock.now_us() % (3600 * US)) / US)
    project.add_task(Task(task_id="hourly", action=int, executor="thread", every="1h"))
    with project.running():
        pass
    clock.advance(5 * 3600)
    watch.look()
    with project.running():
        wait_for(lambda: project.runs(task_id="hourly"))
    watch.look()
    [message] = wait_for(lambda: inbox.taken)
    assert message["title"].endswith("hourly was missed")
    assert "4 instant(s)" in message["message"]
    watch.notifier.close()


def test_many_failures_in_an_hour_are_told(project, inbox):
    watch = Watch(project)
    ended = [{"event": event, "run": 0, "task": "t"} for event in ["completed"] * 5 + ["failed"] * 5]
    watch.notifier.tell(ended)
    watch.look()
    [message] = wait_for(lambda: inbox.taken)
    assert "5 of 10 runs" in message["message"]
    watch.notifier.close()


def test_without_addresses_nothing_is_kept(tmp_path, clock):
    with open_project(tmp_path, "", clock) as project:
        watch = Watch(project)
        fail(project)
        watch.look()
        assert not watch.notifier._failed
        watch.notifier.close()


def test_stats_are_sent_by_schedule(tmp_path, inbox, clock):
    toml = f'[notify]\nurls = ["{inbox.url}"]\n[notify.stats]\nschedule = "0 9 * * 1"\n'
    with open_project(tmp_path, toml, clock) as project:
        entry = project.book.get("notify-stats")
        assert entry.trigger_text == "schedule 0 9 * * 1 UTC"
        run_id = project.submit("notify-stats")
        with project.running():
            project.result(run_id, 30)
    [message] = inbox.taken
    assert message["title"] == "Overnight, films: how the fleet does"
    assert "Overall Quality:          not measured" in message["message"]


def test_an_address_may_name_variables_and_is_never_shown(tmp_path, inbox, clock, monkeypatch):
    monkeypatch.setenv("INBOX", inbox.url.removeprefix("json://"))
    with open_project(tmp_path, '[notify]\nurls = ["json://${INBOX}"]\n', clock) as project:
        watch = Watch(project)
        fail(project)
        watch.look()
        wait_for(lambda: inbox.taken)
        watch.notifier.close()
    monkeypatch.delenv("INBOX")
    toml = '[notify]\nurls = ["json://${INBOX}"]\n'
    wrong = pytest.raises(ConfigError, match="address 1: the environment has no variable 'INBOX'")
    with open_project(tmp_path, toml, clock) as project, wrong:
        Notifier(project)


def test_without_the_extra_it_is_one_line(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(MissingExtra, match=r"pip install 'overnight\[notify\]'"):
        Notifier(project)


def test_a_run_that_took_longer_than_it_should_and_a_day_with_too_little_are_told(tmp_path, inbox, clock):
    def work(ctx, seconds):
        clock.advance(seconds)
        ctx.count("videos")

    toml = f'[notify]\nurls = ["{inbox.url}"]\n[targets.videos]\nday = [2]\n'
    with open_project(tmp_path, toml, clock) as project:
        watch = Watch(project)
        project.add_task(Task(task_id="make", action=work, executor="thread", target_s=60.0))
        for seconds in (30, 90):
            run_id = project.submit("make", {"seconds": seconds})
            with project.running():
                project.wait(run_id)
        watch.look()
        wait_for(lambda: len(inbox.taken) == 1)
        assert "make is slower than it should be" in inbox.taken[0]["title"]
        assert f"run {run_id} took 90 s; target_s is 60" in inbox.taken[0]["message"]
        for _ in range(2):
            clock.advance(86_400)
            for _ in range(2):
                watch.look()
                clock.advance(3601)
        wait_for(lambda: len(inbox.taken) == 2)
        assert "too few videos" in inbox.taken[1]["title"] and ": 0 of 2" in inbox.taken[1]["message"]
        watch.notifier.close()
        assert len(inbox.taken) == 2, "a day that is over is told once"
