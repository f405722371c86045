"""What came of work that is no exercise, as evidence of the strategies that executed it. Pure.

Such work is of other types than exercises, and easier or harder: what counts is by how much strategies differ within
a type, and not how high they score there. Where one strategy alone has executed a type, nothing is known of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from overnight.learning.evidence import Evidence

PRODUCTION = "production"
"""The type that such evidence is of."""


@dataclass(frozen=True, kw_only=True)
class Produced:
    """What came of work of a type by a strategy: `success` from 0 to 1, `limit_s` None where its time has no limit."""

    strategy: str
    type: str
    success: float
    time_s: float | None
    limit_s: float | None


def score_of(one: Produced, weights: Mapping[str, float]) -> float | None:
    """Return the score that the facts allow, 0 to 100; None where none of its parts is known.

    Nothing is repeated, so there is no reliability, and without a time limit no speed: the other weights are scaled
    such that they sum up to 1. Who fails was not quick.
    """
    parts = {"success": 100 * one.success}
    if one.time_s is not None and one.limit_s is not None:
        parts["speed"] = 100 * max(0.0, 1 - one.time_s / one.limit_s) if one.success else 0.0
    whole = math.fsum(weights[name] for name in parts)
    return math.fsum(weights[name] * value for name, value in parts.items()) / whole if whole > 0 else None


def evidence_of(produced: Iterable[Produced], weights: Mapping[str, float], around: float) -> list[Evidence]:
    """Return the evidence of each strategy: `around`, and what it is better or worse than others at the same work."""
    groups: dict[str, dict[str, list[float]]] = {}
    for one in produced:
        score = score_of(one, weights)
        if score is not None:
            groups.setdefault(one.type, {}).setdefault(one.strategy, []).append(score)
    differences: dict[str, list[float]] = {}
    for some in groups.values():
        middle = fmean(fmean(scores) for scores in some.values())
        for strategy, scores in some.items():
            if len(some) > 1:
                differences.setdefault(strategy, []).extend(score - middle for score in scores)
    return [_evidence(strategy, found, around) for strategy, found in sorted(differences.items())]


def _evidence(strategy: str, found: list[float], around: float) -> Evidence:
    mean = fmean(found)
    return Evidence(
        strategy=strategy,
        parameters="",
        type=PRODUCTION,
        uses=len(found),
        score=around + mean,
        spread=math.sqrt(fmean((one - mean) ** 2 for one in found)),
    )
