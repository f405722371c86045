"""Which texts share words in a row with evaluation items."""

import inspect
import textwrap
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.text.normalise import fold
from overnight.text.passages import Passage, Passages

WORDS = [f"w{number}" for number in range(1000)]
ITEM = "Given a list of numbers, return the sum of all those that are even and greater than ten."
"""18 words."""


def found(items, text, **other):
    passage = Passages(items, **other).first_in(text)
    return None if passage is None else (passage.number, passage.words)


@pytest.mark.parametrize(
    "text",
    [
        ITEM,
        f"Please help. {ITEM} Thank you!",
        ITEM.upper().replace(" ", "\n\n  "),
        f'def f(x):\n    """{textwrap.fill(ITEM, 20)}"""',
        ITEM.replace(",", "").replace("Given a list", "Take the list"),
    ],
)
def test_an_item_is_found_however_it_is_set(text):
    assert found(["something else entirely", ITEM], text) == (1, 13)


def test_thirteen_words_in_a_row_are_enough_and_twelve_are_not():
    words = ITEM.split()
    assert found([ITEM], " ".join(["so", *words[3:16], "so"])) == (0, 13)
    assert found([ITEM], " ".join(["so", *words[3:15], "so", *words[16:]])) is None
    assert found([ITEM], " ".join(words[3:12]), run=9) == (0, 9)


def test_an_item_of_eight_words_or_more_is_found_as_a_whole_anywhere():
    item = "Who wrote the novel about the white whale?"
    assert found([ITEM, item], "Tell me: who wrote the novel about the white whale, and when?") == (1, 8)
    assert found([item], "Who wrote the novel about the black whale?") is None


def test_a_shorter_item_is_found_only_as_a_paragraph():
    item = "What is six times seven?"
    assert found([ITEM, item], "what is six\ntimes SEVEN\n \n42") == (1, 5)
    assert found([item], "I was asked what is six times seven, and said 42") is None
    assert found([ITEM, item, "42", "yes, it is"], "42\n\nyes, it is\n\nno") is None


def test_items_that_say_nothing_are_not_counted():
    assert Passages(["42", "", "...", "one two three", "one two three four", ITEM]).count == 2


def test_each_character_of_a_script_without_spaces_is_a_word():
    item = "给定一个整数列表,返回所有大于十的偶数之和。"
    assert found([item], f"题目:{item}谢谢") == (0, 13)
    assert found([item], "给定一个整数列表,返回最大值。") is None


def test_half_a_surrogate_pair_is_in_nobodys_way():
    assert found([f"{ITEM} \ud800"], f"\ud800 {ITEM}") == (0, 13)


def test_of_several_items_the_first_one_is_told():
    assert found(["a", ITEM, ITEM], ITEM) == (1, 13)


@given(st.randoms(use_true_random=False), st.integers(8, 15))
def test_what_is_found_is_what_the_definition_says(random, run):
    items = [random.choices(WORDS[:12], k=random.randrange(4, 30)) for _ in range(4)]
    text = random.choices(WORDS[:12], k=20)
    if random.random() < 0.5:
        item = random.choice(items)
        at = random.randrange(len(item))
        text[5:5] = item[at : at + random.randrange(1, 20)]

    def shared(length):
        runs = {tuple(text[at : at + length]) for at in range(len(text) - length + 1)}
        return [
            number
            for number, item in enumerate(items)
            if min(len(item), run) == length
            and any(tuple(item[at : at + length]) in runs for at in range(len(item) - length + 1))
        ]

    expected = next(
        ((numbers, length) for length in range(run, 7, -1) if (numbers := shared(length))),
        None,
    )
    passage = Passages([" ".join(item) for item in items], run).first_in(" ".join(text))
    assert (passage is None) == (expected is None)
    if passage is not None and expected is not None:
        assert passage.words == expected[1] and passage.number in expected[0]


def test_texts_that_share_nothing_are_not_found_among_many():
    import email.message
    import statistics

    draw = Random(0)
    items = [" ".join(draw.choices(WORDS, k=60)) for _ in range(2000)]
    index = Passages([*items, inspect.getsource(statistics)])
    assert index.first_in(inspect.getsource(email.message)) is None
    assert index.first_in(" ".join(items[7].split()[20:40])) == Passage(number=7, words=13)
    assert fold(items[7]) == items[7]
