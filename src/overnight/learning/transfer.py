"""What a strategy means for a trainer that has settings of its own. Pure.

An exercise's learning rate is no figure for another model. What carries over is by how much a strategy differs from
"balanced": each setting of the trainer that has the meaning of a parameter is multiplied by that ratio, and so are the
epochs. What the trainer has no setting for is named, and not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overnight.learning.parameters import TrainingParameters

MEANS: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("learning_rate",),
    "regularisation": ("weight_decay", "regularisation"),
}
"""What trainers call a parameter."""


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """The settings and epochs of a training by a strategy, and which of its parameters could not be used."""

    settings: Mapping[str, float]
    epochs: int
    unused: tuple[str, ...]


def transferred(parameters: TrainingParameters, known: Mapping[str, Any], epochs: int) -> Transferred:
    """Return what the parameters are for a trainer with these settings (`known`), trained for so many epochs."""
    usual = TrainingParameters()
    settings: dict[str, float] = {}
    unused = []
    for name, aliases in MEANS.items():
        ratio = getattr(parameters, name) / getattr(usual, name)
        found = next((alias for alias in aliases if isinstance(known.get(alias), int | float)), None)
        if found is not None:
            settings[found] = known[found] * ratio
        elif ratio != 1:
            unused.append(name)
    unused += [name for name in ("early_stopping", "ensemble") if getattr(parameters, name) != getattr(usual, name)]
    rounds = max(1, round(epochs * parameters.epochs / usual.epochs))
    return Transferred(settings=settings, epochs=rounds, unused=tuple(unused))
