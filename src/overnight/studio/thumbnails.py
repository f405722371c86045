"""Thumbnails: three pictures of 1280 x 720 that a video can be chosen by, each of another kind."""

from pathlib import Path

from overnight.studio.ffmpeg import made_whole
from overnight.studio.slides.draw import draw
from overnight.studio.slides.slide import Kind, Slide
from overnight.studio.slides.theme import DAYLIGHT, MIDNIGHT

SIZE = (1280, 720)


def thumbnails(title: str, promise: str, picture: Slide | None, folder: Path) -> dict[str, list[str]]:
    """Draw `thumbnail_a.png` to `thumbnail_c.png` into the folder, and return what text each has no room for.

    The first is the title alone on dark, the second the title with its `promise` on light, the third the `picture` that
    explains most, or the promise as a quotation where there is none.

    Raises:
        MissingExtra: Pillow is not installed.
        NoRoom: the disk is full.
    """
    third = picture or Slide(kind=Kind.CITATION, text=promise)
    variants = {
        "a": (Slide(kind=Kind.TITLE, title=title), MIDNIGHT),
        "b": (Slide(kind=Kind.TITLE, title=title, text=promise), DAYLIGHT),
        "c": (third, MIDNIGHT),
    }
    overflow = {}
    for name, (slide, theme) in variants.items():
        drawn = draw(slide, theme, SIZE)
        with made_whole(folder / f"thumbnail_{name}.png") as file:
            drawn.image.save(file)
        overflow[name] = list(drawn.overflow)
    return overflow
