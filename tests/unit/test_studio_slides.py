"""Slides hold what a cue says; text stays within its room or is told as lost; what cannot be read is refused."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from overnight.base.errors import ConfigError, UnknownName, UserMistake
from overnight.studio.slides.code import coloured, fit_rows, rows
from overnight.studio.slides.colours import contrast, luma, mixed, rgb
from overnight.studio.slides.cues import slide_of
from overnight.studio.slides.diagram import Rect, grid, head, route
from overnight.studio.slides.layout import Room, fit, height
from overnight.studio.slides.slide import Bar, Edge, Kind, Slide, parts
from overnight.studio.slides.theme import DAYLIGHT, MIDNIGHT, check, named

QUOTES = {"notes#3": ("Small steps find the valley.", "Notes on slopes, page 3")}
WORDS = st.text(alphabet="abmW \n", max_size=60)


def width_of(text, size):
    return size * sum({"W": 0.9, "m": 0.8, " ": 0.3, "…": 0.9}.get(letter, 0.5) for letter in text)


def shown(show, content, **options):
    return slide_of(show, content, quotes=QUOTES, **options)


# Colours and themes


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#ff0000", "#ffffff", 4.0),
        ("#0a0a0a", "#0a0a0a", 1),
    ],
)
def test_contrast_is_that_of_wcag_whichever_colour_comes_first(one, other, ratio):
    assert contrast(rgb(one), rgb(other)) == pytest.approx(ratio, abs=0.005)
    assert contrast(rgb(other), rgb(one)) == contrast(rgb(one), rgb(other))


def test_dark_colours_are_linear_in_contrast():
    assert contrast((10, 10, 10), (0, 0, 0)) == pytest.approx((10 / 255 / 12.92 + 0.05) / 0.05)


def test_colours_are_mixed_and_weighed_by_how_bright_they_look():
    assert mixed((0, 100, 200), (100, 200, 0), 0.25) == (25, 125, 150)
    assert luma((255, 255, 255)) == pytest.approx(1.0)
    assert luma((0, 255, 0)) > luma((255, 0, 0)) > luma((0, 0, 255)) > luma((0, 0, 0)) == 0


@pytest.mark.parametrize("text", ["", "#fff", "1a2b3c4", "#1a2b3g", "#1a2b3c ", "#+1+2+3", "red"])
def test_what_is_no_colour_is_refused(text):
    with pytest.raises(ValueError, match="is not a colour such as"):
        rgb(text)


@pytest.mark.parametrize("theme", [MIDNIGHT, DAYLIGHT])
def test_the_themes_that_there_are_can_be_read(theme):
    check(theme)
    assert named(theme.name) is theme


def test_a_theme_that_there_is_not_is_told_with_those_that_there_are():
    with pytest.raises(UnknownName, match=r"there is no theme 'noon'; there are daylight, midnight"):
        named("noon")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "#40506f"}, r"theme 'midnight': text upon background has a contrast of 1\.\d; 4.5 is the least"),
        ({"accent": "#4d5a88"}, "accent upon background has a contrast"),
        ({"on_second": "#ffffff"}, "on_second upon second has a contrast"),
        ({"code": dict(MIDNIGHT.code) | {"comment": "#30405f"}}, "code.comment upon code_panel has a contrast"),
        ({"code": {"plain": "#ffffff"}}, "code has no colour for comment, keyword, name, number, operator, string"),
        ({"line": "blue"}, "'blue' is not a colour such as"),
        ({"background": "#0b0d12", "panel": "#101522"}, "background #0b0d12 is so dark that a slide counts as a black"),
    ],
)
def test_a_theme_that_cannot_be_read_is_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        check(replace(MIDNIGHT, **change))


# Cues


def test_a_title_may_have_a_line_below_it():
    assert shown("title", " Slopes ") == Slide(kind=Kind.TITLE, title="Slopes")
    assert shown("title", "Slopes | in ten minutes").text == "in ten minutes"


def test_a_title_of_its_own_goes_before_the_one_of_the_section():
    assert shown("title", "Slopes", title="Section").title == "Slopes"
    assert shown("table", "a ; 1", title="Section", source="s", footer="f") == Slide(
        kind=Kind.TABLE, title="Section", rows=(("a",), ("1",)), source="s", footer="f"
    )


def test_code_keeps_its_blanks_and_its_language():
    found = shown("code", r"Python | def f(x): \n     return x \n \n f(1)")
    assert (found.kind, found.language) == (Kind.CODE, "python")
    assert found.code == "def f(x):\n    return x\n\nf(1)"
    assert shown("code", r"x = 1\ny = 2").language == ""
    assert shown("code", r"x = 1\ny = 2").code == "x = 1\ny = 2"


def test_short_rows_of_a_table_are_filled():
    assert shown("table", "a | b ; 1 ; ; 2 | 3").rows == (("a", "b"), ("1", ""), ("2", "3"))


def test_a_diagram_has_each_box_and_each_arrow_once():
    found = shown("diagram", "look -> step -> look: again; look -> step; stay -> stay; Step 1: mix -> Step 2")
    assert found.nodes == ("look", "step", "stay", "Step 1: mix", "Step 2")
    assert found.edges == (
        Edge(begin="look", end="step"),
        Edge(begin="step", end="look", label="again"),
        Edge(begin="Step 1: mix", end="Step 2"),
    )


def test_a_box_alone_keeps_its_colon():
    assert shown("diagram", "Note: this").nodes == ("Note: this",)


def test_a_diagram_of_numbers_is_bars():
    found = shown("diagram", "small = 3 ; a = b = 1,200.5 kg; half = .5")
    assert found.kind is Kind.BARS
    assert found.bars == (
        Bar(label="small", value=3.0, shown="3"),
        Bar(label="a = b", value=1200.5, shown="1,200.5 kg"),
        Bar(label="half", value=0.5, shown=".5"),
    )


def test_a_citation_is_the_one_of_its_id_with_its_own_source():
    found = shown("citation", " notes#3 ", title="Why", source="other", footer="f")
    text, source = QUOTES["notes#3"]
    assert found == Slide(kind=Kind.CITATION, title="Why", text=text, source=source, footer="f")


@pytest.mark.parametrize(
    ("show", "content", "said"),
    [
        ("title", "  ", r"\[show title: \] says nothing to show"),
        ("title", "| below", "there is no title before the mark"),
        ("code", r"python | \n ", "there is no code in it"),
        ("table", " ; ", "there is nothing beside the marks"),
        ("table", " | ; | ", "there is nothing beside the marks"),
        ("diagram", ";", "there is nothing beside the arrows"),
        ("diagram", "-> ->", "there is nothing beside the arrows"),
        ("diagram", "a = 3; b = many", r"\[show diagram: b = many\]: 'many' is not a number"),
        ("diagram", "a = -3", r"a bar is 0 to 1e\+15 long"),
        ("diagram", "a = 2000000000000000", r"a bar is 0 to 1e\+15 long"),
        ("citation", "notes#4", r"\[show citation: notes#4\]: there is no citation of that id"),
        ("film", "a", r"\[show film: ...\]: there are title, diagram, code, table and citation"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_the_line_says_why(show, content, said):
    with pytest.raises(UserMistake, match=said):
        shown(show, content)


def test_parts_are_what_can_appear_one_after_another():
    two = ("a", "b")
    bars = (Bar(label="a", value=1, shown="1"),)
    found = {
        kind: parts(Slide(kind=kind, bullets=two, rows=(two, two, two), nodes=("a", "b", "c"), bars=bars))
        for kind in Kind
    }
    assert found == {
        Kind.TITLE: 0, Kind.BULLETS: 2, Kind.CODE: 0, Kind.TABLE: 2,
        Kind.DIAGRAM: 3, Kind.BARS: 1, Kind.CITATION: 0, Kind.OUTRO: 2,
        Kind.COVER: 0,
    }  # fmt: skip
    assert parts(Slide(kind=Kind.TABLE)) == 0


# Text in its room


@given(
    st.lists(WORDS, max_size=5),
    st.floats(0, 400),
    st.floats(-20, 400),
    st.floats(0, 2),
    st.integers(1, 4),
    st.booleans(),
)
@example(["W"], 5.0, 100.0, 0.0, 1, False)
@example(["W W"], 13.0, 100.0, 0.0, 1, False)
@example(["word " * 30], 100.0, 400.0, 0.0, 4, True)
@example(["", " \n "], 100.0, 400.0, 0.0, 4, True)
def test_text_stays_within_its_room_and_what_is_not_there_is_told(texts, width, high, gap, lines, even):
    room = Room(width=width, height=high, largest=40, smallest=12, gap=gap, lines=lines, even=even)
    found = fit(texts, room, width_of)
    assert room.smallest <= found.size <= room.largest
    assert len(found.texts) == len(texts)
    assert all(width_of(line, found.size) <= width for text in found.texts for line in text)
    assert all(len(text) <= lines for text in found.texts)
    kept = [text for text in found.texts if text]
    assert not kept or height(kept, room, found.size) <= high + 0.01
    lost = list(found.lost)
    for text, seen in zip(texts, found.texts, strict=True):
        there = "".join("".join(seen).removesuffix("…").split())
        wanted = "".join(text.split())
        if there != wanted:
            assert wanted == there + "".join(lost.pop(0).split())
    assert lost == []


def test_text_is_as_large_as_there_is_room_for():
    room = Room(width=400, height=100, largest=40, smallest=12)
    assert fit(["short"], room, width_of).size == 40
    longer = fit(["a few more words than that, so that it gets smaller"], room, width_of)
    assert 12 < longer.size < 40
    assert height(longer.texts, room, longer.size) <= 100


def test_no_word_is_broken_where_a_smaller_size_holds_it():
    found = fit(["unbreakable word"], Room(width=100, height=400, largest=40, smallest=12), width_of)
    assert found.texts == (("unbreakable", "word"),)


def test_lines_of_a_title_are_about_as_long():
    room = Room(width=400, height=200, largest=40, smallest=40, even=True)
    [[first, second]] = fit(["aaaa aaaa aaaa aaaa aaaa"], room, width_of).texts
    assert abs(len(first) - len(second)) <= 5
    assert fit(["aaaa aaaa aaaa aaaa aaaa"], replace(room, even=False), width_of).texts == (
        ("aaaa aaaa aaaa aaaa", "aaaa"),
    )


# Code


def test_code_has_the_colours_of_its_language_and_none_is_lost():
    found = coloured("def f(x):\n\treturn 'a' # why\n", "python")
    assert found[0][:3] == [("def", "keyword"), (" ", "plain"), ("f", "name")]
    assert "".join(text for text, _ in found[1]) == "    return 'a' # why"
    assert {"string", "comment"} <= {role for _, role in found[1]}


@pytest.mark.parametrize("language", ["", "no such language"])
def test_code_in_no_known_language_is_plain(language):
    assert coloured("a\nb", language) == [[("a", "plain")], [("b", "plain")]]


@given(st.lists(st.lists(st.tuples(st.text("ab", min_size=1), st.just("plain")))), st.integers(1, 9))
def test_rows_of_code_are_no_longer_than_there_are_columns_and_hold_all_of_it(lines, columns):
    found = rows(lines, columns)
    assert all(sum(len(text) for text, _ in row.pieces) <= columns for row in found)
    assert "".join(t for row in found for t, _ in row.pieces) == "".join(t for line in lines for t, _ in line)
    assert [row.number for row in found if row.number] == list(range(1, len(lines) + 1))


def test_code_gets_smaller_before_lines_are_broken_and_what_has_no_room_is_told():
    line = [("x" * 20, "plain")]
    found, size, lost = fit_rows([line], 200, 100, (40, 10), cell=0.5, leading=1.0)
    assert (len(found), size, lost) == (1, 20, "")
    found, size, lost = fit_rows([line, line], 50, 30, (40, 10), cell=0.5, leading=1.0)
    assert (len(found), size) == (3, 10)
    assert lost == "\n".join(["x" * 10])
    assert fit_rows([], 200, 100, (40, 10), cell=0.5, leading=1.0) == ([], 40, "")


# Diagrams


def chain(*nodes):
    return [Edge(begin=a, end=b) for a, b in pairwise(nodes)]


def test_boxes_stand_in_columns_by_the_longest_way_to_them():
    found = grid("abcd", [*chain("a", "b", "d"), *chain("a", "c", "d"), *chain("a", "d")])
    assert (found.columns, found.rows) == (3, 2)
    assert found.cells == {"a": (0, 0.5), "b": (1, 0), "c": (1, 1), "d": (2, 0.5)}


def test_a_long_chain_runs_to_and_fro():
    found = grid("abcdef", chain(*"abcdef"))
    assert (found.columns, found.rows) == (3, 2)
    assert [found.cells[node] for node in "abcdef"] == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]


def test_a_circle_ends_and_its_boxes_stand_beside_each_other():
    found = grid("abc", [*chain("a", "b", "c", "a"), *chain("b", "c")])
    assert [found.cells[node] for node in "abc"] == [(0, 0), (1, 0), (2, 0)]
    assert grid("", []).cells == {}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=20))
def test_no_two_boxes_stand_in_one_place(pairs):
    found = grid("abcdef", [Edge(begin=a, end=b) for a, b in pairs if a != b])
    assert len(set(found.cells.values())) == 6
    assert all(0 <= x < found.columns and 0 <= y <= found.rows - 1 for x, y in found.cells.values())


def box(column, row):
    return Rect(x=column * 200.0, y=row * 100.0, w=100.0, h=50.0)


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        (box(0, 0), box(1, 0), (100, 25), (200, 25)),
        (box(1, 0), box(0, 0), (200, 25), (100, 25)),
        (box(0, 0), box(1, 1), (100, 25), (200, 125)),
        (box(0, 0), box(0, 1), (50, 50), (50, 100)),
        (box(0, 1), box(0, 0), (50, 100), (50, 50)),
    ],
)
def test_an_arrow_leads_from_edge_to_edge(begin, end, first, last):
    points = route(begin, end, 200, back=False)
    assert (points[0], points[-1]) == (first, last)


def test_an_arrow_goes_over_what_lies_between_and_below_it_on_the_way_back():
    over = route(box(0, 0), box(2, 0), 200, back=False)
    assert min(y for _, y in over) < 0
    below = route(box(1, 0), box(0, 0), 200, back=True)
    assert max(y for _, y in below) > 50


def test_the_head_of_an_arrow_is_at_its_end():
    assert head([(0, 0), (100, 0)], 20) == [(100, 0), (80, 11), (80, -11)]
    assert head([(5, 5), (5, 5)], 20)[0] == (5, 5)
