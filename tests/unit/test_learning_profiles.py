"""What is told of a strategy follows from executions that it names."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from overnight.learning.profiles import TREND, Execution, average, by_strategy, by_type, pareto, profile_of

ONE = Execution(run_id=1, strategy="balanced", type="noisy", success_rate=1.0, score=80.0, time_s=2.0, at_us=1)


def many(scores, **more):
    return [replace(ONE, run_id=place, score=score, at_us=place, **more) for place, score in enumerate(scores)]


def test_an_average_moves_to_each_value_by_the_rate():
    assert average([10, 20, 0], 0.3) == pytest.approx((10 + 0.3 * 10) * 0.7)
    assert average([10, 20, 0], 0.5) == pytest.approx(7.5), "the rate is what the settings say"
    assert average([7], 0.3) == 7
    assert average([], 0.3) is None


def test_an_adaptive_rate_begins_as_a_plain_mean():
    assert average([1, 2, 6], "adaptive") == pytest.approx(3)
    late = average([0] * 50 + [1], "adaptive")
    assert late == pytest.approx(0.3), "and goes on with the usual rate"


@given(values=some.lists(some.floats(-1e6, 1e6), min_size=1), rate=some.floats(0.01, 1) | some.just("adaptive"))
def test_an_average_lies_among_its_values(values, rate):
    assert min(values) - 1e-6 <= average(values, rate) <= max(values) + 1e-6


def test_a_profile_is_measured_from_the_minimum_on_and_names_its_runs():
    few, enough = profile_of(many([1, 2, 3, 4])), profile_of(many([1, 2, 3, 4, 5]))
    assert (few.measured, enough.measured) == (False, True)
    assert profile_of(many([1, 2]), minimum=2).measured
    assert list(enough.run_ids) == [0, 1, 2, 3, 4]
    assert enough.uses == 5


def test_a_score_that_was_not_measured_counts_as_no_score():
    found = profile_of(many([None, 50.0, None]), minimum=2)
    assert (found.uses, found.measured, found.score) == (3, False, 50.0)
    assert found.success_rate == 1.0


def test_nothing_is_told_of_what_was_never_executed():
    found = profile_of([])
    assert (found.uses, found.measured, found.score, found.success_rate, found.time_s) == (0, False, None, None, None)
    assert found.intervals == {"success_rate": None, "score": None, "time_s": None}


def test_the_trend_holds_the_newest_scores():
    found = profile_of(many(range(30)))
    assert [score for score, _ in found.trend] == list(range(30 - TREND, 30))


def test_the_intervals_are_those_of_plain_means():
    found = profile_of(many([60, 70, 80, 90, 50, 70]))
    interval = found.intervals["score"]
    assert interval.value == pytest.approx(70) and interval.lower < 70 < interval.upper and interval.n == 6


def test_executions_are_parted_by_strategy_and_type_in_the_order_of_time():
    mixed = [*many([1, 2], strategy="a"), *many([3], strategy="b", type="small")][::-1]
    assert {name: [one.score for one in some_of] for name, some_of in by_strategy(mixed).items()} == {
        "a": [1, 2],
        "b": [3],
    }
    assert set(by_type(mixed)) == {"noisy", "small"}


def test_the_front_holds_who_is_beaten_by_nobody():
    profiles = {
        "good": profile_of(many([90] * 5, time_s=3.0)),
        "fast": profile_of(many([70] * 5, time_s=1.0)),
        "beaten": profile_of(many([70] * 5, time_s=2.0)),
        "dear": profile_of(many([90] * 5, time_s=3.0, cost_usd=1.0)),
        "new": profile_of(many([100] * 4)),
        "idle": profile_of(many([70] * 5, success_rate=0.0, time_s=0.1)),
    }
    assert pareto(profiles) == ["good", "fast", "dear"]
    cheap = profile_of(many([90] * 5, time_s=3.0, cost_usd=0.5))
    assert pareto({**profiles, "cheap": cheap}) == ["good", "fast", "cheap"]
