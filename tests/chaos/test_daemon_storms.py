"""Daemons through storms: a database that stops, one that others hold, a daemon that sleeps past its lease, kills."""

import contextlib
import os
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from daemons import Daemon, wait_for
from overnight.app.project import Project
from overnight.base.errors import OvernightError
from overnight.engine import gaps
from overnight.testing.postgres import create_database, postgres_server

MODULE = """
import os, time
from overnight import Task

def note(number):
    slow = os.path.exists("slow")
    with open("notes", "a") as file:
        file.write(f"begin {number} {os.getpid()}\\n")
    if slow:
        time.sleep(120)
    with open("notes", "a") as file:
        file.write(f"end {number} {os.getpid()}\\n")
    return number

def configure(project):
    project.add_task(Task(task_id="note", action=note, max_concurrent=None, timeout_s=300))
    project.add_task(Task(task_id="tick", action=tick, every="1s", executor="thread"))

def tick():
    return 1
"""


def toml(url: str) -> str:
    return f'[engine]\ndatabase = "{url}"\n[engine.retry]\nbase_s = 0.1\n'


def notes(daemon: Daemon) -> list[list[str]]:
    with contextlib.suppress(FileNotFoundError):
        return [line.split() for line in (daemon.folder / "notes").read_text().splitlines()]
    return []


class Server:
    """A PostgreSQL server that a test can stop and start."""

    def __init__(self, url: str) -> None:
        self._folder = Path(parse_qs(urlsplit(url).query)["host"][0])
        self._data = self._folder / "data"
        self._again: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGINT)
        wait_for(lambda: not (self._data / "postmaster.pid").exists())

    def start(self) -> None:
        command = shlex.split((self._data / "postmaster.opts").read_text())
        user = "nobody" if os.geteuid() == 0 else None
        with (self._folder / "log").open("ab") as log:
            self._again = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=self._folder)
        pid = self._data / "postmaster.pid"
        wait_for(lambda: pid.exists() and pid.read_text().rstrip().endswith("ready"))

    def end(self) -> None:
        if self._again is not None:
            self._again.send_signal(signal.SIGINT)
            self._again.wait()


@pytest.fixture
def server(postgres_url: str) -> Iterator[tuple[str, Server]]:
    # `postgres_url` skips, with its reason, where no server can be started.
    with postgres_server() as url:
        made = Server(url)
        try:
            yield create_database(url), made
        finally:
            made.end()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[list[Daemon]]:
    daemons: list[Daemon] = []
    try:
        yield daemons
    finally:
        for daemon in daemons:
            daemon.end()


def begin(daemons: list[Daemon], folder: Path, config: str) -> Daemon:
    daemon = Daemon(folder, config, MODULE)
    daemons.append(daemon)
    daemon.up()
    return daemon


def submit(project: Project, acknowledged: list[int], number: int) -> None:
    with contextlib.suppress(OvernightError):
        acknowledged.append(project.submit("note", {"number": number}, key=f"note-{number}"))


def all_completed(project: Project, run_ids: list[int]) -> bool:
    try:
        return all(project.get(run_id).state == "COMPLETED" for run_id in run_ids)
    except OvernightError:
        return False


@pytest.mark.postgres
def test_a_postgresql_that_stops_under_load_turns_health_and_loses_nothing(server, home, tmp_path):
    url, postgres = server
    daemon = begin(home, tmp_path / "p", toml(url))
    acknowledged: list[int] = []
    with Project.open(daemon.folder) as project:
        for number in range(10):
            submit(project, acknowledged, number)
        assert len(acknowledged) == 10
        postgres.stop()
        wait_for(lambda: {"scheduler", "writer"} & set(daemon.causes()))
        assert daemon.get("/health")[0] == 503
        postgres.start()
        wait_for(lambda: daemon.get("/health")[0] == 200)
        for number in range(10, 20):
            submit(project, acknowledged, number)
        assert len(acknowledged) == 20
        wait_for(lambda: all_completed(project, acknowledged))
        ticks = len(project.runs(task_id="tick", limit=1000))
        wait_for(lambda: len(project.runs(task_id="tick", limit=1000)) > ticks)
    ended = [line[1] for line in notes(daemon) if line[0] == "end"]
    assert sorted(set(ended), key=int) == [str(number) for number in range(20)]


@pytest.mark.postgres
def test_a_daemon_that_sleeps_past_its_lease_is_fenced_when_it_wakes(postgres_database, home, tmp_path):
    first = begin(home, tmp_path / "one", toml(postgres_database))
    with Project.open(first.folder) as project:
        (first.folder / "slow").touch()
        run_id = project.submit("note", {"number": 1})
        wait_for(lambda: notes(first))
        (first.folder / "slow").unlink()
        os.kill(first.about["pid"], signal.SIGSTOP)
        try:
            second = begin(home, tmp_path / "two", toml(postgres_database))
            wait_for(lambda: [line for line in notes(second) if line[0] == "begin"])
            run = project.get(run_id)
            assert (run.token, run.losses) == (2, 1)
        finally:
            os.kill(first.about["pid"], signal.SIGCONT)
        wait_for(lambda: all_completed(project, [run_id]))
        assert project.get(run_id).token == 2
        assert [line[0] for line in notes(second)] == ["begin", "end"]
        # It works again, under another name.
        wait_for(lambda: first.get("/health")[0] == 200)
        more = [project.submit("note", {"number": number}) for number in range(2, 8)]
        wait_for(lambda: all_completed(project, more))
    begun = [line for line in notes(first) if line[1] == "1"]
    assert [line[0] for line in begun] == ["begin"], "its child was ended before the run began anew"


@pytest.mark.postgres
def test_two_daemons_fire_each_instant_once_and_one_takes_over_from_the_other(postgres_database, home, tmp_path):
    first = begin(home, tmp_path / "one", toml(postgres_database))
    second = begin(home, tmp_path / "two", toml(postgres_database))
    with Project.open(first.folder) as project:
        wait_for(lambda: len(project.runs(task_id="tick", limit=1000)) >= 4)
        second.kill()
        before = len(project.runs(task_id="tick", limit=1000))
        wait_for(lambda: len(project.runs(task_id="tick", limit=1000)) >= before + 3)
        first.ok("down")
        cycles = [run.cycle or 0 for run in project.runs(task_id="tick", limit=1000)]
        with project.database.read() as connection:
            missed = gaps.spans(connection, task_id="tick", limit=1000)
    assert len(set(cycles)) == len(cycles)
    told = {at_us for span in missed for at_us in range(span.first_us, span.last_us + 1, 1_000_000)}
    silent = set(range(min(cycles), max(cycles), 1_000_000)) - set(cycles) - told
    assert not silent, "an instant neither ran nor is recorded as missed"


def test_others_who_hold_the_database_again_and_again_cost_time_and_nothing_else(home, tmp_path, long_form):
    daemon = begin(home, tmp_path / "p", "")
    acknowledged: list[int] = []
    until = time.monotonic() + (120 if long_form else 6)
    number = 0
    with Project.open(daemon.folder) as project:
        while time.monotonic() < until:
            other = sqlite3.connect(daemon.state / "overnight.db", timeout=30, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.4 + 0.3 * (number % 3))
            other.execute("ROLLBACK")
            other.close()
            submit(project, acknowledged, number)
            number += 1
        assert len(acknowledged) == number
        wait_for(lambda: all_completed(project, acknowledged))
    assert daemon.get("/health")[0] == 200
    ended = sorted(int(line[1]) for line in notes(daemon) if line[0] == "end")
    assert ended == list(range(number)), "each ran once"


def test_kills_at_random_instants_lose_nothing_and_double_nothing(home, tmp_path, chance, long_form):
    daemon = begin(home, tmp_path / "p", "")
    acknowledged: list[int] = []
    for number in range(40 if long_form else 4):
        with Project.open(daemon.folder) as project:
            for part in range(5):
                submit(project, acknowledged, 10 * number + part)
        time.sleep(chance.uniform(0.0, 0.6))
        daemon.kill()
        daemon.up()
    with Project.open(daemon.folder) as project:
        wait_for(lambda: all_completed(project, acknowledged))
        cycles = [run.cycle for run in project.runs(task_id="tick", limit=10_000)]
    assert len(set(cycles)) == len(cycles)
    # A kill may make a run begin anew, but two processes never work on one at the same time.
    begun: dict[str, str] = {}
    for what, name, pid in notes(daemon):
        if what == "end":
            assert begun[name] == pid, f"{name} was ended by {pid} while {begun[name]} worked on it"
        begun[name] = pid
