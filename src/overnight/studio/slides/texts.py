"""Slides of text: titles, bullets, citations and the end."""

from dataclasses import replace

from overnight.studio.slides.canvas import Canvas, Look
from overnight.studio.slides.fonts import BOLD, MEDIUM, REGULAR
from overnight.studio.slides.furniture import FLOOR, MARGIN, arcs, head
from overnight.studio.slides.layout import Room, height
from overnight.studio.slides.slide import Slide


def title(canvas: Canvas, slide: Slide, _shown: int) -> None:
    """Draw a title in large letters on the left, what is said of it below."""
    arcs(canvas, (240, 360, 480, 600))
    width = (canvas.width - 2 * MARGIN) * 0.78
    big, small = Look(colour=canvas.colour("text"), weight=BOLD), Look(colour=canvas.colour("muted"), weight=REGULAR)
    room = Room(width=width, height=440, largest=124, smallest=56, leading=1.1, lines=4, even=True)
    below = Room(width=width, height=170, largest=46, smallest=30, leading=1.35, lines=3)
    heading = canvas.fitted([slide.title.replace(": ", ":\n", 1)], room, big)
    text = canvas.fitted([slide.text] if slide.text else [], below, small)
    high = (
        60
        + height(heading.texts, room, heading.size)
        + (40 + height(text.texts, below, text.size) if slide.text else 0)
    )
    y = max(120.0, (FLOOR + 80 - high) / 2)
    canvas.shape((MARGIN, y, MARGIN + 140, y + 14), canvas.colour("accent"), radius=7)
    y = canvas.lines(heading.texts[0], (MARGIN, y + 54), heading.size, room.leading, big)
    for lines in text.texts:
        canvas.lines(lines, (MARGIN, y + 34), text.size, below.leading, small)


def cover(canvas: Canvas, slide: Slide, _shown: int) -> None:
    """Draw a title as large as it can be, what stands after its colon on a band below, and a few words above."""
    first, _, rest = slide.title.partition(": ")
    edge, top = 80.0, 90.0
    width = canvas.width - 2 * edge
    canvas.shape((0, 0, 28, canvas.height), canvas.colour("accent"))
    if slide.text:
        small = Look(colour=canvas.colour("second"), weight=BOLD)
        room = Room(width=width, height=90, largest=72, smallest=44, lines=1)
        line = canvas.fitted([slide.text], room, small)
        top = canvas.lines(line.texts[0], (edge, top), line.size, 1.2, small) + 20
    floor = canvas.height - 90
    if rest:
        look = Look(colour=canvas.colour("on_accent"), weight=BOLD)
        room = Room(width=width - 100, height=190, largest=120, smallest=56, leading=1.1, lines=2, even=True)
        band = canvas.fitted([rest], room, look)
        high = height(band.texts, room, band.size) + 60
        wide = max(canvas.length(one, band.size, look) for one in band.texts[0]) + 100
        canvas.shape((edge, floor - high, edge + wide, floor), canvas.colour("accent"), radius=28)
        canvas.lines(band.texts[0], (edge + 50, floor - high + 30), band.size, room.leading, look)
        floor -= high + 50
    big = Look(colour=canvas.colour("text"), weight=BOLD)
    room = Room(width=width, height=floor - top, largest=300, smallest=90, leading=1.05, lines=4, even=True)
    heading = canvas.fitted([first], room, big)
    y = top + max(0.0, (floor - top - height(heading.texts, room, heading.size)) / 2)
    canvas.lines(heading.texts[0], (edge, y), heading.size, room.leading, big)


def bullets(canvas: Canvas, slide: Slide, shown: int) -> None:
    """Draw the first bullets below the title; the last of them is marked, as what is spoken of."""
    arcs(canvas, (150, 220, 290))
    _list(canvas, slide, shown, head(canvas, slide.title), FLOOR)


def citation(canvas: Canvas, slide: Slide, _shown: int) -> None:
    """Draw what is quoted upon a panel, and whose words it is."""
    top = head(canvas, slide.title)
    left, right = MARGIN, canvas.width - MARGIN
    look = Look(colour=canvas.colour("text"), weight=MEDIUM)
    room = Room(
        width=right - left - 300, height=FLOOR - top - 210, largest=60, smallest=32, leading=1.4, lines=9, even=True
    )
    fitted = canvas.fitted([slide.text], room, look)
    high = height(fitted.texts, room, fitted.size) + 200
    y = top + max(0.0, (FLOOR - top - high) * 0.4)
    canvas.shape((left, y, right, y + high), canvas.colour("panel"), radius=28)
    canvas.shape((left, y + 36, left + 12, y + high - 36), canvas.colour("accent"), radius=6)
    _marks(canvas, (left + 70, y + 64))
    end = canvas.lines(fitted.texts[0], (left + 200, y + 60), fitted.size, room.leading, look)
    origin = Room(width=room.width, height=50, largest=34, smallest=24, lines=1)
    muted = Look(colour=canvas.colour("accent"), weight=MEDIUM)
    line = canvas.fitted([f"— {slide.source}"] if slide.source else [], origin, muted)
    for lines in line.texts:
        canvas.lines(lines, (left + 200, end + 30), line.size, 1.3, muted)


def outro(canvas: Canvas, slide: Slide, shown: int) -> None:
    """Draw how it ends: a title, what to remember, and what to do next as a button."""
    arcs(canvas, (150, 220, 290))
    top = head(canvas, slide.title)
    look = Look(colour=canvas.colour("on_accent"), weight=BOLD)
    room = Room(width=canvas.width - 2 * MARGIN - 120, height=100, largest=42, smallest=28, leading=1.25, lines=2)
    fitted = canvas.fitted([slide.text] if slide.text else [], room, look)
    floor = FLOOR
    for lines in fitted.texts:
        high = height([lines], room, fitted.size) + 48
        wide = max(canvas.length(line, fitted.size, look) for line in lines) + 96
        floor = FLOOR - high
        canvas.shape((MARGIN, floor, MARGIN + wide, FLOOR), canvas.colour("accent"), radius=min(44.0, high / 2))
        canvas.lines(lines, (MARGIN + 48, floor + 24), fitted.size, room.leading, look)
    _list(canvas, slide, shown, top, floor - (40 if fitted.texts else 0))


def _list(canvas: Canvas, slide: Slide, shown: int, top: float, floor: float) -> None:
    """Draw each bullet upon a panel of its own, with its number on the left."""
    look = Look(colour=canvas.colour("text"), weight=REGULAR)
    left, right = MARGIN, canvas.width - MARGIN
    room = Room(width=right - left - 190, height=floor - top, largest=54, smallest=28, leading=1.24, gap=1.3, even=True)
    # The gap holds what a panel has above and below its text, and half of that between two panels.
    fitted = canvas.fitted(slide.bullets, replace(room, height=room.height - room.smallest), look)
    pad, between = fitted.size * 0.48, fitted.size * 0.34
    y = top + max(0.0, (room.height - height(fitted.texts, room, fitted.size) - 2 * pad) * 0.3)
    kept = [lines for lines in fitted.texts if lines]
    for number, lines in enumerate(kept[:shown], start=1):
        now = number == min(shown, len(kept))
        high = len(lines) * fitted.size * room.leading + 2 * pad
        canvas.shape((left, y, right, y + high), canvas.colour("panel"), radius=20)
        if now:
            canvas.shape((left, y, right, y + high), canvas.colour("accent"), radius=20, edge=3.5)
        middle, half = y + high / 2, min(32.0, fitted.size * 0.66)
        badge, digit = ("accent", "on_accent") if now else ("second", "on_second")
        canvas.shape(
            (left + 62 - half, middle - half, left + 62 + half, middle + half), canvas.colour(badge), radius=half
        )
        size = half * 1.1
        figure = Look(colour=canvas.colour(digit), weight=BOLD)
        canvas.lines([str(number)], (left + 62, middle - size * 0.5), size, 1.0, figure, align=0.5)
        canvas.lines(lines, (left + 124, y + pad), fitted.size, room.leading, look)
        y += high + between


def _marks(canvas: Canvas, at: tuple[float, float]) -> None:
    """Draw quotation marks, each a dot with a tail."""
    x, y = at
    colour = canvas.colour("accent")
    for left in (x, x + 52):
        canvas.shape((left, y + 22, left + 38, y + 60), colour, radius=19)
        canvas.path([(left + 5, y + 40), (left + 9, y + 18), (left + 26, y + 4)], colour, 9)
