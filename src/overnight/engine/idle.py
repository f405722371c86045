"""Whether there is anything left to do, for whoever works until there is not."""

import json

import sqlalchemy as sa

from overnight.db.database import Database
from overnight.engine.book import Book
from overnight.engine.tables import LIVE, PARKED, READY, WAITING, runs, tasks


def can_move(database: Database, book: Book) -> bool:
    """Tell whether a run is worked on, ready, due later or waits for an answer, or a task is due by the clock.

    Runs that move only with another one do not count, because that one does: those that wait for their parents, and
    flows that wait for runs. Nor do runs of tasks that the book lacks, which nobody here ever starts.
    """
    given = database.dialect.rows("tasks", [("task_id", sa.Text())])
    names = json.dumps([[entry.task.task_id] for entry in book])
    known = runs.c.task_id.in_(sa.select(given.c.task_id))
    asks = runs.c.waiting_for.startswith('{"question":')
    # One look for each condition: each has an index of its own, all together have none.
    looks = (
        sa.select(runs.c.run_id).where(LIVE),
        sa.select(runs.c.run_id).where(READY, known),
        sa.select(runs.c.run_id).where(WAITING, known),
        sa.select(runs.c.run_id).where(PARKED, asks, known),
        sa.select(tasks.c.task_id).where(tasks.c.next_us <= database.clock.now_us()),
    )
    with database.read() as connection:
        return any(connection.execute(look.limit(1), {"tasks": names}).first() is not None for look in looks)
