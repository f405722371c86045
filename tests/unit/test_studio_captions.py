"""Captions are short, readable and in time; files are read back; captions that are late or incomplete are measured."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.studio.captions import (
    LEAST_S,
    MOST_CHARS,
    MOST_CHARS_PER_S,
    MOST_LINES,
    MOST_S,
    Caption,
    cut,
    late_by,
    read,
    srt,
    vtt,
)
from overnight.studio.speech.ports import Word
from overnight.studio.speech.timing import at_places, estimated

TALE = (
    "A small step downhill, again and again, finds the lowest place. Stop. Why does it work at all, when nobody can "
    "see further than the ground under their own feet? Because the slope tells the way, and it is measured anew."
)


def spoken(text, *, letter_s=0.07, gap_s=0.02, sentence_s=0.4):
    words, at = [], 0.0
    for one in text.split():
        words.append(Word(text=one, begin_s=at, end_s=at + letter_s * len(one)))
        at = words[-1].end_s + (sentence_s if one[-1] in ".?!" else gap_s)
    return words


def shifted(captions, by_s):
    return [Caption(begin_s=one.begin_s + by_s, end_s=one.end_s + by_s, lines=one.lines) for one in captions]


def test_captions_keep_to_the_bounds_and_show_every_word_when_it_is_said():
    words = spoken(TALE)
    captions = cut(words)
    assert " ".join(one.text for one in captions) == TALE
    for one in captions:
        assert len(one.lines) <= MOST_LINES
        assert all(0 < len(line) <= MOST_CHARS for line in one.lines)
        assert LEAST_S <= one.end_s - one.begin_s <= MOST_S
        assert one.chars_per_s <= MOST_CHARS_PER_S
    starts = {word.begin_s for word in words}
    assert all(one.begin_s in starts for one in captions)


def test_sentences_begin_captions_unless_the_one_before_was_too_short_to_be_seen():
    captions = cut(spoken(TALE))
    assert any(one.lines[0].startswith("Stop. Why does") for one in captions)
    assert any(one.lines[0].startswith("Because") for one in captions)


def test_two_lines_are_about_as_long():
    for one in cut(spoken(TALE)):
        if len(one.lines) == 2:
            assert abs(len(one.lines[0]) - len(one.lines[1])) <= 12


def test_a_long_sentence_is_cut_into_equal_parts_and_no_word_is_left_alone():
    text = " ".join(["seven"] * 31)
    captions = cut(spoken(text, letter_s=0.06))
    assert len({len(one.text.split()) for one in captions}) <= 2
    assert min(len(one.text.split()) for one in captions) > 5


def test_a_caption_stays_until_it_can_be_read_where_there_is_silence_after_it():
    [one] = cut([Word(text="Go!", begin_s=1.0, end_s=1.2)])
    assert one.end_s - one.begin_s == pytest.approx(LEAST_S)
    quick = spoken("supercalifragilistic expialidocious indeed", letter_s=0.02)
    [one] = cut(quick)
    assert one.chars_per_s == pytest.approx(MOST_CHARS_PER_S)


def test_a_word_that_is_longer_than_a_line_is_cut():
    captions = cut([Word(text="x" * 100, begin_s=0.0, end_s=5.0)])
    assert all(len(line) <= MOST_CHARS for one in captions for line in one.lines)
    assert "".join(one.text for one in captions).replace(" ", "") == "x" * 100


def test_a_word_that_lasts_too_long_is_shown_for_as_long_as_a_caption_may_be():
    [first, second] = cut([Word(text="Ohhh", begin_s=0.0, end_s=20.0), Word(text="no", begin_s=20.0, end_s=20.5)])
    assert first.end_s == MOST_S
    assert second.begin_s == 20.0


def test_no_words_are_no_captions():
    assert cut([]) == []
    assert srt([]) == ""
    assert read(vtt([])) == []


@given(
    st.lists(
        st.tuples(st.text(alphabet="abc.!-", min_size=1, max_size=50), st.floats(0.0, 2.0), st.floats(0.0, 3.0)),
        max_size=40,
    )
)
def test_any_words_become_captions_in_order_within_the_lines(told):
    words, at = [], 0.0
    for text, long_s, gap_s in told:
        words.append(Word(text=text, begin_s=at, end_s=at + long_s))
        at += long_s + gap_s
    captions = cut(words)
    edges = [edge for one in captions for edge in (one.begin_s, one.end_s)]
    assert edges == sorted(edges)
    assert all(len(line) <= MOST_CHARS for one in captions for line in one.lines)
    assert all(len(one.lines) <= MOST_LINES and one.end_s - one.begin_s <= MOST_S + 1e-6 for one in captions)


# -- files


def test_files_are_read_back_as_they_were_written():
    captions = [
        Caption(begin_s=0.0, end_s=1.25, lines=("a < b & c > d", "&amp; e")),
        Caption(begin_s=3599.9996, end_s=3725.5, lines=("Grüße",)),
    ]
    rounded = [captions[0], Caption(begin_s=3600.0, end_s=3725.5, lines=("Grüße",))]
    assert read(vtt(captions)) == rounded
    assert read(srt(captions)) == rounded
    assert srt(captions).startswith("1\n00:00:00,000 --> 00:00:01,250\na < b & c > d\n")
    assert vtt(captions).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\na &lt; b &amp; c &gt; d\n")


def test_files_of_others_are_read_too():
    text = (
        "\ufeffWEBVTT - made elsewhere\r\n\r\nNOTE not shown\r\n\r\nSTYLE\r\n::cue {}\r\n\r\n"
        "intro\r\n00:01.000 --> 00:02.500 align:start\r\n<v Ann>Hello <b>you</b>\r\n\r\n"
        "00:03.000 --> 00:03.000\nno time at all\n\n00:04.000 --> 00:05.000\n\n\n"
    )
    assert read(text) == [Caption(begin_s=1.0, end_s=2.5, lines=("Hello you",))]
    assert read("1\n00:00:01,000 --> 00:00:02,000\n\n") == []


# -- how far off they are


def test_captions_in_time_are_late_by_nothing_and_show_all():
    words = spoken(TALE)
    found = late_by(cut(words), words)
    assert (found.median_s, found.worst_s, found.missing) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("by_s", [2.0, -1.5])
def test_captions_that_are_late_or_early_are_so_by_as_much(by_s):
    words = spoken(TALE)
    found = late_by(shifted(cut(words), by_s), words)
    assert (found.median_s, found.worst_s) == (pytest.approx(by_s), pytest.approx(by_s))


def test_one_late_caption_is_the_worst_and_not_the_median():
    words = spoken(TALE)
    captions = cut(words)
    captions[1:2] = shifted(captions[1:2], 3.0)
    found = late_by(captions, words)
    assert (found.median_s, found.worst_s) == (0.0, pytest.approx(3.0))


def test_words_that_no_caption_shows_are_missing():
    words = spoken(TALE)
    assert late_by([], words).missing == 1.0
    assert late_by([], words).median_s is None
    assert late_by(cut(words)[:-1], words).missing == pytest.approx(
        len(cut(words)[-1].text.split()) / len(words), abs=0.01
    )
    other = late_by([Caption(begin_s=0, end_s=2, lines=("Quite another text",))], words)
    assert (other.median_s, other.worst_s, other.missing) == (None, None, 1.0)
    assert late_by(cut(words), []).missing == 0.0


def test_spelling_case_and_marks_make_no_difference():
    words = spoken("Don't stop — it's U.S. law.")
    captions = [Caption(begin_s=0.0, end_s=3.0, lines=("DON'T STOP", "it's US law"))]
    assert late_by(captions, words).missing == 0.0


def test_a_caption_whose_first_word_was_not_said_is_not_timed_by_another():
    words = spoken("one two three four five six seven eight nine ten")
    captions = [Caption(begin_s=9.0, end_s=10.0, lines=("Zero one two three",))]
    assert late_by(captions, words).median_s is None


def test_ten_thousand_words_are_compared_piece_by_piece():
    words = spoken(" ".join(f"{TALE}" for _ in range(250)))
    assert len(words) > 9_000
    found = late_by(shifted(cut(words), 2.0), words)
    assert (found.median_s, found.missing) == (pytest.approx(2.0), 0.0)


# -- times of words


def test_estimated_words_share_the_time_by_their_letters_and_marks():
    words = estimated("Go. Onward!", 1.0, 4.0)
    assert [word.text for word in words] == ["Go.", "Onward!"]
    assert (words[0].begin_s, words[-1].end_s) == (1.0, pytest.approx(4.0))
    assert words[1].end_s - words[1].begin_s > words[0].end_s - words[0].begin_s
    assert words[1].begin_s - words[0].end_s > 0.5
    assert estimated("", 0.0, 1.0) == ()


def test_words_that_are_heard_as_one_share_its_time_and_marks_go_with_their_neighbour():
    text = "— well such as it — is"
    spans = [
        (text.index("well"), 0.0, 0.5),
        (text.index("such"), 0.5, 1.0),
        (text.index("it"), 1.2, 1.4),
        (text.index("is"), 1.6, 9.0),
    ]
    words = at_places(text, spans, 2.0)
    assert [word.text for word in words] == ["— well", "such", "as", "it —", "is"]
    assert re.fullmatch(re.escape(text), " ".join(word.text for word in words))
    assert [word.begin_s for word in words] == pytest.approx([0.0, 0.5, 0.5 + 0.5 * 4 / 6, 1.2, 1.6])
    assert words[-1].end_s == 2.0


def test_what_comes_before_the_first_sound_shares_its_time():
    words = at_places("one two", [(4, 0.2, 0.8)], 1.0)
    assert [(word.text, word.begin_s, word.end_s) for word in words] == [("one", 0.2, 0.5), ("two", 0.5, 0.8)]


def test_a_word_of_several_sounds_begins_with_its_first_and_ends_with_its_last():
    words = at_places("42 is", [(0, 0.0, 0.3), (1, 0.4, 0.6), (3, 0.5, 0.9)], 1.0)
    assert [(word.begin_s, word.end_s) for word in words] == [(0.0, 0.6), (0.6, 0.9)]
