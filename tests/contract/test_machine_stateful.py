"""The store, the queue and the worker against a simple model: any order of submits, ends, cancels, crashes and time."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overnight.base.errors import InvalidTransition
from overnight.base.ports import Channel, StopReason
from overnight.base.refs import ErrorRef, Outcome, WorkOrder
from overnight.engine.model import Needs, Run, State
from overnight.engine.tables import locks, workers
from overnight.testing.bench import Bench
from stateful import check, emptied, sqlite_in

TASKS = {
    "single": {"max_concurrent": 1},
    "pair": {"max_concurrent": 2, "max_retries": 1},
    "locked": {"max_concurrent": None, "needs": Needs(locks=("gpu",))},
    "rival": {"max_concurrent": None, "needs": Needs(locks=("gpu", "disk")), "max_retries": 0},
}


class ByHand:
    """An executor whose work ends when the test says so."""

    def __init__(self) -> None:
        self.orders: list[tuple[WorkOrder, Channel]] = []
        self.stopped: set[tuple[int, int]] = set()

    def start(self, order: WorkOrder, channel: Channel) -> None:
        self.orders.append((order, channel))

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        self.stopped.add((order.run_id, order.token))

    def close(self, grace_s: float) -> None:
        for order, channel in self.orders:
            channel.done(order, Outcome(kind="cancelled"))
        self.orders.clear()


class Engine(RuleBasedStateMachine):
    new_url: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="overnight-stateful-"))
        self.bench = Bench(self.folder / "p", type(self).new_url(self.folder))
        for name, values in TASKS.items():
            self.bench.add(name, executor="thread", **values)
        self.executor = ByHand()
        self.states: dict[int, State] = {}
        self.failures: dict[int, int] = {}
        self.due: dict[int, int] = {}
        self.asked: set[int] = set()
        self.keys: dict[str, int] = {}

    def teardown(self) -> None:
        self.executor.close(0)
        self.bench.close()
        shutil.rmtree(self.folder)

    def work(self) -> None:
        self.bench.runtime._executors["thread"] = self.executor
        self.bench.work()

    def open_runs(self) -> list[int]:
        return [run_id for run_id, state in self.states.items() if not state.final]

    @rule(task=st.sampled_from(sorted(TASKS)), key=st.none() | st.sampled_from("abc"))
    def submit(self, task: str, key: str | None) -> None:
        run_id = self.bench.project.submit(task, key=key)
        if key in self.keys:
            assert run_id == self.keys[key]
            return
        assert run_id not in self.states
        if key is not None:
            self.keys[key] = run_id
        self.states[run_id] = State.PENDING
        self.failures[run_id] = 0

    @rule()
    def look(self) -> None:
        self.work()

    @precondition(lambda self: self.executor.orders)
    @rule(pick=st.integers(0, 9), kind=st.sampled_from(["ok", "ok", "transient", "permanent", "timed_out"]))
    def work_ends(self, pick: int, kind: str) -> None:
        order, channel = self.executor.orders.pop(pick % len(self.executor.orders))
        run_id = order.run_id
        if (run_id, order.token) in self.executor.stopped:
            outcome = Outcome(kind="cancelled")
        elif kind == "ok":
            outcome = Outcome(kind="succeeded", result=str(order.token))
        elif kind == "timed_out":
            outcome = Outcome(kind="timed_out")
        else:
            outcome = Outcome(kind="failed", error=ErrorRef(family=kind, type="E", message="drawn"))
        channel.done(order, outcome)
        if outcome.kind == "succeeded":
            self.states[run_id] = State.COMPLETED
        elif outcome.kind == "cancelled":
            self.states[run_id] = State.CANCELLED
        else:
            self.failures[run_id] += 1
            most = TASKS[order.task_id].get("max_retries", 3)
            again = kind != "permanent" and self.failures[run_id] <= most
            # A failure for good that came before the worker knew of the wish to cancel counts.
            waits = State.CANCELLED if run_id in self.asked else State.RETRYING
            self.states[run_id] = waits if again else State.FAILED
            self.due[run_id] = self.bench.clock.now_us() + 60_000_000 * 2 ** (self.failures[run_id] - 1)
        self.work()

    @precondition(lambda self: self.states)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        run_id = list(self.states)[pick % len(self.states)]
        if self.states[run_id].final:
            with pytest.raises(InvalidTransition):
                self.bench.project.cancel(run_id)
            return
        works = self.bench.get(run_id).worker_id is not None
        self.bench.project.cancel(run_id)
        self.asked.add(run_id)
        if not works:
            self.states[run_id] = State.CANCELLED

    @rule(seconds=st.sampled_from([1, 59, 61, 130, 300]))
    def time_passes(self, seconds: int) -> None:
        self.bench.clock.advance(seconds)
        self.work()

    @rule()
    def crash(self) -> None:
        working = [order.run_id for order, _ in self.executor.orders]
        self.executor = ByHand()
        self.bench.crash()
        self.work()
        for run_id in working:
            # What nobody has told the worker is lost with it; what was asked for is not.
            if run_id in self.asked:
                self.states[run_id] = State.CANCELLED

    @invariant()
    def agrees_with_the_model(self) -> None:
        runs = {run.run_id: run for run in self.bench.project.runs(limit=10_000)}
        assert set(runs) == set(self.states), "nothing acknowledged is lost, nothing is made up"
        for run_id, wanted in self.states.items():
            run = runs[run_id]
            if wanted.final:
                assert (run.state, run.worker_id, run.queue) == (wanted, None, None)
                continue
            assert not run.state.final
            works = run.worker_id is not None
            assert run.attempt == self.failures[run_id] + works, "yields and crashes cost no try"
            if run.state is State.RETRYING:
                assert run.due_us == self.due[run_id]
            assert works or run_id not in self.asked
        self.limits_hold([run for run in runs.values() if run.worker_id is not None])

    def limits_hold(self, working: list[Run]) -> None:
        with self.bench.project.database.read() as connection:
            held = connection.execute(sa.select(locks.c.name, locks.c.run_id)).fetchall()
            assert len(connection.execute(sa.select(workers)).fetchall()) <= 1
        assert len(working) <= 3
        for name, values in TASKS.items():
            most = values["max_concurrent"]
            assert most is None or sum(run.task_id == name for run in working) <= most
        needed = [(lock, run.run_id) for run in working for lock in self.needs(run).locks]
        assert sorted(map(tuple, held)) == sorted(needed)
        assert {order.run_id for order, _ in self.executor.orders} <= {run.run_id for run in working}

    def needs(self, run: Run) -> Needs:
        needs = TASKS[run.task_id].get("needs", Needs())
        assert isinstance(needs, Needs)
        return needs

    @invariant()
    def no_run_waits_without_a_reason(self) -> None:
        runs = self.bench.project.runs(limit=10_000)
        working = [run for run in runs if run.worker_id is not None]
        if self.bench._runtime is None or self.bench.runtime.worker._look or len(working) == 3:
            return
        if self.bench.runtime.worker._inbox.qsize():
            return
        taken = {lock for run in working for lock in self.needs(run).locks}
        for run in runs:
            if run.queue == 1 and run.created_us < self.bench.clock.now_us():
                most = TASKS[run.task_id]["max_concurrent"]
                full = isinstance(most, int) and sum(one.task_id == run.task_id for one in working) >= most
                assert full or taken & set(self.needs(run).locks), f"run {run.run_id} could start"


@pytest.mark.no_cover
def test_engine_on_sqlite_agrees_with_the_model(long_form: bool) -> None:
    check(Engine, sqlite_in, examples=500 if long_form else 8, steps=30)


@pytest.mark.no_cover
@pytest.mark.postgres
def test_engine_on_postgresql_agrees_with_the_model(postgres_database: str, long_form: bool) -> None:
    check(Engine, emptied(postgres_database), examples=300 if long_form else 6, steps=30)
