"""The table of `overnight.toml` about the gate; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Gt, Le, Lt

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class GateSettings(Table):
    """`[gate]`: when a new version counts as better."""

    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    """Largest chance of accepting a version that is not better, one-sided. Versions that training jobs give share
    it where they are compared on the same held-out items; a nightly training judges each version at the whole of it."""

    form: Literal["superiority", "minimum_gain", "non_inferiority"] = "superiority"
    """What the version of a training job or of a nightly training has to be: better than the champion, better by
    `minimum_gain`, or no more than `margin` worse than the best version so far. The first version of an agent has to be
    better than its naive rival, whatever this says."""

    minimum_gain: Annotated[float, Gt(0), Le(1)] = 0.05
    """The gain that is asked for, as a share of the champion's score, or of what it lacks to the best where that is
    less; an error has to be lower by this share."""

    margin: Annotated[float, Gt(0)] | None = None
    """How much worse, in the unit of the scores, a version may be that must not be inferior; for all models and
    agents, whatever their scores are."""

    smallest_effect: Annotated[float, Gt(0)] | None = None
    """The smallest gain that matters, in the unit of the scores; without it, a tenth of the typical difference."""

    looks: Literal["fixed", "any_time"] = "fixed"
    """Whether a version is judged once, or by bounds that hold however often one looks, which ask for more items, and
    for scores that have bounds: not absolute errors, macro-F1 or rank correlations."""

    final: Mapping[str, str] = field(default_factory=dict)
    """A file of experiences (JSON lines) for each model_type, which no job trains on and only
    `overnight gate check --final` looks at; how often is counted. Relative to the project."""
