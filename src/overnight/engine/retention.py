"""Which finished runs may go: those that are old, beyond the newest of their task, and that nothing refers to.

A pass goes over the runs by their ids in batches that hold nobody up. Finished runs are in no index, so a first walk,
from the newest on, finds the newest of each task; a second one, from the oldest on, removes. Runs that versions and
reports name keep their row for ever, without its steps.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from overnight.base.instants import US
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine.tables import questions, runs, steps

BATCH = 500
"""Runs that are looked at, and removed, together."""
CHUNK = 5000
"""Rows read together in search of the newest runs of each task."""
DAY_US = 86400 * US


@dataclass(frozen=True, kw_only=True)
class Keep:
    """A task's rule: its newest `last` runs stay, older ones for `days` after their end."""

    days: float = 90.0
    last: int = 100


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a pass goes by. `named` runs, and all of the tasks in `lasting`, are what figures can be traced to."""

    tasks: Mapping[str, Keep]
    default: Keep
    named: Collection[int] = ()
    lasting: Collection[str] = ()

    def of(self, task_id: str) -> Keep:
        """Return the task's rule; the project's for tasks that are gone."""
        return self.tasks.get(task_id, self.default)


@dataclass(kw_only=True)
class Pass:
    """One pass over the runs, and how far it is."""

    rules: Rules
    now_us: int
    newest: dict[str, int] = field(default_factory=dict)
    """For each task the oldest of its newest runs; a task with fewer runs has none here and keeps all."""
    seen: dict[str, int] = field(default_factory=dict)
    below: int | None = None
    surveyed: bool = False
    after: int = 0
    end: int = 0

    def is_old(self, run_id: int, task_id: str, finished_us: int | None) -> bool:
        """Tell whether the rule of its task lets a run go."""
        rule = self.rules.of(task_id)
        if finished_us is None or finished_us > self.now_us - int(rule.days * DAY_US):
            return False
        return rule.last == 0 or (task_id in self.newest and run_id < self.newest[task_id])

    def is_named(self, run_id: int, task_id: str) -> bool:
        """Tell whether figures are traced to the run."""
        return run_id in self.rules.named or task_id in self.rules.lasting


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a step of a pass came to: runs that go, runs that lose their steps, and whether there is more to do."""

    doomed: Sequence[int] = ()
    compact: Sequence[int] = ()
    more: bool = True


def step(database: Database, running: Pass) -> Batch:
    """Take the pass one batch further; the caller removes what it found."""
    if not running.surveyed:
        _survey(database, running)
        return Batch()
    query = (
        sa.select(runs.c.run_id, runs.c.task_id, runs.c.finished_us)
        .where(runs.c.run_id > running.after, runs.c.run_id <= running.end)
        .order_by(runs.c.run_id)
        .limit(BATCH)
    )
    with database.read() as connection:
        rows = connection.execute(query).fetchall()
        old = [(row.run_id, row.task_id) for row in rows if running.is_old(*row)]
        asked_for = _of_living_flows(connection, [run_id for run_id, _ in old])
    if rows:
        running.after = rows[-1].run_id
    return Batch(
        doomed=[run_id for run_id, name in old if run_id not in asked_for and not running.is_named(run_id, name)],
        compact=[run_id for run_id, name in old if running.is_named(run_id, name)],
        more=len(rows) == BATCH,
    )


def _survey(database: Database, running: Pass) -> None:
    query = sa.select(runs.c.run_id, runs.c.task_id).order_by(runs.c.run_id.desc()).limit(CHUNK)
    if running.below is not None:
        query = query.where(runs.c.run_id < running.below)
    with database.read() as connection:
        rows = connection.execute(query).fetchall()
    for run_id, task_id in rows:
        running.end = running.end or run_id
        running.seen[task_id] = running.seen.get(task_id, 0) + 1
        if running.seen[task_id] == running.rules.of(task_id).last:
            running.newest[task_id] = run_id
    running.surveyed = len(rows) < CHUNK
    running.below = rows[-1].run_id if rows else None


def _of_living_flows(connection: sa.Connection, run_ids: Sequence[int]) -> set[int]:
    """Return those runs that a flow has started which has not ended: it may still ask for their results."""
    if not run_ids:
        return set()
    parents = runs.alias("parents")
    query = (
        sa.select(runs.c.run_id)
        .join(parents, runs.c.parent_id == parents.c.run_id)
        .where(runs.c.run_id.in_(run_ids), parents.c.finished_us.is_(None))
    )
    return {run_id for (run_id,) in connection.execute(query)}


def remove(tx: Tx, batch: Batch) -> None:
    """Delete the finished runs that go, and the steps and questions of all in the batch."""
    everything = [*batch.doomed, *batch.compact]
    for table in (steps, questions):
        tx.connection.execute(sa.delete(table).where(table.c.run_id.in_(everything)))
    tx.connection.execute(sa.delete(runs).where(runs.c.run_id.in_(batch.doomed), runs.c.finished_us.is_not(None)))
