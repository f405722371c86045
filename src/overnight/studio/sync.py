"""How far the sound of a file is off another one: whether it is what was recorded, and whether it is heard in time.

The two are compared by their envelopes, the loudness of each hundredth of a second, so that encoding, music under a
voice and another level make no difference. That is done window by window, as a sound may be in time at first and late
from a cut on. Of all shifts within `MOST_S` the one is taken at which a window is most alike (the maximum of the
normalised cross-correlation).
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.base.errors import MissingExtra
from overnight.studio import ffmpeg

if TYPE_CHECKING:
    from numpy import float32, float64
    from numpy.typing import NDArray

MOST_S = 10.0
"""The longest shift that is looked for, to either side."""
WINDOW_S = 20.0
"""A window is at most so long."""
_RATE_HZ, _FRAMES_HZ = 8000, 100
_BLOCK_S = 60
_MOST = round(MOST_S * _FRAMES_HZ)
_TELLING, _CLEARLY, _HUSHED = 0.5, 0.15, 0.01
"""A window tells of a shift of its own if it is so alike, so much more than at that of the whole, and not silent."""
_FAINTEST = 0.25
"""The variance of an envelope, in steps of 16 bits squared, under which it is silence."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How a sound is shifted against the reference.

    `late_s`: how much later it is heard, in the window where that is the most; `alike` from 1 (the same) to 0 (another
    sound), each window at the shift at which it is most alike.
    """

    late_s: float
    alike: float


@dataclass(frozen=True, kw_only=True)
class _Window:
    """A part of the reference: how much its loudness changes, and how alike it is at each shift from -`MOST_S` on.

    `middle` is the frame in its middle.
    """

    middle: int
    weight: float
    alike: "NDArray[float64]"


def shift(path: Path, reference: Path, *, cancelled: Callable[[], bool] = lambda: False) -> Shift:
    """Return how the sound of a file is shifted against that of the reference.

    Raises:
        MissingExtra: numpy is not installed.
        Unreadable: one of them is not there, or has no sound.
        Stopped, NoRoom, Died, FfmpegFailed: as `ffmpeg.run` does.
    """
    try:
        import numpy as np
    except ImportError:
        raise MissingExtra("comparing sounds needs the extra `studio`: pip install 'overnight[studio]'") from None
    ours, theirs = (_envelope(one, cancelled) for one in (path, reference))
    windows = list(_windows(ours, theirs))
    total = sum(one.weight for one in windows)
    if not total:
        return Shift(late_s=0.0, alike=0.0)
    common = int(np.sum([one.weight * one.alike for one in windows], axis=0).argmax())
    alike = math.sqrt(sum(one.weight * max(0.0, float(one.alike.max())) ** 2 for one in windows) / total)
    least = _HUSHED * total / len(windows)
    # What is said after the end of a sound that is cut off is missing, and not late.
    there = [one for one in windows if one.weight > least and 0 <= one.middle + common - _MOST < len(ours)]
    worst = max((_shift_of(one, common) for one in there), key=abs, default=common - _MOST)
    return Shift(late_s=worst / _FRAMES_HZ, alike=min(alike, 1.0))


def _shift_of(window: _Window, common: int) -> int:
    """Return the shift of a window in frames: that of the whole, unless it is clearly more alike at another one."""
    best = int(window.alike.argmax())
    own = window.alike[best] >= max(_TELLING, window.alike[common] + _CLEARLY)
    return (best if own else common) - _MOST


def _windows(ours: "NDArray[float32]", theirs: "NDArray[float32]") -> Iterator[_Window]:
    """Yield the windows of the reference, all of about the same length."""
    import numpy as np

    count = math.ceil(len(theirs) / _FRAMES_HZ / WINDOW_S)
    behind = max(0, len(theirs) - len(ours)) + _MOST
    padded = np.pad(ours, (_MOST, behind), constant_values=float(ours.mean()))
    bounds = [len(theirs) * number // count for number in range(count + 1)]
    for begin, end in pairwise(bounds):
        weight, alike = _compared(padded[begin : end + 2 * _MOST], theirs[begin:end])
        yield _Window(middle=(begin + end) // 2, weight=weight, alike=alike)


def _compared(ours: "NDArray[float32]", theirs: "NDArray[float32]") -> "tuple[float, NDArray[float64]]":
    """Compare a part of the reference with the sound around it, from `MOST_S` before it to `MOST_S` after it.

    Returns how much its loudness changes, and how alike it is at each shift.
    """
    import numpy as np

    near, part = (one.astype(np.float64) - one.mean(dtype=np.float64) for one in (ours, theirs))
    size, weight = len(part), float((part**2).sum())
    sums, squares = (np.cumsum(np.concatenate([[0.0], one])) for one in (near, near**2))
    spread = (squares[size:] - squares[:-size]) - (sums[size:] - sums[:-size]) ** 2 / size
    scale = np.sqrt(np.maximum(spread, _FAINTEST * size) * max(weight, _FAINTEST * size))
    return weight, np.correlate(near, part, "valid") / scale


def _envelope(path: Path, cancelled: Callable[[], bool]) -> "NDArray[float32]":
    """Return how loud each hundredth of a second is."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="overnight-") as folder:
        raw = Path(folder) / "sound.raw"
        args: list[str | Path] = ["-i", path, "-map", "0:a:0", "-ac", "1", "-ar", str(_RATE_HZ), "-f", "s16le", raw]
        ffmpeg.run(args, cancelled=cancelled)
        blocks = list(_loudness(raw))
    return np.concatenate([*blocks, np.zeros(0 if blocks else 1, np.float32)])


def _loudness(raw: Path) -> "Iterator[NDArray[float32]]":
    """Yield the loudness of each minute of a raw sound, so that a long one takes little memory."""
    import numpy as np

    each = _RATE_HZ // _FRAMES_HZ
    with raw.open("rb") as file:
        while len(sound := np.fromfile(file, "<i2", _RATE_HZ * _BLOCK_S)) >= each:
            frames = sound[: len(sound) // each * each].reshape(-1, each).astype(np.float32)
            yield np.sqrt((frames**2).mean(axis=1))
