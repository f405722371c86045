"""SIGKILL at every point and at random instants: nothing acknowledged is lost, nothing recorded is done again.

A worker stands still at a point, or works on, and this process kills it; the next one goes on. What counts is what a
client in a third process was told, by its own account, and what the database held at each kill.
"""

import contextlib
import json
import multiprocessing
import signal
import time
from uuid import uuid4

import driver
import pytest
import sqlalchemy as sa
from chaos_tasks import DONE
from driver import CLAIMS, PATIENCE_S, TOLD, Place

from overnight.base.clock import SystemClock
from overnight.base.instants import US
from overnight.base.points import Point
from overnight.db.database import Database
from overnight.engine.model import State
from overnight.engine.recovery import LEASE_US
from overnight.engine.tables import children, locks, runs, steps, workers
from overnight.processes import table, tree
from overnight.testing.chaos import left_over, lines_of, wait_until

pytestmark = pytest.mark.chaos

MARK = "OVERNIGHT_CHAOS_MARK"
ORPHAN_S = 8.0
LEASE_S = LEASE_US / US
CROWD = 3

# Workers and clients are forked from a process that has imported what takes long.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["overnight.app.project", "overnight.app.signals", "overnight.db.postgresql"])

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
MOST = {
    **dict.fromkeys((*IN_RECOVERY, Point.CHILD_SPAWNED, Point.CHILD_RECORDED, Point.FLOW_PARKING), 1),
    **dict.fromkeys((Point.FLOW_STEP_BEGUN, Point.FLOW_STEP_DONE, Point.FLOW_STEP_RECORDED), 3),
}
"""How often a worker comes to a point with one flow, where that is seldom."""
SHORT_UNDER_LOAD = (Point.WRITER_BEFORE_COMMIT, Point.WRITER_AFTER_COMMIT, Point.ENGINE_CLAIMED, Point.ENGINE_OUTCOME)


class Story:
    """A project whose workers are killed, and what is known of it from outside."""

    def __init__(self, folder, database):
        self.folder = folder
        self.place = Place(folder=folder, database=database, mark={MARK: uuid4().hex})
        self.processes = []
        # What the database held at the last kill, and how much work had been done by then.
        self.recorded, self.done_before = set(), 0
        self.finished, self.children = {}, set()
        self.resumed_s = []

    def start(self, role, *arguments):
        process = PROCESSES.Process(target=role, args=(self.place, *arguments))
        process.start()
        self.processes.append(process)
        return process

    def start_client(self, crowd=0):
        """Start a client, which goes on until it is enough; return when it has been told something."""
        self.enough = PROCESSES.Event()
        if not crowd:
            self.enough.set()
        self.client = self.start(driver.ask, crowd, self.enough)
        self.await_told(more=2)

    def await_told(self, more):
        """Wait until the client was told so many things more."""
        wanted = len(self.lines(TOLD)) + more
        wait_until(lambda: len(self.lines(TOLD)) >= wanted or not self.client.is_alive(), "the client")
        assert self.client.is_alive(), self.output()

    def kill_at(self, point, visit=1):
        """Start a worker, wait until it stands still at the point, and kill it there."""
        reached, tell = PROCESSES.Pipe(duplex=False)
        with reached:
            worker = self.start(driver.work, (point, visit, tell))
            tell.close()
            assert reached.poll(PATIENCE_S), f"it does not come to {point}: {self.output()}"
            with contextlib.suppress(EOFError):
                assert reached.recv() is point
                return self.kill(worker)
        return pytest.fail(f"it ended before {point}: {self.output()}")

    def kill(self, worker):
        """Kill a worker, and look at the record before anybody else works on it."""
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL, self.output()
        self.check_nothing_was_done_again()
        with self.reading() as connection:
            rows = connection.execute(sa.select(steps.c.run_id, steps.c.name).where(steps.c.kind == "step"))
            self.recorded |= {f"{run_id} {name}" for run_id, name in rows}
            finished = sa.select(runs.c.run_id, runs.c.finished_us, runs.c.args).where(runs.c.finished_us.is_not(None))
            for run_id, finished_us, args in connection.execute(finished):
                self.finished[run_id] = finished_us
                self.recorded.add(json.loads(args).get("line"))
            self.children |= set(map(tuple, connection.execute(sa.select(children.c.pid, children.c.started))))
        self.check_nothing_is_missing()
        self.done_before = len(self.lines(DONE))

    def check_nothing_is_missing(self):
        """Look for work that is not recorded though its flow, or its client, went on to the next."""
        newest = {line.partition(" ")[0]: line for line in self.lines(DONE)}
        missing = set(self.lines(DONE)) - set(newest.values()) - self.recorded
        assert not missing, f"told and not recorded: {missing}"

    def check_nothing_was_done_again(self):
        again = self.recorded & set(self.lines(DONE)[self.done_before :])
        assert not again, f"recorded and done again: {again}"

    def work_on(self):
        """Let a worker end all work, with the client until it has been served for a while."""
        claims, began = len(self.lines(CLAIMS)), time.monotonic()
        worker = self.start(driver.work, None)
        if not self.enough.is_set():
            self.await_told(more=20)
            self.enough.set()
        self.await_ends(self.client, worker)
        for first in self.lines(CLAIMS)[claims : claims + 1]:
            self.resumed_s.append(float(first) - began)
        # How fast it is on an idle machine is benchmarks/engine.py's to say; here nobody waits for a lease.
        assert max(self.resumed_s, default=0.0) < LEASE_S
        self.check_the_end()

    def await_ends(self, *processes):
        """Wait until all have ended well; none of them can without the others."""
        wait_until(lambda: any(p.exitcode for p in processes) or all(p.exitcode == 0 for p in processes), "the end")
        assert [process.exitcode for process in processes] == [0] * len(processes), self.output()

    def check_the_end(self):
        self.check_nothing_was_done_again()
        with self.reading() as connection:
            columns = (runs.c.run_id, runs.c.task_id, runs.c.state, runs.c.finished_us)
            found = {run_id: tuple(rest) for run_id, *rest in connection.execute(sa.select(*columns))}
            rest = {name.name: connection.execute(sa.select(name)).fetchall() for name in (locks, workers, children)}
        self.check_what_was_told(found)
        assert self.finished == {run_id: found[run_id][2] for run_id in self.finished}, "an end was recorded twice"
        done = set(self.lines(DONE))
        for run_id, (task_id, *_) in found.items():
            if task_id == "flow":
                assert {f"{run_id} {name}" for name in ("first", "second", "third")} <= done
        assert rest == {"locks": [], "workers": [], "children": []}
        wait_until(lambda: not left_over(*self.mark), "orphans to go", patience_s=ORPHAN_S)
        for pid, started in self.children:
            assert not table.same_process(pid, started)
            assert not table.marked(tree.MARK, tree.mark_of(pid, started))

    def check_what_was_told(self, found):
        """Compare each line of the client with the database; all that was not cancelled is COMPLETED."""
        states = dict.fromkeys(found, State.COMPLETED)
        for line in self.lines(TOLD):
            what, number, value = line.split()
            run_id = int(number)
            assert run_id in found, f"acknowledged and lost: {line}"
            task_id, _, finished_us = found[run_id]
            if what == "submitted":
                assert task_id == value
            elif what == "completed":
                assert finished_us == int(value), "it has ended twice"
            else:
                states[run_id] = State.CANCELLED
        assert {run_id: state for run_id, (_, state, _) in found.items()} == states

    @contextlib.contextmanager
    def reading(self):
        database = Database(self.place.database, SystemClock(), self.folder / ".overnight")
        with contextlib.closing(database), database.read() as connection:
            yield connection

    @property
    def mark(self):
        [(name, value)] = self.place.mark.items()
        return name, value

    def lines(self, name):
        return lines_of(self.folder / name)

    def output(self):
        path = self.folder / "output.txt"
        return path.read_text() if path.exists() else "no output"

    def clean_up(self):
        for process in self.processes:
            process.kill()
            process.join()
            process.close()
        for entry in left_over(*self.mark):
            tree.send(entry, signal.SIGKILL)


@pytest.fixture
def story(request, tmp_path, database):
    file = f"sqlite:///{tmp_path / '.overnight' / 'overnight.db'}"
    story = Story(tmp_path, file if database == "sqlite" else request.getfixturevalue("postgres_database"))
    yield story
    story.clean_up()


def kills(long_form):
    """Yield (point, visit, size of the crowd of clients): in the long form several visits of all points under load."""
    for point in Point:
        first = VISITS.get(point, 1)
        for visit in range(first, min(first + 2, MOST.get(point, first + 2)) + 1) if long_form else [first]:
            yield point, visit, 0
            if long_form or point in SHORT_UNDER_LOAD:
                yield point, visit, CROWD


def pytest_generate_tests(metafunc):
    # The long form takes both databases.
    long_form = metafunc.config.getoption("--long")
    both = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
    only_postgres = metafunc.definition.get_closest_marker("postgres")
    metafunc.parametrize("database", both[1:] if only_postgres else both if long_form else both[:1])
    if "crowd" in metafunc.fixturenames:
        cases = [
            pytest.param(point, visit, crowd, id=f"{point}-{visit}{'-under load' if crowd else ''}")
            for point, visit, crowd in kills(long_form)
        ]
        metafunc.parametrize(("point", "visit", "crowd"), cases)


def test_work_goes_on_after_a_kill_at(story, point, visit, crowd):
    story.start_client(crowd)
    if point in IN_RECOVERY:
        story.kill_at(Point.CHILD_RECORDED)
    story.kill_at(point, visit)
    story.work_on()
    print(f"killed at {point}; first claim {story.resumed_s} s after the start of the next process")


def test_work_goes_on_after_kills_at_random_instants(story, chance, long_form):
    for _ in range(20 if long_form else 1):
        story.start_client(CROWD)
        # Not more in a row: a run that takes down one worker after the other has to wait longer each time.
        for _ in range(5):
            worker = story.start(driver.work, None)
            story.await_told(more=1)
            time.sleep(chance.uniform(0.0, 0.5))
            story.kill(worker)
        story.work_on()
    print(f"the client was told {len(story.lines(TOLD))} things, none lost; work resumed after {story.resumed_s} s")


@pytest.mark.postgres
def test_a_second_worker_takes_over_from_one_that_is_killed(story):
    hold = story.folder / "hold second"
    hold.touch()
    story.start_client()
    first = story.start(driver.work, None)
    wait_until(lambda: len(story.lines(DONE)) == 2 or not first.is_alive(), "the second step")
    second = story.start(driver.work, None)

    def both_work():
        with story.reading() as connection:
            return len(connection.execute(sa.select(workers)).fetchall()) == 2

    wait_until(lambda: both_work() or not second.is_alive(), "the second worker")
    story.kill(first)
    hold.unlink()
    killed_at = time.monotonic()
    story.await_ends(story.client, second)
    print(f"the second worker had ended all work {time.monotonic() - killed_at:.1f} s after the first was killed")
    story.check_the_end()
    ran = [line.split()[1] for line in story.lines(DONE)]
    assert ran == ["first", "second", "second", "third"], "the step that was not recorded runs again, no other"
