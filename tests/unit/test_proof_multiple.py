"""Many tests share one alpha, as a set or as a stream; bounds that hold at any time; the exact test of signs."""

import math
from itertools import accumulate, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.proof.anytime import STAKES, bounds_at_any_time, log_capital
from overnight.proof.flips import flip_lower
from overnight.proof.multiple import DECAY, holm, lord


def by_value(values, alpha):
    return holm(values, lambda name, level: values[name] <= level, alpha=alpha)


def test_holm_by_hand():
    # 0.01 <= 0.05 / 4, 0.02 > 0.05 / 3: the first only.
    assert by_value({"a": 0.03, "b": 0.01, "c": 0.02, "d": 0.6}, 0.05) == ("b",)
    assert by_value({"a": 0.03, "b": 0.01, "c": 0.016, "d": 0.6}, 0.05) == ("b", "c")
    assert by_value({"a": 0.0249, "b": 0.01, "c": 0.016, "d": 0.6}, 0.05) == ("a", "b", "c")
    assert by_value({"a": 0.001, "b": 0.002}, 0.05) == ("a", "b")
    assert by_value({}, 0.05) == by_value({"a": 0.06}, 0.05) == ()


@given(st.lists(st.floats(0.001, 1), max_size=8), st.sampled_from([0.05, 0.2]))
def test_holm_is_the_published_step_down(values, alpha):
    named = {str(place): value for place, value in enumerate(values)}
    expected = set()
    for place, name in enumerate(sorted(named, key=named.__getitem__)):
        if named[name] > alpha / (len(named) - place):
            break
        expected.add(name)
    assert set(by_value(named, alpha)) == expected


def test_a_stream_of_nulls_spends_no_more_than_alpha():
    levels = [lord([False] * place, alpha=0.05) for place in range(200)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(0.05 * 0.7454, rel=1e-3)
    assert sum(levels) < 0.05 < sum(levels) / 0.999 + 0.05 * DECAY**-8


def test_findings_after_the_first_pay_for_further_tests():
    assert lord([True], alpha=0.05) == lord([False], alpha=0.05)
    assert lord([True, True], alpha=0.05) == pytest.approx(lord([False] * 2, alpha=0.05) + lord([], alpha=0.05))
    later = lord([True, False, True, False], alpha=0.05)
    assert later == pytest.approx(lord([False] * 4, alpha=0.05) + lord([False], alpha=0.05))


def test_the_share_of_false_findings_in_a_stream_is_at_most_alpha():
    """A third of the candidates is better (p-values of a shifted normal), the rest is as good."""
    source, shares = Random(5), []
    for _ in range(300):
        found, false = [], 0
        for _ in range(40):
            better = source.random() < 1 / 3
            value = 0.5 * math.erfc((source.gauss(0, 1) + 3.0 * better) / math.sqrt(2))
            found.append(value <= lord(found, alpha=0.1))
            false += found[-1] and not better
        shares.append(false / max(1, sum(found)))
    assert 0.005 < sum(shares) / len(shares) <= 0.1


# -- at any time


def test_the_capital_in_a_fair_game_stays_one_on_the_average():
    """All 2^8 courses of a fair coin, at every time: the mean is 1, so 1 / alpha is reached with a chance of alpha."""
    for n in range(1, 9):
        total = sum(
            math.exp(log_capital({0.0: n - sum(wins), 1.0: sum(wins)}, 0.5)) for wins in product((0, 1), repeat=n)
        )
        assert total / 2**n == pytest.approx(1, abs=1e-12)


def test_the_stakes_are_a_distribution_over_all_shares():
    assert all(0 < stake < 1 for stake in STAKES) and sum(STAKES) / len(STAKES) == pytest.approx(0.5)


@pytest.mark.no_cover
def test_looking_after_every_item_rules_out_the_truth_in_at_most_five_percent():
    source, wrong = Random(9), 0
    for _ in range(300):
        steps = [source.choices((1.0, -1.0, 0.0), (15, 15, 70))[0] for _ in range(300)]
        wins, losses = (list(accumulate(step == sign for step in steps)) for sign in (1.0, -1.0))
        counts = zip(wins, losses, range(1, 301), strict=True)
        wrong += any(
            log_capital({1.0: up, 0.0: down, 0.5: n - up - down}, 0.5) >= -math.log(0.05) for up, down, n in counts
        )
    assert 1 <= wrong <= 0.05 * 300


def test_the_lower_bound_is_where_the_capital_reaches_one_over_alpha():
    values = [0.2, 0.9, 0.7, 0.7, 1.0, 0.4] * 5
    low, high = bounds_at_any_time([4 * value - 1 for value in values], low=-1, high=3, alpha=0.05)
    counts = {value: values.count(value) for value in set(values)}
    assert math.exp(log_capital(counts, (low + 1) / 4)) == pytest.approx(20, rel=1e-4)
    mirrored = bounds_at_any_time([1 - 4 * value for value in values], low=-3, high=1, alpha=0.05)
    assert mirrored == pytest.approx((-high, -low))
    wide = bounds_at_any_time([4 * value - 1 for value in values], low=-1, high=3, alpha=0.01)
    assert wide[0] < low < high < wide[1]


def test_values_at_the_ends_and_none_at_all_have_bounds():
    assert bounds_at_any_time([], low=-1, high=1, alpha=0.05) == (-1, 1)
    low, high = bounds_at_any_time([1.0] * 50, low=-1, high=1, alpha=0.05)
    assert 0.7 < low < high == 1
    assert bounds_at_any_time([-1.0] * 50, low=-1, high=1, alpha=0.05) == pytest.approx((-1, -low))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [(1, 1, "the range must go up, got 1 to 1"), (0, 0.5, "every value must lie between 0 and 0.5, got 1.0")],
)
def test_values_outside_their_range_are_refused(low, high, message):
    with pytest.raises(UserMistake, match=message):
        bounds_at_any_time([0.5, 1.0], low=low, high=high, alpha=0.05)


# -- the exact test of signs


def subset_means(values):
    chosen = [
        [value for value, taken in zip(values, some, strict=True) if taken]
        for some in product((0, 1), repeat=len(values))
        if any(some)
    ]
    return sorted(sum(some) / len(some) for some in chosen)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-10, 10), min_size=5, max_size=9), st.sampled_from([0.05, 0.2]))
def test_the_bound_is_the_mean_of_a_subset(values, alpha):
    scaled = [value / 10 for value in values]
    expected = subset_means(scaled)[int(alpha * 2 ** len(values)) - 1]
    assert flip_lower(scaled, alpha) == pytest.approx(expected, abs=3e-6)


def test_the_side_of_zero_is_exact():
    assert flip_lower([0.1, 0.2, 0.3, 0.4, 0.5], 1 / 32) > 0
    assert flip_lower([0.1, 0.2, 0.3, 0.4, -0.1], 1 / 32) < 0
    assert flip_lower([1e-9, 0.2, 0.3, 0.4, -1e-9, 0.7], 2 / 64) <= 0, "the two cancel, which counts against"


def test_equal_skill_of_any_spread_is_found_better_in_exactly_the_share_that_is_allowed():
    """All signs of five differences: one of 32 ways is the best of all, and alpha = 1/32 accepts just that one."""
    sizes = [0.1, 0.9, 0.35, 0.5, 0.77]
    found = [
        flip_lower([sign * size for sign, size in zip(signs, sizes, strict=True)], 1 / 32) > 0
        for signs in product((-1, 1), repeat=5)
    ]
    assert sum(found) == 1
