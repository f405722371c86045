"""The machines of jobs in the database: what may be up, since when, and what it has cost.

A row is there before anything is brought up, and stays open until the machine is known to be down. It holds the
commands as they were then: a pool that is gone from the configuration is taken down all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.resources.upkeep import Standing
from overnight.training.tables import stays

HOUR_US = 3_600_000_000


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a stay was begun with: the words that take the machine down, its price (USD an hour), its hours.

    `price_per_hour` is None where none is known, or where the training counts it itself.
    """

    pool: str
    down: tuple[str, ...]
    timeout_s: float
    price_per_hour: float | None
    max_hours: float | None


@dataclass(frozen=True, kw_only=True)
class Stay:
    """A machine of a job, whose flow is the run `run_id`. `error` is why it could not be taken down last."""

    run_id: int
    terms: Terms
    standing: Standing
    downs: int
    error: str | None
    ended: bool
    cost: float | None

    def cost_of(self, spent_us: int) -> float | None:
        """Return what so long a time costs, in USD; None where no price is known."""
        price = self.terms.price_per_hour
        return None if price is None else price * spent_us / HOUR_US


def begin(tx: Tx, run_id: int, terms: Mapping[str, Any]) -> None:  # Any: JSON, the fields of a `Terms`
    """Note that a machine may come up for the job of this flow, once."""
    if find(tx.connection, run_id) is None:
        tx.connection.execute(sa.insert(stays).values(run_id=run_id, terms=to_json(dict(terms)), begun_us=tx.now_us))


def find(connection: sa.Connection, run_id: int) -> Stay | None:
    """Return the stay of a job's flow."""
    row = connection.execute(sa.select(stays).where(stays.c.run_id == run_id)).fetchone()
    return None if row is None else _stay(row)


def unended(connection: sa.Connection) -> list[Stay]:
    """Return the stays whose machine may be up, oldest first."""
    query = sa.select(stays).where(stays.c.ended_us.is_(None)).order_by(stays.c.run_id)
    return [_stay(row) for row in connection.execute(query)]


def note(tx: Tx, run_id: int, **values: Any) -> None:  # Any: the columns' own types
    """Write how a stay stands, if it has not ended."""
    tx.connection.execute(sa.update(stays).values(values).where(stays.c.run_id == run_id, stays.c.ended_us.is_(None)))


def _stay(row: "sa.Row[Any]") -> Stay:
    told = json.loads(row.terms)
    terms = Terms(**{**told, "down": tuple(told["down"])})
    return Stay(
        run_id=row.run_id,
        terms=terms,
        standing=Standing(
            up_us=row.up_us,
            spent_us=row.spent_us,
            down_token=row.down_token,
            max_us=None if terms.max_hours is None else round(terms.max_hours * HOUR_US),
            over=bool(row.over),
        ),
        downs=row.downs,
        error=row.error,
        ended=row.ended_us is not None,
        cost=row.cost,
    )
