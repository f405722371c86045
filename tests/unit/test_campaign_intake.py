"""Which generated samples are accepted, and why the others are not."""

import json
from dataclasses import replace

import pytest

from drafts import GOOD, candidate
from overnight.campaigns.intake import (
    Intake,
    Terms,
    body_of,
    digest_of,
    skeleton_of,
    stored_text_of,
    text_of,
)
from overnight.campaigns.ports import Checked
from overnight.campaigns.quality import WEIGHTS

LONG = "write a function that returns the sum of all the numbers in a list that it is given, and nothing else at all"


def reasons(intake, *candidates):
    return [one.reason for one in intake.judge(candidates)]


def test_a_good_sample_is_accepted_and_what_it_is_worth_can_be_taken_apart():
    [one] = Intake(Terms()).judge([candidate(0, "what is six times seven?")])
    assert (one.reason, one.detail) == (None, None)
    assert one.terms == {"diversity": 1.0, "consistency": 1.0, "groundedness": 0.8, "coherence": 0.9}
    assert one.quality == pytest.approx(0.3 + 0.2 + 0.24 + 0.18)


def test_each_reason_has_its_turn():
    intake = Intake(Terms(), contaminated=lambda text: "a set" if "evaluation" in text else None)
    first = candidate(0, LONG)
    assert reasons(intake, first) == [None]
    assert reasons(
        intake,
        candidate(1, "other", checked=Checked(fault="wrong answer", detail="41 is not 42")),
        candidate(2, "other", checked=Checked(terms={"consistency": 0.0, "groundedness": 0.0})),
        candidate(3, LONG.upper() + "!"),
        candidate(4, LONG.replace("nothing", "no thing")),
        candidate(5, "what is in the evaluation set?"),
        candidate(6, "other"),
    ) == ["wrong answer", "quality too low", "same text", "near duplicate", "in an evaluation set", None]


def test_nothing_that_was_measured_is_not_good():
    nothing = Checked(terms={})
    intake = Intake(Terms(weights={**WEIGHTS, "diversity": 0.0}))
    [one] = intake.judge([candidate(0, "what?", checked=nothing)])
    assert (one.reason, one.quality) == ("unmeasured", None)


def test_a_fault_counts_nothing_whatever_else_was_measured():
    [one] = Intake(Terms()).judge([candidate(0, "what?", checked=replace(GOOD, fault="truncated"))])
    assert (one.quality, one.terms["groundedness"]) == (0.0, 0.8)


def test_a_skeleton_takes_so_many_samples_and_each_further_one_adds_less():
    tasks = [f"{word} {word} {number}" for number, word in enumerate(["north", "east", "south", "west", "up", "down"])]
    some = [candidate(number, task, skeleton="?") for number, task in enumerate(tasks)]
    judged = Intake(Terms(per_skeleton=3)).judge(some)
    assert [one.reason for one in judged] == [None, None, None, *["skeleton is full"] * 3]
    assert [one.terms["diversity"] for one in judged[:4]] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert judged[3].detail == "3 samples of it are accepted"


def test_what_was_accepted_before_is_known_again():
    some = [candidate(0, LONG, skeleton="a"), candidate(1, "what is six times seven?", skeleton="b")]
    before = Intake(Terms(per_skeleton=1)).judge(some)
    again = Intake(Terms(per_skeleton=1))
    again.remember((stored_text_of(body_of(one)), one.skeleton) for one in before)
    assert reasons(again, candidate(2, LONG), candidate(3, LONG + " please"), candidate(4, "else", skeleton="b")) == [
        "same text", "near duplicate", "skeleton is full"
    ]  # fmt: skip


def test_a_refused_sample_is_in_nobodys_way():
    intake = Intake(Terms())
    assert reasons(intake, candidate(0, LONG, checked=replace(GOOD, fault="wrong answer")), candidate(1, LONG)) == [
        "wrong answer", None
    ]  # fmt: skip


def test_a_check_that_says_what_it_cannot_is_a_fault_of_the_generator():
    with pytest.raises(ValueError, match="a check gave coherence = 2"):
        Intake(Terms()).judge([candidate(0, "what?", checked=Checked(terms={"coherence": 2}))])


def test_texts_and_skeletons_are_told_apart_by_what_they_say():
    one, other = candidate(0, "what?").draft, candidate(0, "what?", "43").draft
    assert text_of(one) == "what?\n\n42"
    assert digest_of(text_of(one)) != digest_of(text_of(other))
    assert digest_of("...") != digest_of("???"), "what folds to nothing is compared as it is"
    assert skeleton_of(one) == skeleton_of(other) != skeleton_of(candidate(0, "who?").draft)
    [judged] = Intake(Terms()).judge([candidate(0, "what?")])
    stored = json.loads(body_of(judged))
    assert stored["messages"][-1] == {"role": "assistant", "content": "42"}
    assert stored["source"] == {"name": "test", "licence": "MIT"}
