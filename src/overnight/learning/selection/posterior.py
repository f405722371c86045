"""How likely it is of each arm that it is the best one, its mean being known no better than by a normal law. Pure."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

REACH = 4.0
"""Deviations from the mean beyond which a normal law is taken to have nothing."""
_CELLS = 36
_STEPS = [NormalDist().inv_cdf(place / 10) for place in range(1, 10)]


def best_shares(means: Sequence[float], deviations: Sequence[float]) -> list[float]:
    """Return with which probability each of several independent normal values is the greatest; together 1.

    That is how often Thompson sampling (Thompson 1933, Biometrika 25:285) chooses each arm, so that its choice can be
    logged with its propensity. P(i is the greatest) is the integral over x of the density of i times the product of
    P(j < x) over all others; summed here over cells, whose edges lie evenly and, so that a narrow law is not stepped
    over, at the deciles of each.

    `deviations` are standard deviations above 0. The shares are right to 0.01.
    """
    least = max(mean - REACH * spread for mean, spread in zip(means, deviations, strict=True))
    laws = [
        (place, mean, spread)
        for place, (mean, spread) in enumerate(zip(means, deviations, strict=True))
        if mean + REACH * spread > least
    ]
    shares = [0.0] * len(means)
    below = [[_below(edge, mean, spread) for _, mean, spread in laws] for edge in _edges(laws, least)]
    for low, high in pairwise(below):
        middle = [(one + other) / 2 for one, other in zip(low, high, strict=True)]
        all_below = math.prod(middle)
        for (place, _, _), one, other, between in zip(laws, low, high, middle, strict=True):
            if between:
                shares[place] += (other - one) * all_below / between
    whole = math.fsum(shares)
    return [share / whole for share in shares]


def _edges(laws: Sequence[tuple[int, float, float]], least: float) -> list[float]:
    most = max(mean + REACH * spread for _, mean, spread in laws)
    even = [least + (most - least) * cell / _CELLS for cell in range(_CELLS + 1)]
    if len(laws) > _CELLS // len(_STEPS):
        return even
    return sorted({*even, *(mean + spread * step for _, mean, spread in laws for step in _STEPS)})


def _below(x: float, mean: float, spread: float) -> float:
    return 0.5 * math.erfc((mean - x) / (spread * math.sqrt(2)))
