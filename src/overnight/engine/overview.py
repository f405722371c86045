"""How the queue stands, for those who look at it: counts and the first runs, through the indexes of unfinished runs."""

from collections.abc import Sequence

import sqlalchemy as sa

from overnight.engine.model import Run, Standing
from overnight.engine.store import to_run
from overnight.engine.tables import LIVE, PARENTS, PARKED, PAUSED, READY, WAITING, runs


def standing(connection: sa.Connection) -> Standing:
    """Return how the queue stands."""

    def number(*where: sa.ColumnElement[bool]) -> int:
        return int(connection.execute(sa.select(sa.func.count()).select_from(runs).where(*where)).scalar_one())

    return Standing(
        ready=number(READY),
        later=number(WAITING),
        # A parked flow that has a time to wait for is counted there.
        waiting=number(PARENTS) + number(PARKED, runs.c.queue.is_(None)),
        held=number(PAUSED),
        active=number(LIVE),
        oldest_ready_us=connection.execute(sa.select(sa.func.min(runs.c.due_us)).where(READY)).scalar(),
    )


def first_ready(connection: sa.Connection, limit: int) -> Sequence[Run]:
    """Return the runs that are next to start, in the order of the queue."""
    query = sa.select(*runs.columns).where(READY).order_by(runs.c.rank, runs.c.run_id).limit(limit)
    return [to_run(row) for row in connection.execute(query)]


def first_later(connection: sa.Connection, limit: int) -> Sequence[Run]:
    """Return the runs that wait for a time of their own, the next one first."""
    query = sa.select(*runs.columns).where(WAITING).order_by(runs.c.due_us).limit(limit)
    return [to_run(row) for row in connection.execute(query)]
