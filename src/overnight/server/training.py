"""Training jobs over HTTP: submit, look, list, cancel. Their streams are in `streams`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import Field, WithJsonSchema

from overnight.app import job_status, jobs
from overnight.app.job_status import JobStatus
from overnight.base.errors import UserMistake
from overnight.base.jobs import DEFAULT_EPOCHS, DEFAULT_INTERVAL
from overnight.reports.job_stream import accuracy
from overnight.server import shapes
from overnight.server.shapes import Content, Cursor, Limit, Name, Plain, Sent, Wanted, answers, choice, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

State = Literal["queued", "preparing", "training", "saving", "completed", "failed", "cancelling", "cancelled"]
STATES: tuple[State, ...] = (
    "queued", "preparing", "training", "saving", "completed", "failed", "cancelling", "cancelled",
)  # fmt: skip


class Start(Sent):
    """What is to be trained, on what, for how long."""

    # Checked by the trainer, which knows what it takes; each place is named in the answer.
    experiences: Annotated[list[Any], WithJsonSchema(shapes.many(shapes.EXPERIENCE))]
    model_type: Plain
    job_id: Plain | None = None
    """The same id twice is the same job."""
    epochs: int = Field(DEFAULT_EPOCHS, ge=1)
    priority: Literal["CRITICAL", "HIGH", "NORMAL", "LOW"] | None = None
    checkpoint_enabled: bool = True
    checkpoint_interval: int = Field(DEFAULT_INTERVAL, ge=1)
    """Epochs between two checkpoints."""
    strategy: Plain | None = None
    """The name of a strategy, or "learned"."""


_JOB = shape(
    job_id="string", model_type="string", status=choice(*STATES), epoch="integer", total_epochs="integer",
    loss="number?", accuracy="number?", val_loss="number?", val_accuracy="number?", metric="string?",
    val_metric="number?", submitted_at="string", started_at="string?", completed_at="string?", error="string?",
    waiting="string?", priority="string", model_version="string?", items="integer", items_per_s="number?",
    time_left_s="number?", run_id="integer", training_run_id="integer?", submitted_by="string?", pool="string",
    placed="string?", strategy="string?", cost="number?",
)  # fmt: skip
_STARTED = shape(job_id="string", status=choice("started", "queued"), estimated_duration_seconds="number?")


def job_body(status: JobStatus) -> dict[str, Any]:  # Any: JSON
    """Return how a job stands, for a program. `accuracy` is null where `metric`, which `val_metric` is, is none."""
    body = asdict(status)
    for name in ("submitted_at", "started_at", "completed_at"):
        body[name] = None if body[name] is None else body[name].isoformat()
    measured = accuracy(status.metric, status.val_metric)
    return {**body, "accuracy": measured, "val_accuracy": measured}


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""
    project = daemon.project

    @app.post(
        "/api/training/start",
        tags=["training"],
        openapi_extra=takes(Start),
        responses=answers(_STARTED, 400, 503, text="The job is on disk."),
    )
    def start(content: Content) -> JSONResponse:
        """Train a model: `started` where it has begun, `queued` where it waits for its turn.

        `estimated_duration_seconds` is null until two jobs of the model_type were recorded. With `training.exclusive`,
        503 says that `training.max_queue` jobs wait already: {error, active_job_id, retry_after_seconds}.
        """
        wish = shapes.read(Start, content)
        status = jobs.submit_training(
            project,
            wish.model_type,
            wish.experiences,
            job_id=wish.job_id,
            epochs=wish.epochs,
            priority=wish.priority,
            checkpoint_interval=wish.checkpoint_interval if wish.checkpoint_enabled else 0,
            strategy=wish.strategy,
        )
        status = jobs.begins(project, status.job_id)
        seconds = job_status.expectation(project, status.job_id)["seconds"]
        return JSONResponse(
            {
                "job_id": status.job_id,
                "status": "queued" if status.status == "queued" else "started",
                "estimated_duration_seconds": None if seconds is None else seconds["value"],
            }
        )

    @app.get("/api/training/status/{job_id}", tags=["training"], responses=answers(_JOB, 400, 404))
    def status_of(job_id: Name) -> JSONResponse:
        """Tell how a job stands; what was not measured is null."""
        return JSONResponse(job_body(job_status.job_status(project, job_id)))

    @app.post(
        "/api/training/cancel/{job_id}",
        tags=["training"],
        responses=answers(shape(job_id="string", status=choice(*STATES)), 400, 404, 409),
    )
    def cancel(job_id: Name) -> JSONResponse:
        """End a job, queued or running: `cancelled`, or `cancelling` while its trainer ends."""
        status = jobs.cancel_job(project, job_id)
        return JSONResponse({"job_id": job_id, "status": status.status})

    @app.get(
        "/api/training/jobs",
        tags=["training"],
        responses=answers(shape(jobs=shapes.many(_JOB), next_cursor="integer?"), 400),
    )
    def listed(
        state: Wanted = None, model_type: Wanted = None, limit: Limit = 20, cursor: Cursor = None
    ) -> JSONResponse:
        """List jobs, the newest first."""
        if state is not None and state not in STATES:
            raise UserMistake(f"state: {state!r} is not one of {', '.join(STATES)}")
        found, following = job_status.page_of_jobs(
            project, limit=limit, model_type=model_type, status=state, before=cursor
        )
        return JSONResponse(shapes.page("jobs", [job_body(status) for status in found], following))
