"""What came of work that was executed by a strategy: outcomes, noted when somebody looks.

They follow from runs, jobs and rollouts that are on record anyway, so nothing has to be written while they end.
"""

import json
from typing import Any

import sqlalchemy as sa

from overnight.base.campaigns import CAMPAIGN
from overnight.base.learning import CAMPAIGNS, CODING_EXERCISE, EXERCISE, JOBS, LEARN, ROLLOUTS, TASKS
from overnight.db.database import Database
from overnight.engine import store as runs_store
from overnight.engine.book import Book
from overnight.engine.model import Run, State
from overnight.engine.tables import runs
from overnight.learning import store
from overnight.learning.production import Produced
from overnight.registry import deployments
from overnight.registry.rollout import Status
from overnight.registry.store import runs_by_number
from overnight.training import jobs

Json = dict[str, Any]
_MOST = 2000
"""Of the newest runs, jobs and rollouts are looked at."""
_ENDED = (State.COMPLETED, State.FAILED)
_TOLD = {Status.COMPLETED: 1.0, Status.ROLLED_BACK: 0.0}
"""Rollouts that say something of their version; one that a person has ended does not."""


def produced(database: Database, book: Book) -> list[Produced]:
    """Keep what came of work by a strategy that has ended, and return all that is on record, oldest first.

    The time of a task's runs has the limit that the task has now; that of other work has none.
    """
    note_production(database)
    limits = {f"{TASKS}{entry.task.task_id}": entry.task.timeout_s for entry in book}
    with database.read() as connection:
        return store.produced(connection, limits)


def note_production(database: Database) -> int:
    """Keep what came of runs, jobs and rollouts by a strategy that have ended, each once; return how many are new."""
    with database.read() as connection:
        by_job = {one.run_id: one for one in jobs.newest(connection, limit=_MOST) if one.wish.strategy}
        rows = [*_runs(connection), *_jobs(connection, by_job), *_rollouts(connection, by_job)]
    return database.writer.do(lambda tx: store.note_outcomes(tx, rows)) if rows else 0


def _runs(connection: sa.Connection) -> list[Json]:
    query = (
        sa.select(runs.c.run_id)
        .where(runs.c.state.in_(_ENDED), runs.c.args.like('%"strategy"%'))
        .where(runs.c.task_id.not_in((LEARN, EXERCISE, CODING_EXERCISE)))
        .order_by(runs.c.run_id.desc())
        .limit(_MOST)
    )
    found = []
    for run in runs_store.by_ids(connection, list(connection.execute(query).scalars())).values():
        strategy = _strategy_of(run)
        if strategy is not None:
            found.append(_row(f"run:{run.run_id}", _type_of(run), strategy, **_of_run(run)))
    return found


def _strategy_of(run: Run) -> str | None:
    strategy = json.loads(run.args or "{}").get("strategy")
    named = isinstance(strategy, dict) and isinstance(strategy.get("name"), str)
    return strategy["name"] if named else None


def _type_of(run: Run) -> str:
    return f"{CAMPAIGNS}{json.loads(str(run.args))['name']}" if run.task_id == CAMPAIGN else f"{TASKS}{run.task_id}"


def _jobs(connection: sa.Connection, by_job: dict[Any, jobs.Job]) -> list[Json]:
    flows = runs_store.by_ids(connection, list(by_job))
    return [
        _row(f"job:{one.wish.job_id}", f"{JOBS}{one.wish.model_type}", _of_job(one), **_of_run(flows[run_id]))
        for run_id, one in by_job.items()
        if run_id in flows and flows[run_id].state in _ENDED
    ]


def _of_job(job: jobs.Job) -> str:
    assert job.wish.strategy is not None, "only such jobs are looked at"
    return str(job.wish.strategy["name"])


def _rollouts(connection: sa.Connection, by_job: dict[Any, jobs.Job]) -> list[Json]:
    """Return what came of rollouts of versions that were trained by a strategy."""
    told = [one for one in deployments.newest(connection, limit=_MOST) if one.state.status in _TOLD]
    trained_by = runs_by_number(connection, {one.model for one in told})
    named = {one.deployment_id: trained_by.get((one.model, one.candidate)) for one in told}
    trainings = runs_store.by_ids(connection, {run_id for run_id in named.values() if run_id is not None})
    found = []
    for one in told:
        run_id = named[one.deployment_id]
        run = None if run_id is None else trainings.get(run_id)
        job = None if run is None else by_job.get(run.parent_id)
        strategy = _of_job(job) if job is not None else None if run is None else _strategy_of(run)
        if strategy is not None and one.ended_us is not None:
            success = _TOLD[one.state.status]
            ended = {"success": success, "run_id": one.run_id, "at_us": one.ended_us, "cost_usd": None}
            time_s = (one.ended_us - one.created_us) / 1e6
            key = f"rollout:{one.deployment_id}"
            found.append(_row(key, f"{ROLLOUTS}{one.model}", strategy, time_s=time_s, **ended))
    return found


def _of_run(run: Run) -> Json:
    return {
        "success": float(run.state is State.COMPLETED),
        "time_s": run.worked_us / 1e6,
        "cost_usd": run.usage.cost,
        "run_id": run.run_id,
        "at_us": run.finished_us,
    }


def _row(key: str, type_: str, strategy: str, **came: Any) -> Json:  # Any: columns
    unknown = dict.fromkeys(("parameters", "score", "propensity", "predicted", "features"))
    agent = type_.partition(":")[2]
    return {
        "key": key,
        "source": "production",
        "type": type_,
        "agent": agent,
        "strategy": strategy,
        **unknown,
        **came,
    }
