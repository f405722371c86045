"""Colours, and how well one can be read upon another. Pure."""

import re

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

Rgb = tuple[int, int, int]
ENOUGH = 4.5
"""The least contrast of text and what is behind it (WCAG 2.2, success criterion 1.4.3)."""


def rgb(colour: str) -> Rgb:
    """Return the parts of a colour such as "#1a2b3c".

    Raises:
        ValueError: it is none.
    """
    if not _COLOUR.fullmatch(colour):
        raise ValueError(f'{colour!r} is not a colour such as "#1a2b3c"')
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    """Return `one` with a `share` (0 to 1) of the `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def luminance(colour: Rgb) -> float:
    """Return the relative luminance, 0 for black to 1 for white (WCAG 2.2, definition of it for sRGB)."""
    red, green, blue = (
        (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for v in (c / 255 for c in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, definition of it)."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luma(colour: Rgb) -> float:
    """Return how bright video takes a colour to be, 0 to 1 (ITU-R BT.709, 3.2)."""
    return (0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]) / 255
