"""A training job: lay out what it reads, train in a child process, register the version.

A durable flow. The training itself is a run of its own, which keeps its place in checkpoints: it is tried again where
it failed, and goes on after a crash or a stop of the daemon from the newest one.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.config import Config
from overnight.base.errors import PermanentError, UnknownName, UserMistake
from overnight.base.files import replace_file, write_json
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.engine import store as runs
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import Needs, Priority, State
from overnight.registry import store as registry
from overnight.registry.store import Candidate
from overnight.training import estimate, jobs
from overnight.training.exclusive import SLOT
from overnight.training.jobs import Job
from overnight.training.model_job import EXPERIENCES, MODEL, READ

TRAINING = "overnight:training"
"""The task in which a model is trained; see `app.job_tasks`."""
Json = dict[str, Any]

WHOSE = "job.json"
"""Says to which job a folder belongs."""
NOT_COMPARED = "not compared: nothing tells yet whether it is better than what serves"


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What the flow works with."""

    config: Config
    database: Database
    blobs: Blobs

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job: what it reads, its checkpoints, its model."""
        return self.config.project_dir / self.config.training.checkpoint_folder / job_id

    def slot(self, job_id: str) -> Json | None:
        """Return what a job says when it asks for the machine's slot; None where jobs run together."""
        settings = self.config.training
        if not settings.exclusive:
            return None
        project = str(self.config.project_dir)
        return {"job_id": job_id, "project": project, "ttl_s": settings.slot_ttl_s, "wait_s": settings.slot_wait_s}

    def job(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            UnknownName: there is none of that id.
        """
        with self.database.read() as connection:
            found = jobs.find(connection, job_id)
        if found is None:
            raise UnknownName(f"there is no job {job_id!r}; `overnight jobs list` shows the newest")
        return found


def train_job(flow: Flow, trainings: Trainings, job_id: str) -> Json:
    """See a job through and return what was measured, with `model_version`.

    Raises:
        PermanentError: the training failed for good; the message is its own.
    """
    ready = flow.step("prepare", _prepare, trainings, job_id)
    run_id = flow.start(
        TRAINING,
        ready["args"],
        name=f"train {job_id}",
        priority=Priority(ready["priority"]),
        needs=Needs(**ready["needs"]),
    )
    [ended] = flow.wait(run_id)
    if ended.state is not State.COMPLETED:
        raise PermanentError("the training ended without a reason" if ended.error is None else ended.error.message)
    return flow.step("register", _register, trainings, job_id, ended)


def _prepare(trainings: Trainings, job_id: str) -> Json:
    """Lay out the experiences; return what the training is told, and what it needs."""
    job, settings = trainings.job(job_id), trainings.config.training
    folder = trainings.folder(job_id)
    _claim(folder, job)
    replace_file(folder / EXPERIENCES, trainings.blobs.get(job.snapshot_id))
    wish = job.wish
    args = {
        "job_id": job_id,
        "model_type": wish.model_type,
        "trainer": wish.trainer,
        "program": wish.program,
        "settings": dict(wish.settings),
        "epochs": wish.epochs,
        "checkpoint_interval": wish.checkpoint_interval,
        "keep_checkpoints": settings.keep_checkpoints,
        "validation": settings.validation,
        "seed": settings.seed,
        "stall_s": settings.stall_s,
        "slot": trainings.slot(job_id),
        "folder": str(folder),
    }
    # The estimate is no limit: only what a person has set ends a training that takes more.
    needs = {
        "cpus": wish.cpus,
        "memory_gb": wish.memory_gb or 0.0,
        # Within the project, and its cluster, the queue itself sees to it.
        "locks": [SLOT] if settings.exclusive else [],
    }
    return {"args": args, "priority": wish.priority, "needs": needs}


def _claim(folder: Path, job: Job) -> None:
    """Make the folder this job's; another job of the same id (of another project, of a lost database) may have it.

    Raises:
        UserMistake: it does: its checkpoints are another training's.
    """
    whose = {"job_id": job.wish.job_id, "run_id": job.run_id, "created_us": job.created_us, "data": job.snapshot_id}
    path = folder / WHOSE
    if not path.exists() and not any(folder.glob("epoch_*")):
        write_json(path, whose)
    found = json.loads(path.read_text()) if path.exists() else None
    if found != whose:
        raise UserMistake(
            f"{folder} holds the checkpoints of another job {job.wish.job_id!r}; remove it, or give this job another id"
        )


def _register(trainings: Trainings, job_id: str, ended: Ended) -> Json:
    job, folder = trainings.job(job_id), trainings.folder(job_id)
    database = trainings.database
    with database.read() as connection:
        run = runs.get(connection, ended.run_id)
    assert run is not None, "its outcome was just read"
    manifest = trainings.blobs.put_folder(folder / MODEL)
    if not manifest:
        raise PermanentError(
            f"the model is gone from {folder}; do all hosts that work on this project share its folder?"
        )
    candidate = Candidate(
        model=job.wish.model_type,
        run_id=ended.run_id,
        snapshot_id=job.snapshot_id,
        manifest=manifest,
        signature={
            "trainer": job.wish.trainer or job.wish.program,
            "settings": dict(job.wish.settings),
        },
        metrics={**ended.result, "job_id": job_id},
        verdict={"decision": None, "reason": NOT_COMPARED},
    )
    seconds = float(ended.result["seconds"])

    def change(tx: Any) -> str:  # Any: db.writer.Tx
        version = registry.register(tx, candidate, serve=False, why=NOT_COMPARED)
        result = {**ended.result, "model_version": version.number}
        jobs.done(tx, job_id, result, seconds=seconds, peak_memory_gb=run.usage.peak_memory_gb)
        return version.number

    number = database.writer.do(change)
    # The version is stored; the checkpoints stay, for who wants to look at them.
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    for name in READ:
        (folder / name).unlink(missing_ok=True)
    return {**ended.result, "model_version": number}


def expected(trainings: Trainings, job: Job) -> "tuple[estimate.Estimate | None, estimate.Estimate | None]":
    """Return how long a job will take (s) and how much memory it will need (GB), from what earlier ones took."""
    with trainings.database.read() as connection:
        known = jobs.recorded(connection, job.wish.model_type)
    return (
        estimate.duration_s(known, items=job.items, epochs=job.wish.epochs),
        estimate.memory_gb(known, items=job.items),
    )
