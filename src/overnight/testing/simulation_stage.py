"""The stage of the simulation: chance, the trace, processes that can die, and a database that can refuse."""

import contextlib
import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from overnight.base.backoff import Backoff
from overnight.base.clock import iso
from overnight.base.ids import WorkerId
from overnight.base.instants import US
from overnight.base.points import Point
from overnight.engine.book import Book
from overnight.engine.model import Needs, Task
from overnight.engine.worker import Worker
from overnight.testing.simulation_oracle import PERIODS_US, Oracle
from overnight.testing.simulation_world import (
    Arena,
    Faults,
    Rates,
    SimulatedChild,
    SimulatedClock,
    SimulatedCrash,
    SimulatedProcess,
    refused,
)

START_US = 1_900_000_000 * US
SLOTS = 3
CPUS = 3.0
RETRY = Backoff(base_s=4.0, factor=2.0, cap_s=30.0)


class Violated(AssertionError):
    """The engine broke a promise; the message says which, and under which seed."""


def tasks() -> list[Task]:
    """Return the tasks of every simulation."""
    plain = "simulated:work"
    return [
        Task(task_id="free", action=plain, max_concurrent=None, max_retries=2),
        Task(task_id="single", action=plain, max_retries=1),
        Task(task_id="pair", action=plain, max_concurrent=2, needs=Needs(locks=("a",))),
        Task(task_id="locked", action=plain, max_concurrent=None, needs=Needs(locks=("a", "b")), timeout_s=20),
        Task(task_id="wide", action=plain, max_concurrent=None, needs=Needs(cpus=2.0), timeout_s=40, priority="HIGH"),  # type: ignore[arg-type]  # text is allowed
        Task(task_id="impossible", action=plain, needs=Needs(cpus=99.0)),
        Task(task_id="joined", action=plain, every="60s", after=("nightly",)),
        Task(task_id="nightly", action=plain, every="30s", max_retries=0),
        Task(task_id="mid", action=plain, after=("nightly",), max_retries=1),
        Task(task_id="leaf", action=plain, after=("nightly", "mid"), max_concurrent=None),
        Task(task_id="minutely", action=plain, schedule="*/2 * * * *", max_concurrent=None),
        Task(task_id="once", action=plain, once=str(iso(START_US + 50 * US))),
        Task(task_id="flow", action=plain, flow=True, executor="thread", max_concurrent=None, max_retries=3),
    ]


def without_trigger(task: Task) -> Task:
    """Return the task so that no schedule fires it."""
    return replace(task, enabled=task.task_id not in (*PERIODS_US, "once"))


@dataclass(kw_only=True, eq=False)
class ProcessFaults(Faults):
    """The faults of one process."""

    stage: "Stage"
    process: SimulatedProcess | None = None

    def before_begin(self) -> None:
        """Ask the stage for trouble."""
        assert self.process is not None
        self.stage.before_begin(self.process)

    def at_commit(self, commit: Callable[[], None]) -> None:
        """Ask the stage for trouble."""
        assert self.process is not None
        self.stage.at_commit(self.process, commit)


@dataclass(kw_only=True, eq=False)
class WorkerProcess:
    """A worker process."""

    process: SimulatedProcess
    worker: Worker
    worker_id: WorkerId
    host: str
    started: bool = False
    neighbours: set[WorkerId] = field(default_factory=set)
    """Those of its host that lived when it last looked."""


@dataclass(kw_only=True)
class Stage:
    """Everything that a simulation has, before anything happens."""

    arena: Arena
    seed: int
    rates: Rates = field(default_factory=Rates)
    shared: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # not a secret
        self._calm = False
        self._depth = 0
        self._trace = hashlib.sha256()
        self._clock = SimulatedClock(START_US + self._random.randrange(60 * US))
        # Without schedules a worker may sleep for ever, and must not do so at the wrong time.
        self._book = Book(tasks() if self.seed % 8 < 6 else map(without_trigger, tasks()), RETRY)
        self._oracle = Oracle(book=self._book, slots=SLOTS, cpus=CPUS, shared=self.shared)
        self._children: list[SimulatedChild] = []
        self._processes: list[SimulatedProcess] = []
        self._workers: list[WorkerProcess] = []
        self._numbers = iter(range(1, 1_000_000))
        self._cursor = 0
        self._followed: list[dict[str, Any]] = []
        self._passed: Counter[Point] = Counter()
        self._crashed: Counter[Point] = Counter()
        self._faults: Counter[str] = Counter()
        self.arena.reset()
        self._rows = sqlite3.connect(self.arena.path, isolation_level=None)
        self._rows.row_factory = sqlite3.Row

    # Chance and trace.

    def _note(self, *what: object) -> None:
        self._trace.update(repr(what).encode())

    def _draw(self, chance: float) -> bool:
        return not self._calm and self._random.random() < chance

    def _check(self) -> None:
        self._oracle.always(self._rows)
        if self._oracle.violations:
            kind = "several workers" if self.shared else "one worker"
            raise Violated(f"seed {self.seed} ({kind}): {'; '.join(self._oracle.violations[:5])}")

    # Processes.

    def _process(self) -> SimulatedProcess:
        faults = ProcessFaults(stage=self)

        def hook(point: Point) -> None:
            assert faults.process is not None
            self._pass(faults.process, point)

        faults.process = SimulatedProcess(self.arena, self._clock, hook, faults, shared=self.shared)
        faults.process.writer.told = partial(self._ring, faults.process)
        self._processes.append(faults.process)
        return faults.process

    def act(self, process: SimulatedProcess, what: Callable[[], object]) -> bool:
        """Let a process do something; False when it died, now or earlier."""
        if not process.alive or process.paused:
            return False
        with contextlib.suppress(SimulatedCrash):
            what()
        if process.died():
            process.release()
        return not process.died()

    def _pass(self, process: SimulatedProcess, point: Point) -> None:
        if not process.alive:
            raise SimulatedCrash(point)
        self._passed[point] += 1
        often = 1 if point.startswith("writer.") else 5
        if self._draw(self.rates.crash * often):
            self._crashed[point] += 1
            self._kill(process)
            raise SimulatedCrash(point)

    def _kill(self, process: SimulatedProcess) -> None:
        self._note("killed", self._clock.monotonic())
        process.alive = False
        for child in self._children:
            if child.owner is process:
                # A flow is a thread of the process, and a child that was never told to go does nothing; the others work
                # on until they notice, or are found.
                child.gone = child.gone or not child.working or child.order.task_id == "flow"
                child.orphaned_at = self._clock.monotonic()
        if self._depth == 0:
            process.release()

    def _ring(self, ringing: SimulatedProcess, events: Iterable[object], news: bool) -> None:
        for work in self._workers:
            if work.process is not ringing or news:
                work.worker.wake()

    # The database's trouble.

    def before_begin(self, process: SimulatedProcess) -> None:
        """Maybe find the database busy; maybe sleep, past the lease where there is one."""
        if self._draw(self.rates.busy):
            self._faults["busy"] += 1
            self._clock.advance(self._random.choice((0.5, 5.0, 30.0)))
            raise refused("SQLITE_BUSY", "database is locked")
        if self.shared and self._depth < 2 and self._draw(self.rates.pause):
            self._sleep_through(process)

    def at_commit(self, process: SimulatedProcess, commit: Callable[[], None]) -> None:
        """Maybe let the commit fail, before or after it took effect."""
        if self._draw(self.rates.lost_commit):
            self._faults["lost commit"] += 1
            raise refused("", "drawn: it did not take effect")
        if self._draw(self.rates.full):
            self._faults["full"] += 1
            raise refused("SQLITE_FULL", "database or disk is full")
        if self._draw(self.rates.hidden_commit):
            self._faults["hidden commit"] += 1
            commit()
            raise refused("", "drawn: it took effect")

    def _sleep_through(self, process: SimulatedProcess) -> None:
        """Suspend a process while others go on; whoever misses it takes its runs."""
        self._faults["pause"] += 1
        process.paused = True
        self._clock.advance(self._random.choice((1.0, 9.0, 20.0)))
        self._meanwhile(12)
        process.paused = False
        if not process.alive:
            raise SimulatedCrash("while it slept")

    def _meanwhile(self, count: int) -> None:
        self._depth += 1
        for _ in range(count):
            self._one_action()
        self._depth -= 1

    def _one_action(self) -> None:
        """Let one thing happen."""
        raise NotImplementedError
