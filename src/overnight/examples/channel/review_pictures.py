"""What a review measures on decoded frames: text that runs out of the picture, and text that can hardly be read.

An image is an array of rows x columns x 3 (red, green, blue, 0 to 255). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Line = NDArray[np.float64]
    Edges = NDArray[np.bool_]

SIDES = ("left", "right", "top", "bottom")
STRONG = 48.0
"""Steps of brightness (0 to 255) between neighbouring pixels, from which there is an edge of something."""
CUT = 3
"""Edges along a border of the picture, from which text is cut off there; a bar that touches the border has two."""
_RIM = 2
"""Pixels at the border that are looked at."""
_DECOR = 0.5
"""What is at the same place in more than this share of frames belongs to the design."""


def rims(image: Image) -> dict[str, Edges]:
    """Return where something begins or ends along each border of the picture."""
    return {side: _edges(_border(image, side)) for side in SIDES}


def cut_off(found: Sequence[Mapping[str, Edges]]) -> list[tuple[int, str]]:
    """Return the frames (by number, of their `rims`) and sides at which the border of the picture cuts text off."""
    import numpy as np

    cut = []
    for side in SIDES:
        edges = [rim[side] for rim in found]
        often = np.mean(edges, axis=0) > _DECOR if len(edges) > 2 else np.zeros(len(edges[0]))
        # An edge that lies a pixel beside that of the design belongs to it, too.
        often = np.convolve(often, [1, 1, 1, 1, 1], mode="same") > 0
        cut += [(number, side) for number, one in enumerate(edges) if np.count_nonzero(one & ~often) >= CUT]
    return cut


def contrast(image: Image, box: Mapping[str, Any]) -> float | None:
    """Return the contrast ratio (WCAG 2.2) of the light and the dark within a box {x, y, w, h}.

    None where the box lies outside of the image.
    """
    import numpy as np

    left, top = max(0, int(box["x"])), max(0, int(box["y"]))
    cut = image[top : max(0, int(box["y"] + box["h"])), left : max(0, int(box["x"] + box["w"]))]
    if cut.size == 0:
        return None
    dark, light = np.percentile(_luminance(cut), (2, 98))
    return float((light + 0.05) / (dark + 0.05))


def out_of_frame(box: Mapping[str, Any], width: float, height: float) -> bool:
    """Tell whether a box reaches out of the picture."""
    return bool(box["x"] < 0 or box["y"] < 0 or box["x"] + box["w"] > width or box["y"] + box["h"] > height)


def _border(image: Image, side: str) -> Line:
    """Return the brightness along one border."""
    strip = {
        "left": image[:, :_RIM].mean(axis=1),
        "right": image[:, -_RIM:].mean(axis=1),
        "top": image[:_RIM].mean(axis=0),
        "bottom": image[-_RIM:].mean(axis=0),
    }[side]
    line: Line = strip @ [0.2126, 0.7152, 0.0722]
    return line


def _edges(line: Line) -> Edges:
    """Return where something begins or ends along a line: the first pixel of each run of strong steps."""
    import numpy as np

    steps = np.zeros_like(line)
    steps[1:-1] = line[2:] - line[:-2]
    signs = np.where(np.abs(steps) > STRONG, np.sign(steps), 0)
    begins = (signs != 0) & (signs != np.concatenate(([0], signs[:-1])))
    found: Edges = begins
    return found


def _luminance(image: Image) -> NDArray[np.float64]:
    """Return the relative luminance of each pixel (WCAG 2.2)."""
    import numpy as np

    parts = image.astype(np.float64) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    found: NDArray[np.float64] = linear @ [0.2126, 0.7152, 0.0722]
    return found
