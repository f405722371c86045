"""The daemon in the process of the test: its files, its reload, its health and its answers, step by step."""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import wait_for
from overnight.app import launch
from overnight.app.daemon import Daemon
from overnight.app.journal import FILE, logfmt
from overnight.app.project import Project
from overnight.app.reloading import needing_restart
from overnight.app.signals import Stop
from overnight.app.watchdog import MOST_DUMPS, Watchdog
from overnight.base.errors import ProjectLocked, UserMistake
from overnight.cli.app import main
from overnight.cli.status import look
from overnight.engine.model import Task
from overnight.reports.vitals import Overdue, Vitals
from overnight.server.serving import serve
from overnight.telemetry.measures import Histogram

TOML = """
[project]
name = "inside"
[server]
port = 0
[engine]
grace_s = 5
[tasks.tick]
action = "inside_work:tick"
every = "1s"
executor = "thread"
"""
MODULE = "def tick():\n    return 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "overnight.toml").write_text(TOML)
    (tmp_path / "inside_work.py").write_text(MODULE)
    return tmp_path


@contextlib.contextmanager
def living(folder: Path, **options: object) -> Iterator[Daemon]:
    with Project.open(folder) as project:
        daemon, stop = Daemon(project, **options), Stop()  # type: ignore[arg-type]  # level
        failures: list[BaseException] = []

        def live() -> None:
            try:
                daemon.run(stop, serve)
            except BaseException as error:  # noqa: BLE001  # told below
                failures.append(error)

        thread = threading.Thread(target=live)
        thread.start()
        try:
            wait_for(lambda: launch.find(project.state_dir) or failures)
            yield daemon
        finally:
            stop.ask()
            thread.join()
        assert failures == []


def log_of(daemon: Daemon) -> str:
    return (daemon.project.state_dir / FILE).read_text()


def test_of_a_service_that_is_new_or_gone_a_reload_names_the_table():
    before = {"services.a.phase": 1, "services.a.folder": ".", "services.b.phase": 1, "log.level": "INFO"}
    after = {"services.c.phase": 1, "services.c.folder": ".", "services.b.phase": 2, "log.level": "DEBUG"}
    assert needing_restart(before, after) == ("services.a", "services.b.phase", "services.c")


def test_it_works_answers_and_leaves_the_files_of_its_life(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with living(folder) as daemon:
        wait_for(lambda: "task=tick event=completed" in log_of(daemon))
        url = wait_for(lambda: launch.find(daemon.project.state_dir)).url
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            assert json.load(answer)["status"] == "healthy"
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            assert b"overnight_commit_seconds_bucket" in answer.read()
        assert main(["--project", str(folder), "status"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("healthy")
        assert main(["--project", str(folder), "logs", "--task", "tick", "-n", "1"]) == 0
        assert "task=tick" in capsys.readouterr().out
        assert main(["--project", str(folder), "status", "--watch"]) == 0
        assert "needs a terminal" in capsys.readouterr().err
        daemon.project.pause("tick", "by a test")
        found = look(daemon.project)
        assert (found["paused"][0]["why"], found["next"]) == ("by a test", [])
        assert main(["--project", str(folder), "status"]) == 0
        assert "tick is paused: by a test" in capsys.readouterr().out
        for name in ("data/tasks/orchestrator_state.json", "data/schedules/next.json"):
            wait_for((daemon.project.state_dir / name).exists)
    assert log_of(daemon).rstrip().endswith("event=down")
    assert main(["--project", str(folder), "status"]) == 1
    assert main(["--project", str(folder), "down"]) == 0
    assert "nothing to stop" in capsys.readouterr().out
    assert main(["--project", str(folder), "reload"]) == 2


def test_a_second_one_is_refused_and_a_wrong_start_leaves_no_trace(folder, monkeypatch):
    with living(folder):
        with Project.open(folder) as other, pytest.raises(ProjectLocked, match="works on this project already"):
            Daemon(other)
        assert main(["--project", str(folder), "up"]) == 2
    with Project.open(folder) as project:
        daemon = Daemon(project)

        def no_port(daemon: Daemon) -> None:
            raise UserMistake("no port")

        with pytest.raises(UserMistake, match="no port"):
            daemon.run(Stop(), no_port)  # type: ignore[arg-type]  # never returns
        assert not project.is_worked_on
        assert launch.find(project.state_dir) is None


def test_a_change_is_taken_up_and_a_wrong_one_refused(folder):
    with living(folder, level="ERROR") as daemon:
        (folder / "overnight.toml").write_text(TOML + '[tasks.more]\naction = "inside_work:tick"\n')
        wait_for(lambda: daemon.reloader.number == 1)
        assert daemon.reloader.error is None
        assert "more" in daemon.project.book
        (folder / "overnight.toml").write_text(TOML + "[tasks.more]\n")
        wait_for(lambda: daemon.reloader.number == 2)
        assert "tasks.more" in str(daemon.reloader.error)
        assert "more" in daemon.project.book
        (folder / "overnight.toml").write_text(TOML.replace("grace_s = 5", "grace_s = 5\nmax_concurrent = 9"))
        wait_for(lambda: daemon.reloader.number == 3)
        assert daemon.reloader.needs_restart == ("engine.max_concurrent",)
        assert "more" not in daemon.project.book
        daemon.reloader.ask()
        wait_for(lambda: daemon.reloader.number == 4)
        assert daemon.reloader.needs_restart == ("engine.max_concurrent",), "it still needs one"
    assert "event=reloaded" not in log_of(daemon), "the level of the command line stands above the configured one"


def test_a_service_that_is_added_or_removed_counts_with_the_next_start(folder):
    with living(folder, level="ERROR") as daemon:
        for number, services in ((1, '[services.api]\nwords = ["nobody-has-these-words"]\n'), (2, "")):
            (folder / "overnight.toml").write_text(TOML + services)
            wait_for(lambda number=number: daemon.reloader.number == number)
            assert daemon.reloader.error is None
            named = {key.split(".")[1] for key in daemon.reloader.needs_restart}
            assert named == ({"api"} if services else set())


def test_a_standstill_is_unhealthy_and_the_watchdog_dumps_stacks_once(folder):
    with living(folder) as daemon:
        worker = daemon.project.runtime.worker  # type: ignore[union-attr]
        wait_for(lambda: daemon.health()["status"] == "healthy")
        worker._decided_at -= 60
        assert daemon.health()["problems"][0]["cause"] == "scheduler"
        worker._decided_at += 60


def test_the_watchdog_tells_each_change_once_and_keeps_few_dumps(tmp_path, caplog):
    signs = [Vitals(at_us=0, uptime_s=1, decided_s_ago=0)]
    watchdog = Watchdog(lambda: signs[-1], tmp_path)
    watchdog.look()
    for second in range(MOST_DUMPS + 3):
        signs.append(Vitals(at_us=second * 1_000_000, uptime_s=1, decided_s_ago=20))
        watchdog.look()
        watchdog.look()
        signs.append(Vitals(at_us=0, uptime_s=1, decided_s_ago=0))
        watchdog.look()
    told = [record.getMessage() for record in caplog.records]
    assert sum("event=unhealthy cause=scheduler" in line for line in told) == MOST_DUMPS + 3
    assert sum("event=healthy_again cause=scheduler" in line for line in told) == MOST_DUMPS + 3
    assert len(list(tmp_path.glob("stacks_*.txt"))) == MOST_DUMPS
    signs.append(Vitals(at_us=0, uptime_s=1, decided_s_ago=0, overdue=[Overdue(run_id=1, task_id="t", by_s=30)]))
    watchdog.look()
    assert "stacks=" not in caplog.records[-1].getMessage(), "no thread of ours stands still"


def test_a_run_past_its_limit_is_seen(folder):
    with living(folder) as daemon:
        gate = threading.Event()
        daemon.project.add_task(Task(task_id="long", action=gate.wait, executor="thread"))
        run_id = daemon.project.submit("long", {"timeout": 60})
        wait_for(lambda: daemon.queue.active or daemon.files.look())
        worker = daemon.project.runtime.worker  # type: ignore[union-attr]
        entry = wait_for(lambda: worker._running.get(run_id))
        entry.ends_at = time.monotonic() - 25
        assert [problem["cause"] for problem in daemon.health()["problems"]] == ["overdue"]
        gate.set()
        wait_for(lambda: daemon.project.get(run_id).state.final)
        assert daemon.health()["problems"] == []


def test_a_damaged_file_about_the_daemon_counts_as_none(folder):
    with living(folder) as daemon:
        (daemon.project.state_dir / "daemon.json").write_text("{")
        assert launch.find(daemon.project.state_dir) is None


def test_the_log_quotes_what_would_be_ambiguous():
    values = {"a": 1, "b": "two words", "c": 'with "quotes"', "d": None, "e": "x=y", "f": "", "g": True}
    assert logfmt(values) == 'a=1 b="two words" c="with \\"quotes\\"" e="x=y" f="" g=True'


def test_a_histogram_counts_by_the_first_bound_that_is_not_below():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 14.0
