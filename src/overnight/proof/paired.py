"""How much better one version is than another, item by item, and how sure that is.

Three methods, chosen by the data alone; `docs/adr/0028-methods-of-the-gate.md` has what was measured of their rivals:

`McNemar mid-p` when all differences that are not ties have the same size (right or wrong, win or loss). Fagerland,
Lydersen and Laake (2013), BMC Medical Research Methodology 13:91, section "The McNemar mid-p test".

`exact sign-flip` below 30 items where the other bound's promise costs nothing: neither the differences nor those among
them that are not ties lean to the side of losses (skewness >= 0). Where they do, it accepts far too often.

`skewness-guarded t` for every other difference. Student's t accepts too often when a candidate wins a little on many
items and loses much on few (left skew). The bound is therefore the lower one of Student's and of Hall's (1992, J. R.
Statist. Soc. B 54:221-228, section 2: the cubic transformation, inverted) with the sample skewness lowered by one
standard error, sqrt(6 / n), because a small sample shows less skewness than there is.

Ties say nothing about which version is better, but they say how much. Each method therefore takes the lower one of two
bounds: one over the items that differ, scaled by their share, and one over all items.

No method can see a rare disaster that is not among the items (Bahadur and Savage 1956, Ann. Math. Statist. 27:1115).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from overnight.base.errors import UserMistake
from overnight.proof.distributions import binomial_mid_p, bisect, normal_quantile, t_quantile
from overnight.proof.flips import MOST, flip_lower

_SAME = 1e-9
"""Sizes that differ by less than this share are the same size: rounding must not choose the method."""
_ROUNDING = 4 * 2.0**-52
"""Two scores that differ by less than this share of the larger one are equal: rounding must not break ties."""


class Method(StrEnum):
    """How the bounds were found."""

    MCNEMAR = "McNemar mid-p"
    FLIP = "exact sign-flip"
    STUDENT = "skewness-guarded t"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What paired differences (candidate minus champion, in the unit of the scores) say.

    `lower` and `upper` are one-sided bounds at `alpha` each: together an interval of level 1 - 2 alpha. `method` is how
    `lower` was found. `untied` counts
    the items that differ, `unit` is the largest absolute difference. As shares of that: `size`, the root mean square of
    all differences, and `untied_spread`, the standard deviation of those that are not ties.
    """

    difference: float
    lower: float
    upper: float
    n: int
    untied: int
    unit: float
    size: float
    untied_spread: float
    alpha: float
    method: Method


def compare(candidate: Sequence[float], champion: Sequence[float], *, alpha: float = 0.05) -> Comparison:
    """Compare two versions by their scores on the same items, in the same order (higher is better).

    Raises:
        UserMistake: the lengths differ, there are fewer than two pairs, a score is not a finite number, the scores
            differ by more than a float can hold, or alpha is not between 0 and 0.5.
    """
    check_alpha(alpha)
    differences = _differences(candidate, champion)
    unit = max(map(abs, differences))
    if unit == 0:
        return _all_tied([*candidate, *champion], len(differences), alpha)
    # Scaled to at most 1, so that squares and cubes neither overflow nor vanish.
    values = [d / unit for d in differences]
    untied = [v for v in values if v]
    n = len(values)
    equal_sizes = all(abs(v) > 1 - _SAME for v in untied)
    if equal_sizes:
        wins = sum(v > 0 for v in untied)
        losses = len(untied) - wins
        method = Method.MCNEMAR
        lower, upper = _mcnemar_lower(wins, losses, n, alpha), -_mcnemar_lower(losses, wins, n, alpha)
    else:
        method, lower = _lower_of_mean(values, untied, alpha)
        upper = -_lower_of_mean([-v for v in values], [-v for v in untied], alpha)[1]
    return Comparison(
        difference=unit * math.fsum(values) / n,
        lower=unit * lower,
        upper=unit * upper,
        n=n,
        untied=len(untied),
        unit=unit,
        size=math.sqrt(math.fsum(v * v for v in values) / n),
        untied_spread=moments(untied)[1],
        alpha=alpha,
        method=method,
    )


def check_alpha(alpha: float) -> None:
    """Refuse an error rate that is not between 0 and 0.5.

    Raises:
        UserMistake: it is not.
    """
    if not 0 < alpha < 0.5:
        raise UserMistake(f"alpha must lie between 0 and 0.5, got {alpha!r}")


def check_finite(name: str, values: Sequence[float]) -> None:
    """Refuse values that are not finite numbers; the message names the list and the place.

    Raises:
        UserMistake: one is not.
    """
    for at, value in enumerate(values):
        try:
            finite = math.isfinite(value)
        except (TypeError, OverflowError):
            finite = False
        if not finite:
            raise UserMistake(f"{name}[{at}] must be a finite number, got {value!r}")


def check_pair(candidate: Sequence[float], champion: Sequence[float]) -> None:
    """Refuse scores that are no pairs of finite numbers.

    Raises:
        UserMistake: the lengths differ, there are fewer than two pairs, or a score is not a finite number.
    """
    if len(candidate) != len(champion):
        raise UserMistake(
            f"candidate and champion must be scored on the same items, got {len(candidate)} and {len(champion)} scores"
        )
    if len(candidate) < 2:
        raise UserMistake(f"a comparison needs at least 2 items, got {len(candidate)}")
    check_finite("candidate", candidate)
    check_finite("champion", champion)


def _differences(candidate: Sequence[float], champion: Sequence[float]) -> list[float]:
    check_pair(candidate, champion)
    differences = []
    for at, (new, old) in enumerate(zip(candidate, champion, strict=True)):
        difference = float(new) - float(old)
        if math.isinf(difference):
            raise UserMistake(f"candidate[{at}] and champion[{at}] differ by more than a number can hold")
        tied = abs(difference) <= _ROUNDING * max(abs(new), abs(old))
        differences.append(0.0 if tied else difference)
    return differences


def _all_tied(scores: Sequence[float], n: int, alpha: float) -> Comparison:
    # One item could have differed by as much as the scores do among themselves.
    bound = (max(scores) - min(scores)) * -_score_lower(0, 0, n, alpha)
    return Comparison(
        difference=0.0,
        lower=0.0 - bound,
        upper=bound,
        n=n,
        untied=0,
        unit=0.0,
        size=0.0,
        untied_spread=0.0,
        alpha=alpha,
        method=Method.MCNEMAR,
    )


def _mcnemar_lower(wins: int, losses: int, n: int, alpha: float) -> float:
    """Return the lower bound of (wins - losses) / n; it is above zero only if the mid-p is below alpha.

    Over the untied items it is the mid-p interval of the share of wins, over all items the score interval.
    """
    untied = wins + losses
    share = _win_share_lower(wins, losses, alpha)
    return min((2 * share - 1) * untied / n, _score_lower(wins, losses, n, alpha))


def _win_share_lower(wins: int, losses: int, alpha: float) -> float:
    if wins == 0:
        return 0.0
    if losses == 0:
        return float((2 * alpha) ** (1 / wins))
    # One half ends the bracket, so that the sign of the bound is the verdict of the test itself.
    proven = binomial_mid_p(wins, losses) < alpha
    low, high = (0.5, 1.0) if proven else (0.0, 0.5)
    return bisect(lambda share: binomial_mid_p(wins, losses, share) >= alpha, low, high)


def _score_lower(wins: int, losses: int, n: int, alpha: float) -> float:
    """Return Tango's score bound of a paired difference of proportions (1998, Statistics in Medicine 17:891)."""
    z = normal_quantile(alpha)

    def plausible(delta: float) -> bool:
        # The share of losses that fits best if the true difference is delta (Tango 1998, equation 7).
        b = (2 * n - wins + losses) * delta - wins - losses
        root = math.sqrt(max(b * b + 8 * n * losses * delta * (1 - delta), 0.0)) - b
        variance = n * (root / (2 * n) + delta * (1 - delta))
        return (wins - losses - n * delta) <= z * math.sqrt(max(variance, 0.0))

    return bisect(plausible, -1.0, (wins - losses) / n)


def _lower_of_mean(values: Sequence[float], untied: Sequence[float], alpha: float) -> tuple[Method, float]:
    n, k = len(values), len(untied)
    enough = k >= fewest_untied(alpha)
    if enough and n <= MOST and min(moments(values)[2], moments(untied)[2]) >= -_SAME:
        return Method.FLIP, flip_lower(values, alpha)
    lower = bounds_of_mean(values, alpha)[0]
    if k < n:
        lower = min(lower, k / n * bounds_of_mean(untied, alpha)[0])
    return Method.STUDENT, lower if enough else min(lower, 0.0)


def bounds_of_mean(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Return the skewness-guarded bounds of a mean, each missed with a chance of about alpha; see the module."""
    mean, spread, skewness = moments(values)
    student = _student_margin(len(values), alpha)
    below = _guarded(student, skewness, len(values))
    return mean - spread * below, mean + spread * _guarded(student, -skewness, len(values))


def fewest_untied(alpha: float) -> int:
    """Return how many items must differ before a better candidate can be told from luck.

    With fewer, candidate and champion that are equally good give all wins with a chance above alpha (2 ** -untied).
    """
    return math.ceil(-math.log2(alpha))


def moments(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, standard deviation (divisor n) and bias-corrected skewness (0 for two values or no spread)."""
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / n)
    if n < 3 or spread == 0:
        return mean, spread, 0.0
    skewness = math.fsum(((v - mean) / spread) ** 3 for v in values) / n
    return mean, spread, skewness * math.sqrt(n * (n - 1)) / (n - 2)


def margin(n: int, skewness: float, alpha: float) -> float:
    """Return how many standard deviations (divisor n) below the mean of n values the lower bound lies."""
    return _guarded(_student_margin(n, alpha), skewness, n)


def _student_margin(n: int, alpha: float) -> float:
    return t_quantile(alpha, n - 1) / math.sqrt(n - 1)


def _guarded(student: float, skewness: float, n: int) -> float:
    """Return the larger one of Student's margin and Hall's, with the skewness lowered by one standard error."""
    skew = skewness - math.sqrt(6 / n)
    if skew >= 0:
        return student
    return max(student, 3 / skew * (math.cbrt(1 + skew * (student - skew / (6 * n))) - 1))
