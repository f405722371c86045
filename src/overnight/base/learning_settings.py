"""The tables of `overnight.toml` about strategy learning; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class StrategySettings(Table):
    """`[learning.strategies.NAME]`: a way to execute, beside the built-in ones or in the place of one."""

    training: Mapping[str, float | int] = field(default_factory=dict)
    """Parameters of a training that are others than those of "balanced": learning_rate, regularisation, early_stopping
    (epochs without a gain; 0: never), ensemble (members), epochs."""


@dataclass(frozen=True, kw_only=True)
class LearningSettings(Table):
    """`[learning]`: which strategy executes which type of task, found out by exercises."""

    default: str = "balanced"
    """The strategy that executes where nothing else was learned or set."""

    rate: Annotated[float, Gt(0), Le(1)] | Literal["adaptive"] = 0.3
    """Weight of the newest execution in the averages of a profile; "adaptive": 1/n until that is less than 0.3."""

    minimum_samples: Annotated[int, Ge(2)] = 5
    """Executions from which on a profile counts as measured."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Weights of success (0.4), speed (0.3) and reliability (0.3) in a score, where others are wanted."""

    repeats: Annotated[int, Ge(2)] = 2
    """Executions of an exercise with different seeds, whose agreement is the reliability."""

    exercises: Annotated[int, Ge(1)] = 10
    """Exercises of an iteration."""

    validation_exercises: Annotated[int, Ge(6)] = 60
    """Fresh exercises on which a new default is compared with the one of now. Of 60 exercises of four types, a type in
    which the new one is much worse was noticed in 98 of 100 cases, of 40 in 74."""

    minimum_gain: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Share by which a new default has to be better: of the score, or of what is left to 100 where that is above 50."""

    strategies: Mapping[str, StrategySettings] = field(default_factory=dict)
    """Strategies, by name."""
