"""A seeded simulation of the engine: everything that can go wrong goes wrong, in one thread, again and again.

The machine, the queue's SQL, scheduler, settle, claim, worker loop, writer, flows and recovery are the real ones, on a
real SQLite file. Replaced are the clock, the children and chance. One `random.Random` decides what happens next: a
submit, a cancel, an answer, a step of a worker, the begin or end of a child, time that passes or jumps, a process that
dies at any of the points of `base.points` or between two steps, a commit that fails before or after it took effect, a
busy or full database, a worker that sleeps past its lease. The same seed gives the same trace.

Half of the seeds simulate one worker with its children, half several workers on two hosts that share the database.
"""

import hashlib
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from overnight.base.backoff import Backoff
from overnight.base.clock import iso
from overnight.base.errors import UserMistake
from overnight.base.ids import RunId, TaskId, WorkerId
from overnight.base.instants import US
from overnight.base.points import Point
from overnight.base.ports import RunContext
from overnight.base.refs import ErrorRef, Outcome
from overnight.db import stream
from overnight.db.writer import Tx
from overnight.engine import approvals, moves, recovery, scheduler
from overnight.engine.book import Book
from overnight.engine.flow import Flow
from overnight.engine.model import Needs, Priority, Task
from overnight.engine.queue import Capacity
from overnight.engine.submit import Request, submit
from overnight.engine.worker import Looks, Worker
from overnight.executors.calling import call
from overnight.testing.simulation_oracle import PERIODS_US, Oracle
from overnight.testing.simulation_world import (
    ORPHAN_S,
    SEALED,
    Arena,
    Faults,
    Rates,
    SimulatedChild,
    SimulatedClock,
    SimulatedCrash,
    SimulatedExecutor,
    SimulatedProcess,
    end_children,
    end_of,
    refused,
)

START_US = 1_900_000_000 * US
SLOTS = 3
CPUS = 3.0
ACTIONS = 320
"""Things that happen before the faults stop."""
PATIENCE = 600
"""Rounds after that in which everything has to come to its end."""
RETRY = Backoff(base_s=4.0, factor=2.0, cap_s=30.0)


class Violated(AssertionError):
    """The engine broke a promise; the message says which, and under which seed."""


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What a simulation came to: a hash of all that happened, how many runs, and which points were passed and crashed at."""

    seed: int
    trace: str
    runs: int
    passed: Counter[Point]
    crashed: Counter[Point]
    faults: Counter[str]


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


SUBMITTED = ["free"] * 4 + ["single", "pair", "locked", "wide", "impossible", "flow", "flow", "flow", "flow"]


@dataclass(kw_only=True, eq=False)
class _Here(Faults):
    """The faults of one process."""

    simulation: "Simulation"
    process: SimulatedProcess | None = None

    def before_begin(self) -> None:
        assert self.process is not None
        self.simulation.before_begin(self.process)

    def at_commit(self, commit: Callable[[], None]) -> None:
        assert self.process is not None
        self.simulation.at_commit(self.process, commit)


@dataclass(kw_only=True, eq=False)
class _Work:
    """A worker process."""

    process: SimulatedProcess
    worker: Worker
    worker_id: WorkerId
    host: str
    started: bool = False


@dataclass(kw_only=True)
class _Context:
    """Stands in the place of a flow's `ctx`, which no simulated flow asks for."""

    run_id: RunId
    task_id: TaskId
    attempt: int
    cancelled: bool = False

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        """Do nothing."""

    def heartbeat(self) -> None:
        """Do nothing."""


@dataclass(kw_only=True)
class Simulation:
    """One simulation. `run` does all of it."""

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
        self._book = Book(tasks(), RETRY)
        self._oracle = Oracle(book=self._book, slots=SLOTS, cpus=CPUS, shared=self.shared)
        self._children: list[SimulatedChild] = []
        self._processes: list[SimulatedProcess] = []
        self._workers: list[_Work] = []
        self._numbers = iter(range(1, 1_000_000))
        self._cursor = 0
        self._followed: list[dict[str, Any]] = []
        self._passed: Counter[Point] = Counter()
        self._crashed: Counter[Point] = Counter()
        self._faults: Counter[str] = Counter()
        self.arena.reset()
        self._rows = sqlite3.connect(self.arena.path, isolation_level=None)
        self._rows.row_factory = sqlite3.Row
        self._client = self._process()

    def run(self) -> Simulated:
        """Let everything happen, then let everything end, and compare.

        Raises:
            Violated: the engine broke a promise.
        """
        try:
            for _ in range(ACTIONS):
                self._one_action()
                self._check()
            self._come_to_rest()
        finally:
            self._close()
        counts = (self._passed, self._crashed, self._faults)
        self._note("counts", *(sorted(count.items()) for count in counts))
        return Simulated(
            seed=self.seed,
            trace=self._trace.hexdigest(),
            runs=self._total,
            passed=self._passed,
            crashed=self._crashed,
            faults=self._faults,
        )

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
        faults = _Here(simulation=self)

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
        try:
            what()
        except SimulatedCrash:
            assert not process.alive
        if not process.alive:
            process.release()
        return process.alive

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
                # A child that was never told to go does nothing; the others work on until they notice, or are found.
                child.gone = child.gone or not child.working
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

    # What happens.

    def _one_action(self) -> None:
        chances = _ALONE if self._depth == 0 else _NESTED
        [action] = self._random.choices(list(chances), list(chances.values()))
        self._note(action, self._clock.now_us())
        getattr(self, f"_do_{action}")()

    def _do_submit(self) -> None:
        task_id = self._random.choice(SUBMITTED)
        key = f"key-{self._random.randrange(12)}" if self._random.random() < 0.2 else None
        if key is not None:
            task_id = "free"
        delay = self._random.choice((None, None, None, 5, 40))
        request = Request(
            task_id=task_id,
            key=key,
            args=json.dumps({"program": self._program()}) if task_id == "flow" else None,
            due_us=None if delay is None else self._clock.now_us() + delay * US,
            priority=self._random.choice(list(Priority)),
        )
        self._submit(request)

    def _do_open_cycle(self) -> None:
        self._submit(Request(task_id="nightly", own_cycle=True))

    def _submit(self, request: Request) -> None:
        def change(tx: Tx) -> RunId:
            tx.news = True
            return submit(tx, [request])[0]

        def ask() -> None:
            run_id = self._client.writer.do(change)
            self._note("acknowledged", run_id)
            self._oracle.submitted(run_id, request.task_id, request.key)

        self._as_client(ask)

    def _program(self) -> list[list[Any]]:
        steps = [["step"], ["step"], ["step"], ["start"], ["start"], ["wait"], ["ask"], ["sleep"], ["now"], ["random"]]
        return [
            [*self._random.choice(steps), self._random.randrange(1, 20)] for _ in range(self._random.randrange(1, 7))
        ]

    def _do_cancel(self) -> None:
        rows = self._rows.execute("SELECT run_id FROM runs WHERE finished_us IS NULL ORDER BY run_id").fetchall()
        if not rows:
            return
        run_id = self._random.choice(rows)[0]

        def change(tx: Tx) -> None:
            tx.news = True
            moves.cancel(tx, self._book, run_id)

        def ask() -> None:
            self._client.writer.do(change)
            self._oracle.cancelled(run_id, self._row(run_id))

        self._as_client(ask)

    def _do_answer(self) -> None:
        rows = self._rows.execute("SELECT question_id FROM questions WHERE answer IS NULL ORDER BY 1").fetchall()
        if not rows:
            return
        question_id = self._random.choice(rows)[0]
        choice = self._random.choice(("yes", "no"))

        def change(tx: Tx) -> None:
            tx.news = True
            approvals.answer(tx, self._book, question_id, choice, "somebody")

        def ask() -> None:
            self._client.writer.do(change)
            self._oracle.answers[question_id] = choice

        self._as_client(ask)

    def _as_client(self, ask: Callable[[], None]) -> None:
        """Let the client ask for something; where it gets an error, or dies, nothing was acknowledged."""
        if self._depth and self._client.paused:
            return
        if not self._client.alive:
            self._client = self._process()

        def carefully() -> None:
            try:
                ask()
            except (*SEALED, UserMistake) as error:
                self._note("refused", type(error).__name__)

        self.act(self._client, carefully)

    def _row(self, run_id: int) -> sqlite3.Row:
        row: sqlite3.Row = self._rows.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return row

    def _do_follow(self) -> None:
        """A follower goes on after the last cursor that it saw."""

        def follow() -> None:
            with self._client.database.read() as connection:
                for batch in stream.read(connection, self._client.database.dialect, self._cursor, 50):
                    self._cursor = batch.cursor
                    self._followed.extend(batch.events)

        self._as_client(follow)

    # Workers.

    def _living(self) -> list[_Work]:
        self._workers = [work for work in self._workers if work.process.alive]
        return self._workers

    def _do_start_worker(self) -> None:
        if len(self._living()) >= (3 if self.shared else 1):
            return
        process = self._process()
        worker_id = WorkerId(f"worker-{next(self._numbers)}")
        host = f"host-{self._random.randrange(2)}" if self.shared else "host"
        executor = SimulatedExecutor(owner=process, children=self._children, next_pid=partial(next, self._numbers))
        work = _Work(process=process, worker=None, worker_id=worker_id, host=host)  # type: ignore[arg-type]  # set below
        work.worker = Worker(
            process.database,
            lambda: self._book,
            {"process": executor, "thread": executor},
            Looks(worker_id=worker_id, capacity=Capacity(slots=SLOTS, cpus=CPUS), project_dir="/", logs_dir="/"),
            recover=lambda: self._recover(work),
            hook=partial(self._pass, process),
        )
        self._workers.append(work)
        self.act(process, lambda: self._begin_worker(work))

    def _begin_worker(self, work: _Work) -> None:
        writer = work.process.writer
        ref = recovery.WorkerRef(
            worker_id=work.worker_id, host=work.host, pid=1, started=0.0, lock_path=str(self.arena.folder / "none")
        )
        try:
            writer.do(lambda tx: recovery.register(tx, ref))
            writer.do(lambda tx: scheduler.sync(tx, self._book))
            self._recover(work)
        except SEALED:
            self._kill(work.process)
            return
        finally:
            for row in self._rows.execute("SELECT task_id, next_us FROM tasks WHERE next_us IS NOT NULL"):
                self._oracle.first_us.setdefault(row["task_id"], row["next_us"])
        work.started = True

    def _recover(self, work: _Work) -> None:
        self._pass(work.process, Point.RECOVERY_FOUND)
        alive = {other.worker_id for other in self._workers if other.process.alive}
        recovery.recover(
            work.process.database,
            self._book,
            host=work.host,
            own=work.worker_id,
            now_us=self._clock.now_us(),
            end_children=partial(end_children, self._children),
            lives=lambda ref: ref.worker_id in alive,
        )
        self._pass(work.process, Point.RECOVERY_REQUEUED)

    def _do_step(self) -> None:
        ready = [work for work in self._living() if work.started and not work.process.paused]
        if ready:
            self._step(self._random.choice(ready))

    def _step(self, work: _Work) -> None:
        def step() -> None:
            work.worker.step()
            if work.worker.closing.is_set() and work.worker.idle:
                self._leave(work)

        self.act(work.process, step)

    def _leave(self, work: _Work) -> None:
        """End a worker that has stopped working, as the real one ends."""
        try:
            work.process.writer.do(lambda tx: recovery.take_over(tx, self._book, work.worker_id))
        except SEALED:
            pass
        self._kill(work.process)

    def _do_stop_worker(self) -> None:
        for work in self._living()[:1]:
            work.worker.closing.set()
            work.worker.wake()
            if self._random.random() < 0.5:
                self.act(work.process, work.worker.give_back)

    def _do_kill(self) -> None:
        awake = [work for work in self._living() if not work.process.paused]
        if awake:
            self._kill(self._random.choice(awake).process)

    # Children.

    def _do_begin(self) -> None:
        waiting = [child for child in self._children if not child.working and not child.gone and not child.owner.paused]
        if waiting:
            self._begin(self._random.choice(waiting))

    def _begin(self, child: SimulatedChild) -> None:
        flow = child.order.task_id == "flow"
        self.act(child.owner, lambda: self._run_flow(child) if flow else self._spawn(child))

    def _spawn(self, child: SimulatedChild) -> None:
        outcome = Outcome(kind=child.reason) if child.reason is not None else None
        if outcome is None:
            try:
                child.channel.child_started(child.order, child.pid, 1.0)
            except SEALED as error:
                reason = ErrorRef(family="transient", type=type(error).__name__, message="not recorded")
                outcome = Outcome(kind="failed", error=reason)
        if outcome is not None:
            child.gone = True
            child.channel.done(child.order, outcome)
            return
        child.working = True
        self._oracle.begins(child, self._children)

    def _do_end(self) -> None:
        working = [child for child in self._children if child.working and not child.gone]
        if not working:
            return
        child = self._random.choice(working)
        kind = self._random.choice(("succeeded",) * 6 + ("transient", "permanent", "hangs"))
        if kind != "hangs" or child.reason is not None:
            self._end(child, kind)

    def _end(self, child: SimulatedChild, kind: str) -> None:
        child.gone = True
        self._note("ended", child.order.run_id, child.order.token, kind)
        if child.owner.alive:
            child.channel.done(child.order, end_of(child, kind))

    # Flows.

    def _run_flow(self, child: SimulatedChild) -> None:
        child.working = True
        self._oracle.begins(child, self._children)
        order = child.order
        flow_of = partial(self._flow, child)
        context: RunContext = _Context(run_id=order.run_id, task_id=order.task_id, attempt=order.attempt)
        outcome = call(order, flow_of, context, lambda text: None)
        if not child.owner.alive:
            raise SimulatedCrash("inside a flow")
        child.gone = True
        if child.reason is not None:
            outcome = Outcome(kind=child.reason)
        self._note("flow", order.run_id, order.token, outcome)
        child.channel.done(order, outcome)

    def _flow(self, child: SimulatedChild, program: list[list[Any]]) -> dict[str, Any]:
        order, process = child.order, child.owner
        work = next(work for work in self._workers if work.process is process)
        flow = Flow(
            process.database,
            self._book,
            order.run_id,
            order.token,
            closing=work.worker.closing.is_set,
            hook=partial(self._pass, process),
        )
        log: list[Any] = []
        started: list[RunId] = []
        for place, (name, number) in enumerate(program):
            value = self._place(flow, process, name, place, number, started)
            self._oracle.saw(order.run_id, place, value)
            log.append(value)
        flow.finish()
        return {"log": log}

    def _place(
        self, flow: Flow, process: SimulatedProcess, name: str, place: int, number: int, started: list[RunId]
    ) -> Any:  # Any: JSON
        match name:
            case "step":
                return flow.step(f"step-{place}", self._in_step, flow, process, f"step-{place}")
            case "start":
                started.append(flow.start(("free", "single", "locked")[number % 3]))
                return started[-1]
            case "wait":
                return [[ended.run_id, ended.state] for ended in flow.wait(*started)]
            case "ask":
                return flow.ask(f"ask-{place}", "really?")
            case "sleep":
                return flow.sleep(number)
            case "now":
                return iso(int(flow.now().timestamp() * US))
            case _:
                return flow.random().random()

    def _in_step(self, flow: Flow, process: SimulatedProcess, name: str) -> int:
        """Do what a step does: take time, in which everything else goes on, and maybe fail."""
        self._oracle.runs_step(self._rows, flow.run_id, name)
        number = next(self._numbers)
        self._note("step", flow.run_id, name, number)
        if self._depth < 2 and self._draw(0.3):
            if self.shared and self._draw(0.3):
                self._sleep_through(process)
            else:
                self._meanwhile(self._random.randrange(1, 6))
        if not process.alive:
            raise SimulatedCrash("inside a step")
        if self._draw(0.08):
            raise RuntimeError("drawn")
        return number

    # Time.

    def _do_pass_time(self) -> None:
        self._clock.advance(self._random.choice((0.01, 0.3, 1.0, 3.0)))
        self._end_orphans()

    def _do_leap(self) -> None:
        self._clock.advance(self._random.choice((15.0, 45.0, 130.0)))
        self._end_orphans()

    def _do_jump(self) -> None:
        self._clock.jump(self._random.choice((-600.0, -40.0, 40.0, 600.0)))

    def _end_orphans(self) -> None:
        now = self._clock.monotonic()
        for child in self._children:
            if child.orphaned_at is not None and now - child.orphaned_at > ORPHAN_S:
                child.gone = True
        self._children[:] = [child for child in self._children if not child.gone]

    # The end.

    def _come_to_rest(self) -> None:
        """Stop all faults and schedules, and wait until nothing is left to do."""
        self._calm = True
        self._rows.execute("CREATE TEMP TABLE planned AS SELECT task_id, next_us FROM tasks")
        before = Book(tasks(), RETRY)
        self._book = Book(map(_without_trigger, tasks()), RETRY)
        for work in list(self._living()):
            self._kill(work.process)
        self._do_start_worker()
        for _ in range(PATIENCE):
            if not self._rows.execute("SELECT 1 FROM runs WHERE finished_us IS NULL LIMIT 1").fetchone():
                break
            self._calm_round()
        while self._followed_less():
            self._do_follow()
        self._total = self._rows.execute("SELECT count(*) FROM runs").fetchone()[0]
        self._oracle.book = before
        self._oracle.finally_(self._rows, self._followed)
        self._note([tuple(row) for row in self._rows.execute("SELECT * FROM runs ORDER BY run_id")])
        self._note(self._followed)
        self._check()

    def _followed_less(self) -> bool:
        newest = self._rows.execute("SELECT coalesce(max(cursor), 0) FROM stream").fetchone()[0]
        return bool(self._cursor < newest)

    def _calm_round(self) -> None:
        if not self._living():
            self._do_start_worker()
        for work in self._living():
            work.worker.wake()
            self._step(work)
        for child in [child for child in self._children if not child.gone]:
            if not child.working:
                self._begin(child)
            elif child.orphaned_at is None:
                self._end(child, "succeeded")
        self._do_answer()
        self._check()
        self._clock.advance(1.0)
        if not self._children:
            self._skip_to_next_due()
        self._end_orphans()

    def _skip_to_next_due(self) -> None:
        [due_us] = self._rows.execute("SELECT min(due_us) FROM runs WHERE queue = 0").fetchone()
        if due_us is not None and due_us > self._clock.now_us():
            self._clock.advance((due_us - self._clock.now_us()) / US)

    def _close(self) -> None:
        for process in self._processes:
            process.release()
        self._rows.close()


def _without_trigger(task: Task) -> Task:
    from dataclasses import replace

    return replace(task, enabled=task.task_id not in (*PERIODS_US, "once"))


_ALONE = {
    "submit": 12,
    "open_cycle": 0.7,
    "cancel": 2,
    "answer": 5,
    "follow": 2,
    "start_worker": 5,
    "step": 30,
    "stop_worker": 0.4,
    "kill": 0.6,
    "begin": 16,
    "end": 16,
    "pass_time": 14,
    "leap": 1,
    "jump": 0.6,
}
_NESTED = {**_ALONE, "submit": 4, "step": 50, "begin": 10, "leap": 0.2}


def simulate(arena: Arena, seed: int, *, rates: Rates | None = None) -> Simulated:
    """Run the simulation of one seed; odd seeds have several workers.

    Raises:
        Violated: the engine broke a promise.
    """
    return Simulation(arena=arena, seed=seed, rates=rates or Rates(), shared=seed % 2 == 1).run()
