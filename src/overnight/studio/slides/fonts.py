"""Fonts of slides: those that a theme names, else those of the extra `studio`, else the one that Pillow carries.

A theme's font that cannot be read is not the end of a video: it is told in one line, and the next best one is taken.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import MissingExtra, said_by
from overnight.studio.slides.theme import Theme

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

REGULAR, MEDIUM, BOLD = 430, 560, 720
"""Weights (CSS Fonts 4, 2.2), a little above the usual ones: bright text upon dark looks thinner than it is."""

_PACKAGED = {
    "text": ("fontpkg_inter", "Inter[opsz,wght].ttf"),
    "code": ("fontpkg_jetbrains_mono", "JetBrainsMono[wght].ttf"),
}
_PROBE = 40.0
_NO_GLYPH = "\U0010fffd"


class Fonts:
    """The fonts of a theme in all sizes and weights. Used by one thread at a time.

    `notes` says in a line each what is wrong with them.
    """

    def __init__(self, theme: Theme) -> None:
        """Find the fonts.

        Raises:
            MissingExtra: Pillow is not installed.
        """
        self.notes: list[str] = []
        self._paths = {role: self._path(role, theme) for role in ("text", "code")}
        self._fonts: dict[tuple[str, float, int], Font] = {}
        self._known: dict[tuple[str, str], bool] = {}
        self.measure = lru_cache(maxsize=50_000)(self._measure)

    @property
    def even_code(self) -> bool:
        """Whether all letters of the font for code are as wide."""
        return self._measure("i", _PROBE, REGULAR, "code") == self._measure("W", _PROBE, REGULAR, "code")

    def file(self, role: str) -> Path | None:
        """Return the file of the font for "text" or "code"; None where Pillow's own is taken."""
        return self._paths[role]

    def drawable(self, text: str, role: str = "text") -> str:
        """Return the text without the letters that the font has no picture of."""
        return "".join(letter for letter in text if letter in "\n\t" or self._has(letter, role))

    def at(self, size: float, weight: int, role: str) -> "tuple[Font, list[str] | None]":
        """Return the font for "text" or "code" at a size in pixels, and the features to set it with."""
        font = self._font(role, size, weight)
        return font, _features(font, role)

    def _measure(self, text: str, size: float, weight: int, role: str) -> float:
        font = self._font(role, size, weight)
        return font.getlength(text, features=_features(font, role)) if text else 0.0

    def _path(self, role: str, theme: Theme) -> Path | None:
        _pillow()
        wanted = theme.text_font if role == "text" else theme.code_font
        if wanted:
            try:
                _open(Path(wanted), _PROBE)
                return Path(wanted)
            except OSError as error:
                self.notes.append(
                    f"theme {theme.name!r}: font {wanted!r} cannot be read ({said_by(error)}); another one is taken"
                )
        found = _packaged(role)
        if found is None:
            self.notes.append(
                f"there is no font for {role}: pip install 'overnight[studio]'; the one of Pillow is taken"
            )
        return found

    def _font(self, role: str, size: float, weight: int) -> "Font":
        key = (role, size, weight)
        if key not in self._fonts:
            self._fonts[key] = _weighed(_open(self._paths[role], size), size, weight)
        return self._fonts[key]

    def _has(self, letter: str, role: str) -> bool:
        if (letter, role) not in self._known:
            font = self._font(role, _PROBE, REGULAR)
            self._known[letter, role] = letter.isspace() or (
                letter.isprintable() and bytes(font.getmask(letter)) != bytes(font.getmask(_NO_GLYPH))
            )
        return self._known[letter, role]


def _packaged(role: str) -> Path | None:
    package, file = _PACKAGED[role]
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / "files" / file if found is not None and found.origin else None
    return path if path is not None and path.is_file() else None


def _open(path: Path | None, size: float) -> "Font":
    from PIL import ImageFont

    return ImageFont.load_default(size) if path is None else ImageFont.truetype(str(path), size)


def _weighed(font: Any, size: float, weight: int) -> "Font":
    """Set the axes of a variable font; others are as they are."""
    try:
        axes = font.get_variation_axes()
    except (OSError, NotImplementedError, AttributeError):
        return font  # type: ignore[no-any-return]
    wanted = {b"Weight": weight, b"Optical size": size}
    font.set_variation_by_axes(
        [min(axis["maximum"], max(axis["minimum"], wanted.get(axis["name"], axis["default"]))) for axis in axes]
    )
    return font  # type: ignore[no-any-return]


def _features(font: "Font", role: str) -> list[str] | None:
    """Code is shown letter by letter as it is typed, without ligatures such as one arrow for "->".

    Without the library raqm, and in Pillow's own font, letters are only put side by side anyway.
    """
    from PIL import ImageFont

    if getattr(font, "layout_engine", None) != ImageFont.Layout.RAQM:
        return None
    return ["-liga", "-calt"] if role == "code" else ["kern"]


def _pillow() -> "type[Image.Image]":
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("slides need the extra 'studio': pip install 'overnight[studio]'") from None
    return Image.Image
