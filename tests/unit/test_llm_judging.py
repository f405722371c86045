"""A judge is used where it tells damaged samples from good ones only; tests are tested; wrong settings are named."""

import ast
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.campaigns.generators.llm_judging import KINDS, calibrated
from overnight.campaigns.generators.llm_settings import LlmSettings
from overnight.campaigns.generators.python.programs import hollow, slips
from overnight.llm.budget import Budget, Price

TWELVE = [0.8, 0.9, 1.0, 0.7] * 3


def test_a_judge_that_parts_good_from_bad_is_one_and_its_threshold_lies_between():
    found = calibrated(TWELVE, {"truncated": [0.1, 0.3] * 6, "wrong": [0.0, 0.2] * 6})
    assert found.threshold == pytest.approx(0.5, abs=0.2)
    assert found.seen.startswith("from 0.")
    assert "keeps 100% of the good samples and lets 0% of the truncated ones through" in found.seen


@pytest.mark.parametrize(
    "bad",
    [
        {"truncated": TWELVE, "wrong": [0.0] * 12},
        {"truncated": [0.0] * 12, "wrong": TWELVE},
        {"truncated": [0.9] * 12, "wrong": [0.9] * 12},
        {"truncated": [0.0, 0.9] * 6, "wrong": [0.0] * 12},
    ],
    ids=["blind to one kind", "blind to the other", "says the same of all", "had luck with the first half"],
)
def test_a_judge_that_is_blind_to_a_kind_of_damage_is_none(bad):
    found = calibrated(TWELVE, bad)
    assert found.threshold is None
    assert "through" in found.seen


def test_a_judge_that_refuses_good_and_bad_alike_is_none():
    assert calibrated([0.1] * 12, {kind: [0.1] * 12 for kind in KINDS}).threshold is None


def test_too_few_samples_measure_no_judge():
    found = calibrated(TWELVE, {"truncated": [0.0] * 12, "wrong": [0.0] * 7})
    assert (found.threshold, found.seen) == (None, "wrong samples: 7 of 8 could be made")


def test_a_judge_that_guesses_is_nearly_never_taken_for_one():
    random = Random(5)

    def guesses(count):
        return [random.random() for _ in range(count)]

    taken = sum(
        calibrated(guesses(16), {kind: guesses(16) for kind in KINDS}).threshold is not None for _ in range(500)
    )
    assert taken <= 2


@given(st.lists(st.floats(0, 1), min_size=8, max_size=20), st.lists(st.floats(0, 1), min_size=8, max_size=20))
def test_a_threshold_keeps_its_promise_on_the_half_that_it_was_not_chosen_on(good, bad):
    found = calibrated(good, dict.fromkeys(KINDS, bad))
    if found.threshold is not None:
        held = good[1::2]
        assert sum(score >= found.threshold for score in held) >= 0.8 * len(held)
        assert all(score < found.threshold for score in bad[1::2])


CODE = '''\
import math

class Box:
    def area(self):
        return self.w * self.h

def mean(data):
    """Say so."""
    if not data:
        return 0.0
    return sum(data) / len(data)
'''


def test_a_hollow_program_has_the_same_functions_and_they_do_nothing():
    text = hollow(CODE)
    names: dict = {}
    exec(text, names)
    assert names["mean"]([1, 2]) is None
    assert names["Box"]().area() is None
    assert names["math"]


@pytest.mark.parametrize("code", ["x = 1", "def f(", "x = '\0'"])
def test_what_has_no_function_cannot_be_hollow(code):
    assert hollow(code) is None


def test_slips_are_other_programs_with_one_change():
    found = slips(CODE, 4)
    assert len(set(found)) == 4 and CODE not in found
    assert all("class Box" in one and "import math" in one for one in found)
    assert found == slips(CODE, 4)
    assert len(slips(CODE, 1000)) > 4
    assert slips("x = 1", 4) == slips("def f(", 4) == []


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_a_slip_that_is_no_program_is_left_out():
    found = slips("def f(x):\n    return 0and x\n\nf(1)", 1000)
    assert found and all(ast.parse(one) for one in found)


GOOD = {"base_url": "http://localhost:1/v1", "model": "m", "topics": ["trees"]}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"base_url": "localhost"}, "base_url"),
        ({"model": " "}, "model: it is empty"),
        ({"topics": []}, "topics: at least one"),
        ({"topics": "trees"}, "topics: at least one"),
        ({"topics": ["a", "a"]}, "there twice"),
        ({"topics": ["a\nb"]}, "not a line of text"),
        ({"prompt": "Ask about trees."}, "does not hold {topic}"),
        ({"check": "ruby"}, "'ruby' is not one of python, none"),
        ({"rubric": {"beauty": "1"}}, "rubric.beauty"),
        ({"check": "none", "rubric": {}}, "needs a rubric"),
        ({"max_tokens": 0}, "max_tokens: 0"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"most_in_flight": 0}, "most_in_flight"),
        ({"budget_tokens": 0}, "budget_tokens"),
        ({"budget_usd": 5.0}, "price_in_usd and price_out_usd"),
        ({"budget_usd": 5.0, "price_in_usd": 1.0}, "price_in_usd and price_out_usd"),
        (
            {"budget_usd": 5.0, "price_in_usd": 1.0, "price_out_usd": 2.0, "judge_model": "j"},
            "judge_price_in_usd and judge_price_out_usd, the price of 'j'",
        ),
        ({"price_in_usd": -1.0, "price_out_usd": 2.0}, "price_in_usd: -1"),
    ],
)
def test_a_setting_that_cannot_work_is_named(wrong, why):
    with pytest.raises(UserMistake) as caught:
        LlmSettings(**(GOOD | wrong))
    assert why in str(caught.value)


def test_settings_say_what_is_spent_on_which_model():
    prices = {"price_in_usd": 1.0, "price_out_usd": 2.0, "judge_price_in_usd": 3.0, "judge_price_out_usd": 4.0}
    settings = LlmSettings(**GOOD, **prices, judge_model="j", budget_usd=5.0, budget_tokens=7, api_key="secret")
    assert settings.prices == {"m": Price(in_usd=1.0, out_usd=2.0), "j": Price(in_usd=3.0, out_usd=4.0)}
    assert settings.budget == Budget(tokens=7, usd=5.0)
    assert LlmSettings(**GOOD, price_in_usd=1.0, price_out_usd=2.0).prices == {"m": Price(in_usd=1.0, out_usd=2.0)}
    assert "secret" not in repr(settings) + repr(settings.endpoint)
