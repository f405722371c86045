"""Instants that have no run, and why: recorded, so that nothing is missed in silence."""

from dataclasses import dataclass

import sqlalchemy as sa

from overnight.base.instants import iso
from overnight.db.writer import Tx
from overnight.engine.cron import Schedule, next_after
from overnight.engine.tables import missed
from overnight.engine.ticks import Gap, Missed, count

KEEP_EACH = 100
"""Records of one task that are kept whatever their age."""


@dataclass(frozen=True, kw_only=True)
class MissedSpan:
    """Instants of a task, from `first_us` to `last_us`, that had no run. `count` None means very many."""

    task_id: str
    first_us: int
    last_us: int
    count: int | None
    reason: Missed
    noted_us: int


def record(tx: Tx, task_id: str, trigger: Schedule | None, gap: Gap, reason: Missed) -> None:
    """Note instants without a run; those right behind the last ones with the same reason join these.

    `trigger` None stands for a task that follows its parents: its instants are those of their cycles.
    """
    number = 1 if trigger is None else count(trigger, gap.first_us, gap.last_us)
    newest = tx.connection.execute(
        sa.select(missed).where(missed.c.task_id == task_id).order_by(missed.c.missed_id.desc()).limit(1)
    ).fetchone()
    if newest is not None and newest.reason == reason and _follows(trigger, newest.last_us, gap.first_us):
        total = None if newest.instants is None or number is None else newest.instants + number
        tx.connection.execute(
            sa.update(missed)
            .values(last_us=gap.last_us, instants=total, noted_us=tx.now_us)
            .where(missed.c.missed_id == newest.missed_id)
        )
    else:
        tx.connection.execute(
            sa.insert(missed).values(
                task_id=task_id,
                first_us=gap.first_us,
                last_us=gap.last_us,
                instants=number,
                reason=reason,
                noted_us=tx.now_us,
            )
        )
    tx.emit(
        {
            "task": task_id,
            "event": "missed",
            "from": iso(gap.first_us),
            "to": iso(gap.last_us),
            "count": number,
            "reason": reason,
        }
    )


def _follows(trigger: Schedule | None, last_us: int, first_us: int) -> bool:
    return first_us > last_us if trigger is None else next_after(trigger, last_us) == first_us


def spans(connection: sa.Connection, *, since_us: int = 0, task_id: str | None = None, limit: int) -> list[MissedSpan]:
    """Return what was missed, the newest first, as far as it was noted since then."""
    query = sa.select(missed).where(missed.c.noted_us >= since_us).order_by(missed.c.missed_id.desc()).limit(limit)
    if task_id is not None:
        query = query.where(missed.c.task_id == task_id)
    return [
        MissedSpan(
            task_id=row.task_id,
            first_us=row.first_us,
            last_us=row.last_us,
            count=row.instants,
            reason=Missed(row.reason),
            noted_us=row.noted_us,
        )
        for row in connection.execute(query)
    ]


def forget(tx: Tx, before_us: int) -> int:
    """Delete what was noted before then, but for the newest records of each task; return how many there were."""
    total = 0
    names = tx.connection.execute(sa.select(missed.c.task_id).where(missed.c.noted_us < before_us).distinct())
    for (task_id,) in names.fetchall():
        kept = (
            sa.select(missed.c.missed_id)
            .where(missed.c.task_id == task_id)
            .order_by(missed.c.missed_id.desc())
            .limit(KEEP_EACH)
        )
        gone = sa.delete(missed).where(
            missed.c.task_id == task_id, missed.c.noted_us < before_us, missed.c.missed_id.not_in(kept)
        )
        total += tx.connection.execute(gone).rowcount
    return total
