"""The judge of a pilot: what it asks for, what it says, and what does not get past it."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.campaigns.gate import NOT_PLANTED, Decision, Pilot, Specification, judge
from overnight.campaigns.planted import KINDS
from overnight.campaigns.quality import WEIGHTS

SEEN_THROUGH = dict.fromkeys(KINDS, (0, 12))


def pilot(qualities, *, planted=SEEN_THROUGH, complete=True):
    return Pilot(qualities={"code": qualities}, planted={"code": planted}, complete=complete)


def drawn(mean, count=190, seed=1):
    draw = Random(seed)
    return [min(1.0, max(0.0, draw.gauss(mean, 0.1))) for _ in range(count)]


def check(verdict, name):
    return next(one for one in verdict.checks if one.name == name)


def test_a_good_pilot_is_approved_with_its_interval():
    verdict = judge(Specification(), pilot([0.8, 0.9] * 95))
    assert (verdict.decision, verdict.approved) == (Decision.APPROVED, True)
    # Student's interval by hand: 0.85 +- 1.9726 * 0.050132 / sqrt(190)
    assert verdict.quality.mean == pytest.approx(0.85)
    assert (verdict.quality.lower, verdict.quality.upper) == pytest.approx((0.842826, 0.857174), abs=1e-5)
    assert verdict.quality.passes == pytest.approx(1.0)
    assert verdict.reason.startswith("quality 0.850 (95 % interval 0.843 to 0.857): it is at least 0.75")


def test_a_generator_that_is_wrong_in_three_of_ten_is_rejected_though_each_mistake_was_found():
    verdict = judge(Specification(), pilot([0.9] * 133 + [0.0] * 57))
    assert not verdict.approved
    assert verdict.quality.mean == pytest.approx(0.63)
    assert "quality 0.630" in verdict.reason
    assert "it is not at least 0.75" in verdict.reason


@pytest.mark.parametrize(
    ("changed", "failed", "words"),
    [
        ({"complete": False}, "completion", "the pilot of 190 is not complete"),
        ({"qualities": {"code": [0.9] * 149}}, "min_samples", "149 samples were judged, 150 are asked for"),
        ({"qualities": {"code": [0.9] * 189 + [None]}}, "quality", "quality is unmeasured"),
        ({"qualities": {"code": [0.9] * 189 + [float("nan")]}}, "quality", "quality is unmeasured"),
        ({"qualities": {}}, "quality", "quality is unmeasured"),
        (
            {"planted": {"code": {**SEEN_THROUGH, "wrong": (1, 12)}}},
            "planted wrong samples",
            "1 of 12 planted wrong samples were",
        ),
        (
            {"planted": {"code": {**SEEN_THROUGH, "empty": (0, 7)}}},
            "planted empty samples",
            "unmeasured: 7 of 8 could be made",
        ),
        ({"planted": {}}, "planted copied samples", "unmeasured: 0 of 8 could be made"),
    ],
)
def test_each_thing_that_is_missing_is_enough_for_a_rejection_and_is_said(changed, failed, words):
    verdict = judge(Specification(), replace(pilot([0.8, 0.9] * 95), **changed))
    assert not verdict.approved
    assert not check(verdict, failed).met
    assert words in verdict.reason


@pytest.mark.parametrize("quality", [0.9, 0.5])
def test_without_planted_samples_a_verdict_says_that_they_were_not_checked(quality):
    verdict = judge(Specification(planted=False), pilot([quality] * 190, planted={}))
    assert verdict.approved == (quality > 0.75)
    assert verdict.unchecked == (NOT_PLANTED,) and verdict.reason.endswith(f"; {NOT_PLANTED}")
    assert not [one for one in verdict.checks if "planted" in one.name]
    checked = judge(Specification(), pilot([quality] * 190))
    assert checked.unchecked == () and "not checked" not in checked.reason


def test_an_unmeasured_quality_says_of_how_many_samples_it_is_not_known():
    verdict = judge(Specification(), pilot([0.9] * 188 + [None, float("nan")]))
    assert check(verdict, "quality").seen == "quality is unmeasured in 2 of 190 samples"
    assert check(judge(Specification(), pilot([])), "quality").seen == "quality is unmeasured"


def test_a_few_of_many_planted_samples_may_pass():
    assert judge(Specification(), pilot([0.8, 0.9] * 95, planted={**SEEN_THROUGH, "wrong": (2, 40)})).approved
    assert not judge(Specification(), pilot([0.8, 0.9] * 95, planted={**SEEN_THROUGH, "wrong": (3, 40)})).approved


def test_the_rule_says_which_end_of_the_interval_is_compared():
    near = pilot(drawn(0.755))
    mean = judge(Specification(), near).quality.mean
    assert 0.745 < mean < 0.765
    told = {
        rule: judge(Specification(rule=rule, quality_threshold=threshold), near).approved
        for rule, threshold in (("point", mean), ("lower_bound", mean), ("upper_bound", mean + 0.005))
    }
    assert told == {"point": True, "lower_bound": False, "upper_bound": True}
    assert not judge(Specification(quality_threshold=mean + 0.005), near).approved


def test_a_domain_has_a_bound_of_its_own():
    both = Pilot(
        qualities={"code": [0.8, 0.9] * 50, "sql": [0.7, 0.8] * 50},
        planted={"code": SEEN_THROUGH, "sql": SEEN_THROUGH},
        complete=True,
    )
    assert judge(Specification(domains={"code": 0.8, "sql": 0.7}), both).approved
    verdict = judge(Specification(domains={"code": 0.8, "sql": 0.8, "regex": 0.5}), both)
    assert [one.name for one in verdict.checks if not one.met] == ["quality of regex", "quality of sql"]
    assert "quality of regex is unmeasured" in verdict.reason


@pytest.mark.parametrize(
    ("of_sql", "why"),
    [
        ({**SEEN_THROUGH, "wrong": (2, 12)}, "sql: 2 of 12 planted wrong samples were let through"),
        ({**SEEN_THROUGH, "wrong": (0, 7)}, "sql: planted wrong samples are unmeasured: 7 of 8 could be made"),
        ({}, "sql: planted empty samples are unmeasured: 0 of 8 could be made"),
    ],
)
def test_a_blind_check_of_one_domain_does_not_hide_behind_the_keen_ones_of_others(of_sql, why):
    keen = dict.fromkeys(("code", "doc", "regex", "bugs"), SEEN_THROUGH)
    verdict = judge(Specification(), replace(pilot([0.8, 0.9] * 95), planted={**keen, "sql": of_sql}))
    assert not verdict.approved and why in verdict.reason
    by_chance = {**keen, "sql": {**SEEN_THROUGH, "wrong": (1, 12)}}
    assert judge(Specification(), replace(pilot([0.8, 0.9] * 95), planted=by_chance)).approved


def test_where_no_term_tells_one_sample_from_another_nothing_is_measured_and_that_is_said():
    verdict = judge(Specification(), replace(pilot([None] * 190), constant=tuple(WEIGHTS)))
    assert not verdict.approved and verdict.constant == tuple(WEIGHTS)
    assert "quality is unmeasured: each of its terms is the same for all samples of the pilot" in verdict.reason


@pytest.mark.parametrize("rule", ["point", "lower_bound", "upper_bound"])
def test_the_chance_that_such_a_pilot_passes_is_how_often_it_does(rule):
    specification = Specification(rule=rule)
    told, passed = [], []
    for seed in range(400):
        verdict = judge(specification, pilot(drawn(0.757, seed=seed)))
        told.append(verdict.quality.passes)
        passed.append(verdict.approved)
    # The mean of what was told is over estimates that scatter, which draws it towards 1/2.
    assert abs(sum(told) / 400 - sum(passed) / 400) < 0.1
    assert {"point": 0.6, "lower_bound": 0.0, "upper_bound": 0.99}[rule] <= sum(passed) / 400
    assert sum(passed) / 400 <= {"point": 0.95, "lower_bound": 0.4, "upper_bound": 1.0}[rule]


def test_a_pilot_without_any_spread_passes_for_sure_or_not_at_all():
    assert judge(Specification(), pilot([0.75] * 190)).quality.passes == 1.0
    verdict = judge(Specification(), pilot([0.5] * 190))
    assert (verdict.approved, verdict.quality.passes, verdict.quality.lower) == (False, 0.0, 0.5)


def test_what_is_asked_for_has_a_version_that_nothing_changes_but_another_wish():
    one = Specification(domains={"a": 0.5, "b": 0.6})
    assert one.version == Specification(domains={"b": 0.6, "a": 0.5}).version
    assert one.version.startswith("2-")
    others = [
        replace(one, quality_threshold=0.74), replace(one, min_samples=149), replace(one, pilot_size=191),
        replace(one, rule="lower_bound"), replace(one, domains={}), replace(one, planted=False),
    ]  # fmt: skip
    assert len({one.version, *(other.version for other in others)}) == 7
    assert judge(one, pilot([0.9] * 190)).version == one.version


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"quality_threshold": 0.0}, "quality_threshold: 0.0 is not a quality above 0 and up to 1"),
        ({"quality_threshold": 75}, "quality_threshold: 75 is not a quality"),
        ({"quality_threshold": float("nan")}, "quality_threshold: nan"),
        ({"domains": {"sql": 1.5}}, "sql: 1.5 is not a quality"),
        ({"rule": "hope"}, "gate: 'hope' is not one of point, lower_bound, upper_bound"),
        ({"min_samples": 191}, "min_pilot_samples: 191 is not from 2 to pilot_size (190)"),
        ({"min_samples": 1}, "min_pilot_samples: 1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(wish, words):
    with pytest.raises(UserMistake) as caught:
        Specification(**wish)
    assert words in str(caught.value)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.sampled_from(["point", "lower_bound", "upper_bound"]))
def test_more_quality_never_turns_an_approval_into_a_rejection(qualities, rule):
    specification = Specification(min_samples=2, pilot_size=2, rule=rule, quality_threshold=0.5)
    better = [one + (1 - one) / 2 for one in qualities]
    before = judge(specification, pilot(qualities))
    assert 0 <= before.quality.lower <= before.quality.mean <= before.quality.upper <= 1
    assert not before.approved or judge(specification, pilot(better)).approved
