"""A narration as it goes into a video: spoken, and made as loud as players expect."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overnight.studio.loudness import Loudness, normalise
from overnight.studio.markup import parse
from overnight.studio.speech.narrate import Spoken, narrate
from overnight.studio.speech.ports import Engine


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What was spoken when, and how loud it is. The file of `spoken` is gone: what is kept is the loud one."""

    spoken: Spoken
    loudness: Loudness


def record(
    engine: Engine,
    narration: str,
    wav: Path,
    *,
    progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Recorded:
    """Speak a narration, with its markers, into `wav`, which is the old file or the whole new one.

    Raises:
        As `narrate` and `normalise` do.
    """
    raw = wav.with_name(f".{wav.name}")
    try:
        spoken = narrate(engine, parse(narration).pieces, raw, progress=progress, cancelled=cancelled)
        loudness = normalise(raw, wav, cancelled=cancelled)
    finally:
        raw.unlink(missing_ok=True)
    return Recorded(spoken=spoken, loudness=loudness)
