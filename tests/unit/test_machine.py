"""What a run may become: each transition, and the machine against a model of its own."""

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from overnight.base.backoff import Backoff
from overnight.base.errors import InvalidTransition
from overnight.base.ids import RunId, TaskId, WorkerId
from overnight.base.refs import ErrorRef, Usage
from overnight.engine import machine
from overnight.engine.machine import (
    Blocked,
    CancelAsked,
    Claimed,
    Effect,
    Event,
    Failed,
    Held,
    Impossible,
    Lost,
    Parked,
    Released,
    Stopped,
    Succeeded,
    Woken,
    add_usage,
    apply,
)
from overnight.engine.model import Cancel, Priority, Queue, Run, State

T0 = 1_000_000_000
LATER = ErrorRef(family="transient", type="E", message="later")
NEVER = ErrorRef(family="permanent", type="E", message="never")


def new(**values: Any) -> Run:
    run = Run(
        run_id=RunId(1), task_id=TaskId("t"), state=State.PENDING, priority=Priority.NORMAL, queue=Queue.READY,
        created_us=T0, due_us=T0, rank=T0 - Priority.NORMAL.bonus_us,
    )  # fmt: skip
    return run._replace(**values)


def after(run: Run, *events: Event, now_us: int = T0) -> Run:
    for event in events:
        run, _ = apply(run, event, now_us)
    return run


CLAIM = Claimed(worker_id=WorkerId("w"))


def fail(error: ErrorRef = LATER, **values: Any) -> Failed:
    return Failed(error=error, max_retries=3, **values)


def test_bonus_of_each_priority_is_as_documented() -> None:
    hours = {priority: priority.bonus_us / 3_600_000_000 for priority in Priority}
    assert hours == {Priority.CRITICAL: 24, Priority.HIGH: 4, Priority.NORMAL: 1, Priority.LOW: 0}


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
@pytest.mark.parametrize(
    "event", [CLAIM, Succeeded(), fail(), Stopped(), CancelAsked(), Lost(), Parked(waiting_for={}), Woken()]
)
def test_nothing_leaves_a_final_state(state: State, event: Event) -> None:
    with pytest.raises(InvalidTransition, match=f"run 1 is {state} since long"):
        apply(new(state=state, queue=None), event, T0)


@pytest.mark.parametrize("event", [Succeeded(), fail(), Stopped(), Lost(), Parked(waiting_for={})])
@pytest.mark.parametrize("run", [new(), after(new(), CLAIM, Parked(waiting_for={"question": 1}))])
def test_work_that_nobody_does_cannot_end(event: Event, run: Run) -> None:
    with pytest.raises(InvalidTransition, match="nobody works on it"):
        apply(run, event, T0)


def test_run_that_waits_cannot_be_claimed_and_one_that_does_not_cannot_be_woken() -> None:
    for queue in (None, Queue.TIME, Queue.PARENTS):
        with pytest.raises(InvalidTransition, match="not ready"):
            apply(new(queue=queue), CLAIM, T0)
    with pytest.raises(InvalidTransition, match="waits for nothing"):
        apply(new(), Woken(), T0)


def test_waits_between_tries_are_1_2_and_4_minutes() -> None:
    run, waits = new(), []
    for _ in range(3):
        run = after(run, CLAIM, fail())
        waits.append((run.due_us - T0) / 1e6)
        assert (run.state, run.queue, run.worker_id, run.active_us) == (State.RETRYING, Queue.TIME, None, 0)
        run = run._replace(queue=Queue.READY)
    assert waits == [60, 120, 240]
    assert after(run, CLAIM, fail()).state is State.FAILED


def test_jitter_spreads_the_wait_by_its_share() -> None:
    with pytest.raises(ValueError, match="failures counts from 1, got 0"):
        Backoff().wait_s(0)
    backoff = Backoff(jitter=0.5)
    dues = {after(new(), CLAIM, fail(retry=backoff, random=Random(seed))).due_us - T0 for seed in range(20)}
    assert len(dues) == 20
    assert all(30e6 <= due <= 90e6 for due in dues)


def test_wait_of_nothing_is_ready_at_once() -> None:
    run = after(new(), CLAIM, fail(retry=Backoff(base_s=0)))
    assert (run.state, run.queue, run.rank) == (State.RETRYING, Queue.READY, T0 - Priority.NORMAL.bonus_us)


def test_time_worked_counts_within_a_try_and_begins_anew_with_the_next() -> None:
    run = after(new(), CLAIM)
    parked = after(run, Parked(waiting_for={"question": 1}), now_us=T0 + 7)
    assert parked.active_us == 7
    again = after(parked, Woken(), CLAIM, now_us=T0 + 100)
    assert after(again, Succeeded(), now_us=T0 + 105).active_us == 12
    for event in (fail(), Lost()):
        tried = after(again, event, now_us=T0 + 105)
        assert (tried.active_us, tried.earlier_us) == (0, 12)
        ended = after(tried._replace(queue=Queue.READY), CLAIM, now_us=T0 + 200)
        ended = after(ended, fail(NEVER), now_us=T0 + 203)
        assert (ended.active_us, ended.worked_us) == (3, 15)
    assert after(again, Stopped(), now_us=T0 + 105).active_us == 12
    assert after(run, Succeeded(), now_us=T0 - 5).active_us == 0, "a clock that went back takes no time off"


def test_yielded_run_keeps_its_place_and_its_tries() -> None:
    run = after(new(), CLAIM, Stopped(), now_us=T0 + 50)
    assert (run.state, run.queue, run.attempt, run.due_us) == (State.PENDING, Queue.READY, 0, T0)
    assert run.token == 1


def test_a_run_that_yields_before_a_checkpoint_waits_longer_each_time_and_not_at_all_after_one() -> None:
    run, waits = new(), []
    for kept in (False, False, False, True, False):
        run = after(run._replace(queue=Queue.READY), CLAIM, now_us=T0)
        run = after(run, Stopped(why="it grew", retry=None if kept else Backoff(cap_s=200)), now_us=T0)
        waits.append((run.due_us - T0) / 1e6 if run.queue == Queue.TIME else None)
        run = run._replace(due_us=T0)
        assert (run.state, run.attempt) == (State.PENDING, 0)
    assert waits == [60, 120, 200, None, 60]
    assert [what for what, *_ in run.history[1::2]] == ["set_back"] * 3 + ["yielded", "set_back"]


@pytest.mark.parametrize("losses", range(machine.MAX_LOSSES))
def test_lost_workers_cost_no_try_but_later_waiting_and_in_the_end_the_run(losses: int) -> None:
    run = after(new(losses=losses), CLAIM, Lost())
    if losses + 1 == machine.MAX_LOSSES:
        assert run.state is State.FAILED
        assert run.error is not None
        assert run.error.message == "the worker died 20 times while it worked on this run"
        return
    assert (run.state, run.attempt, run.losses) == (State.PENDING, 0, losses + 1)
    wait_s = min(60, 2 ** (losses - machine.FREE_LOSSES)) if losses >= machine.FREE_LOSSES else 0
    assert run.due_us - T0 == wait_s * 1_000_000


def test_parked_flow_is_in_progress_without_worker_and_forgets_losses() -> None:
    run = after(new(losses=2), CLAIM, Parked(waiting_for={"question": 4}))
    assert run.parked
    assert (run.queue, run.losses, run.waiting_for) == (None, 0, {"question": 4})
    asleep = after(new(), CLAIM, Parked(waiting_for={"until_us": T0 + 9}))
    assert (asleep.queue, asleep.due_us) == (Queue.TIME, T0 + 9)
    woken = after(run, Woken())
    assert (woken.queue, woken.waiting_for, woken.rank) == (Queue.READY, None, T0 - Priority.NORMAL.bonus_us)
    assert after(woken, CLAIM).attempt == 1
    assert not new().parked


@pytest.mark.parametrize("event", [fail(), fail(NEVER), Stopped(), Lost(), Parked(waiting_for={"question": 1})])
def test_run_that_is_to_be_cancelled_ends_cancelled_however_its_work_ends(event: Event) -> None:
    run, effects = apply(after(new(), CLAIM), CancelAsked(), T0)
    assert (run.state, run.cancel, effects) == (State.IN_PROGRESS, Cancel.PERSON, ())
    ended, effects = apply(run, event, T0)
    assert ended.state is State.CANCELLED
    assert set(effects) == {Effect.SETTLED, Effect.CANCEL_CHILDREN}


def test_work_that_succeeded_before_it_could_be_cancelled_counts() -> None:
    run = after(new(), CLAIM, CancelAsked(), Succeeded(result="1"))
    assert (run.state, run.result) == (State.COMPLETED, "1")


@pytest.mark.parametrize(
    "run", [new(), new(queue=Queue.PARENTS, waiting_for={"after": ["x"]}), after(new(), CLAIM, fail())]
)
def test_run_that_nobody_works_on_is_cancelled_at_once_with_what_it_started(run: Run) -> None:
    ended, effects = apply(run, CancelAsked(why=Cancel.OVERLAP), T0 + 5)
    assert (ended.state, ended.finished_us, ended.queue, ended.waiting_for) == (State.CANCELLED, T0 + 5, None, None)
    assert ended.error == ErrorRef(family="user", type="Cancelled", message=Cancel.OVERLAP.reason)
    assert effects == (Effect.SETTLED, Effect.CANCEL_CHILDREN)


@pytest.mark.parametrize("run", [after(new(), CLAIM), new(queue=Queue.PAUSED)])
def test_only_what_waits_for_its_start_can_be_held(run: Run) -> None:
    with pytest.raises(InvalidTransition):
        apply(run, Held(), T0)


def test_only_what_is_held_can_be_released_and_goes_where_it_was() -> None:
    with pytest.raises(InvalidTransition):
        apply(new(), Released(), T0)
    parents = new(queue=Queue.PARENTS, waiting_for={"after": ["x"]})
    for run in (new(), new(queue=Queue.TIME, due_us=T0 + 9), parents):
        assert after(run, Held(), Released()) == run
    assert after(new(queue=Queue.TIME, due_us=T0 + 9), Held(), Released(), now_us=T0 + 9).queue == Queue.READY


@pytest.mark.parametrize("why", [why for why in Cancel if why])
def test_a_run_that_is_worked_on_ends_with_the_reason_of_who_cancelled_it(why: Cancel) -> None:
    run = after(new(), CLAIM, CancelAsked(why=why))
    assert (run.cancel, run.state) == (why, State.IN_PROGRESS)
    for event in (Stopped(), fail(), Lost(), Parked(waiting_for={"question": 1})):
        assert after(run, event).error == ErrorRef(family="user", type="Cancelled", message=why.reason)


def test_blocked_and_impossible_runs_end_with_their_reason() -> None:
    blocked, effects = apply(new(), Blocked(reason="a parent"), T0)
    assert (blocked.state, effects) == (State.CANCELLED, (Effect.SETTLED, Effect.CANCEL_CHILDREN))
    assert blocked.error == ErrorRef(family="permanent", type="Blocked", message="a parent")
    impossible, _ = apply(new(), Impossible(error=NEVER), T0)
    assert (impossible.state, impossible.error) == (State.FAILED, NEVER)


@pytest.mark.parametrize("event", [fail(NEVER), Lost(), Impossible(error=NEVER)])
def test_what_a_run_started_ends_with_it_when_it_has_failed_for_good(event: Event) -> None:
    claimed = after(new(losses=machine.MAX_LOSSES - 1), CLAIM)
    ended, effects = apply(claimed, event, T0)
    assert (ended.state, effects) == (State.FAILED, (Effect.SETTLED, Effect.CANCEL_CHILDREN))


@pytest.mark.parametrize("event", [fail(), Lost(), Stopped(), Succeeded()])
def test_what_a_run_started_goes_on_when_it_will_be_tried_again_or_has_completed(event: Event) -> None:
    _, effects = apply(after(new(), CLAIM), event, T0)
    assert Effect.CANCEL_CHILDREN not in effects


def test_history_keeps_both_ends_and_counts_what_it_leaves_out() -> None:
    run = new()
    for cycle in range(100):
        run = after(run, CLAIM, Stopped(), now_us=T0 + cycle)
    run = after(run, CLAIM, Succeeded(), now_us=T0 + 100)
    assert len(run.history) == machine.MAX_HISTORY + 1
    [gap] = [note for note in run.history if note[0] == "..."]
    assert gap[1] + len(run.history) - 1 == 202
    assert run.history[:2] == (("started", 0), ("yielded", 0))
    assert run.history[-1] == ("completed", 100)


def test_usage_adds_up_over_the_tries() -> None:
    one, two = Usage(cpu_s=1.0, peak_memory_gb=3.0), Usage(cpu_s=0.5, peak_memory_gb=2.0, gpu_s=4.0)
    assert add_usage(one, two) == Usage(cpu_s=1.5, peak_memory_gb=3.0, gpu_s=4.0)
    assert add_usage(two, one) == Usage(cpu_s=1.5, peak_memory_gb=3.0, gpu_s=4.0)
    assert add_usage(Usage(), two) == two
    assert add_usage(Usage(cost=1.0), Usage()) == Usage(cost=1.0)
    assert after(new(), CLAIM, fail(usage=one))._replace(queue=Queue.READY).usage == one


class RunMachine(RuleBasedStateMachine):
    """A run's life against a model that knows only counters."""

    @initialize(max_retries=st.integers(0, 3))
    def begin(self, max_retries: int) -> None:
        self.run = new()
        self.now = T0
        self.max_retries = max_retries
        self.works = False
        self.parked = self.held = False
        self.claims = self.failures = self.losses = 0
        self.asked = False
        self.worked = self.since = 0
        self.end: State | None = None

    def go(self, event: Event) -> tuple[Effect, ...]:
        worker = self.run.worker_id
        self.run, effects = apply(self.run, event, self.now)
        if worker is not None and self.run.worker_id is None:
            self.worked += self.now - self.since
        assert (Effect.SETTLED in effects) == self.run.state.final
        assert (Effect.CANCEL_CHILDREN in effects) == (self.run.state in (State.FAILED, State.CANCELLED))
        return effects

    def open(self) -> bool:
        return self.end is None

    @rule(us=st.integers(0, 400_000_000))
    def time_passes(self, us: int) -> None:
        self.now += us
        if self.run.queue == Queue.TIME and self.run.due_us <= self.now:
            self.run = self.run._replace(queue=Queue.READY, waiting_for=None)

    @precondition(lambda self: self.open() and self.run.queue == Queue.READY)
    @rule()
    def claimed(self) -> None:
        self.go(CLAIM)
        self.claims += 1
        self.works, self.parked, self.since = True, False, self.now

    @precondition(lambda self: self.open() and self.works)
    @rule(transient=st.booleans())
    def failed(self, transient: bool) -> None:
        self.go(Failed(error=LATER if transient else NEVER, max_retries=self.max_retries))
        self.works = False
        self.failures += 1
        if self.asked:
            self.end = State.CANCELLED
        elif not transient or self.failures > self.max_retries:
            self.end = State.FAILED

    @precondition(lambda self: self.open() and self.works)
    @rule()
    def succeeded(self) -> None:
        self.go(Succeeded(result="1"))
        self.works, self.end = False, State.COMPLETED

    @precondition(lambda self: self.open() and self.works)
    @rule()
    def lost(self) -> None:
        self.go(Lost())
        self.works = False
        self.losses += 1
        self.end = State.CANCELLED if self.asked else State.FAILED if self.losses == machine.MAX_LOSSES else None

    @precondition(lambda self: self.open() and self.works)
    @rule()
    def yielded(self) -> None:
        self.go(Stopped())
        self.works = False
        self.end = State.CANCELLED if self.asked else None

    @precondition(lambda self: self.open() and self.works)
    @rule(sleep_us=st.none() | st.integers(1, 1_000_000))
    def parks(self, sleep_us: int | None) -> None:
        self.go(Parked(waiting_for={"question": 1} if sleep_us is None else {"until_us": self.now + sleep_us}))
        self.works, self.losses = False, 0
        self.parked = not self.asked
        self.end = State.CANCELLED if self.asked else None

    @precondition(lambda self: self.open() and self.parked and self.run.waiting_for is not None)
    @rule()
    def woken(self) -> None:
        self.go(Woken())

    @precondition(lambda self: self.open() and not self.works and not self.parked and not self.held)
    @rule()
    def is_held(self) -> None:
        before = self.run
        self.go(Held())
        assert self.run == before._replace(queue=Queue.PAUSED)
        self.held = True

    @precondition(lambda self: self.open() and self.held)
    @rule()
    def is_released(self) -> None:
        self.go(Released())
        assert self.run.queue == (Queue.READY if self.run.due_us <= self.now else Queue.TIME)
        self.held = False

    @precondition(lambda self: self.open())
    @rule()
    def cancel(self) -> None:
        effects = self.go(CancelAsked())
        if self.works:
            self.asked = True
            assert effects == ()
        else:
            self.end = State.CANCELLED
            self.held = False

    @invariant()
    def agrees(self) -> None:
        run = self.run
        assert run.token == self.claims, "every claim has a token of its own"
        assert run.worked_us == self.worked, "all tries together"
        assert (run.worker_id is not None) == self.works
        if self.end is not None:
            assert (run.state, run.queue, run.rank, run.waiting_for) == (self.end, None, None, None)
            assert run.finished_us is not None
            return
        assert not run.state.final
        assert run.finished_us is None
        assert run.attempt == self.failures + (self.works or self.parked), "yields and losses cost no try"
        assert run.losses == self.losses
        assert (run.rank is None) == (run.queue is None)
        assert run.cancel == self.asked
        if self.works:
            assert (run.state, run.queue) == (State.IN_PROGRESS, None)
        elif self.held:
            assert run.queue == Queue.PAUSED
        elif run.waiting_for is None:
            assert run.queue in (Queue.READY, Queue.TIME), "a run that waits for nothing is in the queue"
        assert run.rank is None or run.rank == run.due_us - run.priority.bonus_us


RunMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRunMachine = RunMachine.TestCase
