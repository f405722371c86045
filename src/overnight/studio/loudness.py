"""How loud something is, and making it as loud as is asked for (EBU R 128, ITU-R BS.1770).

All of it is turned up or down alike, and peaks that would then be too high are held down by a limiter, so that what was
said louder stays louder. ffmpeg's own loudnorm follows the sound instead as soon as peaks are in the way, as they are
with espeak-ng: it missed -16 LUFS by 0.8 LU, changed the rate to 192,000 Hz, and took longer.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overnight.base.errors import NotMeasured, PermanentError
from overnight.studio import ffmpeg

TARGET_LUFS = -16.0
TOLERANCE_LU = 1.0
"""How far off it may be in the end."""
PEAK_DBTP = -1.5
"""No true peak is above."""
_NEAR_LU = 0.3
_PASSES = 5
_OVER_DB = 0.5
"""The limiter holds peaks down by so much more, for those that appear between its samples."""
_OVERSAMPLED = 4
_SUMMARY = re.compile(r"\bI:\s+(?P<i>\S+) LUFS.*\bLRA:\s+(?P<lra>\S+) LU\b.*\bPeak:\s+(?P<tp>\S+) dBFS", re.S)
_GATE_LUFS = -70.0
"""Nothing is measured below: the absolute gate of BS.1770."""


@dataclass(frozen=True, kw_only=True)
class Loudness:
    """What was measured: over all (LUFS), the highest true peak (dBTP), and the range (LU)."""

    integrated_lufs: float
    true_peak_dbtp: float
    range_lu: float


class TooFaint(NotMeasured):
    """There is nothing loud enough to be measured."""


class LoudnessMissed(PermanentError):
    """A sound cannot be made as loud as was asked for."""


def measured(path: Path, *, cancelled: Callable[[], bool] = lambda: False) -> Loudness:
    """Return how loud the sound of a file is.

    Raises:
        TooFaint: all of it is silence, or it is shorter than 0.4 s.
        Unreadable, Stopped, FfmpegFailed, MissingExtra: as `ffmpeg.run` does.
    """
    said = ffmpeg.run(
        ["-i", path, "-map", "0:a:0", "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"],
        cancelled=cancelled,
    )
    return loudness_in(said, path)


def loudness_in(said: str, path: Path) -> Loudness:
    """Return what the filter ebur128 has said at its end about the file.

    Raises:
        TooFaint: there was nothing that it could measure.
    """
    found = _SUMMARY.search(said, said.rindex("Integrated loudness:"))
    assert found is not None, "the filter ends with a summary"
    integrated, peak = float(found["i"]), float(found["tp"])
    if integrated <= _GATE_LUFS or not math.isfinite(peak):
        raise TooFaint(f"{path}: holds no sound that is loud and long enough to be measured")
    return Loudness(integrated_lufs=integrated, true_peak_dbtp=peak, range_lu=float(found["lra"]))


def normalise(
    wav_in: Path, wav_out: Path, lufs: float = TARGET_LUFS, *, cancelled: Callable[[], bool] = lambda: False
) -> Loudness:
    """Write a WAV file to another one, as loud as is asked for, and return what was measured of that one.

    Rate, channels and length stay. Where the limiter takes loudness away, more is given in another pass.

    Raises:
        TooFaint: it is all silence, or shorter than 0.4 s.
        LoudnessMissed: it is not within 1 LU of `lufs` in the end; nothing was written.
        Unreadable, NoRoom, Stopped, FfmpegFailed, MissingExtra: as `ffmpeg.run` does.
    """
    found = measured(wav_in, cancelled=cancelled)
    rate_hz = _rate_of(wav_in)
    gain_db = 0.0
    with ffmpeg.made_whole(wav_out) as made:
        for _ in range(_PASSES):
            gain_db += lufs - found.integrated_lufs
            ffmpeg.run(
                ["-i", wav_in, "-map", "0:a:0", "-af", _turned(gain_db, rate_hz), "-c:a", "pcm_s16le", made],
                cancelled=cancelled,
            )
            found = measured(made, cancelled=cancelled)
            if abs(found.integrated_lufs - lufs) <= _NEAR_LU:
                break
        if abs(found.integrated_lufs - lufs) > TOLERANCE_LU:
            raise LoudnessMissed(
                f"{wav_in}: cannot be made {lufs:g} LUFS, its peaks are too high above the rest of it: "
                f"it got to {found.integrated_lufs:.1f}"
            )
    return found


def _turned(gain_db: float, rate_hz: int) -> str:
    limit = 10 ** ((PEAK_DBTP - _OVER_DB) / 20)
    return (
        f"volume={gain_db:.3f}dB,aresample={_OVERSAMPLED * rate_hz},"
        f"alimiter=limit={limit:.4f}:level=false:attack=1:release=50:latency=true,aresample={rate_hz}"
    )


def _rate_of(path: Path) -> int:
    import wave

    with wave.open(str(path), "rb") as file:
        return file.getframerate()
