"""SIGKILL at every point and at random instants: nothing acknowledged is lost, nothing recorded is done again."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from overnight.base.clock import SystemClock
from overnight.base.instants import US
from overnight.base.points import Point
from overnight.db.database import Database
from overnight.engine import store
from overnight.engine.model import State
from overnight.engine.recovery import LEASE_US
from overnight.engine.tables import children, locks, steps, workers
from overnight.processes import table, tree
from overnight.testing.chaos import left_over, lines_of, start_python, wait_until

DRIVER = Path(__file__).with_name("driver.py")
MARK = "OVERNIGHT_CHAOS_MARK"
ORPHAN_S = 8.0
LEASE_S = LEASE_US / US

# The first visits of the writer are the worker's own registration; a later one lies in the middle of the work.
VISITS = {
    Point.WRITER_BEGUN: 6,
    Point.WRITER_BEFORE_COMMIT: 7,
    Point.WRITER_AFTER_COMMIT: 8,
    Point.WRITER_RELEASED: 5,
    Point.FLOW_STEP_RECORDED: 2,
    Point.ENGINE_SETTLED: 3,
}
IN_RECOVERY = {Point.RECOVERY_FOUND, Point.RECOVERY_REQUEUED}


class Story:
    """A project that is killed and started again, and what is known of it from outside."""

    def __init__(self, folder, database):
        self.folder = folder
        self.url = database
        self.mark = uuid4().hex
        self.env = {**os.environ, MARK: self.mark}
        self.recorded = set()
        self.recorded_children = set()
        self.resumed_s = []

    def start(self, mode, *kill_at):
        self.started_at = time.monotonic()
        arguments = (str(self.folder), mode, self.url, *map(str, kill_at))
        return start_python(DRIVER, *arguments, env=self.env, output=self.folder / "output.txt")

    def killed(self, process):
        """Wait for the end by SIGKILL and look at the record, before anybody else does."""
        process.wait(60)
        assert process.returncode == -signal.SIGKILL, f"it ended with {process.returncode}: {self.output()}"
        self.look()

    def look(self):
        with self.opened() as connection:
            if not sa.inspect(connection).has_table("steps"):
                return
            rows = connection.execute(sa.select(steps.c.run_id, steps.c.name).where(steps.c.kind == "step"))
            self.recorded |= {f"{run_id} {name}" for run_id, name in rows}
            rows = connection.execute(sa.select(children.c.pid, children.c.started))
            self.recorded_children |= set(map(tuple, rows))
        self.done_before = len(lines_of(self.folder / "steps.txt"))

    def workers(self):
        with self.opened() as connection:
            return len(connection.execute(sa.select(workers)).fetchall())

    def opened(self):
        self.database = Database(self.url, SystemClock(), self.folder / ".overnight")
        return _Reading(self.database)

    def output(self):
        path = self.folder / "output.txt"
        return path.read_text() if path.exists() else ""

    def work_on(self, mode="work"):
        """Start again and work until nothing is left; what was recorded before is not done again."""
        recorded, before = set(self.recorded), self.done_before
        claims = len(lines_of(self.folder / "claims.txt"))
        process = self.start(mode)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == 0, self.output()
        again = recorded & set(lines_of(self.folder / "steps.txt")[before:])
        assert not again, f"recorded steps ran again: {again}"
        new = lines_of(self.folder / "claims.txt")[claims:]
        if new:
            self.resumed_s.append(float(new[0]) - self.started_at)

    def check_the_end(self):
        told = dict(map(int_first, map(str.split, lines_of(self.folder / "acknowledged.txt"))))
        with self.opened() as connection:
            found = store.by_ids(connection, told)
            unfinished = connection.execute(
                sa.text("SELECT run_id, task_id, state, queue, worker_id FROM runs WHERE finished_us IS NULL")
            ).fetchall()
            rest = {name.name: connection.execute(sa.select(name)).fetchall() for name in (locks, workers, children)}
        lost = {run_id for run_id, task_id in told.items() if run_id not in found or found[run_id].task_id != task_id}
        assert not lost, f"acknowledged and lost: {lost}"
        assert not unfinished, f"not at an end: {unfinished}"
        bad = [run for run in found.values() if run.state is not State.COMPLETED]
        assert not bad, bad
        assert rest == {"locks": [], "workers": [], "children": []}
        wait_until(lambda: not left_over(MARK, self.mark), "orphans to go", patience_s=ORPHAN_S)
        for pid, started in self.recorded_children:
            assert not table.same_process(pid, started)
            assert not table.marked(tree.MARK, tree.mark_of(pid, started))

    def clean_up(self):
        for entry in left_over(MARK, self.mark):
            tree.send(entry, signal.SIGKILL)


class _Reading:
    def __init__(self, database):
        self._database = database

    def __enter__(self):
        self._context = self._database.read()
        return self._context.__enter__()

    def __exit__(self, *error):
        self._context.__exit__(*error)
        self._database.close()


def int_first(words):
    return int(words[0]), words[1]


def pytest_generate_tests(metafunc):
    # The long form takes both databases.
    if "database" in metafunc.fixturenames:
        both = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
        metafunc.parametrize("database", both if metafunc.config.getoption("--long") else both[:1])


@pytest.fixture
def story(request, tmp_path, database, plain_children):
    if database == "sqlite":
        yield from _story(tmp_path, f"sqlite:///{tmp_path / '.overnight' / 'overnight.db'}")
    else:
        yield from _story(tmp_path, request.getfixturevalue("postgres_database"))


def _story(folder, url):
    story = Story(folder, url)
    yield story
    story.clean_up()


@pytest.mark.chaos
@pytest.mark.parametrize("point", list(Point))
def test_a_flow_goes_on_after_a_kill_at(story, point):
    if point in IN_RECOVERY:
        story.killed(story.start("flow", Point.CHILD_RECORDED, 1))
        story.killed(story.start("work", point, 1))
    else:
        story.killed(story.start("flow", point, VISITS.get(point, 1)))
    story.work_on("flow")
    story.check_the_end()
    assert {line.split()[1] for line in lines_of(story.folder / "steps.txt")} == {"first", "second", "third"}
    print(f"killed at {point}; first claim {story.resumed_s} s after the start of the next process")


def wait_for_more(story, process):
    told = story.folder / "acknowledged.txt"
    before = len(lines_of(told))
    wait_until(lambda: len(lines_of(told)) > before or process.poll() is not None, "an acknowledged submit")


@pytest.mark.chaos
def test_the_queue_loses_nothing_under_load_at_random_instants(story, long_form):
    chance = random.Random(20261120)
    for _ in range(50 if long_form else 2):
        process = story.start("load")
        wait_for_more(story, process)
        time.sleep(chance.uniform(0.0, 0.5))
        process.kill()
        process.wait(30)
        story.look()
        story.work_on()
        story.check_the_end()
    acknowledged = lines_of(story.folder / "acknowledged.txt")
    print(f"{len(acknowledged)} acknowledged, none lost; work resumed after {sorted(story.resumed_s)} s")
    assert acknowledged
    # How fast it is on an idle machine is benchmarks/engine.py's to say; here nobody waits for a lease.
    assert max(story.resumed_s) < LEASE_S


@pytest.mark.chaos
@pytest.mark.postgres
def test_a_second_worker_takes_over_from_one_that_is_killed(tmp_path, postgres_database, plain_children):
    story = Story(tmp_path, postgres_database)
    hold = tmp_path / "hold second"
    hold.touch()
    try:
        first = story.start("flow")
        wait_until(lambda: len(lines_of(tmp_path / "steps.txt")) == 2 or first.poll() is not None, "the second step")
        second = story.start("flow")
        wait_until(lambda: story.workers() == 2 or second.poll() is not None, "the second worker")
        first.kill()
        story.killed(first)
        hold.unlink()
        killed_at = time.monotonic()
        second.wait(60)
        taken_s = time.monotonic() - killed_at
        assert second.returncode == 0, story.output()
        story.check_the_end()
        ran = [line.split()[1] for line in lines_of(tmp_path / "steps.txt")]
        assert ran == ["first", "second", "second", "third"], "the step that was not recorded runs again, no other"
        print(f"the second worker had ended all work {taken_s:.1f} s after the first was killed")
    finally:
        story.clean_up()
