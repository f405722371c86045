"""What each strategy would bring if it executed everything, from executions that were drawn by chance."""

from random import Random
from statistics import fmean

import pytest

from overnight.learning.allocation import allocated
from overnight.learning.estimating import Executed, estimates
from overnight.learning.features import features_of
from overnight.learning.selection.policy import Trial

ARMS = ("a", "b", "c")
WORTH = {("easy", "a"): 80.0, ("easy", "b"): 70.0, ("easy", "c"): 60.0}
WORTH |= {("hard", "a"): 20.0, ("hard", "b"): 50.0, ("hard", "c"): 40.0}


def executed(exercises, seed):
    """Return executions by the strategies that were drawn for exercises, a half of which is hard."""
    draw = Random(seed)
    known = [
        Trial(arm=arm, reward=50.0 + place * 3 + off, propensity=1.0)
        for place, arm in enumerate(ARMS)
        for off in (-9, 9)
    ]
    found = []
    for place, some in enumerate(allocated(ARMS, known, [None] * exercises, draw)):
        type_, difficulty = ("easy", "hard")[place % 2], draw.gauss(0, 5)
        for one in some:
            score = WORTH[type_, one.strategy] + difficulty
            found.append(
                Executed(type=type_, strategy=one.strategy, score=score, chance=one.propensity, together=len(some))
            )
    return found


def test_both_ways_come_to_what_each_strategy_would_bring_however_often_it_was_drawn():
    found = estimates(executed(4000, 1))
    for arm in ARMS:
        true = (WORTH["easy", arm] + WORTH["hard", arm]) / 2
        assert found[arm].snips.value == pytest.approx(true, abs=1.5), arm
        assert found[arm].doubly_robust.value == pytest.approx(true, abs=0.5), arm
        assert found[arm].snips.lower < true < found[arm].snips.upper, arm


def test_a_mean_alone_would_be_wrong_where_the_draw_depends_on_the_work():
    # "a" is drawn for easy work with a chance of 0.9, for hard work with one of 0.1.
    draw, found = Random(2), []
    for place in range(4000):
        type_ = ("easy", "hard")[place % 2]
        chance = 0.9 if type_ == "easy" else 0.1
        arm = "a" if draw.random() < chance else "b"
        mine = chance if arm == "a" else 1 - chance
        found.append(Executed(type=type_, strategy=arm, score=WORTH[type_, arm], chance=mine))
    told = estimates(found)["a"]
    assert fmean(one.score for one in found if one.strategy == "a") > 70
    assert told.snips.value == pytest.approx(50, abs=3) and told.doubly_robust.value == pytest.approx(50, abs=0.5)
    assert 100 < told.snips.effective < 1000


def test_a_type_that_a_strategy_never_met_is_taken_to_be_like_the_others():
    found = estimates(
        [
            Executed(type="x", strategy="a", score=10.0, chance=0.5),
            Executed(type="y", strategy="b", score=30.0, chance=0.5),
        ]
    )
    assert found["a"].doubly_robust.value == pytest.approx(10.0) and not found["a"].snips.meaningful


def test_executions_of_one_exercise_share_how_hard_it_is():
    draw = Random(3)
    hard = [draw.gauss(50, 10) for _ in range(8)]
    same = [
        Executed(type="x", strategy="a", score=hard[place] + draw.gauss(0, 1), chance=1.0, exercise=f"e{place}")
        for _ in range(20)
        for place in range(8)
    ]
    apart = [Executed(**{**vars(one), "exercise": None}) for one in same]
    for way in ("snips", "doubly_robust"):
        together, alone = (getattr(estimates(some)["a"], way) for some in (same, apart))
        assert together.value == alone.value
        assert together.upper - together.lower > 3 * (alone.upper - alone.lower), "8 exercises are not 160"


def test_one_exercise_says_nothing_of_others_and_no_interval_leaves_what_a_score_can_be():
    one = Executed(type="x", strategy="a", score=99.0, chance=1.0, exercise="e")
    told = estimates([one] * 20)["a"].snips
    assert (told.value, told.lower, told.upper) == (99.0, 0.0, 100.0)
    high = [Executed(type="x", strategy="a", score=score, chance=0.05) for score in (100.0, 90.0) * 10]
    assert estimates(high)["a"].doubly_robust.upper <= 100


def test_features_are_what_is_known_of_an_exercise_before_it_is_executed():
    data = {
        "kind": "training",
        "data": "wine",
        "training_items": 40,
        "labels": {"0": 0.75, "1": 0.25},
        "label_noise": 0.1,
    }
    told = {"type": "small_data", "complexity": "hard", "expectedChecks": [{}, {}], "work": data}
    found = features_of(told)
    assert found["labels"] == 2 and found["rarest"] == 0.25 and found["data"] == "wine" and found["clusters"] is None
    assert (found["type"], found["complexity"], found["checks"]) == ("small_data", "hard", 2.0)
    coding = {**told, "work": {"kind": "workspace", "stages": [1, 2, 3]}}
    assert features_of(coding)["stages"] == 3 and "labels" not in features_of(coding)
