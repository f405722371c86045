"""How far the sound of a file is off another one: whether it is what was recorded, and whether it is heard in time.

The two are compared by their envelopes, the loudness of each hundredth of a second, so that encoding, music under a
voice and another level make no difference. Of all shifts within `MOST_S` the one is taken at which they are most alike
(the maximum of the normalised cross-correlation).
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.base.errors import MissingExtra
from overnight.studio import ffmpeg

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

MOST_S = 10.0
"""The longest shift that is looked for, to either side."""
_RATE_HZ, _FRAMES_HZ = 8000, 100


@dataclass(frozen=True, kw_only=True)
class Shift:
    """`late_s`: how much later it is heard than in the reference; `alike` from 1 (the same) to 0 (another sound)."""

    late_s: float
    alike: float


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
    size = 1 << (len(ours) + len(theirs)).bit_length()
    products = np.fft.irfft(np.fft.rfft(ours, size) * np.conj(np.fft.rfft(theirs, size)), size)
    most = min(round(MOST_S * _FRAMES_HZ), len(ours) - 1, len(theirs) - 1)
    shifts = np.arange(-most, most + 1)
    found = products[shifts]
    scale = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    best = int(found.argmax())
    alike = float(found[best]) / scale if scale else 0.0
    return Shift(late_s=float(shifts[best]) / _FRAMES_HZ, alike=min(max(alike, 0.0), 1.0))


def _envelope(path: Path, cancelled: Callable[[], bool]) -> "NDArray[float64]":
    """Return how loud each hundredth of a second is, less the mean."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="overnight-") as folder:
        raw = Path(folder) / "sound.raw"
        args: list[str | Path] = ["-i", path, "-map", "0:a:0", "-ac", "1", "-ar", str(_RATE_HZ), "-f", "s16le", raw]
        ffmpeg.run(args, cancelled=cancelled)
        sound = np.fromfile(raw, "<i2").astype(np.float64)
    each = _RATE_HZ // _FRAMES_HZ
    frames = sound[: len(sound) // each * each].reshape(-1, each)
    loud: NDArray[float64] = np.sqrt((frames**2).mean(axis=1))
    centred: NDArray[float64] = loud - loud.mean() if len(loud) else np.zeros(1)
    return centred
