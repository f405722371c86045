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
hearing = import_module("hearing")
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


def heard(text):
    """Return what is heard of a text, a word each second."""
    return hearing.Heard([{"text": word, "begin_s": float(at_s)} for at_s, word in enumerate(text.split())])


@pytest.mark.parametrize("wanted", ["", "\u2014", "...", "not said"])
def test_what_is_not_said_is_heard_nowhere(wanted):
    for said in ("", "\u2014 \u2026", "Some words here."):
        assert heard(said).at(wanted, 0.0, 99.0) is None
        assert heard(said).at(wanted, 50.0, 99.0) is None


def test_words_of_other_scripts_are_heard():
    assert heard("We say Привет, мир to all.").at("Привет, мир", 0.0, 99.0) == 2.0


def test_texts_that_begin_alike_are_heard_each_in_its_place():
    said = heard("A tree is old. A tree is tall. A tree is, as I said, green. A tree is old.")
    assert list(said.each(["A tree is tall", "A tree is green", "A tree is old"], 0.0, 99.0)) == [4.0, 8.0, 15.0]
    assert list(said.each(["a tree", "a tree", "a bush", "a tree"], 1.0, 99.0)) == [4.0, 8.0, None, 15.0]


def alike(before):
    return [f"{before} {what}." for what in ("tall and stands alone", "green", "old", "small at first")]


def test_bullets_that_begin_alike_appear_when_they_are_said():
    sentences = ["So.", *alike("A tree is")]
    script, lesson, voice = told({"First": sentences})
    voice["cues"] = [cue for cue in voice["cues"] if cue["show"] != "table"]
    slide = boards.storyboard(script, lesson, voice).scenes[-1]
    assert slide.slide.bullets == tuple(one.rstrip(".") for one in sentences[1:])
    begins = [one["begin_s"] for one in voice["words"] if one["text"] == "A"]
    assert slide.reveals == (slide.begin_s, *begins[1:])


def test_sentences_that_begin_alike_are_shown_when_they_are_said_and_not_where_another_part_says_them():
    first = [f"A tree is {word} " + "word " * 18 + "here." for word in ("tall", "green", "old", "small")]
    again = ["So.", "A tree is old " + "word " * 18 + "here."]
    script, _, voice = told({"First": first, "Second": again})
    spoken = boards._spoken(script, voice, hearing.Heard(voice["words"]))
    begins = [one["begin_s"] for one in voice["words"] if one["text"] == "A"]
    assert [at_s for at_s, text in spoken if text != "So"] == begins


def ended(*, more_s):
    """Return the storyboard of a video whose summary begins 0.5 s after the last slide, and takes so long."""
    script, lesson, voice = told({"First": spoken(1, 6)})
    at_s = voice["duration_s"]
    lesson["summary"] = ["Remember this well."]
    voice["cues"].append({"show": "title", "content": "In short", "at_s": at_s})
    voice["words"] += [{"text": word, "begin_s": at_s + 0.5} for word in ("Remember", "this", "well.")]
    return boards.storyboard(script, lesson, {**voice, "duration_s": at_s + more_s})


@pytest.mark.parametrize(("more_s", "last"), [(1.5, Kind.TITLE), (2.2, Kind.TITLE), (6.0, Kind.OUTRO)])
def test_no_slide_begins_after_the_end(more_s, last):
    scenes = ended(more_s=more_s).scenes
    assert all(one.begin_s < one.end_s for one in scenes)
    assert scenes[-1].slide.kind is last
