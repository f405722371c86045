"""Measures agree with hand counts, with SciPy where it is there, and with themselves."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof.bootstrap import bootstrap_difference
from overnight.proof.distributions import normal_tail, t_quantile
from overnight.proof.measures import (
    absolute_errors,
    equal_error_rate,
    interval_of_mean,
    mean,
    spearman,
    spearman_gain,
)

numbers = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30)


def noisy(n: int, noise: float, seed: int) -> tuple[list[float], list[float], list[float]]:
    source = random.Random(seed)
    truths = [source.gauss(0, 1) for _ in range(n)]
    return truths, [t + source.gauss(0, noise) for t in truths], [t + source.gauss(0, 2) for t in truths]


def test_absolute_errors_are_per_item():
    assert absolute_errors([1, 2, 3], [2, 2, 1]) == [1, 0, 2]


def test_the_mean_is_exact():
    assert mean([1e16, 1.0, -1e16]) == pytest.approx(1 / 3)
    with pytest.raises(NotMeasured, match=r"^a mean needs at least 1 value, got 0$"):
        mean([])


def test_wilsons_interval_for_zeros_and_ones():
    # The standard example: 8 of 10, 95 %: 0.490 to 0.943.
    seen = interval_of_mean([1.0] * 8 + [0.0] * 2)
    assert (seen.value, seen.n, seen.alpha) == (0.8, 10, 0.025)
    assert seen.lower == pytest.approx(0.4902, abs=5e-5)
    assert seen.upper == pytest.approx(0.9433, abs=5e-5)


def test_all_right_is_not_certainty():
    seen = interval_of_mean([1.0] * 10)
    assert seen.lower == pytest.approx(0.7225, abs=5e-5)
    assert seen.upper == pytest.approx(1.0)


def test_wilsons_interval_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    expected = stats.binomtest(37, 120).proportion_ci(0.9, method="wilson")
    seen = interval_of_mean([1.0] * 37 + [0.0] * 83, alpha=0.05)
    assert (seen.lower, seen.upper) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_a_mean_encloses_students():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    source = random.Random(2)
    values = [source.expovariate(1) for _ in range(200)]
    low, high = stats.t.interval(0.95, 199, statistics.fmean(values), stats.sem(values))
    seen = interval_of_mean(values)
    assert seen.lower == pytest.approx(low, abs=1e-9)
    assert high < seen.upper < high + 0.1
    mirrored = interval_of_mean([-value for value in values])
    assert (mirrored.lower, mirrored.upper) == (-seen.upper, -seen.lower)


def test_equal_values_have_an_interval_of_no_width():
    seen = interval_of_mean([2.5, 2.5, 2.5])
    assert (seen.lower, seen.value, seen.upper) == (2.5, 2.5, 2.5)


def test_an_interval_needs_two_values():
    assert interval_of_mean([0.0, 1.0]).n == 2
    with pytest.raises(NotMeasured, match=r"^an interval needs at least 2 values, got 1$"):
        interval_of_mean([1.0])


def test_spearman_by_hand():
    assert spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826816681233)
    assert spearman([1, 2, 3], [10, 20, 30]) == 1
    assert spearman([1, 2, 3], [3, 2, 1]) == -1


@settings(deadline=None)
@given(numbers)
def test_spearman_agrees_with_scipy(pairs):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    if len(set(left)) > 1 and len(set(right)) > 1:
        assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)


@settings(deadline=None)
@given(numbers)
def test_spearman_only_sees_the_order(pairs):
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    if len(set(left)) > 1 and len(set(right)) > 1:
        assert spearman(left, right) == spearman([math.exp(a) for a in left], right)
        assert spearman(left, right) == spearman(right, left) == -spearman([-a for a in left], right)
        assert -1 <= spearman(left, right) <= 1


@pytest.mark.parametrize(("left", "right"), [([1, 1], [1, 2]), ([1, 2], [3, 3]), ([1], [1]), ([], [])])
def test_equal_values_have_no_order(left, right):
    with pytest.raises(NotMeasured, match=r"^a rank correlation needs at least 2 different values on each side$"):
        spearman(left, right)


def test_the_gain_is_the_difference_of_the_correlations():
    truths, new, old = noisy(30, 0.5, 1)
    assert spearman_gain(truths, new, old) == pytest.approx(spearman(truths, new) - spearman(truths, old))
    assert spearman_gain(truths, new, old) > 0


def test_a_better_ranking_is_found_better():
    seen = bootstrap_difference(spearman_gain, *noisy(150, 0.5, 1), random=random.Random(1), resamples=300)
    assert 0 < seen.lower < seen.value < seen.upper
    assert (seen.n, seen.alpha) == (150, 0.05)


def test_swapped_sides_are_found_worse():
    truths, new, old = noisy(150, 0.5, 1)
    seen = bootstrap_difference(spearman_gain, truths, old, new, random=random.Random(1), resamples=300)
    assert seen.upper < 0


def test_the_same_seed_gives_the_same_bounds_in_any_order():
    truths, new, old = noisy(40, 1.5, 3)
    order = random.Random(9).sample(range(40), 40)
    turned = [[side[at] for at in order] for side in (truths, new, old)]
    one = bootstrap_difference(spearman_gain, truths, new, old, random=random.Random(5), resamples=100)
    assert one == bootstrap_difference(spearman_gain, *turned, random=random.Random(5), resamples=100)
    other = bootstrap_difference(spearman_gain, truths, new, old, random=random.Random(6), resamples=100)
    assert (one.lower, one.upper) != (other.lower, other.upper)


def test_the_bootstrap_of_a_mean_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    truths, new, old = noisy(60, 1.0, 4)
    gains = [abs(t - b) - abs(t - a) for t, a, b in zip(truths, new, old, strict=True)]

    def gain(truth, a, b):
        return mean(absolute_errors(truth, b)) - mean(absolute_errors(truth, a))

    seen = bootstrap_difference(gain, truths, new, old, random=random.Random(1), resamples=3_000)
    assert seen.value == pytest.approx(statistics.fmean(gains))
    theirs = stats.bootstrap(
        (gains,), lambda sample, axis: sample.mean(axis=axis), confidence_level=0.9, method="percentile", rng=1
    ).confidence_interval
    # Ours is wider by sqrt(60 / 59) and by Student against normal: 2.4 % of the half width.
    width = (theirs.high - theirs.low) / 2
    assert seen.lower == pytest.approx(theirs.low - 0.024 * width, abs=0.07 * width)
    assert seen.upper == pytest.approx(theirs.high + 0.024 * width, abs=0.07 * width)


def counted(n: int, alpha: float, resamples: int = 999):
    """The bounds where the resamples give 1, 2, 3, ... and the items themselves 0."""
    calls = iter(range(10_000))
    items = [float(at) for at in range(n)]
    return bootstrap_difference(
        lambda _truths, _new, _old: float(next(calls)),
        items,
        items,
        items,
        random=random.Random(1),
        resamples=resamples,
        alpha=alpha,
    )


@pytest.mark.parametrize("n", [2, 5, 400])
def test_bounds_are_the_outer_ones_of_percentile_and_standard_interval_widened_for_few_items(n):
    widened = math.sqrt(n / (n - 1)) * t_quantile(0.2, n - 1)
    tail, margin = normal_tail(widened), widened * statistics.stdev(range(1, 1000))
    assert tail < 0.2
    seen = counted(n, 0.2)
    assert (seen.value, seen.n) == (0, n)
    assert seen.lower == pytest.approx(-margin), "the percentile lies above"
    assert seen.upper == pytest.approx(max(1_000 * (1 - tail), margin))


def test_with_five_wins_and_nothing_else_the_bounds_leave_zero_and_with_four_they_do_not():
    """Four items that differ may all be won by luck: 1 / 16 is above 0.05."""

    def gain(_truths, new, old):
        return sum(new) - sum(old)

    for wins, above in ((5, True), (4, False)):
        new = [1.0] * wins + [0.0] * (6 - wins)
        seen = bootstrap_difference(gain, new, new, [0.0] * 6, random=random.Random(1), resamples=400)
        assert (seen.lower > 0) is above


def test_resamples_that_cannot_be_measured_are_left_out():
    # Two items: half of the resamples hold one item twice.
    with pytest.raises(NotMeasured, match="of 200 resamples could be measured; more items are needed"):
        bootstrap_difference(
            spearman_gain, [1, 1, 1, 1, 2], [1, 2, 3, 4, 5], [1, 1, 1, 1, 2], random=Twice(), resamples=200
        )
    seen = bootstrap_difference(
        spearman_gain, [1, 2, 3, 4], [1, 2, 3, 4], [4, 2, 3, 1], random=random.Random(1), resamples=200
    )
    assert seen.lower <= seen.value <= seen.upper


class Twice:
    """Draws the first item only."""

    def choices(self, population, *, k):
        return [population[0]] * k


def test_half_of_the_resamples_are_enough():
    calls = iter(range(10_000))

    def every_second(_truths, _new, _old):
        call = next(calls)
        if call % 2:
            raise NotMeasured("odd")
        return float(call)

    items = [1.0, 2.0, 3.0]
    assert bootstrap_difference(every_second, items, items, items, random=random.Random(1), resamples=100).upper > 90


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"alpha": 0.5}, UserMistake, "alpha must lie between 0 and 0.5, got 0.5"),
        ({"resamples": 99}, UserMistake, "resamples must be at least 100, got 99"),
        ({"candidate": [1.0]}, UserMistake, "both sides must have the same length, got 2 and 1 \\(candidate\\)"),
        ({"champion": [1.0]}, UserMistake, "both sides must have the same length, got 2 and 1 \\(champion\\)"),
        ({"champion": [1.0, math.nan]}, UserMistake, r"champion\[1\] must be a finite number, got nan"),
        ({"truths": [math.inf, 1.0]}, UserMistake, r"truths\[0\] must be a finite number, got inf"),
        (
            {"truths": [1.0], "candidate": [1.0], "champion": [1.0]},
            NotMeasured,
            "a bootstrap needs at least 2 items or groups, got 1",
        ),
    ],
)
def test_what_cannot_be_resampled_is_refused(changed, error, message):
    arguments = {"truths": [1.0, 2.0], "candidate": [1.0, 2.0], "champion": [2.0, 1.0], "random": random.Random(1)}
    with pytest.raises(error, match=f"^{message}$"):
        bootstrap_difference(spearman_gain, **{**arguments, **changed})


def test_an_interval_of_what_is_not_a_number_is_refused():
    with pytest.raises(UserMistake, match=r"^values\[1\] must be a finite number, got nan$"):
        interval_of_mean([1.0, math.nan])
    with pytest.raises(UserMistake, match="alpha must lie"):
        interval_of_mean([1.0, 2.0], alpha=0.7)


def test_sides_of_unequal_length_have_no_correlation():
    with pytest.raises(UserMistake, match="both sides must have the same length, got 2 and 1"):
        spearman([1, 2], [1])


def test_the_equal_error_rate_of_scores_that_are_apart_is_0_and_of_swapped_ones_1():
    assert equal_error_rate([2, 3], [0, 1, 1]) == 0
    assert equal_error_rate([0, 1], [2, 3, 4]) == 1


def test_the_equal_error_rate_by_hand():
    # From 3 on: 1 of 4 is refused, and 1 of 4 accepted.
    assert equal_error_rate([2, 4, 5, 6], [0, 1, 1, 3]) == 0.25
    # Equal scores cannot be told apart: between all and nothing half.
    assert equal_error_rate([1, 1], [1]) == 0.5
    # From (0 refused, 1/2 accepted) to (1, 0): they meet at 1/3.
    assert equal_error_rate([2], [1, 2]) == pytest.approx(1 / 3)


def test_an_equal_error_rate_needs_both_kinds_of_trials():
    for same, different in (([], [1.0]), ([1.0], [])):
        with pytest.raises(NotMeasured, match=r"^an equal error rate needs trials of one speaker and of two"):
            equal_error_rate(same, different)
    with pytest.raises(UserMistake, match="same"):
        equal_error_rate([math.nan], [1.0])
    with pytest.raises(UserMistake, match="different"):
        equal_error_rate([1.0], [math.inf])


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.lists(st.integers(-5, 5), min_size=1, max_size=12))
def test_the_equal_error_rate_lies_between_the_rates_of_any_threshold(same, different):
    seen = equal_error_rate(same, different)
    for threshold in range(-6, 7):
        refused = sum(one < threshold for one in same) / len(same)
        accepted = sum(one >= threshold for one in different) / len(different)
        assert min(refused, accepted) - 1e-12 <= seen <= max(refused, accepted) + 1e-12
    # Turned round, what was refused is accepted.
    assert equal_error_rate([-one for one in different], [-one for one in same]) == pytest.approx(seen)
