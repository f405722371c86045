"""One training from records to a saved version, and a saved version in memory.

Plain functions for a fresh process: all that they read is handed in or lies in the folders that are named. The held-out
items are taken out here, before the agent exists, and each record is cut down to what the agent may know, so that
neither a held-out item nor a column that the target is made of can reach a training.

A version is a folder: `agent/` holds what the agent saved, `uses/NAME/` the whole version of each agent whose
predictions are among its inputs, and `version.json` what it is and which items it has seen.
"""

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from overnight.base.errors import ConfigError, NotMeasured
from overnight.base.files import write_json
from overnight.proof.splits import position
from overnight.training.agents import (
    Parents,
    Record,
    TrainContext,
    TrainReport,
    load_class,
    predict_agent,
    train_agent,
)

AGENT, USES, ABOUT = "agent", "uses", "version.json"


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """An agent of the fleet as a training sees it; see `base.fleet_settings.AgentSettings`.

    `class_` is None for an instance that was handed over. `uses` are those of the inputs that are agents.
    """

    name: str
    class_: str | None = None
    target: str | None = None
    scale: tuple[float, float] | None = None
    inputs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    group: str | None = None
    metric: str | None = None
    best: float | None = None
    records: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: the agent's own TOML

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec whose fields came as JSON."""
        scale = values.get("scale")
        lists = {name: tuple(values.get(name, ())) for name in ("inputs", "uses")}
        return cls(**{**values, **lists, "scale": None if scale is None else tuple(scale)})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def make(self) -> Any:  # Any: the project's own class
        """Return a new agent of its class.

        Raises:
            ConfigError: the class cannot be used.
        """
        if self.class_ is None:
            raise ConfigError(f"agent {self.name!r} was handed over as an instance; there is no class to make one of")
        return load_class(self.name, self.class_)()


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A version in memory: the agent, and the versions whose predictions are among its inputs.

    `learnt` are the ids of the items that it was trained on, `seen` also those of all versions that it was built on.
    """

    spec: AgentSpec
    agent: Any  # Any: the project's own class
    uses: Mapping[str, "Trained"]
    learnt: frozenset[str]
    seen: frozenset[str]

    @classmethod
    def load(cls, folder: Path, instance: Any = None) -> Self:  # Any: the caller's own object
        """Return the version that `save_version` wrote into the folder.

        `instance` is an untrained agent of the same kind, for one that has no class of its own to be made of.

        Raises:
            ConfigError: a class cannot be used, or cannot be loaded from a folder.
        """
        about = json.loads((folder / ABOUT).read_text())
        spec = AgentSpec.from_dict(about["spec"])
        agent = instance if spec.class_ is None and instance is not None else spec.make()
        load = getattr(agent, "load", None)
        if not callable(load):
            raise ConfigError(f"agents.{spec.name}.class: {spec.class_!r} has no method load(folder)")
        load(folder / AGENT)
        uses = {name: Trained.load(folder / USES / name) for name in spec.uses}
        return cls(spec=spec, agent=agent, uses=uses, learnt=frozenset(about["learnt"]), seen=frozenset(about["seen"]))

    def show(self, records: Sequence[Record], *, with_target: bool = False, in_training: bool = False) -> list[Record]:
        """Return the records cut down to what the agent may see, with the predictions of the agents that it uses.

        An item that such an agent was trained on gets the prediction of `predict_unseen`, where that is offered: by a
        model that was not fitted on it.
        """
        shown: list[Record] = [cut(self.spec, record, with_target=with_target) for record in records]
        for name, used in self.uses.items():
            column = used.output(records, unseen=in_training)
            shown = [{**row, name: value} for row, value in zip(shown, column, strict=True)]
        return shown

    def output(self, records: Sequence[Record], *, unseen: bool) -> list[float]:
        """Return what the agent predicts for each record."""
        method = "predict_unseen" if unseen and hasattr(self.agent, "predict_unseen") else "predict"
        return predict_agent(self.agent, self.show(records), method)


def cut(spec: AgentSpec, record: Record, *, with_target: bool) -> dict[str, Any]:
    """Return what the agent may see of a record."""
    if not spec.inputs:
        return {name: value for name, value in record.items() if with_target or name != spec.target}
    columns = ["id", *(name for name in spec.inputs if name not in spec.uses)]
    columns += [spec.group] if spec.group is not None else []
    columns += [spec.target] if with_target and spec.target is not None else []
    return {column: record.get(column) for column in columns}


def context_of(spec: AgentSpec, parents: Mapping[str, Path], seed: int) -> TrainContext:
    """Return what the agent's `train` gets beside its data; `parents` are version folders."""
    return TrainContext(
        seed=seed,
        target=spec.target,
        scale=spec.scale,
        inputs=spec.inputs,
        group=spec.group,
        settings=spec.settings,
        parents=Parents({name: folder / AGENT for name, folder in parents.items()}),
    )


def train_version(
    spec: AgentSpec,
    records: Sequence[Record],
    *,
    held_out: Collection[str],
    parents: Mapping[str, Path],
    context: TrainContext,
    agent: Any = None,  # Any: an instance that was handed over
) -> tuple[Trained, TrainReport]:
    """Train the agent on the records that are not held out, at most `spec.records` of them.

    `parents` are the version folders of the agents that it comes after.

    Raises:
        ConfigError: the class cannot be used, or the target is one of the inputs.
        NotMeasured: no record is left to train on, or an agent whose predictions are an input has no version.
        PermanentError: see `train_agent`.
    """
    if spec.target is not None and spec.target in spec.inputs:
        raise ConfigError(f"agents.{spec.name}.inputs must not contain the target {spec.target!r}")
    folders = Parents(parents)
    agent = spec.make() if agent is None else agent
    uses = {name: Trained.load(folders[name]) for name in spec.uses}
    data = _sample(
        [record for record in records if record["id"] not in held_out and usable(record, uses)], spec.records
    )
    if not data:
        raise NotMeasured(f"agent {spec.name!r}: no record is left to train on beside {len(held_out)} held-out ones")
    learnt = frozenset(record["id"] for record in data)
    before = (json.loads((folder / ABOUT).read_text())["seen"] for folder in folders.values())
    trained = Trained(spec=spec, agent=agent, uses=uses, learnt=learnt, seen=learnt.union(*before))
    return trained, train_agent(agent, trained.show(data, with_target=True, in_training=True), context)


def usable(record: Record, uses: Mapping[str, Trained]) -> bool:
    """Tell whether every agent that is used can say something about the record without having learnt from it."""
    return all(record["id"] not in used.seen or hasattr(used.agent, "predict_unseen") for used in uses.values())


def _sample(data: Sequence[Record], most: int | None) -> Sequence[Record]:
    """Return at most so many of the records, chosen by a hash of their ids, in the order in which they came."""
    if most is None or len(data) <= most:
        return data
    chosen = {record["id"] for record in sorted(data, key=_place)[:most]}
    return [record for record in data if record["id"] in chosen]


def _place(record: Record) -> tuple[float, str]:
    return position(record["id"], salt="", purpose="training sample"), record["id"]


def save_version(trained: Trained, folder: Path, parents: Mapping[str, Path]) -> bool:
    """Write the version into the folder; False where the agent has no `save` and `load` and its state is not kept."""
    # An earlier attempt may have been cut off while it saved.
    shutil.rmtree(folder, ignore_errors=True)
    if not all(callable(getattr(trained.agent, method, None)) for method in ("save", "load")):
        return False
    (folder / AGENT).mkdir(parents=True)
    trained.agent.save(folder / AGENT)
    for name in trained.uses:
        shutil.copytree(parents[name], folder / USES / name)
    write_json(
        folder / ABOUT, {"spec": trained.spec.to_dict(), "learnt": sorted(trained.learnt), "seen": sorted(trained.seen)}
    )
    return True
