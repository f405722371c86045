"""Thumbnails: three pictures of 1280 x 720 that a video can be chosen by, each of another kind."""

from dataclasses import replace
from pathlib import Path

from overnight.studio.ffmpeg import made_whole
from overnight.studio.slides.draw import draw
from overnight.studio.slides.slide import Kind, Slide
from overnight.studio.slides.theme import DAYLIGHT, MIDNIGHT

SIZE = (1280, 720)
_SHORT = 90
"""Letters of a promise that can be read on a picture as small as a thumb."""


def thumbnails(title: str, promise: str, picture: Slide | None, folder: Path) -> dict[str, list[str]]:
    """Draw `thumbnail_a.png` to `thumbnail_c.png` into the folder, and return what text each has no room for.

    The first is the title on dark, the second the `promise` on light if it is short, else the title; the third is the
    `picture` that explains most, without what is small on it, or the promise as a quotation where there is none.

    Raises:
        MissingExtra: Pillow is not installed.
        NoRoom: the disk is full.
    """
    short = len(promise) <= _SHORT and bool(promise)
    light = Slide(kind=Kind.COVER, title=promise if short else title, text=title if short else "")
    third = Slide(kind=Kind.CITATION, text=promise) if picture is None else replace(picture, source="", footer="")
    variants = {
        "a": (Slide(kind=Kind.COVER, title=title), MIDNIGHT),
        "b": (light, DAYLIGHT),
        "c": (third, MIDNIGHT),
    }
    overflow = {}
    for name, (slide, theme) in variants.items():
        drawn = draw(slide, theme, SIZE)
        with made_whole(folder / f"thumbnail_{name}.png") as file:
            drawn.image.save(file)
        overflow[name] = list(drawn.overflow)
    return overflow
