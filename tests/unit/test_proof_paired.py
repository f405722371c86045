"""Paired comparison: which method, which bounds, what is refused."""

import math
import random
import statistics

import pytest

from overnight.base.errors import UserMistake
from overnight.proof.distributions import binomial_mid_p, normal_quantile, t_quantile
from overnight.proof.paired import Method, bounds_of_mean, compare, fewest_untied, margin, moments


def binary(wins: int, losses: int, ties: int) -> tuple[list[float], list[float]]:
    return [1.0] * wins + [0.0] * losses + [1.0] * ties, [0.0] * wins + [1.0] * losses + [1.0] * ties


def against_zero(differences: list[float]) -> tuple[list[float], list[float]]:
    return differences, [0.0] * len(differences)


def test_wins_and_losses_get_the_mid_p():
    seen = compare(*binary(9, 3, 8))
    assert (seen.method, seen.n, seen.untied, seen.unit) == (Method.MCNEMAR, 20, 12, 1.0)
    assert seen.difference == pytest.approx(0.3)
    assert seen.size == pytest.approx(math.sqrt(12 / 20))


@pytest.mark.parametrize("unit", [0.1, 0.3, 1.0, 7.0, 1e-300, 1e300])
def test_differences_of_one_size_are_wins_and_losses_in_every_unit(unit):
    candidate, champion = binary(9, 3, 8)
    seen = compare([unit * score for score in candidate], [unit * score for score in champion])
    assert seen.method is Method.MCNEMAR
    assert seen.lower / unit == pytest.approx(compare(candidate, champion).lower)


def test_rounding_does_not_choose_the_method_nor_break_ties():
    # 2.1 - 1.1 and 1.1 - 0.1 differ in the last digit, and so do 0.1 + 0.2 and 0.3.
    seen = compare([2.1, 1.1, 0.1 + 0.2, 1.1], [1.1, 0.1, 0.3, 0.1])
    assert (seen.method, seen.untied) == (Method.MCNEMAR, 3)


def test_differences_of_other_sizes_get_the_guarded_t():
    assert compare([1.0, 2.0, 0.0], [0.0, 0.0, 0.0]).method is Method.STUDENT
    assert compare([1.0, -1.000001, 0.0], [0.0, 0.0, 0.0]).method is Method.STUDENT


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_lower_bound_is_above_zero_where_the_mid_p_is_below_alpha(alpha):
    for wins in range(14):
        for losses in range(9):
            seen = compare(*binary(wins, losses, 14), alpha=alpha)
            significant = wins + losses > 0 and binomial_mid_p(wins, losses) < alpha
            assert (seen.lower > 0) == significant, (wins, losses)


def test_the_interval_over_all_items_is_the_published_one():
    # Tango's score interval of the airway data (21 children, 1 against 7), 95 %: -0.517 to -0.026, as in Fagerland,
    # Lydersen and Laake 2014, Statistics in Medicine 33:2850. The bound over the untied items is wider above.
    seen = compare(*binary(1, 7, 13), alpha=0.025)
    assert seen.lower == pytest.approx(-0.5172, abs=5e-5)
    assert -0.0260 <= seen.upper < 0


def test_the_bound_over_the_untied_items_is_the_mid_p_interval_of_the_share_of_wins():
    # Hardly any ties: the untied items decide. The share at which the mid-p of 15 against 5 is 5 %.
    seen = compare(*binary(15, 5, 0))
    share = (seen.lower + 1) / 2
    assert binomial_mid_p(15, 5, share) == pytest.approx(0.05, abs=1e-9)


def test_all_wins_have_a_closed_form():
    assert compare(*binary(6, 0, 0)).lower == pytest.approx(2 * 0.1 ** (1 / 6) - 1)
    assert compare(*binary(6, 0, 0)).upper == pytest.approx(1.0)


def test_when_nothing_differs_the_interval_is_as_wide_as_the_scores_allow():
    seen = compare([0.0, 1.0] * 5, [0.0, 1.0] * 5)
    z = normal_quantile(0.05)
    assert seen.untied == 0
    assert seen.difference == 0
    assert seen.upper == pytest.approx(z * z / (10 + z * z))
    assert seen.lower == -seen.upper
    wide = compare([3.0, 7.0] * 5, [3.0, 7.0] * 5)
    assert wide.upper == pytest.approx(4 * seen.upper)


def test_the_guarded_t_is_never_above_student():
    source = random.Random(3)
    for n in (5, 12, 80):
        values = [source.gauss(0.3, 1) for _ in range(n)]
        seen = compare(*against_zero(values))
        half = t_quantile(0.05, n - 1) * statistics.stdev(values) / math.sqrt(n)
        assert seen.lower <= statistics.fmean(values) - half + 1e-12
        assert seen.upper >= statistics.fmean(values) + half - 1e-12


def test_skewness_widens_the_side_of_the_long_tail_only():
    losses = [1.0, 1.1, 1.2, 1.3, 0.9, 0.8, 1.05, 0.95, 1.15, -3.0]
    seen = compare(*against_zero(losses))
    assert seen.difference - seen.lower > 1.5 * (seen.upper - seen.difference)
    mirrored = compare(*against_zero([-value for value in losses]))
    assert (mirrored.lower, mirrored.upper) == (-seen.upper, -seen.lower)


def test_the_margin_is_students_without_left_skew():
    assert margin(25, 1.0, 0.05) == pytest.approx(t_quantile(0.05, 24) / math.sqrt(24))
    assert margin(25, math.sqrt(6 / 25), 0.05) == pytest.approx(t_quantile(0.05, 24) / math.sqrt(24))


def test_the_margin_undoes_halls_transformation():
    n, skewness, alpha = 20, -1.5, 0.05
    w = margin(n, skewness, alpha)
    skew = skewness - math.sqrt(6 / n)
    hall = w + skew * w**2 / 3 + skew**2 * w**3 / 27 + skew / (6 * n)
    assert hall == pytest.approx(t_quantile(alpha, n - 1) / math.sqrt(n - 1))
    assert w > margin(n, 0.0, alpha) > t_quantile(alpha, n - 1) / math.sqrt(n - 1)


def test_ties_count_in_the_difference_and_in_its_bounds():
    source = random.Random(5)
    values = [source.gauss(1, 1) for _ in range(40)]
    alone, diluted = compare(*against_zero(values)), compare(*against_zero(values + [0.0] * 60))
    assert diluted.untied == 40
    assert diluted.difference == pytest.approx(0.4 * alone.difference)
    assert 0 < diluted.lower <= 0.4 * alone.lower
    assert 0.4 * alone.upper <= diluted.upper < alone.upper


def test_with_ties_the_wider_one_of_two_bounds_holds_on_each_side():
    source = random.Random(8)
    decided_by_the_untied = decided_by_all = 0
    for _ in range(40):
        untied = [source.gauss(0.5, 1) for _ in range(8)]
        values = untied + [0.0] * 24
        seen = compare(*against_zero(values))
        every, some = bounds_of_mean(values, 0.05), bounds_of_mean(untied, 0.05)
        assert seen.lower == pytest.approx(min(every[0], some[0] / 4))
        assert seen.upper == pytest.approx(max(every[1], some[1] / 4))
        decided_by_the_untied += some[0] / 4 < every[0]
        decided_by_all += some[0] / 4 > every[0]
    assert min(decided_by_the_untied, decided_by_all) > 0


def test_too_few_differing_items_prove_nothing_however_clear_they_look():
    assert fewest_untied(0.05) == 5
    assert fewest_untied(0.01) == 7
    assert fewest_untied(0.25) == 2
    four = [1.0, 1.01, 1.02, 1.03]
    assert compare(*against_zero(four)).lower == 0
    assert compare(*against_zero([-value for value in four])).upper == 0
    assert compare(*against_zero([*four, 1.04])).lower > 0
    assert compare(*against_zero([-0.1, 0.1, 0.3])).lower < 0


def test_moments_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    values = [0.3, 1.7, 2.2, -0.4, 9.1]
    mean, spread, skewness = moments(values)
    assert mean == pytest.approx(statistics.fmean(values))
    assert spread == pytest.approx(statistics.pstdev(values))
    assert skewness == pytest.approx(stats.skew(values, bias=False))


def test_two_values_and_equal_values_have_no_skewness():
    assert moments([1.0, 4.0]) == (2.5, 1.5, 0.0)
    assert moments([2.0, 2.0, 2.0]) == (2.0, 0.0, 0.0)
    assert moments([0.0, 0.0, 3.0])[2] > 0


def test_the_formula_gives_about_what_resampling_gives():
    # Percentiles of the studentised mean (bootstrap-t), which the formula stands in for.
    source = random.Random(11)
    values = [1 - source.expovariate(1) + 0.5 for _ in range(200)]
    mean, spread, _ = moments(values)
    drawn = []
    for _ in range(2_000):
        sample = source.choices(values, k=200)
        drawn.append((statistics.fmean(sample) - mean) / statistics.pstdev(sample))
    drawn.sort()
    bootstrap = mean - drawn[1_900] * spread
    assert compare(*against_zero(values)).lower == pytest.approx(bootstrap, abs=0.03)


@pytest.mark.parametrize(
    ("candidate", "champion", "alpha", "message"),
    [
        ([1, 2, 3], [1, 2], 0.05, "candidate and champion must be scored on the same items, got 3 and 2 scores"),
        ([], [], 0.05, "a comparison needs at least 2 items, got 0"),
        ([1], [2], 0.05, "a comparison needs at least 2 items, got 1"),
        ([1, math.nan], [1, 2], 0.05, "candidate[1] must be a finite number, got nan"),
        ([1, 2], [math.inf, 2], 0.05, "champion[0] must be a finite number, got inf"),
        ([1, "x"], [1, 2], 0.05, "candidate[1] must be a finite number, got 'x'"),
        ([1, None], [1, 2], 0.05, "candidate[1] must be a finite number, got None"),
        ([1, 2], [1, 2], 0, "alpha must lie between 0 and 0.5, got 0"),
        ([1, 2], [1, 2], 0.5, "alpha must lie between 0 and 0.5, got 0.5"),
        ([1, 2], [1, 2], math.nan, "alpha must lie between 0 and 0.5, got nan"),
        ([1e308, 2], [-1e308, 2], 0.05, "candidate[0] and champion[0] differ by more than a number can hold"),
    ],
)
def test_what_cannot_be_compared_is_refused(candidate, champion, alpha, message):
    with pytest.raises(UserMistake) as caught:
        compare(candidate, champion, alpha=alpha)
    assert str(caught.value) == message


def test_a_whole_number_that_no_float_holds_is_refused():
    with pytest.raises(UserMistake, match=r"candidate\[0\] must be a finite number"):
        compare([10**400, 1], [0, 0])
