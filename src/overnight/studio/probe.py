"""What a media file holds: its streams and chapters, a picture of it, and how much of its sound is clipped.

PyAV reads it in a child process, `reading_child`: its wheels carry libraries under the GPL.
"""

import json
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import MissingExtra
from overnight.base.settings import environment
from overnight.processes.feed import feed
from overnight.processes.spawn import scrubbed
from overnight.studio import reading_child
from overnight.studio.errors import Died, Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

_TIMEOUT_S = 600.0
_AT_ONCE = 8
"""Pictures of 1920x1080 have 6 MB each."""
MISSING = "reading media files needs the extra `studio`: pip install 'overnight[studio]'"


@dataclass(frozen=True, kw_only=True)
class Video:
    """A stream of pictures; `fps` is None where they come irregularly."""

    codec: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None


@dataclass(frozen=True, kw_only=True)
class Audio:
    """A stream of sound."""

    codec: str
    rate_hz: int
    channels: int
    duration_s: float | None


@dataclass(frozen=True, kw_only=True)
class Subtitles:
    """A stream of subtitles."""

    codec: str
    language: str | None


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A named part."""

    title: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Media:
    """What a file holds: the first stream of pictures and of sound, all of subtitles, and the chapters."""

    duration_s: float | None
    video: Video | None
    audio: Audio | None
    subtitles: tuple[Subtitles, ...]
    chapters: tuple[Chapter, ...]


def probe(path: Path) -> Media:
    """Return what a media file holds.

    Raises:
        Unreadable: it is not there, or is no media file.
        MissingExtra: PyAV is not installed.
    """
    told, _ = _asked(path, "probe")
    video, audio = told["video"], told["audio"]
    return Media(
        duration_s=told["duration_s"],
        video=Video(**video[0]) if video else None,
        audio=Audio(**audio[0]) if audio else None,
        subtitles=tuple(Subtitles(**one) for one in told["subtitles"]),
        chapters=tuple(Chapter(**one) for one in told["chapters"]),
    )


def frame(path: Path, at_s: float) -> "Image":
    """Return the picture that is shown at an instant, in RGB; after the end it is the last one.

    Raises:
        Unreadable: as `probe` does, or there is no picture.
        MissingExtra: PyAV or Pillow is not installed.
    """
    return next(frames(path, [at_s]))


def frames(path: Path, at_s: Sequence[float]) -> "Iterator[Image]":
    """Yield the pictures of some instants, in their order; a few are held at a time.

    Raises:
        Unreadable, MissingExtra: as `frame` does.
    """
    if find_spec("PIL") is None:
        raise MissingExtra(MISSING)
    from PIL import Image

    for first in range(0, len(at_s), _AT_ONCE):
        told, raw = _asked(path, "frames", at_s[first : first + _AT_ONCE])
        begin = 0
        for one in told["pictures"]:
            end = begin + 3 * one["width"] * one["height"]
            yield Image.frombytes("RGB", (one["width"], one["height"]), raw[begin:end])
            begin = end


def clipped_share(path: Path) -> float:
    """Return the share (0 to 1) of samples that are as loud as samples can be.

    Raises:
        Unreadable: as `probe` does, or there is no sound.
        MissingExtra: PyAV or numpy is not installed.
    """
    told, _ = _asked(path, "clipped")
    return float(told["clipped"] / max(told["samples"], 1))


def _asked(path: Path, what: str, at_s: Sequence[float] = ()) -> tuple[dict[str, Any], bytes]:  # Any: JSON
    if find_spec("av") is None or find_spec("numpy") is None:
        raise MissingExtra(MISSING)
    asked = {"paths": [one for one in sys.path if one], "do": what, "path": str(path.resolve()), "at_s": list(at_s)}
    argv = [sys.executable, "-I", "-S", str(Path(reading_child.__file__))]
    ended = feed(argv, [json.dumps(asked).encode()], env=scrubbed(environment()), timeout_s=_TIMEOUT_S)
    if ended.killed:
        raise Died(f"{path}: what reads it {ended.how}")
    if ended.code != 0:
        raise Unreadable(f"{path}: cannot be read: {ended.said or ended.how}")
    (size,) = struct.unpack_from("<I", ended.output)
    return json.loads(ended.output[4 : 4 + size]), ended.output[4 + size :]
