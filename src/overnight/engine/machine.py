"""What a run may become. Pure: `apply(run, event, now) -> (run, effects)`.

PENDING ----------claimed---------> IN_PROGRESS --succeeded--> COMPLETED
   ^  ^                              |  |  |  ^
   |  `---yielded, worker lost-------'  |  |  `--woken, claimed-- (parked: IN_PROGRESS without a worker)
   |                                    |  `--failed for good---> FAILED
RETRYING <------failed, tries left------'
PENDING and RETRYING runs of a paused task are held, and released when it goes on: their state stays.
any state but the final ones --cancel--> CANCELLED (at once where nobody works on it, else when the work has ended)
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from overnight.base.backoff import Backoff
from overnight.base.errors import InvalidTransition
from overnight.base.ids import Token, WorkerId
from overnight.base.instants import US
from overnight.base.refs import NOTHING_USED, ErrorRef, Usage
from overnight.engine.model import Cancel, Queue, Run, State

if TYPE_CHECKING:
    from random import Random

MAX_LOSSES = 20
"""A run that took so many workers down with it is not tried again."""
FREE_LOSSES = 3
"""So many lost workers cost a run no waiting time; later ones make it wait as failures do."""
MAX_HISTORY = 60
"""Entries kept in a run's history; in longer ones the middle is left out and counted."""

SET_BACK = "set_back"
"""What a run's history calls the end of a try that had to give its place up before it had written a checkpoint."""

LOSS_BACKOFF = Backoff(base_s=1.0, factor=2.0, cap_s=60.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A worker takes the run."""

    worker_id: WorkerId


@dataclass(frozen=True, kw_only=True, slots=True)
class Succeeded:
    """The work ended well; `result` is JSON text."""

    result: str | None = None
    usage: Usage = NOTHING_USED


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The work ended badly. `retry` and `max_retries` are the task's rules, `random` spreads the wait."""

    error: ErrorRef
    max_retries: int
    retry: Backoff = field(default_factory=Backoff)
    usage: Usage = NOTHING_USED
    random: "Random | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """The work ended because it was asked to stop (by a person, or by a worker that closes), or gave its place up.

    With `retry` it had to give its place up before it had written a checkpoint.
    """

    usage: Usage = NOTHING_USED
    why: str | None = None
    retry: Backoff | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelAsked:
    """A person wants the run to end."""

    why: Cancel = Cancel.PERSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """The worker is gone without having said how the work ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """The flow waits for something and holds no worker."""

    waiting_for: Mapping[str, Any]
    usage: Usage = NOTHING_USED


@dataclass(frozen=True, kw_only=True, slots=True)
class Woken:
    """What the flow, or a run with parents, waited for is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The run's task is paused, so that it does not start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """The run's task goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """A parent ended badly, so the run cannot start in this cycle."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Impossible:
    """The run needs what no worker here can ever give."""

    error: ErrorRef


Ended = Succeeded | Failed | Stopped | Lost | Parked
Event = Ended | Claimed | CancelAsked | Woken | Held | Released | Blocked | Impossible


class Effect(StrEnum):
    """What the caller has to do beside storing the run."""

    SETTLED = "settled"
    """The run is final: dependants, waiting flows and waiting callers want to know."""
    CANCEL_CHILDREN = "cancel_children"
    """The run ended badly: the runs that it started, if it is a flow, end with it."""


Step = tuple[Run, tuple[Effect, ...]]


def apply(run: Run, event: Event, now_us: int) -> Step:
    """Return what the run becomes, and what else has to be done.

    Raises:
        InvalidTransition: the run's state does not allow the event.
    """
    if run.state.final:
        raise InvalidTransition(f"run {run.run_id} is {run.state} since long; {_name(event)} comes too late")
    if isinstance(event, Succeeded | Failed | Stopped | Lost | Parked):
        if run.state is not State.IN_PROGRESS or run.worker_id is None:
            raise InvalidTransition(f"run {run.run_id} is {run.state} and nobody works on it: no {_name(event)}")
        return _ended(run, event, now_us)
    return _while_waiting(run, event, now_us)


def _while_waiting(
    run: Run, event: Claimed | CancelAsked | Woken | Held | Released | Blocked | Impossible, now_us: int
) -> Step:
    match event:
        case Claimed():
            return _claimed(run, event, now_us)
        case CancelAsked():
            return _cancel_asked(run, event, now_us)
        case Woken():
            return _woken(run, now_us)
        case Held() | Released():
            return _pause(run, event, now_us)
        case Blocked() | Impossible():
            return _never(run, event, now_us)
        case _:
            assert_never(event)


def _never(run: Run, event: Blocked | Impossible, now_us: int) -> Step:
    if isinstance(event, Impossible):
        return _settle(run, State.FAILED, now_us, error=event.error)
    error = ErrorRef(family="permanent", type="Blocked", message=event.reason)
    return _settle(run, State.CANCELLED, now_us, error=error)


def _ended(run: Run, event: Ended, now_us: int) -> Step:
    match event:
        case Succeeded():
            return _settle(run, State.COMPLETED, now_us, result=event.result, usage=add_usage(run.usage, event.usage))
        case Failed():
            return _failed(run, event, now_us)
        case Stopped():
            return _stopped(run, event, now_us)
        case Lost():
            return _lost(run, now_us)
        case Parked():
            return _parked(run, event, now_us)
        case _:
            assert_never(event)


def _claimed(run: Run, event: Claimed, now_us: int) -> Step:
    if run.queue != Queue.READY:
        raise InvalidTransition(f"run {run.run_id} is not ready to be claimed")
    resumes = run.state is State.IN_PROGRESS
    claimed = run._replace(
        state=State.IN_PROGRESS,
        queue=None,
        rank=None,
        worker_id=event.worker_id,
        token=Token(run.token + 1),
        attempt=run.attempt if resumes else run.attempt + 1,
        started_us=now_us,
        error=None,
        history=_note(run, "resumed" if resumes else "started", now_us),
    )
    return claimed, ()


def _failed(run: Run, event: Failed, now_us: int) -> Step:
    usage = add_usage(run.usage, event.usage)
    if run.cancel:
        return _settle(run, State.CANCELLED, now_us, error=_cancelled(run.cancel), usage=usage)
    if event.error.family != "transient" or run.attempt > event.max_retries:
        return _settle(run, State.FAILED, now_us, error=event.error, usage=usage)
    due = now_us + int(event.retry.wait_s(run.attempt, event.random) * US)
    freed = _begin_anew(_free(run, State.RETRYING, due, now_us))
    return freed._replace(error=event.error, usage=usage, history=_note(run, "failed", now_us, event.error.message)), ()


def _stopped(run: Run, event: Stopped, now_us: int) -> Step:
    usage = add_usage(run.usage, event.usage)
    if run.cancel:
        return _settle(run, State.CANCELLED, now_us, error=_cancelled(run.cancel), usage=usage)
    # Given back: the try does not count, the place in the queue is kept.
    what, due_us = "yielded", run.due_us
    if event.retry is not None:
        # At once again it would be stopped at the same point again, and so for ever.
        what, due_us = SET_BACK, now_us + int(event.retry.wait_s(_set_back(run) + 1) * US)
    freed = _free(run, State.PENDING, due_us, now_us)
    why = () if event.why is None else (event.why,)
    return freed._replace(attempt=run.attempt - 1, usage=usage, history=_note(run, what, now_us, *why)), ()


def _set_back(run: Run) -> int:
    """Return how many tries in a row were set back until now."""
    ends = (what for what, *_ in reversed(run.history) if what != "started")
    return sum(1 for _ in itertools.takewhile(lambda what: what == SET_BACK, ends))


def _lost(run: Run, now_us: int) -> Step:
    losses = run.losses + 1
    if run.cancel:
        return _settle(run, State.CANCELLED, now_us, error=_cancelled(run.cancel))
    if losses >= MAX_LOSSES:
        message = f"the worker died {losses} times while it worked on this run"
        return _settle(
            run, State.FAILED, now_us, error=ErrorRef(family="permanent", type="WorkerLost", message=message)
        )
    wait_s = 0.0 if losses <= FREE_LOSSES else LOSS_BACKOFF.wait_s(losses - FREE_LOSSES)
    freed = _begin_anew(_free(run, State.PENDING, now_us + int(wait_s * US), now_us))
    return freed._replace(attempt=run.attempt - 1, losses=losses, history=_note(run, "lost", now_us)), ()


def _parked(run: Run, event: Parked, now_us: int) -> Step:
    if run.cancel:
        return _settle(run, State.CANCELLED, now_us, error=_cancelled(run.cancel))
    until_us = event.waiting_for.get("until_us")
    timed = (
        {} if until_us is None else {"queue": Queue.TIME, "due_us": until_us, "rank": until_us - run.priority.bonus_us}
    )
    parked = run._replace(
        **timed,
        worker_id=None,
        waiting_for=event.waiting_for,
        active_us=_active(run, now_us),
        losses=0,
        usage=add_usage(run.usage, event.usage),
        history=_note(run, "parked", now_us),
    )
    return parked, ()


def _woken(run: Run, now_us: int) -> Step:
    if run.waiting_for is None:
        raise InvalidTransition(f"run {run.run_id} waits for nothing")
    # A woken flow keeps its place: it is as old as when it was first due. One that had a time limit to its wait is due
    # now.
    due_us = min(run.due_us, now_us)
    return run._replace(queue=Queue.READY, due_us=due_us, rank=due_us - run.priority.bonus_us, waiting_for=None), ()


def _pause(run: Run, event: Held | Released, now_us: int) -> Step:
    if isinstance(event, Held):
        if run.state is State.IN_PROGRESS or run.queue == Queue.PAUSED:
            raise InvalidTransition(f"run {run.run_id} is {run.state}: only what waits for its start can be held")
        return run._replace(queue=Queue.PAUSED), ()
    if run.queue != Queue.PAUSED:
        raise InvalidTransition(f"run {run.run_id} is not held")
    ready = Queue.READY if run.due_us <= now_us else Queue.TIME
    return run._replace(queue=ready if run.waiting_for is None else Queue.PARENTS), ()


def _cancel_asked(run: Run, event: CancelAsked, now_us: int) -> Step:
    if run.worker_id is not None:
        return run._replace(cancel=event.why), ()
    return _settle(run, State.CANCELLED, now_us, error=_cancelled(event.why))


def _settle(
    run: Run,
    state: State,
    now_us: int,
    *,
    result: str | None = None,
    error: ErrorRef | None = None,
    usage: Usage | None = None,
) -> Step:
    settled = run._replace(
        state=state,
        queue=None,
        rank=None,
        worker_id=None,
        waiting_for=None,
        result=result,
        error=error,
        progress=None,
        heard_us=None,
        finished_us=now_us,
        active_us=_active(run, now_us),
        usage=usage or run.usage,
        history=_note(run, state.lower(), now_us, *(() if error is None else (error.message,))),
    )
    return settled, (Effect.SETTLED,) if state is State.COMPLETED else (Effect.SETTLED, Effect.CANCEL_CHILDREN)


def _free(run: Run, state: State, due_us: int, now_us: int) -> Run:
    """Return the run as it waits for its next claim; a due time in the past means at once."""
    ready = due_us <= now_us
    return run._replace(
        state=state,
        queue=Queue.READY if ready else Queue.TIME,
        due_us=due_us,
        rank=due_us - run.priority.bonus_us,
        worker_id=None,
        progress=None,
        heard_us=None,
        active_us=_active(run, now_us),
    )


def _begin_anew(run: Run) -> Run:
    """Return the freed run with a time limit of its own for the next try, which starts from the beginning."""
    return run._replace(earlier_us=run.worked_us, active_us=0)


def _active(run: Run, now_us: int) -> int:
    """Return the working time of this try so far; a parked or queued run adds none."""
    if run.worker_id is None or run.started_us is None:
        return run.active_us
    return run.active_us + max(0, now_us - run.started_us)


def _cancelled(why: Cancel) -> ErrorRef:
    return ErrorRef(family="user", type="Cancelled", message=why.reason)


def _note(run: Run, what: str, now_us: int, *more: str) -> tuple[tuple[Any, ...], ...]:
    entry = (what, now_us - run.created_us, *more)
    kept = run.history
    if len(kept) >= MAX_HISTORY:
        half = MAX_HISTORY // 2
        gap = kept[half]
        left_out = gap[1] if gap[0] == "..." else 0
        start = half + 1 if left_out else half
        kept = (*kept[:half], ("...", left_out + 1), *kept[start + 1 :])
    return (*kept, entry)


def add_usage(one: Usage, other: Usage) -> Usage:
    """Return what both used together: sums, but the larger of the two memory peaks; None only where both are None."""
    if one == NOTHING_USED:
        return other
    peaks = [peak for peak in (one.peak_memory_gb, other.peak_memory_gb) if peak is not None]
    return Usage(
        cpu_s=_sum(one.cpu_s, other.cpu_s),
        peak_memory_gb=max(peaks, default=None),
        gpu_s=_sum(one.gpu_s, other.gpu_s),
        cost=_sum(one.cost, other.cost),
    )


def _sum(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other


def _name(event: Event) -> str:
    return type(event).__name__.lower()
