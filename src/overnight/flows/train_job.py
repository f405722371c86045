"""A training job: lay out what it reads, train in a child process or a pool, compare, judge, register the version.

A durable flow. The training itself is a run of its own, which keeps its place in checkpoints: it is tried again where
it failed, and goes on after a crash or a stop of the daemon from the newest one. Before anything can bring up a machine
for it, a step notes that it may; `app.pools` takes down what is noted, whatever becomes of the flow.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overnight.base.config import Config
from overnight.base.errors import NotMeasured, OvernightError, PermanentError, UnknownName, UserMistake
from overnight.base.files import replace_file, to_json, write_json
from overnight.base.jobs import COMPARING, TRAINING
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import Needs, Priority, State
from overnight.proof.evidence import Evidence
from overnight.proof.gate import Decision
from overnight.registry import store as registry
from overnight.registry import verdicts
from overnight.registry.registering import Registry
from overnight.registry.store import Candidate
from overnight.registry.verdicts import Judged, Pair, spec_of
from overnight.registry.versions import Version
from overnight.training import estimate, jobs, stays
from overnight.training.comparing import EVIDENCE, HELD_OUT, Contender
from overnight.training.exclusive import SLOT
from overnight.training.experiences import Parting, identified, unseen
from overnight.training.jobs import Job
from overnight.training.model_job import EXPERIENCES, MODEL, READ
from overnight.training.ports import Item
from overnight.training.remote import ARRIVED, ORDER, Order, words
from overnight.training.stays import Terms

Json = dict[str, Any]

MARGIN = 0.1
"""Share by which more is reserved than was estimated, at the least."""
RIVAL = "rival"
"""The folder of the version that the new one is compared with, below that of the job."""
FEWEST_HELD_OUT = 2
WHOSE = "job.json"
"""Says to which job a folder belongs."""
FIRST = "the first version"
"""Why a version serves that nothing can be compared with."""


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What the flow works with."""

    config: Config
    database: Database
    blobs: Blobs
    registry: Registry

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

    def held_out(self, model: str, snapshot_id: str, mine: Parting, rival: Version) -> list[Item]:
        """Return the experiences of a snapshot that neither version was trained on, without the final hold-out.

        Raises:
            UnknownName, DamagedBlob: a snapshot is gone.
            NotMeasured: they are too few to compare on.
        """
        theirs = parting_of(rival)
        trained_on = [] if theirs == mine else _lines(self.blobs.get(rival.snapshot_id))
        final = {item["id"] for item in self.final(model)}
        items = unseen(_lines(self.blobs.get(snapshot_id)), mine, theirs, trained_on)
        found = [item for item in items if item["id"] not in final]
        if len(found) < FEWEST_HELD_OUT:
            raise NotMeasured(
                f"{len(found)} experiences that neither was trained on are too few to compare on, at least "
                f"{FEWEST_HELD_OUT} are needed; send more, or raise training.validation"
            )
        return found

    def final(self, model: str) -> list[Item]:
        """Return the final hold-out of a model, each experience once; none where there is no such file.

        Raises:
            UserMistake: it cannot be read.
        """
        name = self.config.gate.final.get(model)
        if name is None:
            return []
        try:
            lines = _lines((self.config.project_dir / name).read_bytes())
        except (OSError, ValueError) as error:
            raise UserMistake(f"gate.final.{model}: {name!r} cannot be read: {error}") from error
        return [item for _, item in identified(lines)]

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
    if ready.get("stay") is not None:
        flow.step("machine", _begin_stay, trainings, flow.run_id, ready["stay"])
    run_id = flow.start(
        ready.get("task", TRAINING),
        ready["args"],
        name=f"train {job_id}",
        priority=Priority(ready["priority"]),
        needs=Needs(**ready["needs"]),
    )
    [ended] = flow.wait(run_id)
    if ended.state is not State.COMPLETED:
        raise PermanentError(_reason(trainings, flow.run_id, ended))
    rival = flow.step("compare", _lay_out_rival, trainings, job_id, ready["parting"])
    if "args" in rival:
        needs = Needs(**{**ready["needs"], "locks": []})
        [compared] = flow.wait(flow.start(COMPARING, rival["args"], name=f"compare {job_id}", needs=needs))
        if compared.state is not State.COMPLETED:
            why = "stopped" if compared.error is None else compared.error.message
            rival = {"why": f"not compared with {rival['against']}: {why}"}
    return flow.step("register", _register, trainings, job_id, ended, ready, rival)


def _begin_stay(trainings: Trainings, run_id: int, terms: Json) -> None:
    trainings.database.writer.do(lambda tx: stays.begin(tx, run_id, terms))


def _reason(trainings: Trainings, run_id: int, ended: Ended) -> str:
    """Return why the training has no result."""
    with trainings.database.read() as connection:
        stay = stays.find(connection, run_id)
    if stay is not None and stay.standing.over:
        return f"its {stay.terms.max_hours:g} h in pool {stay.terms.pool!r} are over (max_hours); its checkpoints stay"
    return "the training ended without a reason" if ended.error is None else ended.error.message


def _prepare(trainings: Trainings, job_id: str) -> Json:
    """Lay out the experiences; return what the training is told, and what it needs."""
    job, settings = trainings.job(job_id), trainings.config.training
    folder = trainings.folder(job_id)
    _claim(folder, job)
    wish = job.wish
    replace_file(folder / EXPERIENCES, trainings.blobs.get(job.snapshot_id))
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
    code = dict(trainings.registry.code())
    parting = asdict(Parting(share=settings.validation, seed=settings.seed))
    known = {"priority": wish.priority, "code": code, "parting": parting}
    if wish.pool is not None:
        return {**known, **_remote(trainings, job, wish.pool, args)}
    needs = {
        "cpus": wish.cpus,
        **_memory(trainings, job),
        "gpus": wish.gpus,
        "gpu_memory_gb": wish.gpu_memory_gb or 0.0,
        # Within the project, and its cluster, the queue itself sees to it.
        "locks": [SLOT] if settings.exclusive else [],
    }
    return {**known, "args": args, "needs": needs}


def _lines(content: bytes) -> list[Item]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def _memory(trainings: Trainings, job: Job) -> Json:
    """Return how much memory the training reserves, and where that is known from."""
    if job.wish.memory_gb is not None:
        return {"memory_gb": job.wish.memory_gb, "memory_basis": "given"}
    _, memory = expected(trainings, job)
    if memory is None:
        return {"memory_gb": trainings.config.resources.training_memory_reserve_gb, "memory_basis": "assumed"}
    # As much more as it was missed by, because who takes more than it has reserved may have to yield.
    return {"memory_gb": memory.value * (1 + max(MARGIN, memory.error_share)), "memory_basis": "estimated"}


def _remote(trainings: Trainings, job: Job, name: str, args: Json) -> Json:
    """Write down what is trained where; return how the driver is started, and on which terms a machine comes up.

    Raises:
        UserMistake: the pool is no longer in the configuration.
    """
    pool = trainings.config.pools.get(name)
    if pool is None:
        raise UserMistake(
            f"job {job.wish.job_id!r} was to train in pool {name!r}, and there is no [pools.{name}] any more"
        )
    machine = f"overnight-{hashlib.sha256(json.dumps(_whose(job), sort_keys=True).encode()).hexdigest()[:10]}"
    order = Order(
        # The slot is this machine's.
        job={**args, "slot": None, "folder": ""},
        memory_gb=job.wish.memory_gb or 0.0,
        name=machine,
        pool=name,
        ssh=pool.ssh,
        python=pool.python,
        folder=pool.folder,
        up=pool.up,
        ready=pool.ready,
        timeout_s=pool.timeout_s,
        silence_s=pool.silence_s,
        max_hours=pool.max_hours,
        price_per_hour=None if pool.up else pool.price_per_hour,
    )
    write_json(trainings.folder(job.wish.job_id) / ORDER, asdict(order))
    terms = Terms(
        pool=name,
        down=tuple(words(pool.down, name=machine, job_id=job.wish.job_id, max_hours=pool.max_hours)),
        timeout_s=pool.timeout_s,
        price_per_hour=pool.price_per_hour if pool.up else None,
        max_hours=pool.max_hours,
    )
    return {
        "task": f"{TRAINING}/{name}",
        "args": {"folder": args["folder"]},
        "needs": {},
        "stay": asdict(terms) if pool.up or pool.max_hours is not None else None,
    }


def _whose(job: Job) -> Json:
    """Return what tells a job from all others of the same id, in other projects and lost databases."""
    return {"job_id": job.wish.job_id, "run_id": job.run_id, "created_us": job.created_us, "data": job.snapshot_id}


def _claim(folder: Path, job: Job) -> None:
    """Make the folder this job's; another job of the same id (of another project, of a lost database) may have it.

    Raises:
        UserMistake: it does: its checkpoints are another training's.
    """
    whose = _whose(job)
    path = folder / WHOSE
    if not path.exists() and not any(folder.glob("epoch_*")):
        write_json(path, whose)
    found = json.loads(path.read_text()) if path.exists() else None
    if found != whose:
        raise UserMistake(
            f"{folder} holds the checkpoints of another job {job.wish.job_id!r}; remove it, or give this job another id"
        )


def _lay_out_rival(trainings: Trainings, job_id: str, parting: Json) -> Json:
    """Lay out what the new version is compared with: return what the comparison is told, or `why` there is none."""
    job, folder = trainings.job(job_id), trainings.folder(job_id)
    model = job.wish.model_type
    with trainings.database.read() as connection:
        rival = verdicts.rival(connection, model, spec_of(trainings.config.gate))
    if rival is None:
        return {"why": FIRST}
    try:
        items = trainings.held_out(model, job.snapshot_id, Parting(**parting), rival)
        own = Contender(number="just trained", trainer=class_of(job.wish.trainer, model), folder=str(folder / MODEL))
        theirs = Contender(
            number=rival.number, trainer=class_of(rival.signature["trainer"], rival.number), folder=str(folder / RIVAL)
        )
        trainings.registry.fetch(rival, folder / RIVAL)
    except OvernightError as error:
        return {"why": f"not compared with {rival.number}: {error}"}
    replace_file(folder / HELD_OUT, "".join(f"{to_json(dict(item))}\n" for item in items))
    args = {"model_type": model, "folder": str(folder), "candidate": asdict(own), "against": asdict(theirs)}
    return {"args": args, "against": rival.number}


def parting_of(version: Version) -> Parting | None:
    """Return how the experiences of a version were parted; None where nobody wrote it down."""
    told = version.metrics.get("measured_on", {})
    # Those that were trained in a pool once had none.
    return None if told.get("share") is None else Parting(share=told["share"], seed=told["seed"])


def class_of(trainer: Any, whose: str) -> str:  # Any: JSON of a signature
    """Return the class that trained a version.

    Raises:
        NotMeasured: a program did.
    """
    if not isinstance(trainer, str):
        raise NotMeasured(f"{whose} is trained by a program, which gives no score of each item")
    return trainer


def _register(trainings: Trainings, job_id: str, ended: Ended, ready: Json, rival: Json) -> Json:
    """Judge the version by what was compared, and register both; once, whatever happens."""
    job, folder = trainings.job(job_id), trainings.folder(job_id)
    database = trainings.database
    with database.read() as connection:
        run = runs.get(connection, ended.run_id)
    assert run is not None, "its outcome was just read"
    manifest = trainings.registry.put(folder / MODEL)
    if not manifest:
        raise PermanentError(
            f"the model is gone from {folder}; do all hosts that work on this project share its folder?"
        )
    measured = {name: value for name, value in ended.result.items() if name != "schema"}
    judged, verdict = _judge(trainings, job.wish.model_type, folder, rival)
    accepted = rival.get("why") == FIRST or verdict["decision"] == Decision.ACCEPT
    candidate = Candidate(
        model=job.wish.model_type,
        run_id=ended.run_id,
        snapshot_id=job.snapshot_id,
        manifest=manifest,
        signature={
            "trainer": job.wish.trainer or job.wish.program,
            "settings": dict(job.wish.settings),
            **ended.result.get("schema", {}),
        },
        metrics={
            **measured,
            "job_id": job_id,
            "measured_on": {
                "snapshot": job.snapshot_id,
                "items": measured["validation_items"],
                **ready["parting"],
            },
        },
        verdict=verdict,
        code=ready.get("code", {}),
        bump=job.wish.bump,
    )

    def change(tx: Tx) -> Json:
        version = registry.of_run(tx.connection, ended.run_id)
        if version is None:
            version = trainings.registry.register(tx, candidate, serve=accepted, why=verdict["reason"])
            if judged is not None:
                verdicts.keep(tx, judged, candidate=version.number, by=f"job {job_id}")
        result = {**measured, "model_version": version.number, "verdict": dict(version.verdict)}
        seconds = float(ended.result["seconds"])
        jobs.done(tx, job_id, result, seconds=seconds, peak_memory_gb=run.usage.peak_memory_gb)
        return result

    result = database.writer.do(change)
    # The version is stored; the checkpoints stay, for who wants to look at them.
    for name in (MODEL, ARRIVED, RIVAL):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*READ, ORDER, HELD_OUT, EVIDENCE):
        (folder / name).unlink(missing_ok=True)
    return result


def _judge(trainings: Trainings, model: str, folder: Path, rival: Json) -> tuple[Judged | None, Json]:
    """Return the verdict, and what the version keeps of it."""
    if "why" in rival:
        return None, {"decision": None, "reason": rival["why"]}
    evidence = Evidence.from_dict(json.loads((folder / EVIDENCE).read_text()))
    evidence_id = trainings.blobs.put(to_json(evidence.to_dict()).encode())
    pair = Pair(model=model, candidate=None, against=rival["against"])
    try:
        with trainings.database.read() as connection:
            judged = verdicts.judge(connection, pair, evidence, evidence_id, spec_of(trainings.config.gate))
    except (NotMeasured, UserMistake) as error:
        return None, {"decision": None, "reason": f"not compared with {rival['against']}: {error}"}
    return judged, dict(judged.result)


def expected(trainings: Trainings, job: Job) -> "tuple[estimate.Estimate | None, estimate.Estimate | None]":
    """Return how long a job will take (s) and how much memory it will need (GB), from what earlier ones took."""
    with trainings.database.read() as connection:
        known = jobs.recorded(connection, job.wish.model_type)
    return (
        estimate.duration_s(known, items=job.items, epochs=job.wish.epochs),
        estimate.memory_gb(known, items=job.items),
    )
