"""What the judges of the channel decide by: numbers as numbers, claims beside their passages, scores and consensus."""

import re
from importlib import import_module
from statistics import pstdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from channel_example import EXAMPLE

claim_numbers = import_module("claim_numbers")
claim_checks = import_module("claim_checks")
consensus = import_module("consensus")
faults = import_module("review_faults")
pictures = import_module("review_pictures")
scores = import_module("review_scores")
texts = import_module("review_texts")
Fault = claim_checks.Fault


def values(text):
    return [number.value for number in claim_numbers.numbers(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,024 or 1 024 or one thousand and twenty-four", [1024, 1024, 1024]),
        ("20 %, 20%, twenty per cent, 0.2 and 1/5", [0.2] * 5),
        ("1.5 minutes are 90 seconds", [90, 90]),
        ("5 ms, 2 KiB, 3 km, 2 GHz", [0.005, 2048, 3000, 2e9]),
        ("1.5 million and 250 billion", [1.5e6, 2.5e11]),
        ("two hundred and five thousand", [205_000]),
        ("3-5 items, -4 degrees and n^2 steps", [3, 5, -4, 2]),
        ("half of them, a dozen, twice", [0.5, 12, 2]),
        ("one of them, SHA-256, log2, B2 and 3D", []),
        ("the 2nd in 2019", [2, 2019]),
        ("version 3.11.2 of 2026-07-04, at 12:30", [None, None, None]),
        ("a second look", []),
        ("It has 7.", [7]),
    ],
)
def test_numbers_are_read_as_numbers(text, found):
    assert values(text) == pytest.approx(found) if None not in found else values(text) == found


@given(st.integers(min_value=2, max_value=10**9))
def test_separators_make_no_difference(number):
    [plain], [with_commas] = claim_numbers.numbers(str(number)), claim_numbers.numbers(f"{number:,}")
    assert claim_numbers.same(plain, with_commas)
    [other] = claim_numbers.numbers(str(number + 1))
    assert not claim_numbers.same(other, plain)


@pytest.mark.parametrize(
    ("said", "true", "same"),
    [
        ("20 seconds", "20 s", True),
        ("20 seconds", "20 ms", False),
        ("20 seconds", "20 km", False),
        ("20", "20 s", True),
        ("20 %", "20", False),
        ("about 1,000", "1,024", True),
        ("about 1,000", "1,100", False),
        ("about 510 billion", "about 500 billion", False),
        ("12:30", "12:30", True),
        ("12:30", "12:31", False),
    ],
)
def test_numbers_are_compared_with_their_units(said, true, same):
    [one], [other] = claim_numbers.numbers(said), claim_numbers.numbers(true)
    assert claim_numbers.same(one, other) is same


PASSAGE = (
    "Merge sort needs about 20 million comparisons for a million items. Insertion sort needs 250 billion. "
    "John von Neumann described it in 1945. It is not done in place."
)


def checked(text, *passages, source="c1"):
    return claim_checks.check(text, "a section", source, passages or [PASSAGE])


@pytest.mark.parametrize(
    ("text", "fault", "says"),
    [
        ("For a million items, merge sort needs about 20 million comparisons.", None, "the passage says so"),
        ("Merge sort needs about 20,000,000 comparisons for a million items.", None, "the passage says so"),
        ("Merge sort needs about 30 million comparisons for a million items.", Fault.NUMBER, "it says '30 million'"),
        (
            "Merge sort needs 250 billion comparisons for a million items.",
            Fault.NUMBER,
            "the passage says '20 million'",
        ),
        ("John von Neumann described it in 1946.", Fault.NUMBER, "it says '1946', the passage says '1945'"),
        ("It was described by Donald Knuth in 1945.", Fault.NAME, "does not name 'Donald', 'Knuth'"),
        ("It is done in place.", Fault.NEGATION, "the passage says 'It is not done in place.'"),
        ("It takes 7 tapes.", Fault.NUMBER, "it says '7'"),
    ],
)
def test_a_claim_is_looked_for_in_its_passage(text, fault, says):
    [claim] = checked(text)
    assert claim.fault == fault
    assert says in claim.why
    assert claim.supported is (fault is None)


def test_a_negation_of_something_else_makes_no_difference():
    passage = "A list of a million items needs at most 20 looks, because 20 halvings bring a million down to nothing."
    assert [one.fault for one in checked("A list of a million items needs at most 20 looks.", passage)] == [None]
    turned = checked("A list of a million items never needs at most 20 looks.", passage)
    assert [one.fault for one in turned] == [Fault.NEGATION]
    [short] = checked("The search is not slow at the end of 20 days.", "The search is slow at the end of 20 days.")
    assert short.fault is Fault.NEGATION


def test_sentences_of_claims_end_as_those_of_scripts_do():
    assert claim_checks.sentences("It costs 3.5 steps, e.g. Two of them. Yes.\n\nA list:\n- one\n- two") == [
        "It costs 3.5 steps, e.g. Two of them.",
        "Yes.",
        "A list:",
        "one",
        "two",
    ]


def test_a_claim_without_a_passage_cites_nothing():
    [claim] = claim_checks.check("It takes 7 tapes.", "a section", None, [])
    assert (claim.fault, claim.why) == (Fault.UNCITED, "no passage is cited for it")


def test_a_sentence_without_number_name_and_negation_claims_nothing_that_can_be_looked_for():
    assert checked("Let us see how that works.") == []
    assert claim_checks.names("Then case A and the API of Python 3 meet O'Brien's tree.") == (
        "API",
        "Python",
        "O'Brien",
    )


def test_what_a_section_cites_is_its_source_and_what_its_cues_name():
    passages = {"c1": "one", "c2": "two"}
    assert claim_checks.cited("c1", passages, "text [show citation: c2] text") == ("c1, c2", ["one", "two"])
    assert claim_checks.cited(["c2", "c9"], passages, "") == ("c2", ["two"])
    assert claim_checks.cited(None, passages, "") == (None, [])


def documents():
    """Yield the text of each section of the knowledge base, as its passage would be cited."""
    for path in sorted((EXAMPLE / "knowledge").glob("*.md")):
        for section in re.split(r"\n#+ ", path.read_text()):
            body = re.sub(r"```.*?```", "", section.partition("\n")[2], flags=re.DOTALL)
            yield re.sub(r"(?<!\n)\n(?![\n|])", " ", body)


def test_every_claim_of_the_knowledge_base_is_found_in_itself_and_hardly_any_changed_number_is():
    claims = found = changed = 0
    for passage in documents():
        claims += len(checked(passage, passage))
        assert [claim for claim in checked(passage, passage) if not claim.supported] == []
        for sentence in claim_checks.sentences(passage):
            digits = re.search(r"(?<![\w.,^-])\d+(?![\w.,]*\d|\w)", sentence)
            if digits and claim_checks.numbers(digits[0]):
                other = f"{sentence[: digits.start()]}{int(digits[0]) + 13}{sentence[digits.end() :]}"
                changed += 1
                found += any(one.fault is Fault.NUMBER for one in checked(other, passage))
    assert claims > 300
    assert changed > 200
    assert found >= 0.98 * changed


def member(name, score, weight=1.0):
    return consensus.Member(name=name, profile="", weight=weight, score=score, measurements={}, reasons=[f"{name} why"])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=7))
def test_consensus_is_one_less_a_fifth_of_the_standard_deviation(given_scores):
    found = consensus.decide([member(str(place), score) for place, score in enumerate(given_scores)])
    assert found.consensus == pytest.approx(max(0.0, 1 - pstdev(given_scores) / 5))
    assert 0 <= found.consensus <= 1
    assert found.range == max(given_scores) - min(given_scores)
    assert (found.decision == "split") is (found.range > 2)


@pytest.mark.parametrize(
    ("given_scores", "decision"),
    [((8, 8, 10), "approve"), ((7.9, 7.9), "flag"), ((6, 6), "flag"), ((5.9, 5.9), "reject"), ((7, 9.1), "split")],
)
def test_what_scores_come_to(given_scores, decision):
    assert (
        consensus.decide([member(str(place), score) for place, score in enumerate(given_scores)]).decision == decision
    )


def test_the_mean_of_a_committee_is_weighted_and_a_split_names_both_ends():
    assert consensus.decide([member("a", 9, 3), member("b", 8, 1)]).mean == 8.75
    split = consensus.decide([member("a", 9), member("b", 4)])
    assert "a gives 9.0 and b 4.0" in split.why
    assert "b why" in split.why


def test_the_weights_of_the_five_scores_are_those_of_the_channel():
    assert scores.WEIGHTS == {
        "educational": 0.30, "engagement": 0.25, "accuracy": 0.25, "visual": 0.15, "accessibility": 0.05,
    }  # fmt: skip
    assert set(scores.PARTS) == set(scores.WEIGHTS)
    assert scores.overall(dict.fromkeys(scores.WEIGHTS, 8.0)) == pytest.approx(8.0)


def test_points_rise_on_a_straight_line_and_fall_beyond_the_most():
    part = scores.Part(name="pace", words="pace", bad=100, good=120, most=180)
    told = {80: 0, 100: 0, 110: 5, 120: 10, 180: 10, 190: 5, 300: 0}
    assert {value: part.points(value) for value in told} == told
    fewer = scores.Part(name="black", words="black", bad=1, good=0.2, unit=" s")
    assert [fewer.points(value) for value in (2, 1, 0.6, 0.2, 0)] == pytest.approx([0, 0, 5, 10, 10])
    assert fewer.told(0.6) == "black: 0.6 s (full points at 0.2 s)"
    assert part.told(110) == "pace: 110 (full points at 120 to 180)"


def test_what_was_not_measured_is_worth_nothing_and_is_told():
    parts = [scores.Part(name="a", words="first", bad=0, good=1), scores.Part(name="b", words="second", bad=0, good=1)]
    assert scores.score(parts, {"a": 1.0}) == 5.0
    assert scores.reasons(parts, {"a": 1.0}) == ["second: not measured"]


def picture(*lines, size=(640, 360), left=40, fill="#f5f7fc", bar=False):
    image = Image.new("RGB", size, "#1a2540")
    pen = ImageDraw.Draw(image)
    if bar:
        pen.rectangle((0, size[1] - 6, size[0] // 2, size[1]), fill="#ffb84d")
    for place, text in enumerate(lines):
        pen.text((left, 40 + 50 * place), text, font=ImageFont.load_default(size=32), fill=fill)
    return np.asarray(image)


LONG = "a line that is far too long for this picture and goes on"


@pytest.mark.parametrize(
    ("image", "cut"),
    [
        (picture("short"), []),
        (picture("short", bar=True), []),
        (picture(LONG), [(0, "right")]),
        (picture("short", left=-8), [(0, "left")]),
        (picture(*["line"] * 7), [(0, "bottom")]),
    ],
)
def test_text_that_the_border_cuts_off_is_seen_and_bars_of_the_design_are_not(image, cut):
    assert pictures.cut_off([pictures.rims(image)]) == cut


def test_what_is_at_the_border_of_most_frames_is_design():
    framed = picture("short").copy()
    framed[::60, -4:] = 255
    cut = framed.copy()
    cut[130:170] = picture(LONG)[36:76]
    images = [framed, framed, framed, cut]
    assert pictures.cut_off([pictures.rims(one) for one in images]) == [(3, "right")]


def test_contrast_is_that_of_the_text_on_its_background():
    box = {"x": 40, "y": 40, "w": 80, "h": 40}
    assert pictures.contrast(picture("short"), box) > 10
    assert pictures.contrast(picture("short", fill="#222d48"), box) < 1.3
    assert pictures.contrast(picture("short"), {"x": 700, "y": 0, "w": 10, "h": 10}) is None


@pytest.mark.parametrize(
    ("box", "out"),
    [((0, 0, 320, 180), False), ((-1, 0, 9, 9), True), ((0, 0, 321, 9), True), ((0, 172, 9, 9), True)],
)
def test_a_box_that_reaches_out_of_the_picture_is_told(box, out):
    x, y, w, h = box
    assert pictures.out_of_frame({"x": x, "y": y, "w": w, "h": h}, 320, 180) is out


FINE = {"duration_s": 60.0, "voice_s": 60.0, "script_s": 62.0, "captioned_share": 1.0, "caption_off_s": 0.0}
STREAMS = {"video": {}, "audio": {}, "subtitles": [{}], "captions": ["captions.srt"], "burnt": False}


@pytest.mark.parametrize(
    ("figures", "names"),
    [
        ({}, []),
        ({"black_s": 1.0, "frozen_s": 2.0, "silence_s": 4.0, "clipped_share": 0.001, "caption_off_s": 1.0}, []),
        ({"sound_late_s": 0.3, "sound_alike": 0.5}, []),
        ({"sound_late_s": -0.31, "sound_alike": 0.9}, ["sound out of time"]),
        ({"sound_late_s": 5.0, "sound_alike": 0.49}, ["another sound"]),
        ({"black_s": 1.1}, ["black"]),
        ({"frozen_s": 2.1}, ["frozen"]),
        ({"silence_s": 4.1}, ["silence"]),
        ({"clipped_share": 0.002}, ["clipping"]),
        ({"caption_off_s": -1.2}, ["captions out of time"]),
        ({"captioned_share": 0.5}, ["captions miss words"]),
        ({"seen_contrast": 1.2}, ["unreadable text"]),
        ({"duration_s": 40.0}, ["duration"]),
        ({"script_s": 120.0}, ["duration"]),
    ],
)
def test_what_is_wrong_is_named_from_its_bound_on(figures, names):
    assert [one.name for one in faults.flaws({**FINE, **figures}, [], [], STREAMS)] == names


@pytest.mark.parametrize(("burnt", "names"), [(False, ["no captions in the file"]), (True, [])])
def test_a_file_without_captions_is_told_unless_they_are_in_its_pictures(burnt, names):
    streams = {**STREAMS, "subtitles": [], "burnt": burnt}
    assert [one.name for one in faults.flaws(FINE, [], [], streams)] == names


def test_where_nothing_is_claimed_accuracy_is_made_of_the_rest_and_it_is_said():
    figures = {"claims": 0, "claims_supported": None, "wrong_claims": 0, "sections_cited": 1.0}
    accuracy = scores.PARTS["accuracy"]
    assert scores.score(accuracy, figures) == 10 and scores.reasons(accuracy, figures) == []
    assert scores.score(accuracy, {**figures, "claims": 2, "claims_supported": 0.5}) == 5
    told = import_module("reviewer").why([], [], figures, {"accuracy": 10.0})
    assert told == ["accuracy: no sentence holds a number or a name that could be checked against its source"]
