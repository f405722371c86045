"""What versions answer about the same held-out items. Models are loaded here, one after the other.

A trainer is compared by its `scores(items)`: the score, more is better, of each independent unit, by the item's id, or
by a name where several items make one unit together. One whose metric is no mean over units says which metric of
`proof.metrics` it is instead (`compared_by`), and is compared by its predictions.
"""

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.clock import SystemClock
from overnight.base.errors import NotMeasured, PermanentError, said_by
from overnight.base.files import write_json
from overnight.base.ports import RunContext
from overnight.proof.evidence import Evidence
from overnight.training.failing import final
from overnight.training.kinds import load_trainer
from overnight.training.model_job import on_one_core
from overnight.training.ports import Item, Trainer
from overnight.training.run import Plan, Watch, train

HELD_OUT, EVIDENCE = "held_out.jsonl", "evidence.json"
"""What lies in the folder of a comparison: the items, and what was answered."""
SCORE = "score"
"""How the metric of those is called that are compared by `scores`; see `proof.metrics`."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A version that is compared: its number, its class as "module:Class", and the folder of its files."""

    number: str
    trainer: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class _Answered:
    metric: str
    title: str
    bounds: tuple[float, float] | None
    by_id: Mapping[str, Any]  # Any: a score or a prediction


def compare_versions(
    ctx: RunContext, *, model_type: str, folder: str, candidate: Mapping[str, str], against: Mapping[str, str]
) -> dict[str, Any]:
    """Have both versions answer about the items in the folder's HELD_OUT, and write EVIDENCE.

    `candidate` and `against` hold the fields of a `Contender`. Returns `items`, `metric` and the numbers of both.

    Raises:
        NotMeasured, PermanentError: see `evidence_of`.
    """
    with final(), on_one_core():
        items = read_items(Path(folder) / HELD_OUT)
        sides = Contender(**candidate), Contender(**against)
        found = evidence_of(model_type, items, *sides, told=lambda step: ctx.progress(step, 2, phase="comparing"))
        write_json(Path(folder) / EVIDENCE, found.to_dict())
    return {"items": len(found.ids), "metric": found.title, "candidate": sides[0].number, "against": sides[1].number}


def read_items(path: Path) -> list[Item]:
    """Return the experiences of a file, one JSON object a line."""
    with path.open("rb") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def evidence_of(
    model_type: str,
    items: Sequence[Item],
    candidate: Contender,
    against: Contender,
    *,
    told: Callable[[int], None] = lambda step: None,
) -> Evidence:
    """Return what two versions answer about the items.

    Raises:
        NotMeasured: they are compared by different metrics, or on fewer than two units.
        PermanentError: one cannot be loaded or measured; the message says which and why.
    """
    answered = []
    for step, one in enumerate((candidate, against)):
        told(step)
        answered.append(_measured(model_type, one, items))
    told(2)
    return _joined(items, *answered)


def _measured(model_type: str, version: Contender, items: Sequence[Item]) -> _Answered:
    try:
        trainer = load_trainer(model_type, version.trainer).load(Path(version.folder))
        return _answers(trainer, items, version.trainer)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise PermanentError(f"version {version.number} cannot be measured: {said_by(error)}") from error


def _answers(trainer: Trainer, items: Sequence[Item], spec: str) -> _Answered:
    metric = getattr(trainer, "compared_by", SCORE)
    if metric != SCORE:
        predictions = trainer.predict([item["input"] for item in items])
        named = {str(item["id"]): answer for item, answer in zip(items, predictions, strict=True)}
        return _Answered(metric=metric, title=trainer.metric, bounds=None, by_id=named)
    scores = getattr(trainer, "scores", None)
    if scores is None:
        raise NotMeasured(f"trainer {spec!r} has no scores(items), which versions are compared by")
    found = {name: float(score) for name, score in scores(items).items()}
    wrong = next((name for name, score in found.items() if not math.isfinite(score)), None)
    if wrong is not None:
        raise NotMeasured(f"the score of item {wrong!r} is {found[wrong]}")
    bounds = getattr(trainer, "score_bounds", None)
    return _Answered(metric=SCORE, title=getattr(trainer, "score_title", trainer.metric), bounds=bounds, by_id=found)


def _joined(items: Sequence[Item], candidate: _Answered, against: _Answered) -> Evidence:
    same = ("metric", "title", "bounds")
    if any(getattr(candidate, name) != getattr(against, name) for name in same):
        raise NotMeasured(
            f"the versions are measured by {candidate.title} and {against.title}, which nobody can compare"
        )
    ids = sorted(candidate.by_id.keys() & against.by_id.keys())
    if len(ids) < 2:
        raise NotMeasured(f"{len(items)} held-out items give {len(ids)} scores to compare by, at least 2 are needed")
    known = {str(item["id"]): item for item in items}
    about = [_metadata(known.get(name, {})) for name in ids]
    groups = [str(one.get("group", name)) for name, one in zip(ids, about, strict=True)]
    segments = [None if one.get("segment") is None else str(one["segment"]) for one in about]
    return Evidence(
        metric=candidate.metric,
        title=candidate.title,
        ids=ids,
        candidate=[candidate.by_id[name] for name in ids],
        against=[against.by_id[name] for name in ids],
        truths=None if candidate.metric == SCORE else [known[name]["expected_output"] for name in ids],
        groups=groups if len(set(groups)) < len(groups) else None,
        segments=segments if any(one is not None for one in segments) else None,
        bounds=candidate.bounds,
    )


def _metadata(item: Item) -> Mapping[str, Any]:
    found = item.get("metadata")
    return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Two trainings that differ in nothing but their seed: versions of equal skill, to test the gate with."""

    model_type: str
    trainer: str
    settings: Mapping[str, Any]  # Any: the trainer's own JSON
    epochs: int
    seeds: tuple[int, int]


def two_seeds(
    wanted: Seeds, training: Sequence[Item], held_out: Sequence[Item], *, told: Callable[[float], None]
) -> Evidence:
    """Train twice and return what both answer about the held-out items; `told` takes the share that is done.

    Raises:
        OvernightError: the items or settings cannot be used; see `evidence_of`.
    """
    made = load_trainer(wanted.model_type, wanted.trainer)
    with final(), on_one_core(), tempfile.TemporaryDirectory() as place:
        sides = []
        for number, seed in enumerate(wanted.seeds):
            trainer = made(wanted.settings, seed)
            trainer.prepare(training, held_out, wanted.epochs)
            plan = Plan(epochs=wanted.epochs, count=len(training), seed=seed, checkpoint_every=0)
            train(trainer, plan, None, _watch(told, number, wanted.epochs))
            folder = Path(place) / str(seed)
            folder.mkdir()
            trainer.save(folder)
            del trainer
            sides.append(Contender(number=f"of seed {seed}", trainer=wanted.trainer, folder=str(folder)))
        return evidence_of(wanted.model_type, held_out, *sides)


def _watch(told: Callable[[float], None], done: int, epochs: int) -> Watch:
    return Watch(
        tell=lambda figures: told((done + float(figures["epoch"]) / epochs) / 2),
        epoch_done=lambda figures: None,
        saved=lambda place, figures: None,
        asked=lambda: False,
        now_s=SystemClock().monotonic,
    )
