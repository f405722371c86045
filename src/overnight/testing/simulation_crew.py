"""The workers of the simulation, their children and their flows."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from overnight.base.clock import iso
from overnight.base.ids import RunId, TaskId, Token, WorkerId
from overnight.base.instants import from_datetime
from overnight.base.points import Point
from overnight.base.ports import RunContext
from overnight.base.refs import ErrorRef, Outcome
from overnight.engine import recovery, scheduler
from overnight.engine.flow import Flow
from overnight.engine.queue import Capacity
from overnight.engine.worker import RETRY_AFTER_S, Looks, Worker
from overnight.executors.calling import call
from overnight.testing.simulation_stage import CPUS, SLOTS, Stage, WorkerProcess
from overnight.testing.simulation_world import (
    SEALED,
    SimulatedChild,
    SimulatedCrash,
    SimulatedExecutor,
    SimulatedProcess,
    end_children,
    end_of,
)


@dataclass(kw_only=True)
class _Context:
    """Stands in the place of a flow's `ctx`, which no simulated flow asks for."""

    run_id: RunId
    task_id: TaskId
    attempt: int
    token: Token
    cancelled: bool = False
    scheduled: datetime | None = None
    counts: dict[str, float] = field(default_factory=dict)

    def count(self, name: str, number: float = 1) -> None:
        """Do nothing."""

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        """Do nothing."""


@dataclass(kw_only=True)
class _Play:
    """One call of a flow's function: what it does at each place of its program."""

    flow: Flow
    in_step: Callable[[str], int]
    started: list[RunId] = field(default_factory=list)

    def step(self, place: int, number: int) -> int:
        value: int = self.flow.step(f"step-{place}", self.in_step, f"step-{place}")
        return value

    def start(self, place: int, number: int) -> RunId:
        self.started.append(self.flow.start(("free", "single", "locked")[number % 3]))
        return self.started[-1]

    def wait(self, place: int, number: int) -> list[Any]:
        return [[ended.run_id, ended.state] for ended in self.flow.wait(*self.started)]

    def ask(self, place: int, number: int) -> str:
        return self.flow.ask(f"ask-{place}", "really?")

    def sleep(self, place: int, number: int) -> None:
        self.flow.sleep(number)

    def now(self, place: int, number: int) -> str | None:
        return iso(from_datetime(self.flow.now()))

    def random(self, place: int, number: int) -> float:
        return self.flow.random().random()


class Crew(Stage):
    """What workers, children and flows do."""

    # Workers.

    def _living(self) -> list[WorkerProcess]:
        self._workers = [work for work in self._workers if work.process.alive]
        return self._workers

    def _do_start_worker(self) -> None:
        if len(self._living()) >= (3 if self.shared else 1):
            return
        process = self._process()
        worker_id = WorkerId(f"worker-{next(self._numbers)}")
        host = f"host-{self._random.randrange(2)}" if self.shared else "host"
        executor = SimulatedExecutor(owner=process, children=self._children, next_pid=partial(next, self._numbers))
        work = WorkerProcess(process=process, worker=None, worker_id=worker_id, host=host)  # type: ignore[arg-type]  # set below
        work.worker = Worker(
            process.database,
            lambda: self._book,
            {"process": executor, "thread": executor},
            Looks(worker_id=worker_id, capacity=Capacity(slots=SLOTS, cpus=CPUS), project_dir="/", logs_dir="/"),
            recover=lambda: self._recover(work),
            neighbour_gone=lambda: self._misses_neighbour(work),
            child_lives=lambda child: any(other.pid == child[0] and not other.gone for other in self._children),
            hook=partial(self._pass, process),
        )
        self._workers.append(work)
        self.act(process, lambda: self._begin_worker(work))

    def _begin_worker(self, work: WorkerProcess) -> None:
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

    def _recover(self, work: WorkerProcess) -> None:
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

    def _misses_neighbour(self, work: WorkerProcess) -> bool:
        """Tell what the kernel's locks tell a worker: whether one of its host is gone since its last look."""
        living = {other.worker_id for other in self._workers if other.process.alive and other.host == work.host}
        gone = bool(work.neighbours - living)
        work.neighbours = living
        return gone

    def _do_step(self) -> None:
        ready = [work for work in self._living() if work.started and not work.process.paused]
        if ready:
            self._step(self._random.choice(ready))

    def _step(self, work: WorkerProcess) -> None:
        def step() -> None:
            work.worker.step()
            if work.worker.closing.is_set() and work.worker.idle:
                self._leave(work)

        if self.act(work.process, step):
            self._would_wake(work)

    def _would_wake(self, work: WorkerProcess) -> None:
        """A worker that does not come back by itself soon must have nothing that no message will come for."""
        if self.shared or work.worker.sleep_s() <= RETRY_AFTER_S:
            return
        heard = {(child.order.run_id, child.order.token) for child in self._children if child.owner is work.process}
        rows = self._rows.execute("SELECT run_id, token FROM runs WHERE worker_id = ?", (work.worker_id,)).fetchall()
        for row in rows:
            self._oracle.claim_that(tuple(row) in heard, f"the worker sleeps and run {row['run_id']} waits for it")

    def _leave(self, work: WorkerProcess) -> None:
        """End a worker that has stopped working, as the real one ends."""
        with contextlib.suppress(*SEALED):
            work.process.writer.do(lambda tx: recovery.take_over(tx, self._book, work.worker_id))
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
        context: RunContext = _Context(
            run_id=order.run_id, task_id=order.task_id, attempt=order.attempt, token=order.token
        )
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
        play = _Play(flow=flow, in_step=partial(self.in_step, flow, process))
        for place, (name, number) in enumerate(program):
            value = getattr(play, name)(place, number)
            self._oracle.saw(order.run_id, place, value)
            log.append(value)
        flow.finish()
        return {"log": log}

    def in_step(self, flow: Flow, process: SimulatedProcess, name: str) -> int:
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
