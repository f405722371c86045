"""What is an answer, of which kind, and whether it is right."""

import math

import pytest

from overnight.serving.answers import (
    MOST_NAMES,
    Kinds,
    answer_in,
    confidence_in,
    disagreements,
    fault,
    kind_of,
    same_schema,
    score,
)

DEEP: list = []
for _ in range(40):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([1.5, None], None),
        ([{"intent": "greet", "confidence": 1}, [True, "x", {}]], None),
        ([1], "2 inputs got 1 as answers"),
        ((1, 2), "2 inputs got tuple as answers"),
        ([1.0, math.nan], "answer 1: nan is not a finite number"),
        ([{"a": [math.inf]}, 1], "answer 0: a: inf is not a finite number"),
        ([{1: 2}, 1], "answer 0: {1: 2} is not JSON"),
        ([{2}, 1], "answer 0: {2} is not JSON"),
        ([1, DEEP], "answer 1: nested too deeply"),
    ],
)
def test_what_is_no_answer_is_said(outputs, said):
    assert fault(outputs, 2) == said


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "number"),
        (0.5, "number"),
        ("a", "text"),
        ([], "[]"),
        ([1, 2], "[number]"),
        ({"intent": "a", "confidence": 0.5}, "{confidence: number, intent: text}"),
    ],
)
def test_answers_have_a_kind(output, kind):
    assert kind_of(output) == kind


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 0.5, True),
        (1, "1", False),
        (None, {"a": 1}, True),
        ({"a": 1}, None, True),
        ({"intent": None, "confidence": 1}, {"intent": "a", "confidence": 0.5}, True),
        ({"intent": "a"}, {"label": "a"}, False),
        ({"intent": "a"}, {"intent": 1}, False),
        ([], ["a"], True),
        ([1], [2, 3], True),
        ([1], ["a"], False),
        ([1], {"a": 1}, False),
    ],
)
def test_an_answer_fits_the_kind_of_another_or_not(one, other, same):
    assert Kinds().with_(other).fit(one) is same


def kinds_of(*outputs):
    kinds = Kinds()
    for output in outputs:
        kinds = kinds.with_(output)
    return kinds


def test_whatever_was_answered_once_fits_and_only_what_was_always_there_must_be():
    kinds = kinds_of(
        {"intent": "a", "slots": []}, {"intent": 7, "note": None}, {"intent": "b", "slots": [{"at": 1}]}, "none"
    )
    assert str(kinds) == "text or {intent: number or text, note?: null, slots?: [{at: number}]}"
    for output in ({"intent": "a"}, {"intent": 1, "note": 3, "slots": [{"at": 2}, 5]}, "b", {"intent": None}, None):
        assert kinds.fit(output), output
    for output in ({}, {"intent": [1]}, {"intent": "a", "other": 1}, {"intent": "a", "slots": ["x"]}, 3, [1]):
        assert not kinds.fit(output), output


def test_names_beyond_number_are_data():
    kinds = kinds_of(*({"count": 1, f"word {number}": 1} for number in range(MOST_NAMES + 9)))
    assert (kinds.fit({"count": 1, "new": 1}), kinds.fit({"new": 1})) == (True, False)
    assert len(kinds.fields) == MOST_NAMES + 1


def test_versions_of_one_first_number_answer_the_same_kind_of_thing():
    assert same_schema("v1.2.3", "v1.9.0")
    assert not same_schema("v1.2.3", "v2.0.0")


@pytest.mark.parametrize(
    ("output", "expected", "points"),
    [
        ({"intent": "greet", "confidence": 0.9}, "greet", 1.0),
        ({"intent": None, "confidence": 0.4}, "greet", 0.0),
        ({"intent": None, "confidence": 0.4}, None, 1.0),
        ({"label": 7, "confidence": 0.4}, 7, 1.0),
        ("greet", "greet", 1.0),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, 1.0),
        (0.51, 0.5, None),
        ({"value": 0.5, "confidence": 1}, 1, None),
    ],
)
def test_an_answer_is_right_or_wrong_but_for_numbers(output, expected, points):
    assert score(output, expected) == points


def test_the_answer_and_its_confidence_are_told_apart():
    assert answer_in({"intent": "a", "confidence": 0.5}) == "a"
    assert answer_in({"intent": "a"}) == {"intent": "a"}
    sure = [confidence_in(one) for one in ({"confidence": 0.5}, {"confidence": 2}, {"confidence": True}, {}, "a")]
    assert sure == [0.5, None, None, None, None]


def test_answers_disagree_whatever_their_confidence():
    ones = [{"intent": "a", "confidence": 0.5}, {"intent": "b", "confidence": 0.5}, 1]
    others = [{"intent": "a", "confidence": 0.7}, {"intent": "c", "confidence": 0.5}, 2]
    assert disagreements(ones, others) == 2
