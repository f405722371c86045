"""When tasks fire: due schedules become runs, each nominal instant once, however many daemons look."""

import sqlalchemy as sa

from overnight.base.ids import Cycle, RunId
from overnight.base.instants import US, iso
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx
from overnight.engine import moves, store
from overnight.engine.book import Book, Entry
from overnight.engine.cron import Schedule, next_after
from overnight.engine.model import State
from overnight.engine.submit import Request, submit
from overnight.engine.tables import tasks

_DUE = Prepared(
    lambda dialect: (
        sa.select(tasks.c.task_id, tasks.c.next_us)
        .where(tasks.c.next_us <= sa.bindparam("now_us", type_=sa.BigInteger))
        .order_by(tasks.c.next_us)
    )
)
_NEXT = Prepared(lambda dialect: sa.select(sa.func.min(tasks.c.next_us)).where(tasks.c.next_us.is_not(None)))


def sync(tx: Tx, book: Book) -> None:
    """Make the schedule table say what the book says; an unchanged trigger keeps its next instant."""
    tx.dialect.serialize(tx.connection, moves.SCHEDULE)
    rows = tx.connection.execute(sa.select(tasks.c.task_id, tasks.c.trigger, tasks.c.next_us))
    known = {task_id: (trigger, next_us) for task_id, trigger, next_us in rows}
    for entry in book:
        name = entry.task.task_id
        wanted = entry.trigger_text if entry.task.enabled else None
        if name in known and known[name][0] == wanted:
            continue
        next_us = _first(entry, tx.now_us) if wanted is not None else None
        tx.connection.execute(sa.delete(tasks).where(tasks.c.task_id == name))
        tx.connection.execute(sa.insert(tasks).values(task_id=name, trigger=wanted, next_us=next_us))
    gone = [name for name, (trigger, _) in known.items() if trigger is not None and name not in book]
    if gone:
        tx.connection.execute(sa.update(tasks).values(trigger=None, next_us=None).where(tasks.c.task_id.in_(gone)))


def _first(entry: Entry, now_us: int) -> int | None:
    assert entry.trigger is not None
    # `once` in the past still fires, because it never did; the run's key keeps it from firing twice.
    return next_after(entry.trigger, 0 if entry.task.once is not None else now_us)


def next_fire_us(tx: Tx) -> int | None:
    """Return the next nominal instant of any task."""
    row = _NEXT(tx.connection, tx.dialect).fetchone()
    return None if row is None else row[0]


def fire(tx: Tx, book: Book) -> None:
    """Make a run for every task that is due. Of instants that were missed the latest counts, the others are told."""
    due = _DUE(tx.connection, tx.dialect, now_us=tx.now_us).fetchall()
    if not due:
        return
    tx.dialect.serialize(tx.connection, moves.SCHEDULE)
    waiting: list[RunId] = []
    for task_id, planned_us in map(tuple, due):
        entry = book.find(task_id)
        if entry is None or entry.trigger is None:
            tx.connection.execute(sa.update(tasks).values(next_us=None).where(tasks.c.task_id == task_id))
            continue
        nominal_us = latest(entry.trigger, planned_us, tx.now_us)
        following = None if entry.task.once is not None else next_after(entry.trigger, nominal_us)
        won = tx.connection.execute(
            sa.update(tasks).values(next_us=following).where(tasks.c.task_id == task_id, tasks.c.next_us == planned_us)
        )
        if won.rowcount == 1:
            run_id = _fire_one(tx, book, entry, planned_us, nominal_us)
            if run_id is not None and entry.task.after:
                waiting.append(run_id)
    # Only now: a parent that is due at the same instant may come later in the list.
    for run_id in waiting:
        run = store.peek(tx, run_id)
        assert run is not None
        moves.decide_waiting(tx, book, run)


def _fire_one(tx: Tx, book: Book, entry: Entry, planned_us: int, nominal_us: int) -> RunId | None:
    name = entry.task.task_id
    if nominal_us > planned_us:
        tx.emit({"task": name, "event": "missed", "from": iso(planned_us), "latest": iso(nominal_us)})
    previous = store.latest_due(tx.connection, name, nominal_us)
    waits = previous is not None and previous.state is State.PENDING and previous.worker_id is None
    if not waits and entry.task.skip_while_busy:
        previous = next(iter(store.unfinished(tx.connection, task_id=name, limit=1)), None)
        waits = previous is not None
    if waits and previous is not None:
        # One run waits or works already; a second would do the same work behind it.
        tx.emit({"task": name, "event": "skipped", "due": iso(nominal_us), "run": previous.run_id})
        return None
    request = Request(
        task_id=name,
        priority=entry.task.priority,
        key=f"{name}@{iso(nominal_us)}",
        due_us=nominal_us,
        cycle=Cycle(nominal_us),
        waiting_for={"after": list(entry.task.after)} if entry.task.after else None,
    )
    return submit(tx, [request])[0]


def latest(schedule: Schedule, first_us: int, now_us: int) -> int:
    """Return the newest nominal instant that is not after `now_us`, given that `first_us` is one of them."""
    window_us = 3600 * US
    while now_us - window_us > first_us:
        instant = next_after(schedule, now_us - window_us)
        if instant is not None and instant <= now_us:
            first_us = instant
            break
        window_us *= 4
    while True:
        instant = next_after(schedule, first_us)
        if instant is None or instant > now_us:
            return first_us
        first_us = instant
