"""What is wrong with a video, measured: black or frozen pictures, silence, loudness, clipping."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overnight.studio import ffmpeg
from overnight.studio.loudness import Loudness, TooFaint, loudness_in
from overnight.studio.probe import Media, clipped_share, probe

BLACK_S, FROZEN_S, SILENT_S = 0.2, 2.0, 0.5
"""Shorter runs are not told."""
SILENT_DB = -50.0
"""What is fainter is silence, in dBFS."""
_BLACK = re.compile(r"black_start:(\S+) black_end:(\S+)")
_FROZEN = re.compile(r"freeze_(start|end): (\S+)")
_SILENT = re.compile(r"silence_(start|end): (\S+)")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A part of a video in which something holds all the time."""

    begin_s: float
    end_s: float

    @property
    def long_s(self) -> float:
        """How long it is."""
        return self.end_s - self.begin_s


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a file; what it does not hold is (), and what cannot be measured None.

    `loudness` is None where there is no sound, or none that is loud enough; `clipped_share` (0 to 1) where there is no
    sound.
    """

    media: Media
    black_runs: tuple[Run, ...]
    frozen_runs: tuple[Run, ...]
    silences: tuple[Run, ...]
    loudness: Loudness | None
    clipped_share: float | None


def measured(
    path: Path,
    *,
    black_s: float = BLACK_S,
    frozen_s: float = FROZEN_S,
    silent_s: float = SILENT_S,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda done_s: None,
) -> Measured:
    """Return what can be measured of a media file; runs that are shorter than is asked for are left out.

    A slide that stands still is a frozen run: how long one may be is for the caller to say.

    Raises:
        Unreadable: it is not there, or is no media file.
        Stopped, FfmpegFailed, MissingExtra: as `ffmpeg.run` does.
    """
    media = probe(path)
    seen = ["-map", "0:v:0", "-vf", f"blackdetect=d={black_s:g},freezedetect=d={frozen_s:g}"] if media.video else []
    quiet = f"silencedetect=noise={SILENT_DB:g}dB:d={silent_s:g}:mono=0,ebur128=peak=true:framelog=quiet"
    heard = ["-map", "0:a:0", "-af", quiet] if media.audio else []
    said = ""
    if seen or heard:
        said = ffmpeg.run(
            ["-i", path, *seen, *heard, "-f", "null", "-"], timeout_s=3600, cancelled=cancelled, progress=progress
        )
    end_s = media.duration_s or 0.0
    return Measured(
        media=media,
        black_runs=tuple(Run(begin_s=float(a), end_s=float(b)) for a, b in _BLACK.findall(said)),
        frozen_runs=_runs(_FROZEN.findall(said), end_s),
        silences=_runs(_SILENT.findall(said), end_s),
        loudness=_loudness(said, path) if media.audio else None,
        clipped_share=clipped_share(path) if media.audio else None,
    )


def _runs(marks: list[tuple[str, str]], end_s: float) -> tuple[Run, ...]:
    """Return runs from their marks; one that lasts to the end may have no mark of its end."""
    runs: list[Run] = []
    begin_s: float | None = None
    for kind, at in [*marks, ("end", str(end_s))]:
        if kind == "start":
            begin_s = max(float(at), 0.0)
        elif begin_s is not None:
            runs.append(Run(begin_s=begin_s, end_s=float(at)))
            begin_s = None
    return tuple(run for run in runs if run.long_s > 0)


def _loudness(said: str, path: Path) -> Loudness | None:
    try:
        return loudness_in(said, path)
    except TooFaint:
        return None
