"""The exact sign-flip test of a mean, turned into a bound. Pure.

If two versions are equally good, each difference could as well have had the other sign. The test counts in how many of
the 2^n ways to choose the signs the sum is at least as large as it is (Fisher 1935, The Design of Experiments, section
21). A mean of `d` is ruled out if the differences minus d fail it. By Hartigan (1969, J. Am. Stat. Assoc. 64:1303) the
bound is the mean of a subset: of all means of subsets, the floor(alpha 2^n)-th from below.
"""

from bisect import bisect_right
from collections.abc import Sequence

MOST = 29
"""Values that are counted out at the most: two halves of 2^15 sums and less."""
_ROUNDING = 1e-12
_STEPS = 20


def flip_lower(values: Sequence[float], alpha: float) -> float:
    """Return the lower bound at `alpha` of a mean, by all flips of signs, to 6 digits of the values' range.

    There are at most `MOST` values, none larger than 1 in size, and at least as many as can rule anything out:
    alpha 2^n >= 1.
    """
    allowed = int(alpha * 2 ** len(values))
    low, high = min(values), max(values)
    # At 0 first, so that rounding does not choose the side on which the bound lies.
    if low < 0 < high:
        low, high = (0.0, high) if _as_high(values, 0.0) <= allowed else (low, 0.0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _as_high(values, middle) <= allowed else (low, middle)
    return low


def _as_high(values: Sequence[float], mean: float) -> int:
    """Return how many choices of signs give a sum at least as large: those where what is flipped adds up to <= 0."""
    shifted = [value - mean for value in values]
    half = len(values) // 2
    one, other = _sums(shifted[:half]), _sums(shifted[half:])
    slack = _ROUNDING * len(values)
    return sum(bisect_right(other, slack - some) for some in one)


def _sums(values: Sequence[float]) -> list[float]:
    """Return the sums of all subsets, in order: each further value merges two sorted runs."""
    found = [0.0]
    for value in values:
        found = sorted(found + [some + value for some in found])
    return found
