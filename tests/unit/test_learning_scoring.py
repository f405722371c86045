"""A score follows from what was measured, and is unmeasured where a part of it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from overnight.base.errors import UserMistake
from overnight.learning.scoring import WEIGHTS, agreement_of, score, weights_of


def test_the_score_is_the_documented_sum_of_its_parts():
    found = score(success_rate=0.75, time_s=2.5, limit_s=10, agreement=0.9)
    assert (found.success, found.speed, found.reliability) == (75, 75, 90)
    assert found.total == pytest.approx(0.4 * 75 + 0.3 * 75 + 0.3 * 90)


def test_whoever_takes_the_whole_time_or_more_has_no_speed():
    assert score(success_rate=1, time_s=10, limit_s=10, agreement=1).speed == 0
    assert score(success_rate=1, time_s=99, limit_s=10, agreement=1).speed == 0
    assert score(success_rate=1, time_s=0, limit_s=10, agreement=1).total == 100


def test_without_a_repeat_nothing_is_known_of_reliability_and_of_a_score_that_needs_it():
    found = score(success_rate=1, time_s=1, limit_s=10, agreement=None)
    assert (found.success, found.speed, found.reliability, found.total) == (100, 90, None, None)
    weights = weights_of({"reliability": 0})
    assert score(success_rate=1, time_s=1, limit_s=10, agreement=None, weights=weights).total == pytest.approx(
        (0.4 * 100 + 0.3 * 90) / 0.7
    )


@given(
    success=some.floats(0, 1),
    time_s=some.floats(0, 1e4),
    agreement=some.floats(0, 1),
    given_weights=some.fixed_dictionaries({}, optional=dict.fromkeys(WEIGHTS, some.floats(0.01, 9))),
)
def test_every_part_and_every_score_is_from_0_to_100_whatever_the_weights(success, time_s, agreement, given_weights):
    weights = weights_of(given_weights)
    assert sum(weights.values()) == pytest.approx(1)
    found = score(success_rate=success, time_s=time_s, limit_s=10, agreement=agreement, weights=weights)
    for value in vars(found).values():
        assert 0 <= value <= 100 + 1e-9


def test_repeats_agree_as_far_as_their_answers_are_the_same():
    assert agreement_of([["a", "b", "c", "d"], ["a", "b", "c", "x"]]) == 0.75
    assert agreement_of([["a"], ["a"], ["b"]]) == pytest.approx(1 / 3)
    assert agreement_of([["a", "b"]]) is None and agreement_of([]) is None
    assert agreement_of([[], []]) == 0, "who answers nothing is not reliable"
    assert agreement_of([["a"], ["a"], []]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="zip"):
        agreement_of([["a"], ["a", "b"]])


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ({"sucess": 1}, "'sucess' is none of success, speed, reliability"),
        ({"speed": -1}, "weights.speed: -1 is not 0 or greater"),
        ({"speed": float("nan")}, "weights.speed: nan is not"),
        ({"success": 0, "speed": 0, "reliability": 0}, "all are 0"),
    ],
)
def test_weights_that_are_none_are_refused(weights, why):
    with pytest.raises(UserMistake, match=why):
        weights_of(weights)
