"""Paused tasks: their triggers do not fire, their scheduled runs do not start. A run by hand still works.

A pause is a fact in the database: it outlives every process, and holds for all of them.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from overnight.db.prepared import Prepared
from overnight.db.writer import Tx
from overnight.engine import gaps, machine, store
from overnight.engine.book import Entry
from overnight.engine.cron import next_after
from overnight.engine.model import State
from overnight.engine.tables import tasks
from overnight.engine.ticks import Gap, Missed, latest

SCHEDULE = 1
"""Number of the lock on what depends on several cycles: the schedule, and due runs that wait for their parents."""

_PAUSED = Prepared(
    lambda dialect: sa.select(tasks.c.paused_us).where(
        tasks.c.task_id == sa.bindparam("task_id", type_=sa.Text), tasks.c.paused_us.is_not(None)
    )
)


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Since when, and why, a task is paused."""

    task_id: str
    since_us: int
    why: str


def pauses(connection: sa.Connection) -> list[Pause]:
    """Return the paused tasks, the longest paused first."""
    query = sa.select(tasks).where(tasks.c.paused_us.is_not(None)).order_by(tasks.c.paused_us, tasks.c.task_id)
    return [Pause(task_id=row.task_id, since_us=row.paused_us, why=row.paused_why) for row in connection.execute(query)]


def is_paused(tx: Tx, task_id: str) -> bool:
    """Tell whether the task is paused."""
    return _PAUSED(tx.connection, tx.dialect, task_id=task_id).fetchone() is not None


def pause(tx: Tx, task_id: str, why: str) -> bool:
    """Pause a task and hold its scheduled runs that have not started; return False where it was paused already."""
    tx.dialect.serialize(tx.connection, SCHEDULE)
    if is_paused(tx, task_id):
        return False
    values = {"paused_us": tx.now_us, "paused_why": why, "held_us": tasks.c.next_us, "next_us": None}
    changed = tx.connection.execute(sa.update(tasks).values(values).where(tasks.c.task_id == task_id))
    if changed.rowcount == 0:
        # No worker has seen the task yet: it learns the trigger when it comes.
        values = {"task_id": task_id, "trigger": None, "paused_us": tx.now_us, "paused_why": why}
        tx.connection.execute(sa.insert(tasks).values(values))
    waiting = [
        run
        for run in store.unfinished(tx.connection, task_id=task_id)
        if run.worker_id is None and run.state is not State.IN_PROGRESS and (run.cycle or 0) > 0
    ]
    pairs = [(run, machine.apply(run, machine.Held(), tx.now_us)[0]) for run in waiting]
    for run_id in store.save(tx, pairs):
        tx.emit({"run": run_id, "task": task_id, "event": "held"})
    tx.emit({"task": task_id, "event": "paused", "why": why})
    tx.news = True
    return True


def resume(tx: Tx, entry: Entry) -> bool:
    """Let the task's triggers fire again, from now on; see `moves.resume`, which also releases its runs."""
    tx.dialect.serialize(tx.connection, SCHEDULE)
    name, trigger = entry.task.task_id, entry.trigger
    query = sa.select(tasks).where(tasks.c.task_id == name, tasks.c.paused_us.is_not(None))
    row = tx.connection.execute(query).fetchone()
    if row is None:
        return False
    next_us = row.held_us
    if trigger is not None and next_us is not None and next_us <= tx.now_us:
        newest_us = latest(trigger, next_us, tx.now_us)
        gaps.record(tx, name, trigger, Gap(first_us=next_us, last_us=newest_us), Missed.PAUSED)
        next_us = next_after(trigger, newest_us)
    values = {"paused_us": None, "paused_why": None, "held_us": None, "next_us": next_us}
    tx.connection.execute(sa.update(tasks).values(values).where(tasks.c.task_id == name))
    tx.emit({"task": name, "event": "resumed"})
    tx.news = True
    return True
