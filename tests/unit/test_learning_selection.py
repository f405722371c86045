"""Policies that look at the work, and what logged choices say of other policies."""

import sys
from random import Random

import pytest

from overnight.base.errors import UnknownName, UserMistake
from overnight.learning.selection.contextual import Contextual
from overnight.learning.selection.off_policy import Logged, doubly_robust, effective_size, snips
from overnight.learning.selection.policy import FLOOR, Trial, choose

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")
ARMS = ("a", "b")


def played(policy, reward_of, rounds, seed, features_of):
    """Let a policy choose; return how often it was right in the last quarter, right being the better arm there."""
    draw, right = Random(seed), 0
    for place in range(rounds):
        features = features_of(draw)
        choice = choose(policy, features, draw)
        rewards = {arm: reward_of(arm, features) for arm in policy.arms}
        reward = rewards[choice.arm] + draw.gauss(0, 0.5)
        policy.learn(Trial(arm=choice.arm, reward=reward, propensity=choice.propensity, features=features))
        right += place >= 0.75 * rounds and rewards[choice.arm] == max(rewards.values())
    return right / (0.25 * rounds)


def telling(draw):
    return {
        "x": draw.uniform(-1, 1),
        "hard": draw.gauss(0, 1),
        "kind": draw.choice(["u", "v"]),
        "noise": draw.gauss(0, 1),
    }


def by_x(arm, features):
    return (1.0 if (features["x"] > 0) == (arm == "a") else -1.0) + features["hard"]


@pytest.mark.no_cover
def test_where_the_best_arm_depends_on_the_work_it_is_looked_at():
    policy = Contextual(ARMS)
    assert played(policy, by_x, 600, 1, telling) > 0.7 and policy.proven


@pytest.mark.no_cover
def test_where_features_say_nothing_they_are_not_looked_at_and_the_better_arm_is_found():
    policy = Contextual(ARMS)
    share = played(policy, lambda arm, features: float(arm == "b"), 300, 2, lambda draw: {"noise": draw.gauss(0, 1)})
    assert share > 0.85


def test_chances_have_a_floor_and_are_1_in_all_whatever_is_missing():
    policy = Contextual(ARMS)
    assert policy.propensities(None) == {"a": 0.5, "b": 0.5}
    draw = Random(1)
    for place in range(60):
        features = None if place % 5 == 0 else {"x": None if place % 3 else draw.random(), "kind": "u"}
        policy.learn(Trial(arm=draw.choice(ARMS), reward=draw.random(), propensity=0.5, features=features))
        for asked in (None, {}, {"x": 0.5}, {"other": 1.0, "kind": "w"}):
            chances = policy.propensities(asked)
            assert sum(chances.values()) == pytest.approx(1) and min(chances.values()) >= FLOOR / 2 * 0.999
    with pytest.raises(UnknownName, match="there is no arm 'c'"):
        policy.learn(Trial(arm="c", reward=1.0, propensity=1.0))


def test_trials_of_one_arm_alone_can_be_learned_from():
    policy = Contextual(ARMS)
    for place in range(40):
        policy.learn(Trial(arm="a", reward=float(place % 2), propensity=1.0, features={"x": float(place)}))
    assert policy.propensities({"x": 3.0})["b"] > 0


def test_words_alone_are_features_too():
    policy = Contextual(ARMS)
    for place in range(120):
        kind = "uv"[place // 2 % 2]
        reward = float((kind == "u") == (place % 2 == 0))
        policy.learn(Trial(arm=ARMS[place % 2], reward=reward, propensity=0.5, features={"kind": kind}))
    assert policy.propensities({"kind": "u"})["a"] > 0.8 and policy.propensities({"kind": "v"})["b"] > 0.8


def test_an_arm_that_has_become_worse_is_noticed():
    policy, draw = Contextual(ARMS), Random(1)
    for _ in range(200):
        for arm, mean in (("a", 3.0), ("b", 1.0)):
            policy.learn(Trial(arm=arm, reward=draw.gauss(mean, 1), propensity=0.5, features={"x": draw.random()}))
    assert policy.propensities(None)["a"] > 0.95
    for _ in range(20):
        policy.learn(Trial(arm="a", reward=draw.gauss(-1, 1), propensity=0.5, features={"x": draw.random()}))
    assert policy.propensities(None)["b"] > 0.95, "20 trials against 200"


def test_trials_without_features_count_after_trees_were_grown_and_when_an_arm_becomes_worse():
    policy = Contextual(["a", "b"])
    for number in range(40):
        for arm, reward in (("a", 90.0), ("b", 10.0)):
            policy.learn(Trial(arm=arm, reward=reward + number % 3, propensity=1.0))
    for number in range(30):
        policy.learn(Trial(arm="b", reward=12.0 + number % 3, propensity=1.0, features={"size": float(number)}))
    assert policy.propensities({"size": 1.0})["a"] > 0.9
    for _ in range(20):
        policy.learn(Trial(arm="a", reward=1.0, propensity=1.0))
    assert policy.propensities()["b"] > 0.9


def test_without_scikit_learn_it_knows_the_arms_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "overnight.learning.selection.regions", None)
    policy = Contextual(ARMS)
    for place in range(60):
        policy.learn(Trial(arm=ARMS[place % 2], reward=float(place % 2), propensity=0.5, features={"x": 1.0}))
    assert not policy.proven and policy.propensities({"x": 1.0})["b"] > 0.9


# -- off-policy


def log_of(count, seed, chance_of_a=0.8, wanted_of_a=0.2):
    """Return choices between two arms worth 1 and 3 on average, logged with their chances."""
    draw, found = Random(seed), []
    for _ in range(count):
        is_a = draw.random() < chance_of_a
        reward = (1.0 if is_a else 3.0) + draw.gauss(0, 1)
        chance, wanted = (chance_of_a, wanted_of_a) if is_a else (1 - chance_of_a, 1 - wanted_of_a)
        found.append(Logged(reward=reward, propensity=chance, wanted=wanted))
    return found


@pytest.mark.no_cover
def test_the_value_of_a_policy_is_found_in_the_choices_of_another_and_the_interval_holds():
    truth, held = 0.2 * 1 + 0.8 * 3, 0
    for seed in range(100):
        found = snips(log_of(400, seed))
        assert found.value == pytest.approx(truth, abs=0.4) and found.meaningful and found.effective < found.n == 400
        held += found.lower <= truth <= found.upper
    assert held >= 88


def test_with_wrong_chances_the_value_is_wrong():
    wrong = [Logged(reward=one.reward, propensity=0.5, wanted=one.wanted) for one in log_of(4000, 1)]
    assert abs(snips(wrong).value - 2.6) > 0.5


def test_the_doubly_robust_value_is_right_where_the_model_or_the_chances_are():
    log = log_of(4000, 3)
    is_a = [one.wanted == 0.2 for one in log]
    right, bad = [1.0 if a else 3.0 for a in is_a], [9.0] * len(log)
    wrong = [Logged(reward=one.reward, propensity=0.5, wanted=one.wanted) for one in log]
    assert doubly_robust(log, bad, bad).value == pytest.approx(2.6, abs=0.3)
    assert doubly_robust(wrong, right, [2.6] * len(log)).value == pytest.approx(2.6, abs=0.05)
    precise, plain = doubly_robust(log, right, [2.6] * len(log)), snips(log)
    assert precise.upper - precise.lower < plain.upper - plain.lower


def test_few_choices_that_count_are_said_to_be_few():
    rare = [Logged(reward=1.0, propensity=0.5, wanted=1.0), *[Logged(reward=1.0, propensity=0.5, wanted=0.01)] * 50]
    assert not snips(rare).meaningful and effective_size([]) == 0.0 and effective_size([2.0, 2.0]) == 2.0


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ([], "nothing is logged that could be weighed"),
        ([Logged(reward=1.0, propensity=0.0, wanted=1.0)], "choice 0: its chance is 0.0, not above 0 and at most 1"),
        ([Logged(reward=1.0, propensity=0.5, wanted=1.5)], "choice 0: its chance under the policy is 1.5"),
        ([Logged(reward=float("nan"), propensity=0.5, wanted=1.0)], "choice 0: its reward is nan"),
        (
            [Logged(reward=1.0, propensity=0.5, wanted=0.0)],
            "none of the logged choices is one that the policy would make",
        ),
    ],
)
def test_what_cannot_be_weighed_is_refused(log, why):
    with pytest.raises(UserMistake, match=why):
        snips(log)


def test_predictions_have_to_be_there_for_each_choice():
    with pytest.raises(UserMistake, match="4 choices need as many predictions, got 1 and 0"):
        doubly_robust(log_of(4, 1), [1.0], [])
