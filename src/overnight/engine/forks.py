"""A new run of an ended one, which takes some of its recorded steps as done."""

import sqlalchemy as sa

from overnight.base.errors import InvalidTransition, UserMistake
from overnight.base.ids import RunId
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine.model import Run
from overnight.engine.submit import Request, submit
from overnight.engine.tables import questions, runs, steps


def check_fork(database: Database, source: Run, step: int) -> None:
    """Refuse a fork that cannot be made.

    Raises:
        InvalidTransition: the source has not ended yet.
        UserMistake: it has recorded fewer steps.
    """
    if not source.state.final:
        raise InvalidTransition(f"run {source.run_id} is {source.state}: cancel it first, then fork it")
    if step < 0:
        raise UserMistake(f"step: {step} is below 0")
    with database.read() as connection:
        query = sa.select(sa.func.max(steps.c.ordinal)).where(steps.c.run_id == source.run_id)
        newest = connection.execute(query).scalar()
    recorded = 0 if newest is None else newest + 1
    if step > recorded:
        raise UserMistake(
            f"step: {step} is too high: run {source.run_id} has recorded {recorded} steps (0 to {recorded})"
        )


def fork(tx: Tx, source: Run, step: int) -> RunId:
    """Start the new run with the steps before the ordinal `step`."""
    tx.news = True
    request = Request(
        task_id=source.task_id,
        priority=source.priority,
        args=source.args,
        forked_from=source.run_id,
        needs=source.needs,
    )
    [new] = submit(tx, [request])
    _copy_steps(tx, source.run_id, new, step)
    # What the source started and still works is waited for by the fork now.
    tx.connection.execute(
        runs.update().values(parent_id=new).where(runs.c.parent_id == source.run_id, runs.c.finished_us.is_(None))
    )
    return new


def _copy_steps(tx: Tx, source: RunId, target: RunId, before: int) -> None:
    """Give a forked run the steps of its source before the ordinal `before`, open questions included."""
    kept = sa.select(
        sa.literal(target).label("run_id"), *(column for column in steps.columns if column.name != "run_id")
    ).where(steps.c.run_id == source, steps.c.ordinal < before)
    tx.connection.execute(sa.insert(steps).from_select([column.name for column in steps.columns], kept))
    asked = sa.select(sa.cast(steps.c.result, sa.BigInteger)).where(
        steps.c.run_id == source, steps.c.ordinal < before, steps.c.kind == "ask"
    )
    tx.connection.execute(
        sa.update(questions)
        .values(run_id=target)
        .where(questions.c.run_id == source, questions.c.answer.is_(None), questions.c.question_id.in_(asked))
    )
