"""The gate asked by a person: two versions compared on held-out experiences, and the gate itself put to the test."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy as sa

from overnight.app.models import version_in
from overnight.app.workplace import Workplace
from overnight.base.errors import NotMeasured, UserMistake
from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.flows.continuous import model_types
from overnight.flows.train_job import Trainings, class_of, parting_of
from overnight.proof.selftest import SelfTest, self_test
from overnight.registry import verdicts
from overnight.registry.verdicts import Kept, Pair, spec_of
from overnight.registry.versions import NEWEST, Version
from overnight.training import jobs
from overnight.training.comparing import Contender, Seeds, evidence_of, two_seeds
from overnight.training.experiences import Parting, parted, unseen
from overnight.training.ports import Item

BY = "gate check"
SEED = 0
TRAINING_SHARE = 0.7
"""How much of a self-test's progress the two trainings are."""


@dataclass(frozen=True, kw_only=True)
class GateCheck:
    """What the gate says of a version. `known`: this very question was asked before, which is no new use of items."""

    verdict: Kept
    known: bool


def check(
    project: Workplace, model: str, *, candidate: str | None = None, against: str | None = None, final: bool = False
) -> GateCheck:
    """Compare two versions; see `Project.gate_check`."""
    _of_jobs(project, model)
    trainings, spec = project.trainings, spec_of(project.config.gate)
    with project.database.read() as connection:
        new, old = _versions(trainings, connection, model, candidate, against)
    pair = Pair(model=model, candidate=new.number, against=old.number, final=final)
    items = (
        _final(trainings, model, new, old) if final else trainings.held_out(model, new.snapshot_id, _parting(new), old)
    )
    with project.loading(), tempfile.TemporaryDirectory() as place:
        sides = []
        for version in (new, old):
            folder = Path(place) / version.number
            trainings.registry.fetch(version, folder)
            trainer = class_of(version.signature.get("trainer"), version.number)
            sides.append(Contender(number=version.number, trainer=trainer, folder=str(folder)))
        evidence = evidence_of(model, items, *sides)
    evidence_id = trainings.blobs.put(to_json(evidence.to_dict()).encode())
    with project.database.read() as connection:
        known = verdicts.same(connection, pair, evidence_id, spec)
        if known is not None:
            return GateCheck(verdict=known, known=True)
        judged = verdicts.judge(connection, pair, evidence, evidence_id, spec)

    def keep(tx: Tx) -> None:
        verdicts.keep(tx, judged, candidate=new.number, by=BY)

    project.database.writer.do(keep)
    with project.database.read() as connection:
        kept = verdicts.same(connection, pair, evidence_id, spec)
    assert kept is not None, "it was just kept"
    return GateCheck(verdict=kept, known=False)


def _of_jobs(project: Workplace, model: str) -> None:
    """Refuse an agent: only its own training knows the items that it has not seen."""
    config = project.config
    if model in config.agents and model not in model_types(config):
        raise UserMistake(
            f"{model!r} is an agent, which `overnight train --agent {model}` trains and judges; "
            "`overnight gate check` is for models that jobs train"
        )


def _versions(
    trainings: Trainings, connection: sa.Connection, model: str, candidate: str | None, against: str | None
) -> tuple[Version, Version]:
    new = version_in(connection, model, NEWEST if candidate is None else candidate)
    old = (
        verdicts.rival(connection, model, spec_of(trainings.config.gate))
        if against is None
        else version_in(connection, model, against)
    )
    if old is None:
        raise UserMistake(f"no version of {model!r} serves; name the one to compare with: --against VERSION")
    if new.number == old.number:
        raise UserMistake(
            f"{new.number} would be compared with itself; name another one: --candidate VERSION or --against VERSION"
        )
    return new, old


def _parting(version: Version) -> Parting:
    parting = parting_of(version)
    if parting is None:
        raise NotMeasured(f"nobody wrote down which experiences {version.number} was trained on; train it again")
    return parting


def _final(trainings: Trainings, model: str, *rivals: Version) -> list[Item]:
    """Return the final hold-out without what either version was trained on."""
    items = trainings.final(model)
    if not items:
        raise UserMistake(f"gate.final.{model}: missing or empty; it names the file of the final hold-out")
    whole = Parting(share=1.0, seed=0)
    for version in rivals:
        snapshot = [json.loads(line) for line in trainings.blobs.get(version.snapshot_id).splitlines()]
        items = unseen(items, whole, parting_of(version), snapshot)
    return items


def put_to_the_test(project: Workplace, model: str, *, told: Callable[[float], None] = lambda share: None) -> SelfTest:
    """Train two seeds on the data of the model's last job, and test the gate with their answers; see `proof.selftest`.

    `told` takes the share that is done. Nothing is registered or kept.

    Raises:
        UserMistake: no job of that model has finished here, or it is an agent.
        NotMeasured: the two seeds differ too little, or are not measured by items.
    """
    _of_jobs(project, model)
    trainings, settings = project.trainings, project.config.training
    with project.database.read() as connection:
        done = (job for job in jobs.newest(connection, limit=100, model_type=model) if job.result is not None)
        job = next(done, None)
    if job is None:
        raise UserMistake(f"no job of {model!r} has finished; `overnight jobs submit {model}` trains one")
    final = {item["id"] for item in trainings.final(model)}
    lines = [json.loads(line) for line in trainings.blobs.get(job.snapshot_id).splitlines()]
    training, held_out = parted(
        [item for item in lines if item["id"] not in final], share=settings.validation, seed=settings.seed
    )
    wanted = Seeds(
        model_type=model,
        trainer=class_of(job.wish.trainer, model),
        settings=job.wish.settings,
        epochs=job.wish.epochs,
        seeds=(settings.seed, settings.seed + 1),
    )
    with project.loading():
        evidence = two_seeds(wanted, training, held_out, told=lambda share: told(TRAINING_SHARE * share))
    return self_test(
        evidence,
        spec_of(project.config.gate),
        Random(SEED),  # noqa: S311 - not a secret
        told=lambda share: told(TRAINING_SHARE + (1 - TRAINING_SHARE) * share),
    )


def to_dict(found: SelfTest) -> dict[str, Any]:
    """Return the outcome of a self-test as JSON-able values."""
    return {
        "passed": found.honest and bool(found.able),
        "finding": found.finding,
        "items": found.units,
        "differing": found.differing,
        "alpha": found.alpha,
        "trials": found.trials,
        "accepted": {"share": found.accepted.value, "lower": found.accepted.lower, "upper": found.accepted.upper},
        "planted": found.planted,
        "found": None
        if found.found is None
        else {"share": found.found.value, "lower": found.found.lower, "upper": found.found.upper},
    }
