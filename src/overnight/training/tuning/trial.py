"""One trial at a rung as it runs in a child process: trained on some of the training items, measured on others of them.

What the gate will measure on is not among the records that it gets.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from overnight.base.errors import NotMeasured
from overnight.base.ports import ChildContext
from overnight.proof.metrics import interval_of
from overnight.training.agents import Record
from overnight.training.failing import final
from overnight.training.measuring import answers_of, groups_of, metric_of, truths_of
from overnight.training.versions import AgentSpec, Trained, context_of, train_version, usable

TRAINING, VALIDATION = "training.jsonl", "validation.json"
"""What lies in the folder of a tuning: the training items, and the ids of those that trials are measured on."""
SEED = 0
"""Where an interval needs chance it is this: the same answers give the same interval."""


def run_trial(
    ctx: ChildContext,
    *,
    agent: Mapping[str, Any],
    work: str,
    parents: Mapping[str, str],
    seed: int,
    items: int,
    trial: int,
    rung: int,
) -> dict[str, Any]:
    """Train the agent on at most so many items and return what it comes to on those for validation.

    `agent` holds the fields of AgentSpec with the settings of the trial, `parents` the version folders of the agents
    that it comes after. More items hold all that fewer did. `trial` and `rung` only tell whoever looks at the run.

    Returns `metric`, its `best` value, `value` (higher is better) with `lower` and `upper` (95 %), `items` (trained on)
    and `measured` (on how many).

    Raises:
        ConfigError, NotMeasured, PermanentError: see `train_version` and `answers_of`.
    """
    with final():
        folder = Path(work)
        paths = {name: Path(path) for name, path in parents.items()}
        spec, records = _spread(AgentSpec.from_dict(agent), _lines(folder / TRAINING), paths)
        validation = frozenset(json.loads((folder / VALIDATION).read_text()))
        ctx.progress(0, 2, step="training")
        context = context_of(spec, paths, seed)
        trained, report = train_version(
            replace(spec, records=items), records, held_out=validation, parents=paths, context=context
        )
        ctx.progress(1, 2, step="measuring")
        return {"items": report.records, **_measured(trained, records, validation)}


def _spread(
    spec: AgentSpec, records: Sequence[Record], parents: Mapping[str, Path]
) -> tuple[AgentSpec, Sequence[Record]]:
    """Return the records with what the used agents predict as columns of their own.

    These agents have learnt from the same training items, those for validation among them: what they predict is what
    models that were not fitted on the item say.
    """
    uses = {name: Trained.load(parents[name]) for name in spec.uses}
    rows = [dict(record) for record in records if usable(record, uses)]
    for name, used in uses.items():
        for row, value in zip(rows, used.output(rows, unseen=True), strict=True):
            row[name] = value
    return replace(spec, uses=()), rows


def _measured(trained: Trained, records: Sequence[Record], validation: frozenset[str]) -> dict[str, Any]:
    metric = metric_of(trained, [record for record in records if record["id"] in trained.learnt])
    if metric is None:
        raise NotMeasured(f"agent {trained.spec.name!r} answers nothing that could be measured")
    items = [record for record in records if record["id"] in validation]
    answers = answers_of(trained, metric, items)
    found = interval_of(
        metric,
        truths_of(trained, metric, items),
        answers,
        groups_of(trained, items),
        random=Random(SEED),  # noqa: S311 - not a secret
    )
    return {
        "metric": metric.title,
        "best": metric.best,
        "value": found.value,
        "lower": found.lower,
        "upper": found.upper,
        "measured": len(items),
    }


def _lines(path: Path) -> list[Record]:
    with path.open("rb") as lines:
        return [json.loads(line) for line in lines]
