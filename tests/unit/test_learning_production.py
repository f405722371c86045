"""Work that is no exercise tells which strategy does better at it, as far as its facts go, and for little."""

import pytest

from overnight.learning.evidence import weighed
from overnight.learning.production import Produced, evidence_of, score_of
from overnight.learning.scoring import WEIGHTS, weights_of


def came(strategy, success=1.0, *, type_="task:mail", time_s=30.0, limit_s=60.0):
    return Produced(strategy=strategy, type=type_, success=success, time_s=time_s, limit_s=limit_s)


def test_a_score_has_the_parts_that_are_known_with_their_weights_scaled_and_failing_is_not_quick():
    assert score_of(came("a"), WEIGHTS) == pytest.approx((0.4 * 100 + 0.3 * 50) / 0.7)
    assert score_of(came("a", limit_s=None), WEIGHTS) == 100
    assert score_of(came("a", time_s=None), WEIGHTS) == 100
    assert score_of(came("a", 0.0, time_s=1.0), WEIGHTS) == 0
    assert score_of(came("a", time_s=90.0), WEIGHTS) == pytest.approx(0.4 * 100 / 0.7)
    assert score_of(came("a"), weights_of({"success": 0, "speed": 0, "reliability": 1})) is None


def test_strategies_differ_within_a_type_and_one_alone_tells_nothing():
    some = [came("a", limit_s=None)] * 4 + [came("b", 0.0, limit_s=None)] * 4
    easy = [came("b", type_="job:nlu", limit_s=None)] * 40
    first, second = evidence_of([*some, *easy], WEIGHTS, 60.0)
    assert (first.strategy, first.score, first.uses, weighed([first])[0][1]) == ("a", 110, 4, 1)
    assert (second.strategy, second.score, second.uses, second.spread) == ("b", 10, 4, 0)
    assert evidence_of(easy, WEIGHTS, 60.0) == []


def test_all_of_it_counts_for_ten_executions_of_a_strategy_at_the_most():
    types = [f"task:{number}" for number in range(5)]
    some = [came(name, type_=type_) for type_ in types for name in ("a", "b") for _ in range(50)]
    assert [(one.strategy, count) for one, count in weighed(evidence_of(some, WEIGHTS, 60.0))] == [("a", 10), ("b", 10)]
    assert evidence_of(some, weights_of({"success": 0, "speed": 0, "reliability": 1}), 60.0) == []
