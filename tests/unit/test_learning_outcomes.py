"""What files tell of outcomes and of other projects, and what outcomes predict."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import NotMeasured, UserMistake
from overnight.learning import outcomes
from overnight.learning.evidence import DISCOUNT, MOST, Evidence, Export, evidence_of, from_file, to_file, weighed
from overnight.learning.outcomes import AHEAD_US, numbered
from overnight.learning.profiles import Execution
from overnight.learning.reliability import prediction_of
from overnight.proof.measures import interval_of_share

NOW_US = 1795723200 * 1_000_000  # 2026-11-26T20:00:00Z
LINE = {"type": "code_api", "success": True, "agent": "coder", "score": 80, "features": {"lines": 3}}


def told(**change):
    return json.dumps({key: value for key, value in {**LINE, **change}.items() if value is not ...})


def outcome_of(line, **how):
    return outcomes.outcome_of(line, **{"now_us": NOW_US, **how})


def test_an_outcome_is_what_its_line_says():
    one = outcome_of(told(timestamp="2026-11-26T20:00:00Z", propensity=0.5))
    assert (one.type, one.success, one.agent, one.score, one.features) == (
        "code_api",
        1.0,
        "coder",
        80.0,
        {"lines": 3.0},
    )
    assert one.at_us == NOW_US and one.propensity == 0.5 and one.strategy is None
    assert outcome_of(told(features=...)).features is None
    assert outcome_of(told(success=0.25)).success == 0.25 and outcome_of(told(success=False)).success == 0.0
    assert outcome_of(told(timestamp="2026-11-26T20:00:00")).at_us == one.at_us, "without a zone it is UTC"


def test_the_same_line_or_id_is_the_same_outcome():
    assert outcome_of(told()).key == outcome_of(told() + " \n").key != outcome_of(told(score=81)).key
    assert outcome_of(told(id="a")).key == outcome_of(told(id="a", score=1)).key


def test_lines_that_are_alike_are_as_many_outcomes_as_they_are_unless_an_id_or_an_instant_tells_them_apart():
    lines = [told(), told(score=1), f"{told()} ", told()]
    assert [occurrence for _, occurrence in numbered(lines)] == [1, 1, 2, 3]
    keys = [outcome_of(line, occurrence=occurrence).key for line, occurrence in numbered(lines)]
    assert len(set(keys)) == 4
    assert keys == [outcome_of(line, occurrence=occurrence).key for line, occurrence in numbered(lines)]
    for same in (told(id="a"), told(timestamp="2026-11-26T20:00:00Z")):
        assert outcome_of(same, occurrence=1).key == outcome_of(same, occurrence=2).key


def test_an_instant_may_be_as_far_ahead_as_clocks_differ_and_no_further():
    at = told(timestamp="2026-11-26T20:00:00Z")
    assert outcome_of(at, now_us=NOW_US - AHEAD_US).at_us == NOW_US
    with pytest.raises(UserMistake, match=r"^timestamp: '2026-11-26T20:00:00Z' is more than 5 minutes ahead$"):
        outcome_of(at, now_us=NOW_US - AHEAD_US - 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"^it is no JSON: "),
        ("[" * 100_000, r"^it is no JSON: "),
        ("[1]", r"^it: \[1\] is not a table$"),
        (told(type=...), r"^it\.type: missing$"),
        (told(sucess=1), r"^it: there is no 'sucess'; did you mean success\?"),
        (told(success=2), r"^success: 2 is not a number from 0 to 1$"),
        (told(success=None), r"^success: None is not a number from 0 to 1$"),
        (told(success="yes"), r"^success: 'yes' is not a number from 0 to 1$"),
        (told(score=101), r"^score: 101 is not a number from 0 to 100$"),
        (told(score=True), r"^score: True is not a number"),
        (told(time_s=-1), r"^time_s: -1 is not a finite number of at least 0$"),
        (told(time_s=10**400), r"^time_s: 10{99}… is not a finite number of at least 0$"),
        (told(success=10**400), r"^success: 10{99}… is not a number from 0 to 1$"),
        (told(features={"x": 10**400}), r"^features\.x: 10{99}… is not a finite number$"),
        (told(features={"\ud800": 1}), r"^features: '\\ud800' cannot be stored; give text without NUL and lone"),
        (told(type="\ud800"), r"^type: '\\ud800' cannot be stored; give text without NUL and lone surrogates$"),
        (told(id="a\udfff"), r"^id: 'a\\udfff' cannot be stored"),
        (told(time_s=math.inf), r"^time_s: inf is not a finite number of at least 0$"),
        (told(time_s=math.nan), r"^time_s: nan is not a finite number"),
        (told(features={1: 2, "a": True}), r"^features\.a: True is not a finite number$"),
        (told(propensity=0), r"^propensity: 0\.0, but what was chosen had a chance$"),
        (told(features=[1]), r"^features: \[1\] is not a table of numbers$"),
        (told(features={"a": "b"}), r"^features\.a: 'b' is not a finite number$"),
        (told(timestamp="soon"), r"^timestamp: 'soon' is no instant"),
        (told(agent=""), r"^agent: '' is not a text$"),
        (told(type="x" * 201), r"^type: at most 200 characters$"),
        (told(agent="a\x00"), r"^agent: 'a\\x00' cannot be stored"),
    ],
)
def test_a_line_with_a_mistake_is_refused_in_one_line(line, message):
    with pytest.raises(UserMistake, match=message) as error:
        outcome_of(line)
    assert "\n" not in str(error.value)


# -- predictions


def test_what_is_predicted_follows_from_reliability_and_success_rate():
    one = prediction_of([1, 0, 1])
    reliability = 0.5
    for success in (1, 0, 1):
        reliability += 0.1 * (success - reliability)
    assert one.reliability == pytest.approx(reliability)
    assert one.predicted == pytest.approx(0.7 * reliability + 0.3 * 2 / 3) and one.n == 3


def test_without_outcomes_nothing_is_predicted():
    one = prediction_of([])
    assert (one.predicted, one.interval, one.confidence, one.recommendation) == (None, None, 0.0, "low_confidence")


def test_recommendations_follow_from_what_is_predicted_and_from_how_sure_that_is():
    assert prediction_of([0] * 30).recommendation == "use_different_agent"
    assert prediction_of([1, 0] * 30).recommendation == "use_different_agent"
    assert prediction_of([1, 1, 0, 1, 1] * 20).recommendation == "proceed"
    assert prediction_of([1, 1, 0] * 30).recommendation == "add_additional_checks"
    assert prediction_of([1] * 40).recommendation == "proceed"
    few = prediction_of([1, 1])
    assert few.recommendation == "add_additional_checks" and few.confidence < 0.5
    late = prediction_of([0] * 3 + [1] * 9)
    assert late.predicted > 0.75 and late.recommendation == "low_confidence"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_more_of_the_same_is_never_less_sure(successes):
    one, more = prediction_of(successes), prediction_of(successes * 4)
    assert 0 <= one.confidence <= more.confidence <= 1 and 0 <= one.predicted <= 1


def test_the_interval_of_a_share_is_wilsons_and_needs_a_value():
    one = interval_of_share(0.5, 10)
    assert (round(one.lower, 4), round(one.upper, 4)) == (0.2366, 0.7634)
    with pytest.raises(NotMeasured):
        interval_of_share(0.5, 0)


# -- evidence


def execution(score, strategy="balanced", type_="small_data"):
    return Execution(run_id=1, strategy=strategy, type=type_, success_rate=1.0, score=score, time_s=1.0, at_us=1)


def test_evidence_goes_to_a_file_and_comes_back():
    found = evidence_of([("h", execution(60.0)), ("h", execution(80.0)), ("h", execution(None)), ("i", execution(5.0))])
    assert [(one.parameters, one.uses, one.score, one.spread) for one in found] == [
        ("h", 2, 70.0, 10.0),
        ("i", 1, 5.0, 0.0),
    ]
    export = Export(origin="o", project="p", evidence=found)
    assert from_file(json.dumps(to_file(export))) == export and len({export.key(one) for one in found}) == 2


ONE = Evidence(strategy="s", parameters="h", type="t", uses=8, score=50.0, spread=1.0)


def of(**change):
    return Evidence(**{**vars(ONE), **change})


def test_executions_elsewhere_weigh_less_and_never_more_than_some_here_however_many_projects_they_are_of():
    assert weighed([ONE]) == [(ONE, 2)] and weighed([]) == []
    assert weighed([of(uses=10_000)]) == [(of(uses=10_000), MOST)]
    grown = [of(uses=uses) for uses in (16, 24, 32, 40, 48, 56)]
    assert sum(weight for _, weight in weighed(grown)) == MOST
    assert sum(weight for _, weight in weighed([*grown, of(type="other", uses=8)])) == MOST + 2


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_what_several_projects_weigh_is_what_all_their_executions_would(uses):
    found = [weight for _, weight in weighed(of(uses=one) for one in uses)]
    assert sum(found) == round(min(MOST, DISCOUNT * sum(uses))) and min(found) >= 0


def test_evidence_is_known_by_its_project_strategy_parameters_and_type():
    mine, theirs = (Export(origin=origin, project="p", evidence=[]) for origin in "ab")
    assert mine.key(ONE) == mine.key(of(uses=9, score=1.0, spread=0.0)) != theirs.key(ONE)
    assert len({mine.key(of(**{name: "x"})) for name in ("strategy", "parameters", "type")}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"^version: 2 is not 1; a newer program has written it$"),
        ({"project": ""}, r"^project: '' is not a text$"),
        ({"origin": 1}, r"^origin: 1 is not a text$"),
        ({"evidence": [vars(ONE)] * 2}, r"^evidence\[1\]: the same strategy, parameters and type are there twice$"),
        ({"evidence": {}}, r"^evidence: \{\} is not a list$"),
        ({"evidence": [{}]}, r"^evidence\[0\]\.strategy: missing$"),
    ],
)
def test_a_file_that_is_none_is_refused(change, message):
    with pytest.raises(UserMistake, match=message):
        from_file(json.dumps({**to_file(Export(origin="o", project="p", evidence=[])), **change}))
    with pytest.raises(UserMistake, match=r"^it is no JSON"):
        from_file("{")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uses": 0}, r"^evidence\[0\]\.uses: 0 is not a whole number from 1 to 1,000,000,000$"),
        ({"uses": 10**400}, r"^evidence\[0\]\.uses: 10{99}… is not a whole number"),
        ({"score": 10**400}, r"^evidence\[0\]\.score: 10{99}… is not a number from 0 to 100$"),
        ({"strategy": "\0"}, r"^evidence\[0\]\.strategy: '.x00' cannot be stored"),
        ({"score": 200}, r"^evidence\[0\]\.score: 200 is not a number from 0 to 100$"),
        ({"spread": -1}, r"^evidence\[0\]\.spread: -1 is not"),
        ({"type": 3}, r"^evidence\[0\]\.type: 3 is not a text$"),
    ],
)
def test_evidence_with_a_mistake_is_refused(change, message):
    told = {**to_file(Export(origin="o", project="p", evidence=[])), "evidence": [{**vars(ONE), **change}]}
    with pytest.raises(UserMistake, match=message):
        from_file(json.dumps(told))
