"""What a strategy means for whoever trains with settings of its own. Pure.

An exercise's learning rate is no figure for another model. What carries over is by how much a strategy differs from
"balanced": each setting that has the meaning of a parameter is multiplied by that ratio. Members of an ensemble and
epochs without a gain are counts, and are taken as they are. What there is no setting for is named, and not used.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from overnight.learning.parameters import AgentParameters, TrainingParameters

EPOCHS = "epochs"
MEANS: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("learning_rate",),
    "regularisation": ("weight_decay", "regularisation", "penalty"),
    EPOCHS: (EPOCHS,),
}
"""What trainers call a parameter whose ratio counts."""


HOTTEST = 2.0
"""The highest temperature that models are asked with."""


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """The settings that follow from a strategy, and which of its parameters could not be used."""

    settings: Mapping[str, Any]
    unused: tuple[str, ...]


def transferred(parameters: TrainingParameters, known: Mapping[str, Any]) -> Transferred:
    """Return what the parameters are for a training that has these settings (`known`)."""
    usual = asdict(TrainingParameters())
    settings: dict[str, float] = {}
    unused = []
    for name, value in asdict(parameters).items():
        alias = next((one for one in MEANS.get(name, (name,)) if _is_number(known.get(one))), None)
        if alias is None:
            unused += [name] if value != usual[name] else []
        elif name in MEANS:
            scaled = known[alias] * value / usual[name]
            settings[alias] = max(1, round(scaled)) if name == EPOCHS else scaled
        else:
            settings[alias] = value
    return Transferred(settings=settings, unused=tuple(unused))


def transferred_to_model(parameters: AgentParameters, known: Mapping[str, Any]) -> Transferred:
    """Return what the parameters of an agent are for requests to a language model that have these settings (`known`).

    The temperature changes by as much as the strategy differs from "balanced"; a model is the one that is named.
    """
    usual = AgentParameters()
    settings: dict[str, Any] = {}
    if parameters.temperature != usual.temperature:
        warmth = known.get("temperature", 1.0) * parameters.temperature / usual.temperature
        settings["temperature"] = min(HOTTEST, warmth)
    if parameters.model:
        settings["model"] = parameters.model
    others = ("attempts", "self_review", "verification_depth")
    unused = tuple(name for name in others if getattr(parameters, name) != getattr(usual, name))
    return Transferred(settings=settings, unused=unused)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
