"""SIGKILL anywhere in a nightly training: the same command again ends as if nothing had happened, nothing twice.

A driver process trains; it is killed with its children still at work, and started again until it ends by itself. The
oracle is a run that nobody killed, in a folder beside it, and what was recorded as trained before each kill.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from nightly_fleet import agent, make_fleet, processes_with, timeless, told
from overnight.base.clock import SystemClock

pytestmark = pytest.mark.chaos

CLASSES = {"first": "Plain", "second": "Child"}
DRIVER = """
import json, os, signal, sqlite3, sys, threading
from overnight.app.project import Project
from overnight.app.training import begin

folder, deaths = sys.argv[1:]

def hook(point):
    if not deaths or not point.startswith("flow."):
        return
    connection = sqlite3.connect(folder + "/.overnight/overnight.db")
    [count] = connection.execute("SELECT COUNT(*) FROM steps").fetchone()
    connection.close()
    here = f"{point} {count}\\n"
    with open(deaths, "a+") as file:
        file.seek(0)
        if here in file.readlines():
            return
        file.write(here)
        file.flush()
        os.fsync(file.fileno())
    os.kill(os.getpid(), signal.SIGSTOP)
    threading.Event().wait()  # a thread goes on for a moment after it has stopped its process

def night():
    with Project.open(folder, hook=hook) as project, project.running():
        run_id, _ = begin(project)
        print(json.dumps(project.result(run_id, 60)), flush=True)

# Each try is a process of its own, forked to save the imports. It stands still where it is to die, this one kills it,
# and the next one follows.
while deaths:
    pid = os.fork()
    if pid == 0:
        break
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print("killed", flush=True)
    sys.stdin.readline()
night()
"""
RUNNER = """
import sys
from overnight.app.project import Project
from overnight.app.training import begin

with Project.open(sys.argv[1], overrides={"engine.grace_s": 0.2}) as project:
    begin(project)
    project.run(until_idle=True)
"""
CLOCK = SystemClock()
PAUSE = threading.Event()


class Night:
    """A project that a driver process trains."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_fleet(folder, first=agent(), second=agent("Child", after=["first"]))
        self.mark = uuid4().hex
        self.deaths = folder / "deaths.txt"
        self.before: list[tuple[set[str], Counter[str]]] = []

    def start(self, *, dying: bool = False) -> "subprocess.Popen[str]":
        return self.launch(DRIVER, str(self.deaths) if dying else "")

    def launch(self, program: str, *words: str) -> "subprocess.Popen[str]":
        """Start a program on the project, in a process group of its own, as a shell does."""
        environment = {**os.environ, "TEST_MARK": self.mark}
        command = [sys.executable, "-c", program, str(self.folder), *words]
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            process_group=0,
        )

    def finish(self, driver: "subprocess.Popen[str]") -> dict:
        """Wait for the driver and return its result."""
        output, _ = driver.communicate(timeout=90)
        assert driver.returncode == 0
        return json.loads(output)

    def finish_dying(self, driver: "subprocess.Popen[str]") -> dict:
        """Note every death of the driver's tries and return the result of the last one."""
        for line in driver.stdout:
            if line != "killed\n":
                driver.communicate(timeout=90)
                assert driver.returncode == 0
                return json.loads(line)
            self.note_kill()
            driver.stdin.write("\n")
        raise AssertionError("the driver ended without a result")

    def note_kill(self) -> None:
        self.before.append((self.completed(), self.begun()))

    def kill(self, driver: "subprocess.Popen[str]") -> None:
        driver.kill()
        driver.communicate(timeout=10)
        self.note_kill()

    def rows(self, query: str) -> list[tuple]:
        try:
            with closing(sqlite3.connect(self.folder / ".overnight" / "overnight.db")) as connection:
                return connection.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []  # killed before the tables were there

    def completed(self) -> set[str]:
        """Return the agents whose training is recorded as completed."""
        rows = self.rows("SELECT task_id FROM runs WHERE state = 'COMPLETED' AND task_id LIKE 'train:%'")
        return {task_id.removeprefix("train:") for (task_id,) in rows}

    def begun(self) -> Counter[str]:
        return Counter(line for line in told(self.folder) if line.startswith("begin"))

    def check(self, result: dict, expected: dict) -> None:
        """Compare with a night that nobody killed, and with what was recorded before each kill."""
        assert timeless(result) == timeless(expected)
        assert json.loads((self.folder / ".overnight" / "holistic_training_result.json").read_text()) == result
        after = self.begun()
        for completed, begun in self.before:
            for name in completed:
                line = f"begin {CLASSES[name]}"
                assert after[line] == begun[line], "a recorded training ran again"
        assert self.rows("SELECT model, COUNT(*), COUNT(DISTINCT run_id) FROM versions GROUP BY model") == [
            ("first", 1, 1),
            ("second", 1, 1),
        ]
        assert self.rows("SELECT model, version_id FROM served ORDER BY model") == [("first", 1), ("second", 2)]
        states = self.rows("SELECT task_id, state FROM runs ORDER BY task_id")
        assert states == [("nightly", "COMPLETED"), ("train:first", "COMPLETED"), ("train:second", "COMPLETED")]
        assert not list((self.folder / ".overnight" / "work").iterdir())
        self.await_no_process()

    def await_no_process(self) -> None:
        until = CLOCK.monotonic() + 10
        while processes_with(self.mark):
            assert CLOCK.monotonic() < until, "a process is left over"
            PAUSE.wait(0.05)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a night gives that nobody disturbs."""
    night = Night(tmp_path_factory.mktemp("nights") / "unkilled")
    result = night.finish(night.start())
    assert [result["agents"][name]["decision"] for name in CLASSES] == ["ACCEPT", "ACCEPT"]
    assert night.begun() == {"begin Plain": 1, "begin Child": 1}
    night.check(result, result)
    return result


def test_killed_at_every_boundary_of_a_step_it_ends_like_an_unkilled_run(tmp_path, expected):
    night = Night(tmp_path / "killed")
    night.check(night.finish_dying(night.start(dying=True)), expected)
    points = Counter(line.split()[0] for line in night.deaths.read_text().splitlines())
    # begin, harvest, two each of validate, prepare and judge, report, clean up, result; parked for each training.
    assert points == {"flow.step_begun": 13, "flow.step_done": 13, "flow.step_recorded": 13, "flow.parking": 2}
    assert len(night.before) == points.total()


@pytest.mark.parametrize("name", CLASSES)
def test_killed_in_the_middle_of_a_training_it_trains_that_one_again_and_no_other(tmp_path, expected, name):
    night = Night(tmp_path / "killed")
    slow = night.folder / "slow"
    if name == "first":
        slow.write_text("60")
    driver = night.start()
    line = f"begin {CLASSES[name]}"
    while line not in told(night.folder):
        if "end Plain" in told(night.folder):
            slow.write_text("60")
        assert driver.poll() is None
        PAUSE.wait(0.005)
    night.kill(driver)
    slow.unlink()
    result = night.finish(night.start())
    night.check(result, expected)
    assert night.begun()[line] == 2 and sum(night.begun().values()) == 3


def test_ctrl_c_in_the_middle_of_a_training_puts_it_back_and_the_next_start_goes_on(tmp_path, expected):
    night = Night(tmp_path / "stopped")
    slow = night.folder / "slow"
    slow.write_text("60")
    runner = night.launch(RUNNER)
    while "begin Plain" not in told(night.folder):
        assert runner.poll() is None
        PAUSE.wait(0.005)
    os.killpg(runner.pid, signal.SIGINT)
    runner.communicate(timeout=15)
    assert runner.returncode == 0
    night.await_no_process()
    assert night.rows("SELECT task_id, state, attempt FROM runs WHERE task_id = 'train:first'") == [
        ("train:first", "PENDING", 0)
    ]
    slow.unlink()
    night.check(night.finish(night.start()), expected)
    assert night.begun() == {"begin Plain": 2, "begin Child": 1}


def test_killed_at_random_instants_it_ends_like_an_unkilled_run(tmp_path, expected, chance, long_form):
    for place in range(15 if long_form else 1):
        night = Night(tmp_path / f"killed{place}")
        (night.folder / "slow").write_text("0.4")
        for _ in range(5 if long_form else 2):
            driver = night.start()
            PAUSE.wait(chance.uniform(0.1, 2.5))
            night.kill(driver)
            if night.rows("SELECT 1 FROM runs WHERE task_id = 'nightly' AND state = 'COMPLETED'"):
                result = json.loads((night.folder / ".overnight" / "holistic_training_result.json").read_text())
                break
        else:
            result = night.finish(night.start())
        night.check(result, expected)
