"""How many items a comparison needs before a real gain shows."""

import math
from collections.abc import Callable

from overnight.proof.distributions import bisect, normal_quantile
from overnight.proof.paired import Comparison, Method, fewest_untied, margin

POWER = 0.8
"""The chance of finding a gain that the numbers of items are made for."""
_MOST = 10**12


def items_needed(comparison: Comparison, gain: float) -> int:
    """Return how many items find a true gain of `gain` units (`comparison.unit`, > 0) in 80 % of cases, at most 1e12.

    It assumes that new items differ as often and by as much as those of the comparison did; at least one must differ.
    For wins and losses the formula is Connett, Smith and McHugh's (1987, Statistics in Medicine 6:537); otherwise it is
    the smallest number whose own margin of error, with symmetric differences, leaves that chance.
    """
    share = comparison.untied / comparison.n
    if comparison.method is Method.MCNEMAR:
        return _for_wins_and_losses(min(gain, 1.0), share, comparison.alpha)
    return min(math.ceil(_for_sizes(gain / share / comparison.untied_spread, comparison.alpha) / share), _MOST)


def detectable(comparison: Comparison) -> float | None:
    """Return the smallest true gain, in units, that as many items as were compared find in 80 % of cases.

    None where no gain is found by so few. The assumptions are those of `items_needed`, whose inverse it is.
    """
    n, alpha, untied = comparison.n, comparison.alpha, comparison.untied
    share = untied / n
    if comparison.method is Method.MCNEMAR:
        if _for_wins_and_losses(1.0, share, alpha) > n:
            return None
        return bisect(lambda gain: _for_wins_and_losses(gain, share, alpha) <= n, 0.0, 1.0)
    if untied < max(fewest_untied(alpha), 2):
        return None
    return (
        share * comparison.untied_spread * (margin(untied, 0.0, alpha) + normal_quantile(1 - POWER) / math.sqrt(untied))
    )


def _for_wins_and_losses(gain: float, share: float, alpha: float) -> int:
    differing = max(share, gain)
    null = normal_quantile(alpha) * math.sqrt(differing)
    planted = normal_quantile(1 - POWER) * math.sqrt(differing - gain * gain)
    if null + planted >= math.sqrt(_MOST) * gain:
        return _MOST
    # All wins pass the mid-p test from this number of differing items on.
    fewest = math.floor(-math.log2(2 * alpha)) + 1
    return max(math.ceil(((null + planted) / gain) ** 2), math.ceil(fewest / differing))


def _for_sizes(effect_sds: float, alpha: float) -> int:
    def enough(n: int) -> bool:
        return effect_sds >= margin(n, 0.0, alpha) + normal_quantile(1 - POWER) / math.sqrt(n)

    return _first(enough, max(fewest_untied(alpha), 2))


def _first(enough: Callable[[int], bool], low: int) -> int:
    """Return the smallest number from `low` on that is enough, at most 1e12; from it on every number is."""
    high = low
    while high < _MOST and not enough(high):
        low, high = high + 1, min(2 * high, _MOST)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
