"""Keeps how much energy a machine has used, and says how much it was."""

from dataclasses import dataclass

import sqlalchemy as sa

from overnight.db.writer import Tx
from overnight.resources.tables import energy


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What was measured: joules, and the seconds in which they were used. All that ran on the machine is in it."""

    joules: float
    seconds: float


def add(tx: Tx, used: Energy) -> None:
    """Keep what was used until now."""
    tx.connection.execute(sa.insert(energy).values(at_us=tx.now_us, joules=used.joules, seconds=used.seconds))


def between(connection: sa.Connection, begin_us: int, end_us: int) -> Energy | None:
    """Return what was used in a span of time; None where nothing was measured.

    Where daemons of several machines work on the project, it is of all of them.
    """
    query = sa.select(sa.func.sum(energy.c.joules), sa.func.sum(energy.c.seconds)).where(
        energy.c.at_us >= begin_us, energy.c.at_us < end_us
    )
    joules, seconds = connection.execute(query).one()
    return None if joules is None else Energy(joules=float(joules), seconds=float(seconds))


def forget(tx: Tx, before_us: int) -> None:
    """Remove what is older."""
    tx.connection.execute(sa.delete(energy).where(energy.c.at_us < before_us))
