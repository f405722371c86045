"""One training from records to a saved version, and the scores of a saved version on held-out items.

Plain functions for a fresh process: all that they read is handed in or lies in the folders that are named. The held-out
items are taken out here, before the agent exists, and each record is cut down to what the agent may know, so that
neither a held-out item nor a column that the target is made of can reach a training.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError, NotMeasured
from overnight.training.agents import (
    TrainContext,
    TrainReport,
    evaluate_agent,
    load_class,
    predict_agent,
    train_agent,
)

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """An agent of the fleet: its class, what it predicts, on which scale, and the columns that it may learn from."""

    name: str
    class_: str
    target: str
    scale: tuple[float, float]
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a saved version did on items that it was not trained on, in the order of the items.

    `scores` are the agent's own, higher is better; `predictions` are None where the agent has no `predict`.
    """

    ids: tuple[str, ...]
    scores: tuple[float, ...]
    predictions: tuple[float, ...] | None = field(default=None)


def train_version(
    spec: AgentSpec,
    records: Sequence[Record],
    *,
    held_out: Collection[str],
    folder: Path,
    seed: int,
    parents: Mapping[str, Path],
) -> TrainReport:
    """Train the agent on the records that are not held out and save it into the folder.

    Raises:
        ConfigError: the class cannot be used, or the target is one of the inputs.
        NotMeasured: no record is left to train on.
        PermanentError: see `train_agent`.
    """
    if spec.target in spec.inputs:
        raise ConfigError(f"agents.{spec.name}.inputs must not contain the target {spec.target!r}")
    kept_back = frozenset(held_out)
    data = [_cut(record, ("id", *spec.inputs, spec.target)) for record in records if record["id"] not in kept_back]
    if not data:
        raise NotMeasured(f"agent {spec.name!r}: no record is left to train on beside {len(kept_back)} held-out ones")
    agent = load_class(spec.name, spec.class_)()
    save = _has(agent, spec, "save")
    report = train_agent(
        agent, data, TrainContext(seed=seed, target=spec.target, scale=spec.scale, parents=dict(parents))
    )
    folder.mkdir(parents=True, exist_ok=True)
    save(folder)
    return report


def score_version(spec: AgentSpec, folder: Path, items: Sequence[Record]) -> Scores:
    """Load the version from its folder and let it score the items; predictions are made without sight of the target.

    Raises:
        ConfigError: the class cannot be used, or cannot be loaded from a folder.
        NotMeasured, PermanentError: see `evaluate_agent`.
    """
    agent = _load(spec, folder)
    predictions = None
    if hasattr(agent, "predict"):
        # Before `evaluate`, which shows it the targets.
        predictions = tuple(predict_agent(agent, [_cut(item, ("id", *spec.inputs)) for item in items]))
    scores = evaluate_agent(agent, [_cut(item, ("id", *spec.inputs, spec.target)) for item in items])
    return Scores(ids=tuple(item["id"] for item in items), scores=tuple(scores), predictions=predictions)


def predict_version(spec: AgentSpec, folder: Path, items: Sequence[Record]) -> list[float]:
    """Load the version from its folder and return one prediction per item; it never sees a target.

    Raises:
        ConfigError: the class cannot be used, or cannot be loaded from a folder.
        NotMeasured, PermanentError: see `predict_agent`.
    """
    return predict_agent(_load(spec, folder), [_cut(item, ("id", *spec.inputs)) for item in items])


def _load(spec: AgentSpec, folder: Path) -> Any:  # Any: the project's own class
    agent = load_class(spec.name, spec.class_)()
    _has(agent, spec, "load")(folder)
    return agent


def _cut(record: Record, columns: tuple[str, ...]) -> dict[str, Any]:
    return {column: record.get(column) for column in columns}


def _has(agent: Any, spec: AgentSpec, method: str) -> Any:
    function = getattr(agent, method, None)
    if not callable(function):
        raise ConfigError(f"agents.{spec.name}.class: {spec.class_!r} has no method {method}(folder)")
    return function
