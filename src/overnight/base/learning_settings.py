"""The tables of `overnight.toml` about strategy learning; see `base.config`."""

from collections.abc import Mapping, Sequence
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

    agent: Mapping[str, str | bool | int | float] = field(default_factory=dict)
    """The same for a coding agent: model, temperature, attempts, self_review, verification_depth (0 to 3)."""

    members: Sequence[str] = ()
    """Makes it an ensemble: of these strategies, which all execute and answer together."""


@dataclass(frozen=True, kw_only=True)
class AgentCommandSettings(Table):
    """`[learning.agent]`: the coding agent that executes exercises in a workspace of its own, in a sandbox."""

    command: Sequence[str] = ()
    """Its command line, word by word; {prompt}, {workspace}, {model} and {temperature} are put in. It works in the
    folder {workspace}, and has nothing else to write to but a home folder that goes away with it."""

    environment: Sequence[str] = ()
    """Names of the environment variables that it gets, such as that of a key; their values are never stored."""

    visible: Sequence[str] = ()
    """Folders that it may read, beside the system's and Python's: where it is installed, and its own settings."""

    network: bool = False
    """Whether it reaches the network. What it leaves is checked without."""

    timeout_s: Annotated[float, Gt(0)] = 600.0
    """How long it may take each time that it is asked."""

    memory_gb: Annotated[float, Gt(0)] = 1.0
    """What a run needs in which it works and its work is checked."""

    cost_pattern: str | None = None
    """Finds what it says to have cost, in US dollars, in what it prints: `cost: (?P<usd>[0-9.]+)`, say."""


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

    agent: AgentCommandSettings = field(default_factory=AgentCommandSettings)
    """The coding agent, where there is one; without, exercises train models."""

    strategies: Mapping[str, StrategySettings] = field(default_factory=dict)
    """Strategies, by name."""
