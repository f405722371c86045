"""Slides are drawn: all text within the frame and readable, however much of it there is; what has no room is told."""

import sys
from itertools import pairwise

import pytest

from overnight.base.errors import MissingExtra
from overnight.studio.slides import fonts as fonts_module
from overnight.studio.slides.colours import ENOUGH
from overnight.studio.slides.draw import draw
from overnight.studio.slides.fonts import Fonts
from overnight.studio.slides.slide import Bar, Edge, Kind, Slide, parts
from overnight.studio.slides.theme import DAYLIGHT, MIDNIGHT

SIZE = (320, 180)
LONG = "several words of text and more of it, " * 40
WORD = "Supercalifragilisticexpialidocious"
CHAIN = tuple(f"{WORD} {number}" for number in range(60))
LABELLED = tuple(Edge(begin=a, end=b, label=LONG) for a, b in pairwise(CHAIN))
FAN = tuple(f"n{number}" for number in range(9))
DEEP = (*FAN, "n9", "n10", "n11")
TOO_MUCH = {
    "title": Slide(kind=Kind.TITLE, title=LONG, text=LONG, footer=LONG, source=LONG),
    "long bullets": Slide(kind=Kind.BULLETS, title=LONG, bullets=(LONG,) * 9, footer="channel", source="notes"),
    "many bullets": Slide(kind=Kind.BULLETS, title="Steps", bullets=tuple(f"step {n}" for n in range(60))),
    "code": Slide(kind=Kind.CODE, title=LONG, code="x = 1; " * 60 + "\n" * 90 + "y", language="python"),
    "language": Slide(kind=Kind.CODE, code="print(1)", language="p" * 200),
    "columns": Slide(kind=Kind.TABLE, rows=tuple(tuple(f"{WORD} {c}" for c in range(30)) for _ in range(3))),
    "rows": Slide(kind=Kind.TABLE, rows=tuple((f"row {n}", str(n)) for n in range(60))),
    "cells": Slide(kind=Kind.TABLE, rows=((LONG, LONG), (LONG, "3"))),
    "chain": Slide(kind=Kind.DIAGRAM, title="Chain", nodes=CHAIN, edges=LABELLED),
    "bars": Slide(
        kind=Kind.BARS, title="Bars", bars=tuple(Bar(label=f"b{n}", value=n, shown=str(n)) for n in range(90))
    ),
    "words of bars": Slide(kind=Kind.BARS, bars=tuple(Bar(label=LONG, value=n, shown=LONG) for n in range(5))),
    "citation": Slide(kind=Kind.CITATION, title=LONG, text=LONG * 3, source=LONG),
    "outro": Slide(kind=Kind.OUTRO, title=LONG, bullets=(LONG,) * 9, text=LONG),
    "cover": Slide(kind=Kind.COVER, title=f"{LONG}: {LONG}", text=LONG),
}
FITTING = {
    "title": Slide(kind=Kind.TITLE, title="Going downhill", text="in small steps", footer="channel", source="notes"),
    "bullets": Slide(kind=Kind.BULLETS, title="Steps", bullets=("look", "step", "look again"), source="notes"),
    "code": Slide(kind=Kind.CODE, title="Code", code="def f(x):\n    return x  # why", language="python"),
    "table": Slide(kind=Kind.TABLE, title="Table", rows=(("step", "height"), ("1", "3.5"), ("2", "1.25"))),
    "one row": Slide(kind=Kind.TABLE, rows=(("step", "height"),)),
    "fan": Slide(kind=Kind.DIAGRAM, nodes=FAN, edges=tuple(Edge(begin="n0", end=n, label="to it") for n in FAN[1:])),
    "circle": Slide(
        kind=Kind.DIAGRAM,
        nodes=("a", "b", "c"),
        edges=tuple(Edge(begin=a, end=b, label=f"{a} to {b}") for a, b in ("ab", "bc", "ca", "ac", "ba")),
    ),
    "bars": Slide(
        kind=Kind.BARS, title="Bars", bars=(Bar(label="none", value=0, shown="0"), Bar(label="a", value=3, shown="3 %"))
    ),
    "citation": Slide(kind=Kind.CITATION, text="Small steps find the valley.", source="Notes, page 3"),
    "outro": Slide(kind=Kind.OUTRO, title="Remember", bullets=("look", "step"), text="Try it on a slope of your own"),
    "cover": Slide(kind=Kind.COVER, title="Going downhill", text="in small steps"),
}
NOTHING = [Slide(kind=kind) for kind in Kind]


@pytest.fixture(scope="module")
def fonts():
    return {theme.name: Fonts(theme) for theme in (MIDNIGHT, DAYLIGHT)}


def inside_and_readable(drawn, size):
    for box in drawn.boxes:
        assert box.x >= 0 and box.y >= 0 and box.x + box.w <= size[0] and box.y + box.h <= size[1], box
        assert box.contrast >= ENOUGH, box


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_text_stays_within_the_frame_and_what_has_no_room_is_told(name, fonts):
    drawn = draw(TOO_MUCH[name], MIDNIGHT, SIZE, fonts=fonts["midnight"])
    inside_and_readable(drawn, SIZE)
    assert drawn.overflow


@pytest.mark.parametrize("theme", [MIDNIGHT, DAYLIGHT], ids=lambda theme: theme.name)
@pytest.mark.parametrize("name", FITTING)
def test_what_has_room_is_all_there(name, theme, fonts):
    slide = FITTING[name]
    drawn = draw(slide, theme, SIZE, fonts=fonts[theme.name])
    inside_and_readable(drawn, SIZE)
    assert drawn.overflow == ()
    there = "".join("".join(box.text for box in drawn.boxes).split())
    wanted = [slide.title, *slide.bullets, *slide.nodes, *(cell for row in slide.rows for cell in row)]
    wanted += [bar.shown for bar in slide.bars] + [edge.label for edge in slide.edges]
    for text in wanted:
        assert "".join(text.split()) in there


@pytest.mark.parametrize("size", [(64, 64), (180, 320), (322, 64)], ids=str)
@pytest.mark.parametrize("name", [*FITTING, "rows", "chain", "many bullets"])
def test_every_slide_can_be_drawn_in_any_size(name, size, fonts):
    drawn = draw(FITTING.get(name) or TOO_MUCH[name], MIDNIGHT, size, fonts=fonts["midnight"])
    assert drawn.image.size == size


@pytest.mark.parametrize("slide", NOTHING, ids=lambda slide: slide.kind)
def test_a_slide_with_nothing_on_it_is_drawn_all_the_same(slide, fonts):
    drawn = draw(slide, MIDNIGHT, SIZE, fonts=fonts["midnight"])
    assert (drawn.image.size, drawn.boxes, drawn.overflow) == (SIZE, (), ()) or slide.kind is Kind.CODE


def test_what_stands_after_the_colon_of_a_cover_is_on_a_band_below(fonts):
    slide = Slide(kind=Kind.COVER, title="Going downhill: the idea")
    drawn = draw(slide, MIDNIGHT, (1280, 720), fonts=fonts["midnight"])
    band = next(one for one in drawn.boxes if one.text == "the idea")
    large = [one for one in drawn.boxes if one.text in ("Going", "downhill", "Going downhill")]
    assert large and all(one.y + one.h <= band.y and one.h > 1.5 * band.h for one in large)
    assert min(one.h for one in large) > 100, "it can be read on a picture as small as a thumb"


def test_a_deep_diagram_with_labels_is_drawn_and_what_has_no_room_is_told(fonts):
    edges = (
        *(Edge(begin=a, end=b, label="on") for a, b in pairwise(DEEP)),
        Edge(begin="n0", end="n2"),
    )
    drawn = draw(Slide(kind=Kind.DIAGRAM, nodes=DEEP, edges=edges), MIDNIGHT, SIZE, fonts=fonts["midnight"])
    inside_and_readable(drawn, SIZE)


@pytest.mark.parametrize("name", ["bullets", "table", "fan", "bars", "outro"])
def test_parts_appear_one_by_one_and_none_moves(name, fonts):
    slide, seen = FITTING[name], []
    for count in range(parts(slide) + 1):
        drawn = draw(slide, MIDNIGHT, SIZE, fonts=fonts["midnight"], shown=count)
        boxes = {(box.text, box.x, box.y, box.w, box.h) for box in drawn.boxes}
        assert not seen or seen[-1] < boxes
        seen.append(boxes)


@pytest.mark.parametrize("kind", [Kind.TITLE, Kind.CODE, Kind.TABLE])
def test_letters_that_no_font_has_are_left_out_and_told(kind, fonts):
    text = "x \u65e5\u672c"
    slide = Slide(kind=kind, **{"title": {"title": text}, "code": {"code": text}, "table": {"rows": ((text,),)}}[kind])
    drawn = draw(slide, MIDNIGHT, SIZE, fonts=fonts["midnight"])
    assert drawn.overflow == (f"no letters for: {text}",)
    assert "\u65e5" not in "".join(box.text for box in drawn.boxes)


def test_the_letters_are_where_the_boxes_say_and_nowhere_else(fonts):
    slide = Slide(kind=Kind.TITLE, title="Typing downhill, jumping", text="quickly")
    drawn = draw(slide, MIDNIGHT, (640, 360), fonts=fonts["midnight"])
    assert len(drawn.boxes) >= 2
    bright = drawn.image.getchannel("B").point(lambda value: 255 if value > 150 else 0)
    for box in drawn.boxes:
        corners = (box.x, box.y, box.x + box.w, box.y + box.h)
        left, top, right, bottom = bright.crop(corners).getbbox()
        assert right - left > box.w * 0.9
        assert bottom - top > box.h * 0.6
        bright.paste(0, (box.x - 3, box.y, box.x + box.w + 3, box.y + box.h))  # a j hangs over a little
    assert bright.crop((0, 0, 400, 360)).getbbox() is None


def test_without_the_fonts_of_the_extra_slides_are_drawn_with_pillows_and_that_is_told(monkeypatch):
    for role in ("text", "code"):
        monkeypatch.setitem(fonts_module._PACKAGED, role, ("no_such_fonts", "a.ttf"))
    found = Fonts(MIDNIGHT)
    assert [note.partition(":")[0] for note in found.notes] == [
        "there is no font for text",
        "there is no font for code",
    ]
    assert "pip install 'overnight[studio]'" in found.notes[0]
    for name in ("bullets", "code"):
        drawn = draw(FITTING[name], MIDNIGHT, SIZE, fonts=found)
        inside_and_readable(drawn, SIZE)
        assert drawn.overflow == ()
    rows = {}
    for box in drawn.boxes:
        rows.setdefault(box.y, []).append(box)
    for row in rows.values():
        assert all(one.x + one.w <= other.x + 2 for one, other in pairwise(sorted(row, key=lambda box: box.x)))


def test_without_pillow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"slides need the extra 'studio': pip install 'overnight\[studio\]'"):
        Fonts(MIDNIGHT)


def test_a_table_with_long_heads_breaks_them_into_lines_and_loses_nothing(fonts):
    rows = (tuple(f"a rather long head {n}" for n in range(6)), tuple(str(n) for n in range(6)))
    drawn = draw(Slide(kind=Kind.TABLE, rows=rows), MIDNIGHT, SIZE, fonts=fonts["midnight"])
    inside_and_readable(drawn, SIZE)
    assert drawn.overflow == ()
