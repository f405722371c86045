"""Tail probabilities agree with tables, with exact sums and, where SciPy is there, with SciPy."""

import math
from fractions import Fraction

import pytest

from overnight.proof.distributions import (
    beta_cdf,
    binomial_mid_p,
    bisect,
    normal_quantile,
    normal_tail,
    t_quantile,
    t_tail,
)

TAILS = (0.45, 0.1, 0.05, 0.01, 1e-6)
DEGREES = (1, 2, 3, 9, 29, 499, 9_999)


def exact_mid_p(wins: int, losses: int) -> Fraction:
    trials = wins + losses
    more = sum(math.comb(trials, k) for k in range(wins + 1, trials + 1))
    return Fraction(2 * more + math.comb(trials, wins), 2 ** (trials + 1))


def test_normal_quantiles_agree_with_the_table():
    assert normal_quantile(0.05) == pytest.approx(1.6448536269514722, rel=1e-12)
    assert normal_quantile(0.2) == pytest.approx(0.8416212335729143, rel=1e-12)
    assert normal_quantile(0.9) < 0


@pytest.mark.parametrize("tail", TAILS)
def test_the_normal_tail_undoes_the_quantile(tail):
    assert normal_tail(normal_quantile(tail)) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize(
    ("degrees", "expected"), [(1, 6.313751515), (2, 2.919985580), (9, 1.833112933), (29, 1.699127027)]
)
def test_t_quantiles_agree_with_the_table(degrees, expected):
    assert t_quantile(0.05, degrees) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("degrees", DEGREES)
def test_the_t_tail_undoes_the_quantile(tail, degrees):
    assert t_tail(t_quantile(tail, degrees), degrees) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize("tail", TAILS)
def test_t_quantiles_agree_with_scipy(tail):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    for degrees in DEGREES:
        assert t_quantile(tail, degrees) == pytest.approx(stats.t.isf(tail, degrees), rel=1e-8)


@pytest.mark.parametrize("x", [1e-6, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 3), (40, 2), (2, 40), (5_000, 0.5), (700, 800)])
def test_the_beta_distribution_agrees_with_scipy(x, a, b):
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (1, 0), (0, 7), (7, 0), (5, 5), (9, 3), (3, 9), (300, 250)])
def test_the_mid_p_is_the_exact_sum(wins, losses):
    assert binomial_mid_p(wins, losses) == pytest.approx(float(exact_mid_p(wins, losses)), rel=1e-10)


def test_the_mid_p_of_both_sides_adds_up_to_one():
    for wins in range(1, 12):
        both = binomial_mid_p(wins, 12 - wins, 0.3) + binomial_mid_p(12 - wins, wins, 0.7)
        assert both == pytest.approx(1, abs=1e-12)


def test_a_fair_trial_published_with_the_method():
    # Fagerland, Lydersen and Laake 2013, table 1: 7 against 1 of 21 children, two-sided mid-p 0.039.
    assert 2 * binomial_mid_p(7, 1) == pytest.approx(0.0391, abs=5e-5)


def test_bisection_finds_where_a_condition_begins_to_hold():
    found = bisect(lambda x: x * x >= 2, 0.0, 2.0)
    assert found == pytest.approx(math.sqrt(2), abs=1e-11)
    assert found**2 < 2
