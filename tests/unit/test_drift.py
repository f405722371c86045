"""Whether what comes now is something else than what came before."""

from math import comb
from random import Random

import pytest

from overnight.proof.drift import LEAST, fallen, two_sample

WORDS = ["oslo", "rome", "lima", "rain", "snow", "play", "jazz", "rock", "lamp", "hall"]


def texts(count, seed, words=WORDS):
    draw = Random(seed)
    return [" ".join(draw.choice(words) for _ in range(5)) for _ in range(count)]


def images(count, seed, bright=0):
    draw = Random(seed)
    return [
        {"rows": [[draw.randint(0, 255 - bright) + bright for _ in range(4)] for _ in range(4)]} for _ in range(count)
    ]


@pytest.mark.no_cover
def test_alike_samples_are_rarely_told_apart():
    found = [two_sample(texts(100, seed), texts(100, 1000 + seed)).p for seed in range(300)]
    assert sum(p <= 0.05 for p in found) <= 27, "of 300 at 5 %, more than 27 are as rare as 1 in 1,000"
    pictures = [two_sample(images(60, seed), images(60, 1000 + seed)).p for seed in range(60)]
    assert sum(p <= 0.05 for p in pictures) <= 9


def numbers(count, seed, names="x"):
    draw = Random(seed)
    return [{name: draw.gauss(0, 1) for name in names} for _ in range(count)]


def few(count, seed):
    """Inputs of which the same come again and again."""
    draw = Random(seed)
    return [f"text {draw.randrange(100)}" for _ in range(count)]


@pytest.mark.no_cover
@pytest.mark.parametrize("drawn", [numbers, few, lambda count, seed: numbers(count, seed, "xyz")])
@pytest.mark.parametrize(("many", "newest"), [(1000, 100), (200, 200), (100, 400)])
def test_alike_samples_are_rarely_told_apart_however_many_and_how_often_the_same(drawn, many, newest):
    found = [two_sample(drawn(many, seed), drawn(newest, 1000 + seed)).p for seed in range(100)]
    assert sum(p <= 0.05 for p in found) <= 13, "of 100 at 5 %, more than 13 are as rare as 1 in 1,000"


def test_what_is_no_number_to_count_with_stops_nothing():
    odd = [10**400, -(10**400), float("nan"), float("inf")] * 10
    assert two_sample(odd, odd[::-1]).p > 1e-3


def test_other_words_numbers_and_keys_are_noticed():
    assert two_sample(texts(200, 1), texts(200, 2, [*WORDS, "soup", "bread", "curry"])).p < 1e-6
    assert two_sample(images(100, 1), images(100, 2, bright=120)).p < 1e-6
    assert two_sample([{"a": "x"}] * 50, [{"b": "x"}] * 50).accuracy == 1.0
    short, long = ["abc"] * 40, ["abc " * 900] * 40
    assert two_sample(short, long).p < 1e-3
    assert two_sample([None, True] * 20, [False, 3.5] * 20).p < 1e-3


def test_the_same_inputs_give_the_same_answer_whatever_their_order():
    before, now = texts(80, 1), texts(60, 2)
    shuffled = Random(3).sample(before, len(before))
    assert two_sample(before, now) == two_sample(shuffled, now)


def test_few_inputs_say_nothing():
    assert two_sample(texts(LEAST - 1, 1), texts(500, 2)) is None
    assert two_sample(texts(LEAST, 1), texts(500, 2)).n == 2 * (LEAST // 2)


def test_a_fall_of_the_share_of_right_answers_is_judged_exactly():
    fall, p = fallen([True] * 9 + [False], [True] * 2 + [False] * 8)
    # Of the ways to have 11 successes in 20: those with 2 or fewer among the newest 10.
    assert fall == pytest.approx(0.7)
    assert p == pytest.approx((comb(10, 2) * comb(10, 9) + comb(10, 1) * comb(10, 10)) / comb(20, 11))
    assert fallen([True, False] * 20, [True, False] * 20)[1] > 0.5
    rise, p = fallen([False] * 10, [True] * 10)
    assert rise == -1.0 and p == 1.0
