"""Intervals of a difference that hold at every look."""

from math import prod
from random import Random

import numpy as np
import pytest
from ville import BettingABTest

from overnight.proof.betting import BETS, STEPS, evidence_worse, lift, step_of


def drawn(random, share, candidate, champion, n):
    """Scores of n requests that go to the candidate with this share; each version's are drawn by its own function."""
    found = []
    for _ in range(n):
        mine = random.random() < share
        found.append((mine, (candidate if mine else champion)(random)))
    return found


def cells_of(scores, share):
    cells = {(True, share): {}, (False, share): {}}
    for mine, score in scores:
        steps = cells[(mine, share)]
        steps[step_of(score)] = steps.get(step_of(score), 0) + 1
    return cells


def coin(p):
    return lambda random: float(random.random() < p)


def test_it_holds_the_truth_at_every_look_and_narrows():
    random, missed = Random(5), 0
    for _ in range(60):
        scores = drawn(random, 0.5, coin(0.8), coin(0.7), 1000)
        looks = [lift(cells_of(scores[:n], 0.5), alpha=0.05) for n in (50, 100, 200, 500, 1000)]
        missed += any(not look.lower <= 0.1 <= look.upper for look in looks)
        assert looks[-1].upper - looks[-1].lower < looks[0].upper - looks[0].lower
    assert missed <= 60 * 0.05 + 3


def test_a_shared_incident_does_not_look_like_a_difference():
    """Both score half as well for a while, in which the candidate has more of the requests."""
    random = Random(6)
    cells = {
        **cells_of(drawn(random, 0.1, coin(0.9), coin(0.9), 2000), 0.1),
        **cells_of(drawn(random, 0.5, coin(0.45), coin(0.45), 2000), 0.5),
    }
    told = lift(cells, alpha=0.05)
    assert told.lower <= 0 <= told.upper
    assert evidence_worse(cells) < 20
    # Which the plain means would have.
    means = {}
    for mine in (True, False):
        steps = [(step, count) for (arm, _), one in cells.items() if arm is mine for step, count in one.items()]
        means[mine] = sum(step * count for step, count in steps) / sum(count for _, count in steps) / STEPS
    assert means[True] - means[False] < -0.1


def test_a_worse_candidate_is_proven_worse_and_a_better_one_never():
    random = Random(7)
    worse = cells_of(drawn(random, 0.25, coin(0.4), coin(0.8), 1500), 0.25)
    assert evidence_worse(worse) > 1000
    assert lift(worse, alpha=0.05).upper < 0
    better = cells_of(drawn(random, 0.25, coin(0.8), coin(0.4), 1500), 0.25)
    assert evidence_worse(better) < 1
    assert lift(better, alpha=0.05).lower > 0


@pytest.mark.no_cover
def test_equal_scores_are_seldom_called_worse_whenever_one_looks():
    random, wrong = Random(8), 0
    for _ in range(100):
        scores = drawn(random, 0.1, coin(0.7), coin(0.7), 600)
        wrong += any(evidence_worse(cells_of(scores[:n], 0.1)) >= 20 for n in range(50, 601, 50))
    assert wrong <= 8


def test_it_agrees_with_another_implementation():
    scores = drawn(Random(9), 0.5, coin(0.8), coin(0.6), 3000)
    arms = np.array([float(mine) for mine, _ in scores])
    other = BettingABTest(alpha=0.05, propensity=0.5, grid=2000).fit(np.array([score for _, score in scores]), arms)
    mine = lift(cells_of(scores, 0.5), alpha=0.05)
    low, high = (float(value) for value in other.interval())
    assert mine.difference == pytest.approx(float(other.estimate_[-1]), abs=0.03)
    assert abs(mine.lower - low) < 0.06
    assert abs(mine.upper - high) < 0.06


def test_nothing_is_said_before_both_have_scores_or_about_shares_of_nobody():
    assert lift({}, alpha=0.05) is None
    assert lift({(True, 0.5): {100: 3}}, alpha=0.05) is None
    assert lift({(True, 0.5): {100: 3}, (False, 0.5): {100: 0}}, alpha=0.05) is None
    assert evidence_worse({(True, 1.0): {0: 500}}) == pytest.approx(1.0)
    few = lift({(True, 0.5): {100: 1}, (False, 0.5): {0: 1}}, alpha=0.05)
    assert (few.lower, few.upper) == (-1.0, 1.0)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_its_ends_are_where_the_bets_on_each_side_have_won_two_by_alpha(share):
    alpha = 0.1
    cells = {(True, share): {90: 40, 20: 9}, (False, share): {60: 110, 30: 60}}
    # A request of the smaller share is at most 0.5 / 0.25 from zero, and zero at most 1 from a difference.
    most = 0.5 / 0.25 + 1
    seen = [
        ((step / STEPS - 0.5) * (1 / share if mine else -1 / (1 - share)), n)
        for (mine, _), one in cells.items()
        for step, n in one.items()
    ]

    def won(difference, sign):
        wealths = [prod((1 + bet / most * sign * (z - difference)) ** n for z, n in seen) for bet in BETS]
        return sum(wealths) / len(BETS)

    told = lift(cells, alpha=alpha)
    assert told.n == 219 and -1 < told.lower < told.difference < told.upper < 1
    assert won(told.lower, 1) == pytest.approx(2 / alpha, rel=0.005)
    assert won(told.upper, -1) == pytest.approx(2 / alpha, rel=0.005)
    assert evidence_worse(cells) == pytest.approx(won(0.0, -1))


def test_what_nobody_was_beside_is_passed_over_and_no_difference_is_larger_than_one():
    beside = {(True, 0.1): {100: 9}, (False, 0.1): {0: 1}}
    turned = {(True, 0.1): {0: 9}, (False, 0.1): {100: 1}}
    alone = {(True, 1.0): {0: 50}, (False, 0.0): {100: 50}}
    for cells, difference in ((beside, 1.0), (turned, -1.0)):
        assert lift(cells, alpha=0.05).difference == difference
        assert lift({**alone, **cells}, alpha=0.05) == lift(cells, alpha=0.05)


def test_scores_are_counted_in_hundredths():
    assert [step_of(score) for score in (-1.0, 0.0, 0.494, 0.496, 1.0, 7.0)] == [0, 0, 49, 50, 100, 100]
