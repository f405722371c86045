"""A picture that is drawn upon in the units of a frame 1080 high, and that knows what text stands where upon it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from overnight.studio.slides.colours import Rgb, contrast, rgb
from overnight.studio.slides.fonts import REGULAR, Fonts
from overnight.studio.slides.layout import Fitted, Room, fit
from overnight.studio.slides.theme import Theme

if TYPE_CHECKING:
    from PIL import Image

HEIGHT = 1080.0
WIDE = 1920.0
_FINE = 4
"""Shapes are drawn so many times as large and made small again: Pillow has no smooth edges of its own."""
_BASE = 0.85
"""Where the baseline lies below the top of a line that is as high as the size, as a share of it; and how far letters
reach above and below it:"""
_ABOVE, _BELOW = 0.78, 0.24

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A line of text in pixels of the picture, and its least contrast with what is behind it."""

    text: str
    x: int
    y: int
    w: int
    h: int
    contrast: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """How text looks: its colour, its weight, and which font it is set in."""

    colour: Rgb
    weight: int = REGULAR
    role: str = "text"


class Canvas:
    """The picture. `width` and `height` are those of the frame in its units. Used by one thread at a time."""

    def __init__(self, size: tuple[int, int], theme: Theme, fonts: Fonts) -> None:
        """Begin with the background of the theme."""
        from PIL import Image

        self.unit = min(size[0] / WIDE, size[1] / HEIGHT)
        self.width, self.height = size[0] / self.unit, size[1] / self.unit
        self.theme, self.fonts = theme, fonts
        self.image: Image.Image = Image.new("RGB", size, rgb(theme.background))
        # Letters of small pictures are drawn larger too: their places are whole pixels, which looks bad below about 20.
        self._grain = max(1, round(1 / self.unit))
        self._texts: list[tuple[str, float, float, float, Look]] = []
        self.boxes: list[Box] = []
        self.overflow: list[str] = []

    def colour(self, name: str) -> Rgb:
        """Return a colour of the theme."""
        return rgb(getattr(self.theme, name))

    def fitted(self, texts: Sequence[str], room: Room, look: Look) -> Fitted:
        """Return the texts fitted into the room; what is lost, or cannot be drawn, is noted as overflow."""
        fitted = self.fit(self.drawable(texts, look), room, look)
        self.overflow += fitted.lost
        return fitted

    def drawable(self, texts: Sequence[str], look: Look) -> list[str]:
        """Return the texts without letters that cannot be drawn, which are noted as overflow."""
        seen = [self.fonts.drawable(text, look.role) for text in texts]
        self.overflow += [f"no letters for: {text}" for text, left in zip(texts, seen, strict=True) if text != left]
        return seen

    def fit(self, texts: Sequence[str], room: Room, look: Look) -> Fitted:
        """Return the texts fitted into the room, as they are, with nothing noted."""
        return fit(texts, room, lambda text, size: self.length(text, size, look))

    def fitted_each(self, texts: Sequence[str], room: Room, look: Look) -> Fitted:
        """Return the texts fitted into a room each, all at the size of the one that has least room."""
        sizes = [self.fit([self.fonts.drawable(text, look.role)], room, look).size for text in texts]
        size = min(sizes, default=room.largest)
        same = replace(room, largest=size, smallest=size)
        return Fitted(texts=tuple(self.fitted([text], same, look).texts[0] for text in texts), size=size, lost=())

    def length(self, text: str, size: float, look: Look) -> float:
        """Return how wide a line of text is."""
        scale = self.unit * self._grain
        return self.fonts.measure(text, size * scale, look.weight, look.role) / scale

    def lines(
        self,
        lines: Sequence[str],
        at: tuple[float, float],
        size: float,
        leading: float,
        look: Look,
        *,
        align: float = 0.0,
    ) -> float:
        """Draw lines of text whose top is there, and return where the next one would be.

        `align` is the share of its width that a line stands left of `at`: 0 begins there, 0.5 is centred, 1 ends there.
        """
        x, y = at
        for line in lines:
            self.line(line, (x - align * self.length(line, size, look), y), size, leading, look)
            y += size * leading
        return y

    def line(self, text: str, at: tuple[float, float], size: float, leading: float, look: Look) -> None:
        """Put a line of text whose top left corner is there. It is drawn by `finish`, above all shapes."""
        if not text.strip():
            return
        x, top = at
        base = top + size * ((leading - 1) / 2 + _BASE)
        self._texts.append((text, x, base, size, look))

    def finish(self) -> "Image.Image":
        """Draw the text, and return the picture; `boxes` say then where it stands."""
        from PIL import Image, ImageDraw

        self.boxes = [self._box(*one) for one in self._texts]
        scale = self.unit * self._grain
        for text, x, base, size, look in self._texts:
            ends = (
                x - size * 0.2,
                base - size * 1.1,
                x + self.length(text, size, look) + size * 0.2,
                base + size * 0.4,
            )
            left, top, right, bottom = self._pixels(ends)
            mask = Image.new("L", ((right - left) * self._grain, (bottom - top) * self._grain), 0)
            at = (x * scale - left * self._grain, base * scale - top * self._grain)
            font, features = self.fonts.at(size * scale, look.weight, look.role)
            ImageDraw.Draw(mask).text(at, text, font=font, fill=255, anchor="ls", features=features)
            small = mask.reduce(self._grain) if self._grain > 1 else mask
            self.image.paste(Image.new("RGB", small.size, look.colour), (left, top), small)
        return self.image

    def shape(
        self, corners: Corners, colour: Rgb, *, radius: float = 0.0, share: float = 1.0, edge: float = 0.0
    ) -> None:
        """Draw a rectangle with round corners; only its edge, if that has a thickness. `share` is how opaque it is."""
        from PIL import ImageDraw

        mask, place = self._mask(corners)
        pen, scale = ImageDraw.Draw(mask), self.unit * _FINE
        inner = [(v - o) * scale for v, o in zip(corners, place * 2, strict=True)]
        # In small pictures a thin line is less than a pixel of the mask: it has one all the same.
        box = (inner[0], inner[1], max(inner[0], inner[2] - 1), max(inner[1], inner[3] - 1))
        pen.rounded_rectangle(
            box,
            radius * scale,
            fill=0 if edge else 255,
            outline=255 if edge else None,
            width=max(1, round(edge * scale)),
        )
        self._lay(mask, place, colour, share)

    def polygon(self, points: Sequence[tuple[float, float]], colour: Rgb, *, share: float = 1.0) -> None:
        """Fill a polygon."""
        from PIL import ImageDraw

        xs, ys = [x for x, _ in points], [y for _, y in points]
        mask, place = self._mask((min(xs), min(ys), max(xs), max(ys)))
        scale = self.unit * _FINE
        ImageDraw.Draw(mask).polygon([((x - place[0]) * scale, (y - place[1]) * scale) for x, y in points], fill=255)
        self._lay(mask, place, colour, share)

    def path(self, points: Sequence[tuple[float, float]], colour: Rgb, thickness: float, *, share: float = 1.0) -> None:
        """Draw straight lines from point to point, with round joints."""
        from PIL import ImageDraw

        half = thickness / 2
        xs, ys = [x for x, _ in points], [y for _, y in points]
        mask, place = self._mask((min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half))
        scale = self.unit * _FINE
        inner = [((x - place[0]) * scale, (y - place[1]) * scale) for x, y in points]
        pen, wide = ImageDraw.Draw(mask), max(1, round(thickness * scale))
        pen.line(inner, fill=255, width=wide, joint="curve")
        for x, y in inner:
            pen.ellipse((x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=255)
        self._lay(mask, place, colour, share)

    def ring(
        self, centre: tuple[float, float], radius: float, colour: Rgb, thickness: float, *, share: float = 1.0
    ) -> None:
        """Draw what of a circle lies within the picture."""
        from PIL import ImageDraw

        x, y = centre
        inside = (max(0.0, x - radius), max(0.0, y - radius), min(self.width, x + radius), min(self.height, y + radius))
        mask, place = self._mask(inside)
        scale = self.unit * _FINE
        left, top = (x - radius - place[0]) * scale, (y - radius - place[1]) * scale
        box = (left, top, left + 2 * radius * scale, top + 2 * radius * scale)
        ImageDraw.Draw(mask).ellipse(box, outline=255, width=max(1, round(thickness * scale)))
        self._lay(mask, place, colour, share)

    def _box(self, text: str, x: float, base: float, size: float, look: Look) -> Box:
        corners = self._pixels((x, base - size * _ABOVE, x + self.length(text, size, look), base + size * _BELOW))
        left, upper, right, lower = corners
        worst = min(contrast(look.colour, behind) for behind in self._behind(corners))
        return Box(text=text, x=left, y=upper, w=right - left, h=lower - upper, contrast=round(worst, 2))

    def _pixels(self, corners: Corners) -> tuple[int, int, int, int]:
        left, top, right, bottom = (value * self.unit for value in corners)
        return int(left), int(top), int(right + 0.999), int(bottom + 0.999)

    def _behind(self, corners: tuple[int, int, int, int]) -> list[Rgb]:
        """Return the colours that the text will stand upon."""
        left, top, right, bottom = corners
        inside = (max(0, left), max(0, top), min(self.image.width, right), min(self.image.height, bottom))
        piece = self.image.crop(inside)
        found = piece.getcolors(piece.width * piece.height)
        return [colour for _, colour in found] if found else [self.colour("background")]  # type: ignore[misc]

    def _mask(self, corners: Corners) -> "tuple[Image.Image, tuple[float, float]]":
        """Return an empty mask of the size that the corners need, and where its corner is, on whole pixels."""
        from PIL import Image

        left, top, right, bottom = self._pixels(corners)
        size = ((right - left + 1) * _FINE, (bottom - top + 1) * _FINE)
        return Image.new("L", size, 0), (left / self.unit, top / self.unit)

    def _lay(self, mask: "Image.Image", place: tuple[float, float], colour: Rgb, share: float) -> None:
        """Lay the colour upon the picture where the mask is."""
        from PIL import Image

        small = mask.reduce(_FINE)
        if share < 1:
            small = small.point(lambda value: round(value * share))
        at = (round(place[0] * self.unit), round(place[1] * self.unit))
        self.image.paste(Image.new("RGB", small.size, colour), at, small)
