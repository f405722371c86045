"""What stands on slides of all kinds: the head, the source and the channel's name, and the arcs in the corner."""

import math

from overnight.studio.slides.canvas import Canvas, Look
from overnight.studio.slides.fonts import BOLD, MEDIUM, REGULAR
from overnight.studio.slides.layout import Room
from overnight.studio.slides.slide import Slide

MARGIN = 120.0
FLOOR = 880.0
"""Nothing but captions and the foot stands below it."""
_FOOT = 1010.0
_ARCS = 100.0
"""So far the arcs reach into the width of a title."""
_HEAD = Room(width=0, height=170, largest=68, smallest=40, leading=1.16, lines=2, even=True)


def head(canvas: Canvas, title: str) -> float:
    """Draw the title of a slide with a short line above it; return where the rest may begin."""
    top = 92.0
    if not title:
        return top
    canvas.shape((MARGIN, top, MARGIN + 84, top + 10), canvas.colour("accent"), radius=5)
    look = Look(colour=canvas.colour("text"), weight=BOLD)
    room = Room(**{**vars(_HEAD), "width": canvas.width - 2 * MARGIN - _ARCS})
    fitted = canvas.fitted([title], room, look)
    return canvas.lines(fitted.texts[0], (MARGIN, top + 34), fitted.size, room.leading, look) + 46


def foot(canvas: Canvas, slide: Slide) -> None:
    """Draw where it comes from on the left, and whose it is on the right."""
    muted = Look(colour=canvas.colour("muted"), weight=REGULAR)
    width = canvas.width - 2 * MARGIN
    if slide.footer:
        look = Look(colour=canvas.colour("muted"), weight=MEDIUM)
        room = Room(width=width * 0.35, height=40, largest=26, smallest=20, lines=1)
        fitted = canvas.fitted([slide.footer], room, look)
        canvas.lines(fitted.texts[0], (canvas.width - MARGIN, _FOOT), fitted.size, 1.3, look, align=1.0)
    if slide.source:
        room = Room(width=width * 0.6, height=40, largest=26, smallest=20, lines=1)
        fitted = canvas.fitted([f"Source: {slide.source}"], room, muted)
        canvas.lines(fitted.texts[0], (MARGIN, _FOOT), fitted.size, 1.3, muted)


def arcs(canvas: Canvas, radii: tuple[float, ...]) -> None:
    """Draw circles around the right upper corner, with a dot upon each but the first."""
    x, y = canvas.width + 40, -50.0
    for number, radius in enumerate(radii):
        canvas.ring((x, y), radius, canvas.colour("line"), 3.5, share=0.75)
        if number:
            angle = math.radians((128, 160, 142)[number % 3])
            dx, dy = x + radius * math.cos(angle), y + radius * math.sin(angle)
            colour = canvas.colour("accent" if number == 2 else "second")
            canvas.shape((dx - 11, dy - 11, dx + 11, dy + 11), colour, radius=11)
