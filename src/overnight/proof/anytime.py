"""Bounds of a mean that hold at every number of items at once, so that anybody may look as often as they like. Pure.

A gambler bets against "the mean is m" and multiplies its capital by 1 + theta (x / m - 1) for each value x of a range
that begins at 0: in a fair game its capital is expected to stay 1 or to shrink, so it ever reaches 1 / alpha with a
chance of at most alpha (Ville 1939). The means against which it has become so rich are ruled out (Waudby-Smith and
Ramdas 2024, J. R. Statist. Soc. B 86:1, section 4). How much is staked, theta, is spread over all shares by Jeffreys'
prior, as Cover's universal portfolio does (Orabona and Jun 2024, IEEE Trans. Inf. Theory 70:436): the capital is the
mean over a grid of stakes, and does not depend on the order of the values. For wins and losses against "as many of
each" it is the e-process of a sign test with a mixture over the chances of a win.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from overnight.base.errors import UserMistake
from overnight.proof.distributions import bisect

STAKES = tuple(math.sin(math.pi * (place - 0.5) / 48) ** 2 for place in range(1, 25))
"""Equally likely stakes: the quantiles of the arcsine distribution."""
_STEPS = 26
"""A bound is found to 8 digits of the range, on the careful side."""


def log_capital(counts: Mapping[float, int], mean: float) -> float:
    """Return the logarithm of the capital after bets against `mean` (> 0); `counts` says how often each value came.

    Values lie at or above 0. The less the mean, the more capital.
    """
    logs = [sum(count * math.log1p(stake * (value / mean - 1)) for value, count in counts.items()) for stake in STAKES]
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))


def bounds_at_any_time(values: Sequence[float], *, low: float, high: float, alpha: float) -> tuple[float, float]:
    """Return one-sided bounds of the mean of values between `low` and `high`, each ever wrong with a chance of `alpha`.

    Raises:
        UserMistake: the range is empty, or a value lies outside of it.
    """
    return bounds_of_counts(Counter(values), low=low, high=high, alpha=alpha)


def bounds_of_counts(counts: Mapping[float, int], *, low: float, high: float, alpha: float) -> tuple[float, float]:
    """Return the bounds of `bounds_at_any_time`; `counts` says how often each value came.

    Raises:
        UserMistake: the range is empty, or a value lies outside of it.
    """
    if not low < high:
        raise UserMistake(f"the range must go up, got {low!r} to {high!r}")
    outside = next((value for value in counts if not low <= value <= high), None)
    if outside is not None:
        raise UserMistake(f"every value must lie between {low!r} and {high!r}, got {outside!r}")
    width = high - low
    above = Counter[float]()
    below = Counter[float]()
    for value, count in counts.items():
        above[(value - low) / width] += count
        below[(high - value) / width] += count
    return low + width * _lower(above, alpha), high - width * _lower(below, alpha)


def _lower(counts: Mapping[float, int], alpha: float) -> float:
    """Return the lower bound of the mean of values between 0 and 1."""
    n = sum(counts.values())
    mean = min(math.fsum(value * count for value, count in counts.items()) / n, 1.0) if n else 0.0
    if mean == 0:
        return 0.0
    enough = -math.log(alpha)
    return bisect(lambda point: log_capital(counts, point) < enough, 0.0, mean, steps=_STEPS)
