"""What tasks count (`ctx.count`): sums by name and civil day, added in the transaction in which the run completes."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from overnight.base.instants import to_datetime
from overnight.db.writer import Tx
from overnight.engine.tables import counters, runs


def day_of(now_us: int, timezone: str) -> date:
    """Return the civil day of an instant there."""
    here: datetime = to_datetime(now_us).astimezone(ZoneInfo(timezone))
    return here.date()


def add(tx: Tx, counts: Mapping[str, float], timezone: str) -> None:
    """Add what a run has counted to today's sums."""
    day = day_of(tx.now_us, timezone).isoformat()
    for name, number in counts.items():
        of_today = (counters.c.name == name, counters.c.day == day)
        tx.dialect.serialize(tx.connection, COUNTING)
        changed = tx.connection.execute(sa.update(counters).values(value=counters.c.value + number).where(*of_today))
        if changed.rowcount == 0:
            tx.connection.execute(sa.insert(counters).values(name=name, day=day, value=number))


COUNTING = 2
"""Number of the lock under which a day's first count of a name is inserted once."""


def figures(connection: sa.Connection, now_us: int, timezone: str) -> dict[str, float]:
    """Return `NAME_today` and `NAME_total` of everything that was ever counted; whole numbers as such."""
    today = day_of(now_us, timezone).isoformat()
    value = counters.c.value
    of_today = sa.func.sum(sa.case((counters.c.day == today, value), else_=0))
    query = sa.select(counters.c.name, of_today, sa.func.sum(value)).group_by(counters.c.name).order_by(counters.c.name)
    found: dict[str, float] = {}
    for name, now, total in connection.execute(query):
        found[f"{name}_today"] = _plain(now)
        found[f"{name}_total"] = _plain(total)
    return found


def by_day(connection: sa.Connection, names: Sequence[str], first_day: str) -> list[tuple[str, str, float]]:
    """Return name, day (ISO 8601) and sum of what was counted from a day on."""
    query = sa.select(counters.c.name, counters.c.day, counters.c.value).where(
        counters.c.name.in_(names), counters.c.day >= first_day
    )
    return [(name, day, float(value)) for name, day, value in connection.execute(query)]


def begun(connection: sa.Connection, now_us: int, timezone: str) -> date:
    """Return the day since when the project has worked: of its oldest run, or of its first count; else today."""
    first_us = connection.execute(sa.select(sa.func.min(runs.c.created_us))).scalar()
    counted = connection.execute(sa.select(sa.func.min(counters.c.day))).scalar()
    day = day_of(now_us if first_us is None else first_us, timezone)
    return day if counted is None else min(day, date.fromisoformat(counted))


def _plain(number: float) -> float:
    return int(number) if float(number).is_integer() else float(number)
