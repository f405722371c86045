"""Training jobs: submit, look, cancel."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from overnight.app.job_tasks import JOB
from overnight.app.runtime import import_from
from overnight.app.workplace import Workplace
from overnight.base.errors import InvalidTransition, OvernightError, UserMistake, said_by
from overnight.base.files import to_json
from overnight.base.ids import RunId
from overnight.base.instants import to_datetime
from overnight.base.settings import environment
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.engine.model import Priority, Run, State
from overnight.engine.submit import Request, submit
from overnight.flows.train_job import expected
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.slots import Holder
from overnight.training import jobs
from overnight.training.exclusive import SLOT, taken
from overnight.training.experiences import complaint, identified
from overnight.training.jobs import Job, Wish
from overnight.training.kinds import kind_of, load_trainer
from overnight.training.model_job import read_epochs

DEFAULT_EPOCHS = 20
Figures = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How a job stands. Figures are None until they are measured.

    `status` is queued, preparing, training, saving, completed, failed, cancelling or cancelled. `loss` is that of the
    epoch under way or of the last one; `val_loss` and `val_metric` were measured after the last whole epoch on
    experiences that are not trained on; `metric` names what `val_metric` is. `waiting` says why a queued job does not
    start.
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

    @property
    def ended(self) -> bool:
        """True once nothing more will happen to it."""
        return self.status in ("completed", "failed", "cancelled")


def submit_training(
    project: Workplace,
    model_type: str,
    experiences: Iterable[Any],  # Any: as they came, checked here
    *,
    job_id: str | None = None,
    epochs: int = DEFAULT_EPOCHS,
    priority: Priority | str | None = None,
    checkpoint_interval: int = 10,
    memory_gb: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> JobStatus:
    """Ask for a training; see `Project.submit_training`."""
    if not isinstance(model_type, str):
        raise UserMistake(f"model_type: {model_type!r} is not text")
    if settings is not None and not isinstance(settings, Mapping):
        raise UserMistake(f"settings: {settings!r} is not an object with the settings of the trainer")
    kind = kind_of(model_type, project.config.training.models)
    if priority is not None and priority not in tuple(Priority):
        raise UserMistake(f"priority: {priority!r} is not one of {', '.join(Priority)}")
    wish = Wish(
        job_id=f"{model_type[:80]}-{os.urandom(4).hex()}" if job_id is None else job_id,
        model_type=model_type,
        epochs=epochs,
        priority=str(priority or kind.priority),
        checkpoint_interval=checkpoint_interval,
        memory_gb=kind.memory_gb if memory_gb is None else memory_gb,
        cpus=kind.cpus,
        settings={**kind.settings, **(settings or {})},
        trainer=kind.trainer,
        program=None if kind.program is None else asdict(kind.program),
    )
    with project.database.read() as connection:
        known = jobs.find(connection, wish.job_id)
    if known is not None:
        return status_of(project, known)
    import_from(project.folder)
    items = _checked(wish, experiences)
    content = "".join(f"{to_json(dict(item))}\n" for item in sorted(items, key=lambda one: str(one["id"]))).encode()
    snapshot_id = project.blobs.put(content)

    def change(tx: Tx) -> None:
        jobs.serialize(tx)
        if jobs.find(tx.connection, wish.job_id) is not None:
            return
        request = Request(task_id=JOB, priority=Priority(wish.priority), args=to_json({"job_id": wish.job_id}))
        tx.news = True
        [run_id] = submit(tx, [request])
        jobs.insert(tx, wish, run_id, snapshot_id=snapshot_id, items=len(items))

    project.database.writer.do(change)
    return job_status(project, wish.job_id)


def _checked(wish: Wish, experiences: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return the experiences, each once; refuse those that its trainer cannot use.

    Raises:
        UserMistake: there are none, or some do not fit.
    """
    if not isinstance(experiences, Iterable) or isinstance(experiences, str | bytes | Mapping):
        raise UserMistake(f"experiences: {type(experiences).__name__} is not a list of objects")
    items = identified(experiences)
    if not items:
        raise UserMistake("experiences: there are none; a training needs some with input and expected_output")
    if wish.trainer is not None:
        # A wrong setting or experience is told now, and not when the job's turn comes.
        _look_through(wish, wish.trainer, items)
    return [item for _, item in items]


def _look_through(wish: Wish, spec: str, items: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    trainer = load_trainer(wish.model_type, spec)
    try:
        made = trainer(wish.settings, 0)
        wrong = [(place, why) for place, item in items if (why := made.check(item)) is not None]
    except OvernightError:
        raise
    except Exception as error:
        raise UserMistake(f"trainer {spec!r} cannot look at the settings and experiences: {said_by(error)}") from error
    if wrong:
        raise UserMistake(complaint(wrong, items[-1][0] + 1))


def job_status(project: Workplace, job_id: str) -> JobStatus:
    """Return how a job stands.

    Raises:
        UnknownName: there is no such job.
    """
    return status_of(project, project.trainings.job(job_id))


def list_jobs(project: Workplace, *, limit: int = 20, model_type: str | None = None) -> list[JobStatus]:
    """Return how the newest jobs stand, newest first."""
    with project.database.read() as connection:
        found = jobs.newest(connection, limit=limit, model_type=model_type)
    return [status_of(project, job) for job in found]


def cancel_job(project: Workplace, job_id: str) -> JobStatus:
    """End a job, queued or running; what it has trained so far stays in its checkpoints.

    Raises:
        UnknownName: there is no such job.
        InvalidTransition: it has ended already.
    """
    status = job_status(project, job_id)
    if status.ended:
        raise InvalidTransition(f"job {job_id!r} is {status.status} already; there is nothing to cancel")
    project.cancel(status.run_id)
    return job_status(project, job_id)


def history_of(project: Workplace, job_id: str) -> list[Figures]:
    """Return the figures of each epoch so far, as far as this machine has them."""
    return read_epochs(project.trainings.folder(job_id))


def status_of(project: Workplace, job: Job) -> JobStatus:
    """Return how a job stands, from its flow's run and that of its training."""
    with project.database.read() as connection:
        flow = runs.get(connection, job.run_id)
        children = runs.children_of(connection, job.run_id)
    assert flow is not None, "the runs of jobs are kept"
    training = children[-1] if children else None
    figures = _figures(job, training)
    if not figures and training is not None:
        # The engine keeps no progress of what has ended.
        figures = next(reversed(history_of(project, job.wish.job_id)), {})
    status, waiting = _standing(flow, training, figures, _slot_of(project, job))
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
    )


def _figures(job: Job, training: Run | None) -> Figures:
    if job.result is not None:
        return {**job.result["figures"], "metric": job.result["metric"]}
    if training is not None and training.progress is not None:
        return dict(json.loads(training.progress))
    return {}


def _slot_of(project: Workplace, job: Job) -> Holder | None:
    """Return who holds the slot that the job has to wait for, where jobs do not run together."""
    if not project.config.training.exclusive:
        return None
    holder = Machine(shared_folder(environment()), project.clock).holder(SLOT)
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
        phase = str(figures.get("phase", "preparing"))
        # A job that waits for the machine's slot trains nothing yet.
        return ("queued", figures["waiting"]) if phase == "waiting" else (phase, None)
    return "queued", _waits_for(training, slot)


def _waits_for(training: Run, slot: Holder | None) -> str | None:
    """Return what a training that is not worked on waits for; None where its turn just has not come."""
    if training.state is State.RETRYING:
        reason = "" if training.error is None else f" after: {training.error.message}"
        return f"next try at {to_datetime(training.due_us):%H:%M:%S} UTC{reason}"
    if slot is not None:
        return taken(slot)
    if training.history and training.history[-1][0] == "yielded":
        why = training.history[-1][2:]
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
