"""Figures that say how good predictions are, and how sure the figures are.

A metric that is a mean over items is compared by `overnight.proof.paired`; one that is not (a rank correlation, say) by
`overnight.proof.bootstrap`.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add, mul

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof.distributions import normal_quantile
from overnight.proof.paired import bounds_of_mean, check_alpha, check_finite


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure from n items with one-sided bounds at `alpha` each: together an interval of level 1 - 2 alpha."""

    value: float
    lower: float
    upper: float
    n: int
    alpha: float


def absolute_errors(truths: Sequence[float], predictions: Sequence[float]) -> list[float]:
    """Return the absolute error of each prediction, in the unit of the truths.

    Raises:
        UserMistake: the lengths differ, or a value is not a finite number.
    """
    check_pairs(truths, predictions)
    return [abs(truth - prediction) for truth, prediction in zip(truths, predictions, strict=True)]


def mean(values: Sequence[float]) -> float:
    """Return the mean.

    Raises:
        NotMeasured: there are no values.
    """
    if not values:
        raise NotMeasured("a mean needs at least 1 value, got 0")
    return math.fsum(values) / len(values)


def interval_of_mean(values: Sequence[float], *, alpha: float = 0.025) -> Estimate:
    """Return the mean with its bounds; the default alpha gives a 95 % interval.

    Zeros and ones get Wilson's score interval (1927, J. Am. Stat. Assoc. 22:209), all else the skewness-guarded t of
    `overnight.proof.paired`. Equal values that are not zeros and ones have an interval of no width.

    Raises:
        NotMeasured: there are fewer than 2 values.
        UserMistake: a value is not a finite number, or alpha is not between 0 and 0.5.
    """
    check_alpha(alpha)
    check_finite("values", values)
    n = len(values)
    if n < 2:
        raise NotMeasured(f"an interval needs at least 2 values, got {n}")
    middle = mean(values)
    if all(value in (0, 1) for value in values):
        lower, upper = _wilson_lower(middle, n, alpha), 1 - _wilson_lower(1 - middle, n, alpha)
    else:
        lower, upper = bounds_of_mean(values, alpha)
    return Estimate(value=middle, lower=lower, upper=upper, n=n, alpha=alpha)


def interval_of_share(share: float, n: int, *, alpha: float = 0.025) -> Estimate:
    """Return the mean of `n` values between 0 and 1 with Wilson's bounds, which are too wide for none of them.

    Zeros and ones spread the most of all values with that mean.

    Raises:
        NotMeasured: there are no values.
    """
    check_alpha(alpha)
    if n < 1:
        raise NotMeasured("an interval needs at least 1 value, got 0")
    lower, upper = _wilson_lower(share, n, alpha), 1 - _wilson_lower(1 - share, n, alpha)
    return Estimate(value=share, lower=lower, upper=upper, n=n, alpha=alpha)


def _wilson_lower(share: float, n: int, alpha: float) -> float:
    z = normal_quantile(alpha)
    spread = math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (share + z * z / (2 * n) - z * spread) / (1 + z * z / n)


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Return Spearman's rank correlation, -1 to 1; ties get the average of their ranks.

    Raises:
        NotMeasured: there are fewer than 2 pairs, or all values of one side are equal.
        UserMistake: the lengths differ, or a value is not a finite number.
    """
    check_pairs(left, right)
    return _correlation(_double_ranks(left), _double_ranks(right))


def spearman_gain(truths: Sequence[float], candidate: Sequence[float], champion: Sequence[float]) -> float:
    """Return by how much the candidate's rank correlation with the truths is above the champion's; see `spearman`."""
    ranks = _double_ranks(truths)
    return _correlation(ranks, _double_ranks(candidate)) - _correlation(ranks, _double_ranks(champion))


def equal_error_rate(same: Sequence[float], different: Sequence[float]) -> float:
    """Return the error rate of verification where both kinds of errors are equally frequent, 0 to 1.

    `same` are the scores of trials that should be accepted, `different` those of trials that should not; a trial is
    accepted from a threshold on. Between two neighbouring thresholds the rates are taken to change on a straight line.

    Raises:
        NotMeasured: there are no trials of one kind.
        UserMistake: a score is not a finite number.
    """
    if not same or not different:
        raise NotMeasured("an equal error rate needs trials of one speaker and of two, at least 1 of each")
    check_finite("same", same)
    check_finite("different", different)
    wanted, unwanted = Counter(same), Counter(different)
    scores = sorted({*wanted, *unwanted})
    refused = [0, *accumulate(wanted[score] for score in scores)]
    accepted = [len(different) - count for count in [0, *accumulate(unwanted[score] for score in scores)]]
    # How far the first rate is above the second, times both numbers of trials: whole numbers, from below 0 to above it.
    gaps = [one * len(different) - other * len(same) for one, other in zip(refused, accepted, strict=True)]
    after = bisect_left(gaps, 0)
    share = -gaps[after - 1] / (gaps[after] - gaps[after - 1])
    return (refused[after - 1] + share * (refused[after] - refused[after - 1])) / len(same)


def _double_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the average rank (from 0.5 on) of each value: whole numbers, so that sums are exact in any order."""
    counts = Counter(values)
    ordered = sorted(counts)
    ends = list(accumulate(counts[value] for value in ordered))
    ranks = dict(zip(ordered, map(add, ends, [0, *ends]), strict=False))
    return [ranks[value] for value in values]


def _correlation(left: Sequence[int], right: Sequence[int]) -> float:
    # Double ranks always have n as their mean.
    n = len(left)
    first, second = _product(left, left) - n**3, _product(right, right) - n**3
    if first == 0 or second == 0:
        raise NotMeasured("a rank correlation needs at least 2 different values on each side")
    # Rounding may leave the quotient an ulp outside.
    return max(-1.0, min(1.0, (_product(left, right) - n**3) / math.sqrt(first * second)))


def _product(left: Sequence[int], right: Sequence[int]) -> int:
    return int(sum(map(mul, left, right)))


def check_pairs(left: Sequence[float], right: Sequence[float]) -> None:
    """Refuse sides of unequal length, and values that are not finite numbers.

    Raises:
        UserMistake: they are.
    """
    if len(left) != len(right):
        raise UserMistake(f"both sides must have the same length, got {len(left)} and {len(right)}")
    check_finite("first side", left)
    check_finite("second side", right)
