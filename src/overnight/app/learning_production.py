"""What came of tasks and jobs that were executed by a strategy: outcomes, noted when somebody looks.

They follow from runs that are on record anyway, so nothing has to be written while they end.
"""

import json
from typing import Any

import sqlalchemy as sa

from overnight.app.workplace import Workplace
from overnight.base.learning import CODING_EXERCISE, EXERCISE, LEARN
from overnight.engine import store as runs_store
from overnight.engine.model import Run, State
from overnight.engine.tables import runs
from overnight.learning import store
from overnight.training import jobs

Json = dict[str, Any]
TASKS = "task:"
"""Begins the type of the runs of a task: "task:nightly_mail"."""
JOBS = "job:"
"""Begins the type of the trainings of a model_type: "job:nlu"."""
_MOST = 2000
"""Of the newest runs and jobs are looked at."""
_ENDED = (State.COMPLETED, State.FAILED)


def note_production(project: Workplace) -> int:
    """Keep what came of runs and jobs by a strategy that have ended, each once; return how many are new."""
    with project.database.read() as connection:
        rows = [*_runs(connection), *_jobs(connection)]
    return project.database.writer.do(lambda tx: store.note_outcomes(tx, rows)) if rows else 0


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
        strategy = json.loads(str(run.args)).get("strategy")
        if isinstance(strategy, dict) and isinstance(strategy.get("name"), str):
            found.append(_row(f"run:{run.run_id}", f"{TASKS}{run.task_id}", strategy["name"], run))
    return found


def _jobs(connection: sa.Connection) -> list[Json]:
    newest = [(one, one.wish.strategy) for one in jobs.newest(connection, limit=_MOST) if one.wish.strategy]
    flows = runs_store.by_ids(connection, [one.run_id for one, _ in newest])
    return [
        _row(f"job:{one.wish.job_id}", f"{JOBS}{one.wish.model_type}", str(strategy["name"]), flows[one.run_id])
        for one, strategy in newest
        if strategy and one.run_id in flows and flows[one.run_id].state in _ENDED
    ]


def _row(key: str, type_: str, strategy: str, run: Run) -> Json:
    return {
        "key": key,
        "source": "production",
        "type": type_,
        "agent": type_.partition(":")[2],
        "strategy": strategy,
        "parameters": None,
        "success": float(run.state is State.COMPLETED),
        "score": None,
        "time_s": run.worked_us / 1e6,
        "cost_usd": run.usage.cost,
        "propensity": None,
        "predicted": None,
        "features": None,
        "run_id": run.run_id,
        "at_us": run.finished_us,
    }
