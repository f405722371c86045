"""What the video of music_video says, and its music: from the brief and from what agents have answered alone."""

from importlib import import_module

import pytest

from music_video_example import EXAMPLE
from overnight.base.errors import OvernightError, UserMistake
from overnight.studio.markup import Cue, Said, parse
from overnight.studio.slides.slide import Kind
from overnight.studio.speech.narrate import CueAt, Spoken
from overnight.studio.speech.ports import Word

assert EXAMPLE
treatment, melodies = import_module("treatment"), import_module("melody")
maker = import_module("video_maker")
BRIEF = {"title": "Neon [Rain] | one", "genre": "Musical, Drama", "runtime": 95, "director": "A; B"}
TUNE = {"opening": "d2 f2 a2 f2|g2 b2 d'2 b2|", "key": "D", "meter": "4/4"}


def spoken(told):
    shown = [one for one in told.pieces if isinstance(one, Cue)]
    cues = tuple(CueAt(cue=one, at_s=5.0 * number) for number, one in enumerate(shown))
    return Spoken(wav=None, duration_s=5.0 * len(cues), rate_hz=1, words=(Word(text="a", begin_s=0, end_s=1),),
                  cues=cues, engine="none", timed="measured")  # fmt: skip


def said(item, music=None):
    told = parse(treatment.narration(item, music))
    assert told.problems == ()
    return " ".join(piece.text for piece in told.pieces if isinstance(piece, Said)), told


def test_only_what_is_known_is_said():
    text, _ = said({"title": "Neon Rain"})
    assert text == "Neon Rain, a film. Neon Rain."
    text, _ = said({**BRIEF, "language": "English", "video_concept": {"expected_rating": 5.87}})
    assert "a musical drama of 95 minutes in English, directed by A; B." in text
    assert "critics are expected to give it 5.9 out of 10" in text and "beside" not in text


def test_marks_in_the_brief_do_no_harm():
    films = [{"title": "One | two; three [4]", "director": None}, {"title": "Five", "director": "Six"}]
    text, told = said({**BRIEF, "screenplay_generator": {"exemplars": films}})
    assert "Neon (Rain) / one" in text and "beside One / two; three (4) and Five" in text
    scenes, problems = maker.scenes_of(spoken(told))
    assert problems == [] and [one.slide.kind for one in scenes] == [Kind.TITLE, Kind.TABLE, Kind.TITLE]
    assert scenes[1].slide.rows[1:] == (("One / two, three (4)", ""), ("Five", "Six"))
    assert scenes[0].begin_s == 0 and scenes[-1].end_s == 15 and scenes[1].slide.title == "Films that it stands beside"


def test_the_melody_is_the_opening_in_its_key_at_the_tempo_of_its_dance():
    pytest.importorskip("music21")
    music = melodies.melody({"title": "x", **TUNE, "sound_designer": {"label": "jig"}})
    assert music.tempo == 174 and music.tune is None
    assert [round(note.hz) for note in music.notes] == [587, 740, 880, 740, 784, 988, 1175, 988]
    assert music.notes[0].seconds == pytest.approx(60 / 174)
    assert melodies.melody({"title": "x"}) is None
    assert melodies.melody({**TUNE, "title": "x"}).tempo == melodies.TEMPO


def test_the_opening_goes_over_into_the_tune_that_fits_best():
    pytest.importorskip("music21")
    item = {**TUNE, "audio_curator": {"ranked": ["HumourOfGlenJig.abc", "KileysReel.abc"]}}
    music = melodies.melody({"title": "x", **item})
    assert len(music.notes) > 40 and "HUMOUR OF GLEN" in music.tune.title
    text, _ = said({"title": "x", **item}, music)
    assert "It goes over into Humour Of Glen, whose ending fits it best" in text


@pytest.mark.parametrize("name", ["../../../etc/passwd", "Nobody.abc", "/etc/passwd", ""])
def test_a_tune_that_is_none_of_the_collection_is_left_out(name):
    assert melodies.tune_of(name) is None


@pytest.mark.parametrize("opening", ["%%%", "|||", "?!"])
def test_an_opening_without_notes_is_one_line(opening):
    pytest.importorskip("music21")
    with pytest.raises(UserMistake, match=r"brief\.opening: "):
        melodies.melody({"title": "x", "opening": opening})


@pytest.mark.parametrize("title", [None, "", "  ", [], {}, True])
def test_a_brief_without_a_title_is_one_line(title):
    for use in (treatment.prompt, maker.brief_of, lambda item: treatment.narration(item, None)):
        with pytest.raises(UserMistake, match=r"brief\.title: missing"):
            use({"title": title})


def test_a_brief_may_have_lists_numbers_and_nothing_where_texts_are_wanted():
    brief = {"title": 1917, "genre": ["Musical", "Drama"], "year": 2014, "runtime": "95", "director": ["A", "B"]}
    text, _ = said({**brief, "language": None, "prompt_refiner": "rain", "video_concept": 7, "sound_designer": []})
    assert text == "1917, a musical drama of 95 minutes, directed by A, B. 1917."
    assert treatment.film(maker.brief_of({"title": "x", "genre": "", "runtime": float("inf")})) == "x, a film"
    assert treatment.prompt({"title": "x", "genre": "Epic"}) == "A music video for x, an epic."


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("HUMOUR OF GLEN- JIG", "Humour Of Glen"),
        ("Miss McCloud's -- Reel", "Miss McCloud's"),
        ("Half-Penny", "Half-Penny"),
    ],
)
def test_a_tunes_title_is_said_without_its_kind(title, plain):
    assert treatment._plain(title) == plain


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": "wide"}, "settings.width: 'wide' is not a whole number"),
        ({"width": None}, "settings.width: None is not a whole number"),
        ({"fps": True}, "settings.fps: True is not a whole number"),
        ({"size": 3}, "settings: there is no 'size'; known are width, height, fps, theme, voice"),
        ({"voice": "loud"}, "settings.voice: 'loud' is not a table"),
        ({"voice": {"speed": "fast"}}, "settings.voice: "),
        ({"voice": {"tone": 1}}, "settings.voice: "),
        ({"width": 1921}, "size: 1921x1080: both are even"),
    ],
)
def test_settings_are_looked_at_before_anything_is_made(settings, says):
    with pytest.raises(OvernightError) as refused:
        maker._settings(settings)
    assert str(refused.value).startswith(says)
