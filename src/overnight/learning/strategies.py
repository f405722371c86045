"""Strategies: named parameters of whoever executes, and nothing else. Pure.

What a strategy is called has no effect on anything: two that have the same parameters execute alike.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from overnight.base.errors import ConfigError, UnknownName, UserMistake
from overnight.base.learning_settings import LearningSettings
from overnight.base.vocabulary import suggestion
from overnight.learning.parameters import TrainingParameters

BUILT_IN: Mapping[str, Mapping[str, float | int]] = {
    "conservative": {"learning_rate": 0.001, "regularisation": 0.01, "early_stopping": 8, "ensemble": 3, "epochs": 60},
    "balanced": {},
    "aggressive": {"learning_rate": 0.02, "regularisation": 1e-6, "epochs": 12},
}
"""Slow and many, neither, fast and few; those of "balanced" are the parameters that stand for what is not given."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to execute."""

    name: str
    training: TrainingParameters

    @property
    def digest(self) -> str:
        """Return what stands for its parameters, whatever it is called: 16 hexadecimal digits."""
        told = json.dumps(asdict(self.training), sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Strategy":
        """Return what `to_dict` was given."""
        return cls(name=values["name"], training=TrainingParameters.from_dict(values["training"]))


def strategies_of(settings: LearningSettings) -> dict[str, Strategy]:
    """Return all strategies by name: the built-in ones, and those of the settings, which may stand in for them.

    Raises:
        ConfigError: a parameter is unknown or out of its range, or the default is none of them.
    """
    given: dict[str, Mapping[str, float | int]] = {**BUILT_IN}
    given.update({name: one.training for name, one in settings.strategies.items()})
    found = {name: Strategy(name=name, training=_parameters(name, training)) for name, training in given.items()}
    if settings.default not in found:
        raise ConfigError(
            f"learning.default: there is no strategy {settings.default!r}{suggestion(settings.default, found)}"
        )
    return found


def named(strategies: Mapping[str, Strategy], name: str) -> Strategy:
    """Return the strategy of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in strategies:
        raise UnknownName(f"there is no strategy {name!r}{suggestion(name, strategies)}")
    return strategies[name]


def _parameters(name: str, training: Mapping[str, float | int]) -> TrainingParameters:
    try:
        return TrainingParameters.from_dict(training)
    except UserMistake as error:
        raise ConfigError(f"learning.strategies.{name}.training: {error}") from None
