"""What logged choices say of a policy that has not made them. Pure.

Each logged choice has the reward that came of it and the chance that it had; the policy in question has another chance
for the same choice. Sources: Horvitz and Thompson (1952, JASA 47:663) for the weights; Swaminathan and Joachims (2015,
"The self-normalized estimator for counterfactual learning", NeurIPS) for SNIPS; Dudik, Langford and Li (2011, "Doubly
robust policy evaluation and learning", ICML) for the doubly robust one; Kish (1965, Survey Sampling) for the effective
sample size; Liang and Zeger (1986, Biometrika 73:13) for the error where choices are about the same piece of work.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from overnight.base.errors import UserMistake
from overnight.proof.distributions import t_quantile

LEAST_EFFECTIVE = 10.0
"""Choices of one's own that logged ones have to be worth, for an estimate to mean anything."""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A choice: its reward, its chance when it was made, and its chance under the policy in question.

    `about` is the piece of work, whose difficulty all choices about it share; None: no other one is about it.
    """

    reward: float
    propensity: float
    wanted: float
    about: Hashable = None


@dataclass(frozen=True, kw_only=True)
class Valued:
    """What a policy is worth: mean reward with a 95 % interval, and how many choices of its own that rests on.

    Where all choices are about one piece of work, the interval has no end.
    """

    value: float
    lower: float
    upper: float
    n: int
    effective: float

    @property
    def meaningful(self) -> bool:
        """Whether it rests on enough."""
        return self.effective >= LEAST_EFFECTIVE


def snips(log: Sequence[Logged]) -> Valued:
    """Return the value by self-normalised weights: the mean reward, each weighed by wanted / propensity.

    Raises:
        UserMistake: nothing is logged, a chance cannot be, or the policy would have made none of the choices.
    """
    weights = _weights(log)
    total = math.fsum(weights)
    if total == 0:
        raise UserMistake("none of the logged choices is one that the policy would make: they say nothing of it")
    value = math.fsum(weight * one.reward for weight, one in zip(weights, log, strict=True)) / total
    residuals = [weight * (one.reward - value) for weight, one in zip(weights, log, strict=True)]
    counted = [(one, residual) for one, residual, weight in zip(log, residuals, weights, strict=True) if weight]
    return _valued(value, _wide(counted) / total, weights)


def doubly_robust(log: Sequence[Logged], predicted: Sequence[float], expected: Sequence[float]) -> Valued:
    """Return the value by a model of the reward, corrected by what the logged choices say of the model.

    `predicted` is what the model says of each logged choice, `expected` what it says of what the policy would do there:
    the mean over all arms, by the policy's chances. It is right where the model or the logged chances are.

    Raises:
        UserMistake: nothing is logged, a chance cannot be, or the lengths differ.
    """
    if not len(log) == len(predicted) == len(expected):
        raise UserMistake(f"{len(log)} choices need as many predictions, got {len(predicted)} and {len(expected)}")
    weights = _weights(log)
    parts = [
        model + weight * (one.reward - said)
        for one, weight, said, model in zip(log, weights, predicted, expected, strict=True)
    ]
    value = math.fsum(parts) / len(parts)
    return _valued(
        value, _wide([(one, part - value) for one, part in zip(log, parts, strict=True)]) / len(parts), weights
    )


def effective_size(weights: Sequence[float]) -> float:
    """Return how many equal weights say as much as these: (sum)^2 / sum of squares; 0 where all are 0."""
    squares = math.fsum(weight * weight for weight in weights)
    return math.fsum(weights) ** 2 / squares if squares else 0.0


def _weights(log: Sequence[Logged]) -> list[float]:
    if not log:
        raise UserMistake("nothing is logged that could be weighed")
    for place, one in enumerate(log):
        if not 0 < one.propensity <= 1:
            raise UserMistake(f"choice {place}: its chance is {one.propensity!r}, not above 0 and at most 1")
        if not 0 <= one.wanted <= 1:
            raise UserMistake(f"choice {place}: its chance under the policy is {one.wanted!r}, not from 0 to 1")
        if not math.isfinite(one.reward):
            raise UserMistake(f"choice {place}: its reward is {one.reward!r}")
    return [one.wanted / one.propensity for one in log]


def _wide(deviations: Sequence[tuple[Logged, float]]) -> float:
    """Return half of the 95 % interval of a sum whose parts deviate so far, those about one piece of work together.

    One piece alone says nothing of how others would be.
    """
    pieces: dict[Hashable, float] = {}
    for place, (one, deviation) in enumerate(deviations):
        key = (place,) if one.about is None else one.about
        pieces[key] = pieces.get(key, 0.0) + deviation
    count = len(pieces)
    if count < 2:
        return math.inf
    variance = math.fsum(one * one for one in pieces.values()) * count / (count - 1)
    return t_quantile(0.025, count - 1) * math.sqrt(variance)


def _valued(value: float, wide: float, weights: Sequence[float]) -> Valued:
    return Valued(
        value=value, lower=value - wide, upper=value + wide, n=len(weights), effective=effective_size(weights)
    )
