"""Runs, steps and tasks as programs read them: what `--json` prints and the HTTP API answers."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from overnight.app.runs import Runs
from overnight.base.instants import US, iso
from overnight.engine.book import Entry
from overnight.engine.model import Run
from overnight.engine.pausing import Pause
from overnight.engine.tables import steps


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """A recorded step of a flow; instants in microseconds, `result` is JSON text."""

    ordinal: int
    kind: str
    name: str
    result: str
    started_us: int
    finished_us: int


def run_json(run: Run) -> dict[str, Any]:  # Any: JSON
    """Return everything that is known of a run; instants in ISO 8601 (UTC), null where nothing was measured."""
    return {
        "run_id": run.run_id,
        "task_id": run.task_id,
        "state": run.state,
        "priority": run.priority,
        "created": iso(run.created_us),
        "due": iso(run.due_us),
        "started": iso(run.started_us),
        "finished": iso(run.finished_us),
        "worked_s": run.worked_us / US,
        "attempt": run.attempt,
        "losses": run.losses,
        "worker_id": run.worker_id,
        "cancel_asked": bool(run.cancel),
        "waiting_for": run.waiting_for,
        "parent_id": run.parent_id,
        "forked_from": run.forked_from,
        "cycle": run.cycle,
        "key": run.key,
        "args": _value(run.args),
        "progress": _value(run.progress),
        "heard": iso(run.heard_us),
        "result": _value(run.result),
        "error": None if run.error is None else asdict(run.error),
        "usage": asdict(run.usage),
        "history": [_entry_json(run, entry) for entry in run.history],
    }


def _value(text: str | None) -> Any:  # Any: JSON
    return None if text is None else json.loads(text)


def _entry_json(run: Run, entry: tuple[Any, ...]) -> dict[str, Any]:  # Any: see Run.history
    if entry[0] == "...":
        return {"event": "...", "left_out": entry[1]}
    return {"event": entry[0], "at": iso(run.created_us + entry[1]), "note": entry[2] if len(entry) > 2 else None}


def step_json(step: StepRow) -> dict[str, Any]:  # Any: JSON
    """Return a step for a program."""
    return {
        "ordinal": step.ordinal,
        "kind": step.kind,
        "name": step.name,
        "started": iso(step.started_us),
        "finished": iso(step.finished_us),
        "result": json.loads(step.result),
    }


def steps_of(project: Runs, run_id: int) -> list[StepRow]:
    """Return the recorded steps of a flow, in their order."""
    with project.database.read() as connection:
        rows = connection.execute(steps.select().where(steps.c.run_id == run_id).order_by(steps.c.ordinal))
        return [
            StepRow(
                ordinal=row.ordinal,
                kind=row.kind,
                name=row.name,
                result=row.result,
                started_us=row.started_us,
                finished_us=row.finished_us,
            )
            for row in rows
        ]


def entry_json(entry: Entry, pause: Pause | None) -> dict[str, Any]:  # Any: JSON
    """Return everything that is known of a task."""
    task = entry.task
    return {
        "task_id": task.task_id,
        "agent_name": task.agent_name,
        "starts": entry.trigger_text,
        "after": list(task.after),
        "enabled": task.enabled,
        "priority": task.priority,
        "executor": entry.executor,
        "flow": task.flow,
        "max_retries": task.max_retries,
        "timeout_s": entry.timeout_s,
        "target_s": task.target_s,
        "max_concurrent": task.max_concurrent,
        "overlap": task.overlap,
        "catch_up": task.catch_up,
        "catch_up_window_s": task.catch_up_window_s,
        "jitter_s": task.jitter_s,
        "rate_limit": task.rate_limit,
        "pause_on_failure": task.pause_on_failure,
        "tags": list(task.tags),
        "paused": None if pause is None else {"since": iso(pause.since_us), "why": pause.why},
        "needs": {"cpus": task.needs.cpus, "locks": list(task.needs.locks)},
        "args": dict(task.args),
    }
