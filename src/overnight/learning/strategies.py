"""Strategies: named parameters of whoever executes, and nothing else. Pure.

What a strategy is called has no effect on anything: two that have the same parameters execute alike.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from overnight.base.errors import ConfigError, UnknownName, UserMistake
from overnight.base.learning_settings import LearningSettings, StrategySettings
from overnight.base.vocabulary import suggestion
from overnight.learning.exercises import KINDS, TRAINING, WORKSPACE, Kind
from overnight.learning.parameters import AgentParameters, TrainingParameters

BUILT_IN: Mapping[str, StrategySettings] = {
    "conservative": StrategySettings(
        training={"learning_rate": 0.001, "regularisation": 0.01, "early_stopping": 8, "ensemble": 3, "epochs": 60},
        agent={"temperature": 0.0, "attempts": 3, "self_review": True, "verification_depth": 3},
    ),
    "balanced": StrategySettings(),
    "aggressive": StrategySettings(
        training={"learning_rate": 0.02, "regularisation": 1e-6, "epochs": 12},
        agent={"temperature": 0.8, "attempts": 1, "verification_depth": 0},
    ),
}
"""Slow and many, neither, fast and few; those of "balanced" are the parameters that stand for what is not given."""

_SHAPING = ("command", "environment", "visible", "network", "timeout_s")
"""Of the settings of a coding agent, those that what it answers depends on."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """The parameters of one way to execute: of a training, and of a coding agent."""

    training: TrainingParameters
    agent: AgentParameters


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to execute, or an ensemble of several: then all of them execute, and answer together.

    `members` are the names of the strategies that an ensemble is made of, none for others, which have one way.
    """

    name: str
    ways: tuple[Way, ...]
    members: tuple[str, ...] = ()

    def digest(self, kind: Kind, agent: Mapping[str, Any]) -> str:  # Any: JSON
        """Return what stands for its parameters in work of a kind, whatever it is called: 16 hexadecimal digits.

        `agent` are the settings of the coding agent: of another one, another thing was measured.
        """
        told: list[Any] = [asdict(_of_kind(way, kind)) for way in self.ways]
        if kind == WORKSPACE:
            told.append({name: agent[name] for name in _SHAPING})
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()

    def digests(self, agent: Mapping[str, Any]) -> frozenset[str]:  # Any: JSON
        """Return what stands for its parameters in work of any kind."""
        return frozenset(self.digest(kind, agent) for kind in KINDS)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON-able values."""
        return {"name": self.name, "members": list(self.members), "ways": [asdict(way) for way in self.ways]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Strategy":
        """Return what `to_dict` was given."""
        ways = tuple(
            Way(training=TrainingParameters.from_dict(way["training"]), agent=AgentParameters.from_dict(way["agent"]))
            for way in values["ways"]
        )
        return cls(name=values["name"], members=tuple(values["members"]), ways=ways)


def _of_kind(way: Way, kind: Kind) -> TrainingParameters | AgentParameters:
    return way.training if kind == TRAINING else way.agent


def strategies_of(settings: LearningSettings) -> dict[str, Strategy]:
    """Return all strategies by name: the built-in ones, and those of the settings, which may stand in for them.

    Raises:
        ConfigError: a parameter is unknown or out of its range, a member is none of them or an ensemble itself, or the
            default is none of them.
    """
    given = {**BUILT_IN, **settings.strategies}
    plain = {name: one for name, one in given.items() if not one.members}
    ways = {name: _way(name, one) for name, one in plain.items()}
    found = {
        name: Strategy(name=name, ways=(ways[name],)) if name in ways else _ensemble(name, one, ways)
        for name, one in given.items()
    }
    if settings.default not in found:
        raise ConfigError(
            f"learning.default: there is no strategy {settings.default!r}{suggestion(settings.default, found)}"
        )
    return found


def _way(name: str, one: StrategySettings) -> Way:
    where = f"learning.strategies.{name}"
    try:
        training = TrainingParameters.from_dict(one.training)
    except UserMistake as error:
        raise ConfigError(f"{where}.training: {error}") from None
    try:
        return Way(training=training, agent=AgentParameters.from_dict(one.agent))
    except UserMistake as error:
        raise ConfigError(f"{where}.agent: {error}") from None


def _ensemble(name: str, one: StrategySettings, ways: Mapping[str, Way]) -> Strategy:
    where = f"learning.strategies.{name}"
    if one.training or one.agent:
        raise ConfigError(f"{where}: an ensemble has the parameters of its members, and none of its own")
    for member in one.members:
        if member not in ways:
            raise ConfigError(
                f"{where}.members: there is no strategy {member!r} that is no ensemble{suggestion(member, ways)}"
            )
    return Strategy(name=name, members=tuple(one.members), ways=tuple(ways[member] for member in one.members))


def digests_of(
    strategies: Mapping[str, Strategy],
    agent: Mapping[str, Any],  # Any: JSON
) -> dict[str, frozenset[str]]:
    """Return what stands for the parameters of each strategy, with the settings of the coding agent."""
    return {name: one.digests(agent) for name, one in strategies.items()}


def named(strategies: Mapping[str, Strategy], name: str) -> Strategy:
    """Return the strategy of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in strategies:
        raise UnknownName(f"there is no strategy {name!r}{suggestion(name, strategies)}")
    return strategies[name]
