"""One training as it runs in a child process: from a snapshot to a saved version and its scores on held-out items.

Everything is measured here, from predictions that were made without sight of a target; what the agent says about itself
is only passed on. The naive baseline is fitted on the training part and scored on the same held-out items.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError, NotMeasured, OvernightError, PermanentError, said_by
from overnight.base.files import write_json
from overnight.base.ports import RunContext
from overnight.proof.baselines import Kind, fit_baseline
from overnight.proof.measures import spearman
from overnight.proof.splits import choose_held_out
from overnight.training.agents import load_class
from overnight.training.versions import AgentSpec, predict_version, train_version

MODEL = "model"
SCORES = "scores.json"
LARGEST = 1e100
"""Squares and sums of errors up to this are numbers that a float can hold."""

Record = dict[str, Any]  # Any: a cell holds whatever JSON holds
Measured = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The records of a snapshot: what is trained on, what is never trained on, and what of that is measured on."""

    records: list[Record]
    training: list[Record]
    held_out: frozenset[str]
    measured: list[Record]

    @classmethod
    def read(cls, name: str, snapshot: str, held_out_below: float, measured_below: float) -> "_Parts":
        """Divide the snapshot of the agent `name`; see `train_job`."""
        with Path(snapshot).open("rb") as lines:
            records = [json.loads(line) for line in lines]
        held_out = choose_held_out([record["id"] for record in records], share=held_out_below).held_out
        kept_back = frozenset(held_out)
        measured = frozenset(choose_held_out(held_out, share=measured_below).held_out)
        parts = cls(
            records=records,
            training=[record for record in records if record["id"] not in kept_back],
            held_out=kept_back,
            measured=[record for record in records if record["id"] in measured],
        )
        if len(parts.measured) < 2 or len(parts.training) < 2:
            raise NotMeasured(
                f"agent {name!r}: {len(records)} records are too few: {len(parts.training)} to train on and "
                f"{len(parts.measured)} to measure with, at least 2 and 2 are needed"
            )
        return parts


def train_job(
    ctx: RunContext,
    *,
    agent: Mapping[str, Any],
    snapshot: str,
    work: str,
    champion: Mapping[str, Any] | None,
    parents: Mapping[str, str],
    seed: int,
    held_out_below: float,
    measured_below: float,
) -> dict[str, Any]:
    """Train one agent and return what was measured: see `_summary`.

    `agent` holds the fields of AgentSpec. `snapshot` is a file of canonical JSON lines, `work` a folder, into which go
    the version (`model/`) and the scores of every measured item (`scores.json`). `champion` holds the `folder` and the
    `number` of the version that serves and the `agent` as it was when that was trained, `parents` the folders of the
    agents that this one comes after. Items whose hash lies below `held_out_below` are not trained on; those below
    `measured_below`, which no version at hand was trained on, are measured on.

    Raises:
        ConfigError, NotMeasured, PermanentError: see `train_version` and `predict_version`. What an agent raises is
            permanent too, because the same records and seed would raise it again; only what the machine does (files,
            memory) is worth another try.
    """
    with _final():
        spec = _spec(agent)
        _check_class(spec)
        parts = _Parts.read(spec.name, snapshot, held_out_below, measured_below)
        folder = Path(work) / MODEL
        # An earlier attempt may have been cut off while it saved.
        shutil.rmtree(folder, ignore_errors=True)
        ctx.progress(0, 3, step="training")
        report = train_version(
            spec,
            parts.records,
            held_out=parts.held_out,
            folder=folder,
            seed=seed,
            parents={name: Path(path) for name, path in parents.items()},
        )
        ctx.progress(1, 3, step="measuring")
        truth = [float(item[spec.target]) for item in parts.measured]
        measured = {"candidate": _against(_predictions(spec, folder, parts.measured), truth)}
        rival, unusable = _rival(champion, parts.measured)
        if rival is not None:
            measured["champion"] = _against(rival, truth)
        ctx.progress(2, 3, step="baseline")
        baseline = fit_baseline(parts.training, spec.target, spec.inputs, Kind.REGRESSION)
        measured["baseline"] = _against(baseline.predict(parts.measured), truth)
        write_json(Path(work) / SCORES, {"ids": [item["id"] for item in parts.measured], **measured})
        ctx.progress(3, 3, step="done")
        return {
            "records": len(parts.training),
            "held_out": len(parts.measured),
            "baseline": baseline.name,
            "reported": report.reported,
            "champion_unusable": unusable,
            "metrics": {name: _summary(values) for name, values in measured.items()},
        }


@contextmanager
def _final() -> Iterator[None]:
    try:
        yield
    except (OvernightError, OSError, MemoryError):
        raise
    except Exception as error:
        raise PermanentError(said_by(error)) from error


def _spec(agent: Mapping[str, Any]) -> AgentSpec:
    return AgentSpec(**{**agent, "scale": tuple(agent["scale"]), "inputs": tuple(agent["inputs"])})


def _check_class(spec: AgentSpec) -> None:
    """Find out before the training whether its outcome could be kept and measured."""
    found = load_class(spec.name, spec.class_)
    for method, arguments in (("predict", "items"), ("save", "folder"), ("load", "folder")):
        if not callable(getattr(found, method, None)):
            raise ConfigError(f"agents.{spec.name}.class: {spec.class_!r} has no method {method}({arguments})")


def _predictions(spec: AgentSpec, folder: Path, items: Sequence[Record]) -> list[float]:
    predictions = predict_version(spec, folder, items)
    for item, value in zip(items, predictions, strict=True):
        if abs(value) > LARGEST:
            raise PermanentError(
                f"agent {spec.name!r} predicts {value:g} for item {item['id']!r}; "
                f"beyond {LARGEST:g} nothing is measured"
            )
    return predictions


def _rival(champion: Mapping[str, Any] | None, items: Sequence[Record]) -> tuple[list[float] | None, str | None]:
    """Return the champion's predictions; where its class is gone, so that it cannot serve either, the reason instead.

    Raises:
        PermanentError: its class is there, but fails: nobody can tell whether the candidate is better.
    """
    if champion is None:
        return None, None
    rival = _spec(champion["agent"])
    try:
        _check_class(rival)
    except ConfigError as error:
        return None, f"champion {champion['number']} can no longer be loaded: {error}"
    try:
        return _predictions(rival, Path(champion["folder"]), items), None
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise PermanentError(
            f"champion {champion['number']} of agent {rival.name!r} cannot be measured: {said_by(error)}; "
            f"repair {rival.class_!r}, or give the agent a class of another name and remove this one"
        ) from error


def _against(predictions: Sequence[float], truth: Sequence[float]) -> Measured:
    """Return predictions and scores: minus the absolute error of each item, in the unit of the target."""
    scores = [-abs(guess - true) for guess, true in zip(predictions, truth, strict=True)]
    return {"predictions": list(predictions), "scores": scores, "truth": list(truth)}


def _summary(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """Return mean absolute error (unit of the target) and Spearman's rank correlation (None where undefined)."""
    mean_error = -math.fsum(values["scores"]) / len(values["scores"])
    constant = len(set(values["predictions"])) < 2 or len(set(values["truth"])) < 2
    return {
        "mean_absolute_error": mean_error,
        "spearman": None if constant else spearman(values["predictions"], values["truth"]),
    }


def read_scores(work: Path) -> dict[str, Any]:
    """Return what `train_job` wrote about every measured item.

    Raises:
        PermanentError: it is gone.
    """
    try:
        text = (work / SCORES).read_text()
    except FileNotFoundError as error:
        raise PermanentError(f"the scores of the training are gone from {work}; train again") from error
    return json.loads(text)  # type: ignore[no-any-return]  # JSON
