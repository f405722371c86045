"""Near duplicates among texts that come one after the other."""

from random import Random

import pytest

from overnight.base.errors import UserMistake
from overnight.text import near
from overnight.text.duplicates import bands_for
from overnight.text.near import MOST_MET, NearIndex
from overnight.text.normalise import fold
from overnight.text.shingles import jaccard, shingles

WORDS = [f"word{number}" for number in range(400)]


def made(count, seed=0):
    """Return texts of which some are copies of earlier ones with a few words changed."""
    draw = Random(seed)
    texts = []
    for _ in range(count):
        if texts and draw.random() < 0.5:
            words = draw.choice(texts).split()
            for _ in range(draw.randrange(4)):
                words[draw.randrange(len(words))] = draw.choice(WORDS)
        else:
            words = draw.choices(WORDS, k=draw.randrange(20, 90))
        texts.append(" ".join(words))
    return texts


def alike(one, other):
    return jaccard(shingles(fold(one)), shingles(fold(other)))


def test_what_is_refused_is_like_the_text_that_is_named_and_nothing_else_is():
    texts = made(400)
    found = NearIndex(0.88).take(texts)
    kept, missed, pairs = [], 0, 0
    for text, number in zip(texts, found, strict=True):
        if number is not None:
            assert alike(text, kept[number]) >= 0.88 or fold(text) == fold(kept[number])
        else:
            near = [other for other in kept if alike(text, other) >= 0.88]
            missed += bool(near)
            kept.append(text)
        pairs += number is not None
    assert pairs > 50
    assert missed <= 0.05 * (pairs + missed)


def test_the_answers_do_not_depend_on_how_the_texts_are_cut_into_calls():
    texts = made(200, seed=3)
    whole, pieces = NearIndex(0.88).take(texts), NearIndex(0.88)
    assert [number for place in range(0, 200, 7) for number in pieces.take(texts[place : place + 7])] == whole
    assert len(pieces) == whole.count(None)


def test_what_folds_to_the_same_is_the_same_and_what_folds_to_nothing_is_always_new():
    index = NearIndex(0.88)
    assert index.take(["Hello, World!", "hello world", "no", "NO", "!!!", "???", ""]) == [
        None,
        0,
        None,
        1,
        None,
        None,
        None,
    ]
    assert index.take(["HELLO WORLD", "abc"]) == [0, None]
    assert index.take([]) == []


def test_a_phrase_that_very_many_share_costs_no_more(monkeypatch):
    compared, really = [], near.alike
    monkeypatch.setattr(near, "alike", lambda *given: compared.append(given) or really(*given))
    start = " ".join(WORDS[:85])
    index = NearIndex(0.88)
    texts = [f"{start} {' '.join(Random(number).choices(WORDS, k=8))}" for number in range(600)]
    assert index.take(texts) == [None] * 600
    compared.clear()
    assert index.take([f"{start} {' '.join(WORDS[-8:])}"]) == [None]
    assert MOST_MET <= len(compared) <= bands_for(0.88).count * MOST_MET < 600


@pytest.mark.parametrize("threshold", [0, 1, -0.5, 1.5])
def test_a_threshold_that_makes_no_sense_is_refused(threshold):
    with pytest.raises(UserMistake, match="threshold must be above 0 and below 1"):
        NearIndex(threshold)
