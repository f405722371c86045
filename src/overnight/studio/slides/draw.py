"""Draws a slide: the picture, what text stands where, and what had no room."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overnight.studio.slides import figures, texts
from overnight.studio.slides.canvas import Box, Canvas
from overnight.studio.slides.fonts import Fonts
from overnight.studio.slides.furniture import foot
from overnight.studio.slides.slide import Kind, Slide, parts
from overnight.studio.slides.theme import Theme

if TYPE_CHECKING:
    from PIL import Image

_DRAWN: dict[Kind, Callable[[Canvas, Slide, int], None]] = {
    Kind.TITLE: texts.title,
    Kind.BULLETS: texts.bullets,
    Kind.CODE: figures.code,
    Kind.TABLE: figures.table,
    Kind.DIAGRAM: figures.diagram,
    Kind.BARS: figures.bars,
    Kind.CITATION: texts.citation,
    Kind.OUTRO: texts.outro,
    Kind.COVER: texts.cover,
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A drawn slide. `boxes` are the lines of text on it in pixels; `overflow` is the text that it does not show."""

    image: "Image.Image"
    boxes: tuple[Box, ...]
    overflow: tuple[str, ...]


def draw(
    slide: Slide, theme: Theme, size: tuple[int, int], *, fonts: Fonts | None = None, shown: int | None = None
) -> Drawn:
    """Return the slide as a picture of that size (width, height in pixels).

    `shown` is how many of its parts are there already (`slide.parts`), all unless it is given; where they stand does
    not depend on it. `fonts` are those of the theme, to be handed in where many slides are drawn.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    fonts = fonts or Fonts(theme)
    canvas = Canvas(size, theme, fonts)
    _DRAWN[slide.kind](canvas, slide, parts(slide) if shown is None else shown)
    foot(canvas, slide if slide.kind is not Kind.CITATION else _unsourced(slide))
    return Drawn(image=canvas.finish(), boxes=tuple(canvas.boxes), overflow=tuple(canvas.overflow))


def _unsourced(slide: Slide) -> Slide:
    """Return a citation without its source, which stands below its words already."""
    return Slide(kind=slide.kind, footer=slide.footer)
