"""One training as it runs in a child process: from a snapshot to a saved version and its scores on held-out items.

Everything is measured here, from the agent's predictions and the true targets; what the agent says about itself is only
passed on. The naive baseline is fitted on the training part and scored on the same held-out items.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overnight.base.errors import NotMeasured, PermanentError
from overnight.base.files import write_json
from overnight.base.ports import RunContext
from overnight.proof.baselines import Kind, fit_baseline
from overnight.proof.measures import spearman
from overnight.proof.splits import choose_held_out
from overnight.training.versions import AgentSpec, Scores, score_version, train_version

SHARE = 0.2
"""Share of the items that is held out, and never trained on."""
FEWEST_HELD_OUT = 200
MODEL = "model"
SCORES = "scores.json"


def train_job(
    ctx: RunContext,
    *,
    agent: Mapping[str, Any],
    snapshot: str,
    work: str,
    champion: Mapping[str, Any] | None,
    parents: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """Train one agent and return what was measured: see `_summary`.

    `agent` holds the fields of AgentSpec. `snapshot` is a file of canonical JSON lines, `work` an empty folder, into
    which go the version (`model/`) and the scores of every held-out item (`scores.json`). `champion` holds the
    `folder` of the version that serves and the `agent` as it was when that was trained, `parents` the folders of the
    agents that this one comes after.

    Raises:
        ConfigError, NotMeasured, PermanentError: see `train_version` and `score_version`.
    """
    spec = _spec(agent)
    records = [json.loads(line) for line in Path(snapshot).read_bytes().splitlines()]
    split = choose_held_out([record["id"] for record in records], share=SHARE, minimum=FEWEST_HELD_OUT)
    held_ids = set(split.held_out)
    held = [record for record in records if record["id"] in held_ids]
    training = [record for record in records if record["id"] not in held_ids]
    if len(held) < 2 or not training:
        raise NotMeasured(f"agent {spec.name!r}: {len(records)} records are too few to train on and to measure with")
    folder = Path(work) / MODEL
    # An earlier attempt may have been cut off while it saved.
    shutil.rmtree(folder, ignore_errors=True)
    ctx.progress(0, 3, step="training")
    report = train_version(
        spec,
        records,
        held_out=held_ids,
        folder=folder,
        seed=seed,
        parents={name: Path(path) for name, path in parents.items()},
    )
    ctx.progress(1, 3, step="measuring")
    truth = [float(item[spec.target]) for item in held]
    measured = {"candidate": _measure(score_version(spec, folder, held), truth, spec)}
    if champion is not None:
        rival = _spec(champion["agent"])
        measured["champion"] = _measure(score_version(rival, Path(champion["folder"]), held), truth, rival)
    ctx.progress(2, 3, step="baseline")
    baseline = fit_baseline(training, spec.target, spec.inputs, Kind.REGRESSION)
    measured["baseline"] = _against(baseline.predict(held), truth)
    write_json(Path(work) / SCORES, {"ids": [item["id"] for item in held], **measured})
    ctx.progress(3, 3, step="done")
    return {
        "records": len(training),
        "held_out": len(held),
        "baseline": baseline.name,
        "reported": report.reported,
        "metrics": {name: _summary(values) for name, values in measured.items()},
    }


def _spec(agent: Mapping[str, Any]) -> AgentSpec:
    return AgentSpec(**{**agent, "scale": tuple(agent["scale"]), "inputs": tuple(agent["inputs"])})


def _measure(scores: Scores, truth: Sequence[float], spec: AgentSpec) -> dict[str, list[float]]:
    if scores.predictions is None:
        raise PermanentError(f"agent {spec.name!r} has no predict(items); without it nothing can be measured")
    return _against(scores.predictions, truth)


def _against(predictions: Sequence[float], truth: Sequence[float]) -> dict[str, list[float]]:
    """Return predictions and scores: minus the absolute error of each item, in the unit of the target."""
    scores = [-abs(guess - true) for guess, true in zip(predictions, truth, strict=True)]
    return {"predictions": list(predictions), "scores": scores, "truth": list(truth)}


def _summary(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """Return mean absolute error (unit of the target) and Spearman's rank correlation (None where undefined)."""
    mean_error = -sum(values["scores"]) / len(values["scores"])
    constant = len(set(values["predictions"])) < 2 or len(set(values["truth"])) < 2
    return {
        "mean_absolute_error": mean_error,
        "spearman": None if constant else spearman(values["predictions"], values["truth"]),
    }


def read_scores(work: Path) -> dict[str, Any]:
    """Return what `train_job` wrote about every held-out item."""
    return json.loads((work / SCORES).read_text())  # type: ignore[no-any-return]  # JSON
