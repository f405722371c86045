"""When tasks fire: due schedules become runs, each nominal instant once, however many daemons look."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import sqlalchemy as sa

from overnight.base.ids import Cycle, RunId
from overnight.base.instants import iso
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx
from overnight.engine import gaps, moves, pausing, store
from overnight.engine.book import Book, Entry
from overnight.engine.cron import Schedule, next_after
from overnight.engine.model import Cancel, CatchUp, Overlap, Run, State
from overnight.engine.submit import Request, submit
from overnight.engine.tables import tasks
from overnight.engine.ticks import Due, Gap, Missed, due, jitter_us

_DUE = Prepared(
    lambda dialect: (
        sa.select(tasks.c.task_id, tasks.c.next_us)
        .where(tasks.c.next_us <= sa.bindparam("now_us", type_=sa.BigInteger))
        .order_by(tasks.c.next_us)
    )
)
_NEXT = Prepared(lambda dialect: sa.select(sa.func.min(tasks.c.next_us)).where(tasks.c.next_us.is_not(None)))
_ADVANCE = Prepared(
    lambda dialect: (
        sa.update(tasks)
        .values(next_us=sa.bindparam("following_us", type_=sa.BigInteger))
        .where(
            tasks.c.task_id == sa.bindparam("task", type_=sa.Text),
            tasks.c.next_us == sa.bindparam("planned_us", type_=sa.BigInteger),
        )
    )
)

Following = Callable[[Schedule], int | None]
"""Tells when a trigger fires next from now on."""


def sync(tx: Tx, book: Book) -> None:
    """Make the schedule table say what the book says; an unchanged trigger keeps its next instant.

    One that lies further ahead than the clock can mean is set anew: the clock was ahead when it was written.
    """
    tx.dialect.serialize(tx.connection, pausing.SCHEDULE)
    rows = tx.connection.execute(
        sa.select(tasks.c.task_id, tasks.c.trigger, tasks.c.next_us, tasks.c.held_us, tasks.c.paused_us)
    )
    known = {row.task_id: row for row in rows}
    # Asked once per trigger: many tasks share theirs, and a cron line takes long to look ahead.
    following = cache(lambda trigger: next_after(trigger, tx.now_us))
    fresh = []
    for entry in book:
        name = entry.task.task_id
        wanted = entry.trigger_text if entry.task.enabled else None
        row = known.get(name)
        if row is None:
            next_us = None if wanted is None else _first(entry, following)
            fresh.append({"task_id": name, "trigger": wanted, "next_us": next_us})
            continue
        planned_us = row.next_us if row.paused_us is None else row.held_us
        if row.trigger == wanted and not _too_far(entry, planned_us, tx.now_us, following):
            continue
        next_us = None if wanted is None else _first(entry, following)
        _plan(tx, name, wanted, next_us, paused=row.paused_us is not None)
    if fresh:
        tx.connection.execute(sa.insert(tasks), fresh)
    # Those that they wait for may be others by now.
    for run in store.waiting_for_parents(tx.connection):
        moves.decide_waiting(tx, book, run)
    gone = [name for name, row in known.items() if row.trigger is not None and name not in book]
    if gone:
        tx.connection.execute(
            sa.update(tasks).values(trigger=None, next_us=None, held_us=None).where(tasks.c.task_id.in_(gone))
        )


def _plan(tx: Tx, name: str, trigger: str | None, next_us: int | None, *, paused: bool) -> None:
    columns = {"next_us": None, "held_us": next_us} if paused else {"next_us": next_us}
    tx.connection.execute(sa.update(tasks).values(trigger=trigger, **columns).where(tasks.c.task_id == name))


def _first(entry: Entry, following: Following) -> int | None:
    assert entry.trigger is not None
    # `once` in the past still fires, because it never did; the run's key keeps it from firing twice.
    return next_after(entry.trigger, 0) if entry.task.once is not None else following(entry.trigger)


def _too_far(entry: Entry, planned_us: int | None, now_us: int, following: Following) -> bool:
    if planned_us is None or planned_us <= now_us or entry.trigger is None or entry.task.once is not None:
        return False
    next_us = following(entry.trigger)
    return next_us is not None and planned_us > next_us


def next_fire_us(tx: Tx) -> int | None:
    """Return the next nominal instant of any task."""
    row = _NEXT(tx.connection, tx.dialect).fetchone()
    return None if row is None else row[0]


def fire(tx: Tx, book: Book) -> None:
    """Make runs for the tasks that are due, as their rules say, and record the instants that get none."""
    rows = _DUE(tx.connection, tx.dialect, now_us=tx.now_us).fetchall()
    if not rows:
        return
    tx.dialect.serialize(tx.connection, pausing.SCHEDULE)
    waiting: list[RunId] = []
    for task_id, planned_us in map(tuple, rows):
        entry = book.find(task_id)
        if entry is None or entry.trigger is None:
            tx.connection.execute(sa.update(tasks).values(next_us=None).where(tasks.c.task_id == task_id))
            continue
        decided = due(entry.trigger, planned_us, tx.now_us, entry.catch_up)
        won = _ADVANCE(tx.connection, tx.dialect, task=task_id, planned_us=planned_us, following_us=decided.next_us)
        if won.rowcount == 1:
            run_ids = _fire_task(tx, book, entry, decided)
            waiting += run_ids if entry.task.after else ()
    # Only now: a parent that is due at the same instant may come later in the list.
    look_at_parents(tx, book, waiting)


def look_at_parents(tx: Tx, book: Book, run_ids: Iterable[RunId]) -> None:
    """Start, block or leave new runs that wait for their parents."""
    for run_id in run_ids:
        run = store.peek(tx, run_id)
        assert run is not None
        moves.decide_waiting(tx, book, run)


def _fire_task(tx: Tx, book: Book, entry: Entry, decided: Due) -> list[RunId]:
    name = entry.task.task_id
    if decided.gap is not None:
        gaps.record(tx, name, entry.trigger, decided.gap, Missed.LATE)
    run_ids = []
    for nominal_us in decided.fire:
        blocked_by = _in_the_way(tx, entry, nominal_us)
        if blocked_by and entry.task.overlap is Overlap.CANCEL_OTHER:
            moves.cancel_all(tx, book, blocked_by, Cancel.OVERLAP)
        elif blocked_by:
            gaps.record(tx, name, entry.trigger, Gap(first_us=nominal_us, last_us=nominal_us), Missed.OVERLAP)
            continue
        due_us = nominal_us + jitter_us(name, nominal_us, entry.task.jitter_s)
        run_ids += submit(tx, [request_of(entry, nominal_us, due_us)])
    return run_ids


def _in_the_way(tx: Tx, entry: Entry, nominal_us: int) -> Sequence[Run]:
    """Return the runs for which this instant has to stand back, or which have to make way for it."""
    task = entry.task
    if task.overlap is Overlap.QUEUE_ALL or task.catch_up is CatchUp.ALL:
        return ()
    if task.overlap is Overlap.CANCEL_OTHER:
        return store.unfinished(tx.connection, task_id=task.task_id)
    if task.overlap is Overlap.SKIP:
        return store.unfinished(tx.connection, task_id=task.task_id, limit=1)
    previous = store.latest_due(tx, task.task_id, nominal_us)
    # One run waits already; a second would do the same work behind it.
    waits = previous is not None and previous.state is State.PENDING and previous.worker_id is None
    return (previous,) if previous is not None and waits and previous.cycle != nominal_us else ()


def request_of(entry: Entry, nominal_us: int, due_us: int | None = None) -> Request:
    """Return the wish for the run of an instant; `due_us` None means at once, however long ago the instant was."""
    task = entry.task
    return Request(
        task_id=task.task_id,
        priority=task.priority,
        key=key_of(task.task_id, nominal_us),
        due_us=due_us,
        cycle=Cycle(nominal_us),
        waiting_for={"after": list(task.after)} if task.after else None,
        further=task.further,
    )


def key_of(task_id: str, nominal_us: int) -> str:
    """Return the key of an instant's run: any number of daemons, and a backfill, make it once."""
    return f"{task_id}@{iso(nominal_us)}"
