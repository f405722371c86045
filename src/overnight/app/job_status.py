"""How training jobs stand."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from overnight.app.job_tasks import training_of
from overnight.app.machine_memory import waits_of
from overnight.app.workplace import Workplace
from overnight.base.ids import RunId
from overnight.base.instants import to_datetime
from overnight.base.learning import said_of
from overnight.base.settings import environment
from overnight.engine import store as runs
from overnight.engine.machine import SET_BACK
from overnight.engine.model import Queue, Run, State
from overnight.flows.train_job import expected
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.placement import LOCAL
from overnight.resources.slots import Holder
from overnight.training import jobs
from overnight.training.exclusive import SLOT, taken
from overnight.training.jobs import Job
from overnight.training.model_job import read_epochs

PAGE = 100
Figures = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How a job stands. Figures are None until they are measured.

    `status` is queued, preparing, training, saving, completed, failed, cancelling or cancelled. `loss` is that of the
    epoch under way or of the last one; `val_loss` and `val_metric` were measured after the last whole epoch on
    experiences that are not trained on; `metric` names what `val_metric` is. `waiting` says why a queued job does not
    start. `pool` is where it trains ("local": this machine), `placed` why there, where there was a choice, and `cost`
    what that has cost (USD), where a price is known.
    """

    job_id: str
    model_type: str
    status: str
    priority: str
    run_id: RunId
    training_run_id: RunId | None
    items: int
    epoch: int
    total_epochs: int
    loss: float | None
    metric: str | None
    val_loss: float | None
    val_metric: float | None
    items_per_s: float | None
    time_left_s: float | None
    submitted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    model_version: str | None
    error: str | None
    waiting: str | None
    submitted_by: str | None
    """The rule that submitted it, such as "experiences"; None where a person or a program did."""
    pool: str
    placed: str | None
    strategy: str | None
    cost: float | None

    @property
    def ended(self) -> bool:
        """True once nothing more will happen to it."""
        return self.status in ("completed", "failed", "cancelled")


def job_status(project: Workplace, job_id: str) -> JobStatus:
    """Return how a job stands.

    Raises:
        UnknownName: there is no such job.
    """
    return status_of(project, project.trainings.job(job_id))


def list_jobs(project: Workplace, *, limit: int = 20, model_type: str | None = None) -> list[JobStatus]:
    """Return how the newest jobs stand, newest first."""
    return page_of_jobs(project, limit=limit, model_type=model_type)[0]


def page_of_jobs(
    project: Workplace,
    *,
    limit: int,
    model_type: str | None = None,
    status: str | None = None,
    before: int | None = None,
) -> tuple[list[JobStatus], int | None]:
    """Return how the newest jobs stand, newest first, and `before` for the next page; None: there is none.

    Only those of a model_type and a status, where these are given.
    """
    found: list[JobStatus] = []
    others = _Others(project)
    while True:
        with project.database.read() as connection:
            page = jobs.newest(connection, limit=PAGE, model_type=model_type, before=before)
            flows = runs.by_ids(connection, [job.run_id for job in page])
        for job in page:
            before = job.number
            if status is None or _may_be(flows[job.run_id], status):
                found += [one for one in (status_of(project, job, others),) if status in (None, one.status)]
            if len(found) == limit:
                return found, before
        if len(page) < PAGE:
            return found, None


def _may_be(flow: Run, status: str) -> bool:
    """Tell from its flow alone whether a job can have this status: most of many jobs are sorted out by that."""
    match flow.state:
        case State.COMPLETED | State.FAILED:
            return status == flow.state.lower()
        case State.CANCELLED:
            return status in ("cancelled", "cancelling")
        case _:
            return status not in ("completed", "failed", "cancelled")


def history_of(project: Workplace, job_id: str) -> list[Figures]:
    """Return the figures of each epoch so far, as far as this machine has them."""
    return read_epochs(project.trainings.folder(job_id))


class _Others:
    """What others have that jobs may wait for, read from the machine's file when the first job has to know."""

    def __init__(self, project: Workplace) -> None:
        self._project = project

    @cached_property
    def waits(self) -> dict[int, str | None]:
        """Why runs wait for memory."""
        return waits_of(self._project)

    @cached_property
    def holder(self) -> Holder | None:
        """Who has the training slot."""
        return Machine(shared_folder(environment()), self._project.clock).holder(SLOT)


def _strategy(wish: jobs.Wish) -> str | None:
    """Return the strategy by which a job trains, why that one, and what of it could not be used."""
    return None if wish.strategy is None else said_of(wish.strategy)


def status_of(project: Workplace, job: Job, others: _Others | None = None) -> JobStatus:
    """Return how a job stands, from its flow's run and that of its training; `others` serves for many jobs."""
    others = others or _Others(project)
    with project.database.read() as connection:
        flow = runs.get(connection, job.run_id)
        children = runs.children_of(connection, job.run_id)
    assert flow is not None, "the runs of jobs are kept"
    training = training_of(children)
    figures = _figures(job, training)
    if not figures and training is not None:
        # The engine keeps no progress of what has ended.
        figures = next(reversed(history_of(project, job.wish.job_id)), {})
    slot = _slot_of(project, job, others)
    status, waiting = _standing(flow, training, figures, slot)
    if status == "queued" and slot is None and training is not None and training.state is State.PENDING:
        waiting = others.waits.get(training.run_id) or waiting
    error = flow.error if flow.state.final else None if training is None else training.error
    started = None if training is None else training.started_us
    return JobStatus(
        job_id=job.wish.job_id,
        model_type=job.wish.model_type,
        status=status,
        priority=job.wish.priority,
        run_id=job.run_id,
        training_run_id=None if training is None else training.run_id,
        items=job.items,
        epoch=int(figures.get("epoch", 0)),
        total_epochs=job.wish.epochs,
        loss=figures.get("loss"),
        metric=figures.get("metric"),
        val_loss=figures.get("val_loss"),
        val_metric=figures.get("val_metric"),
        items_per_s=figures.get("items_per_s"),
        time_left_s=figures.get("time_left_s"),
        submitted_at=to_datetime(job.created_us),
        started_at=None if started is None else to_datetime(started),
        completed_at=None if flow.finished_us is None else to_datetime(flow.finished_us),
        model_version=None if job.result is None else job.result["model_version"],
        error=None if error is None else error.message,
        waiting=waiting,
        submitted_by=job.submitted_by,
        pool=job.wish.pool or LOCAL,
        placed=job.wish.placed,
        strategy=_strategy(job.wish),
        cost=None if training is None else training.usage.cost,
    )


def _figures(job: Job, training: Run | None) -> Figures:
    if job.result is not None:
        return {**job.result["figures"], "metric": job.result["metric"]}
    return {} if training is None else progress_of(training)


def progress_of(training: Run) -> Figures:
    """Return the newest figures of a training that is being worked on; empty before the first."""
    return {} if training.progress is None else dict(json.loads(training.progress))


def _slot_of(project: Workplace, job: Job, others: _Others) -> Holder | None:
    """Return who holds the slot that the job has to wait for, where jobs do not run together."""
    if not project.config.training.exclusive or job.wish.pool is not None:
        return None
    holder = others.holder
    return None if holder is None or holder.name == job.wish.job_id else holder


def _standing(flow: Run, training: Run | None, figures: Figures, slot: Holder | None) -> tuple[str, str | None]:
    """Return the status of a job, and what it waits for; `slot` says who holds the one that it needs."""
    if flow.state.final:
        # A trainer that was asked to stop may need some seconds to do so.
        return ("cancelling" if training is not None and not training.state.final else flow.state.lower()), None
    if training is None:
        return "queued", _waits_for(flow, None)
    if training.state.final:
        return "saving", None
    if training.state is State.IN_PROGRESS:
        phase = str(figures.get("phase", "preparing" if slot is None else "waiting"))
        if phase == "waiting":
            # A job that waits for the machine's slot trains nothing yet.
            return "queued", figures.get("waiting") or (None if slot is None else taken(slot))
        return phase, None
    return "queued", _waits_for(training, slot)


def _waits_for(training: Run, slot: Holder | None) -> str | None:
    """Return what a training that is not worked on waits for; None where its turn just has not come."""
    if training.state is State.RETRYING:
        reason = "" if training.error is None else f" after: {training.error.message}"
        return f"next try at {to_datetime(training.due_us):%H:%M:%S} UTC{reason}"
    if slot is not None:
        return taken(slot)
    what, _, *why = training.history[-1] if training.history else ("", 0)
    if what == SET_BACK:
        at = f"; next try at {to_datetime(training.due_us):%H:%M:%S} UTC" if training.queue == Queue.TIME else ""
        return f"{why[0]}, before it had written a checkpoint{at}"
    if what == "yielded":
        return str(why[0]) if why else "it was stopped and goes on from its newest checkpoint"
    return None


def expectation(project: Workplace, job_id: str) -> Figures:
    """Return what a job is expected to take: `seconds` and `memory_gb`, each with its error, None until known."""
    trainings = project.trainings
    seconds, memory = expected(trainings, trainings.job(job_id))
    return {
        "seconds": None if seconds is None else {"value": seconds.value, "error_share": seconds.error_share},
        "memory_gb": None if memory is None else {"value": memory.value, "error_share": memory.error_share},
    }
