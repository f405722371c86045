"""Narration with markers is read: who says what how, what is shown when, and what is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.studio.markup import PARAGRAPH_S, PAUSE_S, Cue, Manner, Pause, Said, Show, parse, spoken
from overnight.studio.sentences import in_pieces, sentences


def said(text, manner=Manner.PLAIN):
    return Said(text=text, manner=manner)


def pieces_of(text):
    found = parse(text)
    assert found.problems == ()
    return list(found.pieces)


def problems_of(text):
    return list(parse(text).problems)


def test_a_manner_holds_until_the_next_one_or_the_end_of_its_paragraph():
    found = pieces_of("One. [enthusiastic] Two!\nThree. [cautionary]Four.\n \nFive.")
    assert found == [
        said("One."),
        said("Two! Three.", Manner.ENTHUSIASTIC),
        said("Four.", Manner.CAUTIONARY),
        Pause(seconds=PARAGRAPH_S),
        said("Five."),
    ]


def test_emphasis_holds_until_the_end_of_its_sentence_and_the_manner_before_it_goes_on():
    found = pieces_of(
        "[explanatory] This is [emphasize] very [emphasize] important, e.g. here. And this not. [plain] End."
    )
    assert found == [
        said("This is", Manner.EXPLANATORY),
        said("very important, e.g. here.", Manner.EMPHASIZE),
        said("And this not.", Manner.EXPLANATORY),
        said("End."),
    ]


def test_emphasis_goes_on_across_a_cue_and_a_pause():
    found = pieces_of("[emphasize] Now [pause] look [show title: A] here! Then there.")
    assert [(one.text, one.manner) for one in found if isinstance(one, Said)] == [
        ("Now", Manner.EMPHASIZE),
        ("look", Manner.EMPHASIZE),
        ("here!", Manner.EMPHASIZE),
        ("Then there.", Manner.PLAIN),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("[pause]", PAUSE_S), ("[Pause 1.5]", 1.5), ("[pause 2 s]", 2.0), ("[ pause 0.3s ]", 0.3)]
)
def test_pauses_are_as_long_as_they_say(text, seconds):
    assert pieces_of(text) == [Pause(seconds=seconds)]


@pytest.mark.parametrize(
    ("text", "show", "content"),
    [
        ("[show title: Gradient descent]", Show.TITLE, "Gradient descent"),
        ("[SHOW Diagram: a -> b -> c]", Show.DIAGRAM, "a -> b -> c"),
        (r"[show code: python | a[0] = [1, 2] \n print(a)]", Show.CODE, r"python | a[0] = [1, 2] \n print(a)"),
        ("[show table: a | b ; 1:2 | 2]", Show.TABLE, "a | b ; 1:2 | 2"),
        ("[show citation: doc-1#2]", Show.CITATION, "doc-1#2"),
    ],
)
def test_cues_keep_what_they_show_as_it_is_written(text, show, content):
    assert pieces_of(f"Before {text} after.") == [said("Before"), Cue(show=show, content=content), said("after.")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[sad] Hello",
            r"[sad]: no such marker; known are plain, enthusiastic, cautionary, explanatory, emphasize, pause, show",
        ),
        ("See [1] Hello", "[1]: no such marker"),
        ("[show picture: x] Hello", "[show picture: x]: can show title, diagram, code, table, citation"),
        ("[show] Hello", "[show]: can show title"),
        ("[show title:] Hello", "[show title:]: shows nothing; write [show title: WHAT]"),
        ("[pause long] Hello", "[pause long]: a pause lasts up to 10 seconds"),
        ("[pause 11] Hello", "[pause 11]: a pause lasts up to 10 seconds"),
        ("[pause nan] Hello", "[pause nan]: a pause"),
        ("[pause -1] Hello", "[pause -1]: a pause"),
        ("Hello [enthusiastic", "a bracket is never closed: '[enthusiastic'"),
        (f"[{'x' * 60}] Hello", f"[{'x' * 37}...]: no such marker"),
    ],
)
def test_what_is_no_marker_is_a_problem_and_not_spoken(text, problem):
    found = problems_of(text)
    assert len(found) == 1
    assert found[0].startswith(problem)
    words = spoken(parse(text).pieces)
    assert "Hello" in words
    assert "]" not in words


def test_what_is_left_of_a_sentence_stays_one_piece_around_a_marker_that_is_none():
    assert parse("One [huh] two [huh], three.").pieces == (said("One two, three."),)


@pytest.mark.parametrize("text", ["", " \n\n ", "[enthusiastic]", "[pause] [show title: A]\n\n[emphasize]"])
def test_nothing_to_say_says_nothing(text):
    assert spoken(parse(text).pieces) == ""
    assert parse(text).problems == ()


def test_paragraphs_are_parted_by_a_pause_only_where_both_say_something():
    found = pieces_of("[show title: A]\n\nOne.\n\n[show title: B]\n\n\nTwo.\r\n\r\nThree.")
    assert [one for one in found if isinstance(one, Pause)] == [Pause(seconds=PARAGRAPH_S)] * 2
    assert spoken(tuple(found)) == "One. Two. Three."


@given(st.text(alphabet="ab .!\n[]:1", max_size=60))
def test_any_text_can_be_read_and_no_bracket_is_spoken_that_closes(text):
    found = parse(text)
    assert all(one.text == " ".join(one.text.split()) != "" for one in found.pieces if isinstance(one, Said))
    assert all("\n" not in problem for problem in found.problems)


# -- sentences


def test_sentences_end_where_they_do_and_not_after_abbreviations():
    text = 'Dr. Lee (of the U.S. team) came. She said: "Go!" Then, e.g. at 3.5 m, what? It ended…'
    assert sentences(text) == [
        "Dr. Lee (of the U.S. team) came.",
        'She said: "Go!"',
        "Then, e.g. at 3.5 m, what?",
        "It ended…",
    ]
    assert sentences("  ") == []
    assert sentences("without an end") == ["without an end"]
    assert sentences("All of the U.S.") == ["All of the U.S."]


@given(st.text(alphabet="abc .!?\n", max_size=200), st.integers(min_value=3, max_value=40))
def test_pieces_are_short_enough_and_lose_no_letter(text, most):
    found = in_pieces(text, most)
    assert all(0 < len(one) <= most for one in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_pieces_end_with_sentences_where_they_can():
    assert in_pieces("One two. Three four. Five.", 17) == ["One two.", "Three four. Five."]
    assert in_pieces("One two three four five six.", 10) == ["One two", "three four", "five six."]
    assert in_pieces("abcdefghij", 4) == ["abcd", "efgh", "ij"]
