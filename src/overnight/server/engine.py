"""Tasks and runs over HTTP."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import Field

from overnight.app.describing import entry_json, run_json, step_json, steps_of
from overnight.base.errors import UserMistake
from overnight.engine import pausing
from overnight.engine.model import State
from overnight.server import shapes
from overnight.server.shapes import Content, Cursor, Limit, Name, Number, Plain, Sent, Wanted, answers, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

_RUN = shape(
    run_id="integer", task_id="string", state=shapes.choice(*State), priority="string", created="string", due="string",
    started="string?", finished="string?", worked_s="number", attempt="integer", args={}, progress={}, result={},
    error={}, usage="object", history="array",
)  # fmt: skip
_TASK = shape(task_id="string", starts="string?", after="array", enabled="boolean", priority="string", paused={})


class Run(Sent):
    """How a run is to be made."""

    args: dict[str, Any] | None = None
    key: Plain | None = None
    """Two requests with one key give one run."""
    priority: Literal["CRITICAL", "HIGH", "NORMAL", "LOW"] | None = None
    due: Annotated[datetime, Field(strict=False)] | None = None
    """The earliest start, ISO 8601 with an offset."""
    with_dependants: bool = False
    """Whether the tasks that come after this one follow."""


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""
    project = daemon.project

    @app.get("/api/tasks", tags=["engine"], responses=answers(shape(tasks=shapes.many(_TASK))))
    def tasks() -> JSONResponse:
        """List the project's tasks, and which of them are paused."""
        with project.database.read() as connection:
            paused = {pause.task_id: pause for pause in pausing.pauses(connection)}
        found = [entry_json(entry, paused.get(entry.task.task_id)) for entry in project.book.own()]
        return JSONResponse({"tasks": found})

    @app.post(
        "/api/tasks/{task_id}/run",
        tags=["engine"],
        openapi_extra=takes(Run),
        responses=answers(_RUN, 400, 404, 503, text="The run is on disk."),
    )
    def run_task(task_id: Name, content: Content) -> JSONResponse:
        """Ask for a run of a task; an empty object asks for a plain one."""
        wish = shapes.read(Run, content or b"{}")
        run_id = project.submit(
            task_id,
            wish.args,
            key=wish.key,
            priority=wish.priority,
            due=wish.due,
            with_dependants=wish.with_dependants,
        )
        return JSONResponse(run_json(project.get(run_id)))

    @app.get(
        "/api/runs", tags=["engine"], responses=answers(shape(runs=shapes.many(_RUN), next_cursor="integer?"), 400)
    )
    def runs(task_id: Wanted = None, state: Wanted = None, limit: Limit = 20, cursor: Cursor = None) -> JSONResponse:
        """List runs, the newest first."""
        if state is not None and state not in tuple(State):
            raise UserMistake(f"state: {state!r} is not one of {', '.join(State)}")
        found = project.runs(limit=limit, task_id=task_id, state=state, before=cursor)
        following = found[-1].run_id if len(found) == limit else None
        return JSONResponse(shapes.page("runs", [run_json(run) for run in found], following))

    @app.get("/api/runs/{run_id}", tags=["engine"], responses=answers(_RUN, 400, 404))
    def run(run_id: Number) -> JSONResponse:
        """Tell all that is known of a run, with the recorded steps of a flow."""
        found = project.get(run_id)
        return JSONResponse({**run_json(found), "steps": [step_json(step) for step in steps_of(project, run_id)]})

    @app.post("/api/runs/{run_id}/cancel", tags=["engine"], responses=answers(_RUN, 400, 404, 409))
    def cancel(run_id: Number) -> JSONResponse:
        """End a run, in whatever state it is, and tell how it stands then."""
        return JSONResponse(run_json(project.cancel(run_id)))
