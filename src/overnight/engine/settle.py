"""One turn of the engine in one transaction: record what ended, fire what is due, claim what fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from overnight.base.refs import ErrorRef, Outcome
from overnight.db.writer import Tx
from overnight.engine import approvals, counters, machine, moves, recovery, scheduler, store
from overnight.engine.book import Book, Entry
from overnight.engine.claim import Claimant, claim, next_start_us
from overnight.engine.flow import YIELD
from overnight.engine.model import Run, State


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a worker asks of a turn: outcomes to record, and whether to look at the schedule and the queue."""

    ended: Sequence[tuple[Run, Outcome]]
    claimant: Claimant | None
    """None while the worker closes: nothing new is taken."""
    replan: bool = False
    """True where the clock was set back: what was planned by the earlier one is planned anew."""
    timezone: str = "UTC"
    """Where days begin and end, for the counters."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a turn did."""

    claimed: Sequence[Run]
    to_stop: Sequence[Run]
    """Runs of this worker that somebody asked to cancel."""
    next_us: int | None
    """When there is something to do at the latest; None means not before somebody rings."""
    wanting: Sequence[Run] = ()
    """Ready runs that wait for memory, where it is negotiated."""


def settle(tx: Tx, book: Book, turn: Turn, worker_id: str) -> Report:
    """Take one turn."""
    _record(tx, book, turn.ended, turn.timezone)
    if turn.claimant is None or (tx.dialect.shared and not recovery.is_known(tx, worker_id)):
        return Report(claimed=(), to_stop=_cancel(tx, book, worker_id), next_us=None)
    if turn.replan:
        scheduler.sync(tx, book)
    scheduler.fire(tx, book)
    # After the firing, which may cancel the runs before.
    to_stop = _cancel(tx, book, worker_id)
    store.promote(tx)
    claimed, wanting = claim(tx, book, turn.claimant)
    return Report(claimed=claimed, to_stop=to_stop, next_us=_next_us(tx, book), wanting=wanting)


def _next_us(tx: Tx, book: Book) -> int | None:
    instants = (scheduler.next_fire_us(tx), store.next_due_us(tx), next_start_us(tx, book))
    return min((instant for instant in instants if instant is not None), default=None)


def _record(tx: Tx, book: Book, ended: Sequence[tuple[Run, Outcome]], timezone: str) -> None:
    parking = [run.run_id for run, outcome in ended if outcome.kind == "parked"]
    for run_id in parking:
        # Children that end at this moment wait for this lock and then see the parked flow, or are seen here.
        store.get_for_update(tx, run_id)
    moved = moves.move(tx, book, [(run, event_of(run, outcome, book.find(run.task_id))) for run, outcome in ended])
    for run, outcome in ended:
        if outcome.counts and run.run_id in moved and moved[run.run_id].state is State.COMPLETED:
            counters.add(tx, outcome.counts, timezone)
    for run_id in parking:
        if run_id in moved:
            _wake_at_once(tx, book, moved[run_id])


def _wake_at_once(tx: Tx, book: Book, run: Run) -> None:
    """Wake a flow that parked for something that has come meanwhile."""
    if not run.parked or run.waiting_for is None:
        return
    question = run.waiting_for.get("question")
    answered = question is not None and approvals.answer_of(tx.connection, question) is not None
    if answered or moves.satisfied(tx, run):
        moves.move(tx, book, [(run, machine.Woken())])


def _cancel(tx: Tx, book: Book, worker_id: str) -> list[Run]:
    """End runs that are to be cancelled and that nobody works on; return those that this worker has to stop."""
    asked = store.to_cancel(tx)
    idle = [run for run in asked if run.worker_id is None]
    moves.move(tx, book, [(run, machine.CancelAsked(why=run.cancel)) for run in idle])
    return [run for run in asked if run.worker_id == worker_id]


def event_of(run: Run, outcome: Outcome, entry: Entry | None) -> machine.Event:
    """Return what an outcome means for the run."""
    match outcome.kind:
        case "succeeded":
            return machine.Succeeded(result=outcome.result, usage=outcome.usage)
        case "cancelled":
            said = outcome.error
            retry = entry.retry if entry is not None and said is not None and said.type == machine.SET_BACK else None
            return machine.Stopped(usage=outcome.usage, why=None if said is None else said.message, retry=retry)
        case "parked":
            if outcome.waiting_for == YIELD:
                return machine.Stopped(usage=outcome.usage)
            return machine.Parked(waiting_for=outcome.waiting_for or {}, usage=outcome.usage)
        case "timed_out":
            limit = "its time limit" if entry is None or entry.timeout_s is None else f"timeout_s = {entry.timeout_s:g}"
            message = f"took longer than {limit} and was stopped"
            return _failed(run, ErrorRef(family="transient", type="TimedOut", message=message), outcome, entry)
        case "failed":
            error = outcome.error or ErrorRef(family="transient", type="Unknown", message="ended without a reason")
            return _failed(run, error, outcome, entry)


def yielded(outcome: Outcome, why: str | None, *, kept: bool) -> Outcome:
    """Return the outcome of a run that was told to yield with why; `kept` says that it has written a checkpoint."""
    if why is None or outcome.kind != "cancelled" or outcome.error is not None:
        return outcome
    error = ErrorRef(family="transient", type="Yielded" if kept else machine.SET_BACK, message=why)
    return replace(outcome, error=error)


def _failed(run: Run, error: ErrorRef, outcome: Outcome, entry: Entry | None) -> machine.Failed:
    # Names of files may hold what is not text; the message tells them all the same.
    error = replace(error, message=error.message.encode("utf-8", "backslashreplace").decode())
    if entry is None:
        return machine.Failed(error=error, max_retries=0, usage=outcome.usage)
    return machine.Failed(
        error=error,
        max_retries=entry.task.max_retries,
        retry=entry.retry,
        usage=outcome.usage,
        # The same try draws the same number, in whichever transaction it is recorded in the end.
        random=Random(f"{run.run_id}:{run.token}"),  # noqa: S311  # not a secret
    )
