"""What the storyboard of the channel shows: no picture stands still for long while something is said."""

from importlib import import_module
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_example import EXAMPLE
from overnight.studio.slides.slide import Kind

assert EXAMPLE
boards = import_module("storyboard")
TABLE = "look | first ; 1 | 0 ; 2 | 5 ; 3 | 7"
WORD_S = 0.4


def spoken(count, length):
    """Return so many sentences of so many words, of which no two begin alike."""
    return [f"Sentence{number} number{number} says " + "word " * (length - 4) + "here." for number in range(count)]


def told(parts):
    """Return script, lesson and voice of a video whose parts have a table each."""
    words, cues, at_s = [], [{"show": "title", "content": "All of it", "at_s": 0.0}], 0.0
    for text in ["The hook of it.", "This is the intro."]:
        words += [{"text": word, "begin_s": at_s + n * WORD_S} for n, word in enumerate(text.split())]
        at_s += len(text.split()) * WORD_S
    for title, sentences in parts.items():
        cues.append({"show": "title", "content": title, "at_s": at_s})
        cues.append({"show": "table", "content": TABLE, "at_s": at_s + 0.2})
        for word in " ".join(sentences).split():
            words.append({"text": word, "begin_s": at_s})
            at_s += WORD_S
    sections = [{"title": title, "content": " ".join(said), "source": "a#b"} for title, said in parts.items()]
    script = {"title": "All of it", "hook": "The hook of it.", "intro": "This is the intro.", "sections": sections,
              "citations": [], "cta": "Good bye."}  # fmt: skip
    return script, {"objectives": [], "summary": []}, {"words": words, "cues": cues, "duration_s": at_s}


def longest_still(board):
    """Return the longest time in seconds in which nothing but a row of a table appears."""
    at = sorted({one.begin_s for one in board.scenes} | {board.scenes[-1].end_s}
                | {at for one in board.scenes if one.slide.kind is not Kind.TABLE for at in one.reveals})  # fmt: skip
    return max(after - before for before, after in pairwise(at))


@given(st.integers(min_value=1, max_value=12), st.integers(min_value=6, max_value=18))
def test_no_picture_stands_still_for_long(count, length):
    board = boards.storyboard(*told({"First": spoken(count, length)}), channel="Channel")
    assert longest_still(board) <= boards.STILL_S + length * WORD_S / 2
    assert board.scenes[0].begin_s == 0 and not board.problems


def test_what_is_said_takes_the_place_of_a_table_that_was_seen_for_long():
    sentences = spoken(5, 18)
    board = boards.storyboard(*told({"First": sentences}))
    table, after = board.scenes[1:3]
    assert table.slide.kind is Kind.TABLE and table.end_s == after.begin_s == pytest.approx(3.2 + 2 * 18 * WORD_S)
    assert after.slide.title == "First" and after.slide.bullets == tuple(one.rstrip(".") for one in sentences[2:])
    assert list(after.reveals) == pytest.approx([after.begin_s + n * 18 * WORD_S for n in range(3)])


def test_a_short_part_keeps_its_picture():
    board = boards.storyboard(*told({"First": spoken(2, 15), "Second": spoken(1, 10)}))
    assert [one.slide.kind for one in board.scenes[1:]] == [Kind.TABLE, Kind.TABLE]


def test_two_parts_of_one_title_have_each_its_own_source_and_quote_what_is_said():
    script, lesson, voice = told({"How it works": spoken(2, 6)})
    words, at_s = list(voice["words"]), voice["duration_s"]
    cues = [dict(cue) for cue in voice["cues"]]
    second = ["Pears grow on trees here.", "Nobody has ever counted them."]
    cues += [
        {"show": "title", "content": "How it works", "at_s": at_s},
        {"show": "citation", "content": "p#h", "at_s": at_s + 3},
    ]
    for word in " ".join(second).split():
        words.append({"text": word, "begin_s": at_s})
        at_s += WORD_S
    script["sections"].append({"title": "How it works", "content": f"So. {' '.join(second)}", "source": "p#h"})
    script["citations"] = [
        {"id": "a#b", "document": "Apples", "heading": "How it works", "text": "An apple has 5 seeds."},
        {"id": "p#h", "document": "Pears", "heading": "How it works", "text": f"A pear has 7. {' '.join(second)}"},
    ]
    board = boards.storyboard(script, lesson, {**voice, "words": words, "cues": cues, "duration_s": at_s + 6})
    kinds = {one.slide.kind: one.slide for one in board.scenes[1:]}
    assert kinds[Kind.TABLE].source == "How it works (Apples)"
    assert kinds[Kind.BULLETS].source == "How it works (Pears)" and kinds[Kind.BULLETS].bullets == tuple(
        one.rstrip(".") for one in second
    )
    assert kinds[Kind.CITATION].text == second[-1], "what is seen is what is said"


def test_a_slide_of_text_is_never_empty():
    script, lesson, voice = told({"First": spoken(1, 6)})
    lesson["objectives"] = ["read a program", "tell the cost"]
    board = boards.storyboard(script, lesson, {**voice, "cues": voice["cues"][:1]})
    assert all(one.reveals[0] == one.begin_s for one in board.scenes if one.slide.bullets)
