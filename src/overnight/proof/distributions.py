"""Tail probabilities of Student's t and of the binomial: what the tests of this room stand on.

Only what the paired tests need, in pure Python, so that a verdict does not depend on an optional library.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300


def normal_quantile(tail: float) -> float:
    """Return the point that a standard normal value exceeds with probability `tail` (0 < tail < 1)."""
    return -_NORMAL.inv_cdf(tail)


def normal_tail(point: float) -> float:
    """Return the probability that a standard normal value exceeds the point."""
    return 0.5 * math.erfc(point / math.sqrt(2))


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for 0 < x < 1 and positive a and b.

    Continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions, evaluated by Lentz's method; the
    symmetry 8.17.4 picks the side where it converges quickly.
    """
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value, m, change = d, 0, 0.0
    while abs(change - 1.0) > 1e-15 and m < 10_000:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            change *= c * d
        value *= change
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def t_tail(t: float, degrees: int) -> float:
    """Return the probability that Student's t with `degrees` degrees of freedom exceeds t (t > 0)."""
    return 0.5 * beta_cdf(degrees / (degrees + t * t), degrees / 2, 0.5)


def t_quantile(tail: float, degrees: int) -> float:
    """Return the point that Student's t exceeds with probability `tail` (0 < tail < 0.5).

    Newton's method from the normal quantile: that lies left of the answer, where the distribution function is concave,
    so the steps approach the answer from one side and cannot leave it.
    """
    log_scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
    t = normal_quantile(tail)
    for _ in range(200):
        density = math.exp(log_scale - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (t_tail(t, degrees) - tail) / density
        t += step
        if abs(step) <= 1e-13 * t:
            break
    return t


def binomial_mid_p(wins: int, losses: int, chance: float = 0.5) -> float:
    """Return P(more wins) + P(as many wins) / 2 among `wins + losses` trials that are each won with `chance`.

    The tail is DLMF 8.17.5; the half weight of the point itself is the mid-p of Lancaster (1961).
    """
    trials = wins + losses
    log_point = math.lgamma(trials + 1) - math.lgamma(wins + 1) - math.lgamma(losses + 1)
    log_point += wins * math.log(chance) + losses * math.log1p(-chance)
    at_least = beta_cdf(chance, wins, losses + 1) if wins else 1.0
    return at_least - 0.5 * math.exp(log_point)


def bisect(rises_above: Callable[[float], bool], low: float, high: float, *, steps: int = 42) -> float:
    """Return the point between low and high from which on the condition holds, to 12 digits of the gap, from below."""
    for _ in range(steps):
        middle = (low + high) / 2
        if rises_above(middle):
            high = middle
        else:
            low = middle
    return low
