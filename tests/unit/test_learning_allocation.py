"""Which strategies are tried next: drawn by what is known of them, with a chance that is kept."""

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UnknownName, UserMistake
from overnight.learning.allocation import allocated, trials_of
from overnight.learning.evidence import Evidence
from overnight.learning.selection.bandits import EmaGreedy, Thompson, Ucb1
from overnight.learning.selection.policy import FLOOR, Trial, checked_arms, checked_floor, choose
from overnight.learning.selection.posterior import best_shares

ARMS = ("a", "b", "c")
POLICIES = (EmaGreedy, Ucb1, Thompson)


def trial(arm, reward, propensity=1.0):
    return Trial(arm=arm, reward=reward, propensity=propensity)


def played(policy, means, rounds, seed, noise=1.0):
    """Let a policy choose; return how often it has chosen which arm."""
    draw, counts = Random(seed), Counter()
    for _ in range(rounds):
        choice = choose(policy, None, draw)
        counts[choice.arm] += 1
        policy.learn(trial(choice.arm, draw.gauss(means[choice.arm], noise), choice.propensity))
    return counts


@pytest.mark.parametrize("make", POLICIES)
@given(st.lists(st.tuples(st.sampled_from(ARMS), st.floats(-1e6, 1e6)), max_size=20))
def test_chances_are_never_below_the_floor_and_1_in_all(make, seen):
    policy = make(ARMS)
    for arm, reward in seen:
        policy.learn(trial(arm, reward))
    chances = policy.propensities()
    assert tuple(chances) == policy.arms and math.isclose(sum(chances.values()), 1.0)
    assert all(chance >= FLOOR / len(ARMS) * 0.999 for chance in chances.values())


@pytest.mark.parametrize("make", POLICIES)
def test_the_better_arm_is_found(make):
    for seed in range(5):
        counts = played(make(ARMS), {"a": 0.0, "b": 2.0, "c": 0.5}, 300, seed)
        assert counts["b"] > 150, counts


@pytest.mark.no_cover
def test_identical_strategies_are_drawn_by_chance():
    """Of 200 sessions, each arm is the one that was chosen most about as often as the others."""
    most = Counter(
        played(Thompson(ARMS), dict.fromkeys(ARMS, 0.0), 60, seed).most_common(1)[0][0] for seed in range(200)
    )
    # 200 draws among three: more than 90 of one are as rare as 1 in 500.
    assert max(most.values()) <= 90, most


def test_what_changes_is_followed_the_sooner_the_more_is_discounted():
    counts = []
    for discount in (0.98, 0.998, 1.0):
        policy = Thompson(ARMS, discount=discount)
        played(policy, {"a": 2.0, "b": 0.0, "c": 0.0}, 300, 1)
        counts.append(played(policy, {"a": -2.0, "b": 0.0, "c": 0.0}, 600, 2)["a"])
    assert counts[0] < 150 and counts == sorted(counts) and counts[0] < counts[1] < counts[2]


def drawn_values(draw, means, deviations):
    return [draw.gauss(mean, spread) for mean, spread in zip(means, deviations, strict=True)]


def test_shares_are_how_often_each_normal_value_is_the_greatest():
    means, deviations, draw = [0.0, 0.5, 1.0], [1.0, 0.2, 0.5], Random(1)
    rows = [drawn_values(draw, means, deviations) for _ in range(20_000)]
    counts = Counter(row.index(max(row)) for row in rows)
    for place, share in enumerate(best_shares(means, deviations)):
        assert share == pytest.approx(counts[place] / 20_000, abs=0.015)
    many = best_shares([0.0] * 6, [1.0] * 6)
    assert many == pytest.approx([1 / 6] * 6, abs=0.01)
    assert best_shares([0.0, 100.0], [1.0, 1.0])[1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: checked_arms([]), UserMistake),
        (lambda: checked_arms(["a", "a"]), UserMistake),
        (lambda: checked_floor(0), UserMistake),
        (lambda: trial("a", math.nan), UserMistake),
        (lambda: trial("a", 1.0, 0.0), UserMistake),
        (lambda: Thompson(ARMS).learn(trial("d", 1.0)), UnknownName),
    ],
)
def test_what_cannot_be_is_refused(make, error):
    with pytest.raises(error):
        make()


# -- exercises


def test_two_are_drawn_for_each_exercise_and_mostly_the_better_ones():
    known = [trial(arm, score) for _ in range(10) for arm, score in (("a", 50.0), ("b", 60.0), ("c", 70.0))]
    known.append(trial("gone", 99.0))  # a strategy that the settings no longer have
    drawn = allocated(ARMS, known, [None] * 200, Random(1))
    assert all(len({one.strategy for one in some}) == 2 for some in drawn)
    counts = Counter(one.strategy for some in drawn for one in some)
    assert counts["c"] > 190 and counts["a"] + counts["b"] < 210


def test_the_chance_that_is_kept_is_that_of_being_drawn():
    known = [trial(arm, 50.0 + 4 * place + offset) for place, arm in enumerate(ARMS) for offset in (-9, 0, 9)]
    drawn = [one for some in allocated(ARMS, known, [None] * 6000, Random(1)) for one in some]
    counts = Counter(one.strategy for one in drawn)
    for arm in ARMS:
        [chance] = {one.propensity for one in drawn if one.strategy == arm}
        assert counts[arm] / 6000 == pytest.approx(chance, abs=0.02)


def test_what_is_best_at_work_of_one_kind_is_drawn_there_once_that_has_proved_its_worth():
    best = {"small": "a", "large": "b"}
    known = [
        Trial(arm=arm, reward=90.0 if best[kind] == arm else 40.0 + number % 7, propensity=1.0, features={"kind": kind})
        for number in range(60)
        for kind in best
        for arm in ARMS
    ]
    works = [{"kind": kind} for kind in best] * 50
    drawn = allocated(ARMS, known, works, Random(1))
    for kind, arm in best.items():
        mine = [some for some, work in zip(drawn, works, strict=True) if work["kind"] == kind]
        assert sum(arm in {one.strategy for one in some} for some in mine) == len(mine), kind


def test_of_two_both_execute_and_unknown_strategies_count_for_nothing():
    drawn = allocated(("a", "b"), [trial("gone", 99.0)], [None] * 3, Random(1))
    assert [[(one.strategy, one.propensity) for one in some] for some in drawn] == [[("a", 1.0), ("b", 1.0)]] * 3


def test_evidence_of_another_project_counts_for_less_and_comes_first():
    elsewhere = Evidence(strategy="a", parameters="h", type="t", uses=12, score=80.0, spread=5.0)
    found = trials_of([elsewhere], [("b", 50.0, {"type": "t"})])
    assert found[-1].features == {"type": "t"}
    assert [one.arm for one in found] == ["a"] * 3 + ["b"] and {one.reward for one in found[:3]} == {75.0, 85.0}
