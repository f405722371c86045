"""What an execution is worth, from 0 to 100. Pure.

score = 0.4 x success + 0.3 x speed + 0.3 x reliability, each from 0 to 100, with weights that can be set:

- success: the share of its checks that have passed.
- speed: 100 x max(0, 1 - time / limit).
- reliability: how far repeats with other seeds agree, which is measured and no property of a name.

A part that was not measured is None, and so is a score that needs it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from overnight.base.errors import UserMistake

PARTS = ("success", "speed", "reliability")
WEIGHTS: Mapping[str, float] = {"success": 0.4, "speed": 0.3, "reliability": 0.3}


@dataclass(frozen=True, kw_only=True)
class Score:
    """The parts of a score and their weighted sum, all from 0 to 100; None is what was not measured."""

    success: float
    speed: float
    reliability: float | None
    total: float | None


def score(
    *,
    success_rate: float,
    time_s: float,
    limit_s: float,
    agreement: float | None,
    weights: Mapping[str, float] = WEIGHTS,
) -> Score:
    """Return the score of an execution that took `time_s` of `limit_s` seconds.

    `success_rate` is the share of checks that have passed, `agreement` that of answers that repeats have in common
    (`agreement_of`); `weights` sum up to 1, see `weights_of`.
    """
    parts: dict[str, float | None] = {
        "success": 100 * success_rate,
        "speed": 100 * max(0.0, 1 - time_s / limit_s),
        "reliability": None if agreement is None else 100 * agreement,
    }
    # Success and speed are numbers.
    return Score(**parts, total=total_of(parts, weights))  # type: ignore[arg-type]


def total_of(parts: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """Return the weighted sum of the parts of a score; None where one that it needs was not measured."""
    needed = [(weights[name], parts[name]) for name in PARTS if weights[name] > 0]
    known = [weight * value for weight, value in needed if value is not None]
    return math.fsum(known) if len(known) == len(needed) else None


def agreement_of(repeats: Sequence[Sequence[str]]) -> float | None:
    """Return the mean share of answers that two of the repeats have in common; None for fewer than two.

    Each repeat has given the same number of answers, to the same questions in the same order, or none: one without any
    answer agrees with no other.
    """
    shares = [
        sum(mine == theirs for mine, theirs in zip(one, other, strict=True)) / len(one) if one and other else 0.0
        for one, other in combinations(repeats, 2)
    ]
    return math.fsum(shares) / len(shares) if shares else None


def weights_of(given: Mapping[str, float]) -> dict[str, float]:
    """Return the weights with those that are given, scaled such that they sum up to 1.

    Raises:
        UserMistake: one is unknown, negative or not finite, or all are 0.
    """
    for name, value in given.items():
        if name not in PARTS:
            raise UserMistake(f"weights: {name!r} is none of {', '.join(PARTS)}")
        if not (math.isfinite(value) and value >= 0):
            raise UserMistake(f"weights.{name}: {value!r} is not 0 or greater")
    found = {**WEIGHTS, **given}
    total = math.fsum(found.values())
    if total <= 0:
        raise UserMistake("weights: all are 0")
    return {name: value / total for name, value in found.items()}
