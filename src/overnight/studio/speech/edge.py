"""Speaks with the voices of Microsoft Edge by the package edge-tts, which needs no key and has no promise behind it.

The package is under the LGPL and is not part of the extra: pip install edge-tts. The service tells when words are
heard, and sends MP3, which ffmpeg turns into samples.
"""

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from overnight.base.errors import MissingExtra, one_line
from overnight.studio import ffmpeg
from overnight.studio.errors import SpeechAway, SpeechFailed
from overnight.studio.markup import Manner
from overnight.studio.speech.delivery import delivery_of
from overnight.studio.speech.ports import Clip, no_clip, pcm_of, says_something
from overnight.studio.speech.timing import at_places

DEFAULT_VOICE = "en-US-EmmaMultilingualNeural"
RATE_HZ = 24_000
_TICKS_PER_S = 10_000_000
_TIMEOUT_S = 120.0
_VOICE_HZ = 200.0
"""What a voice's pitch is taken to be, because the service wants pitch in Hz and not in semitones."""


class Edge:
    """Implements `ports.Engine`."""

    def __init__(self, *, voice: str | None = None, speed: float = 1.0) -> None:
        """Ask nobody yet.

        Raises:
            MissingExtra: edge-tts is not installed.
        """
        if find_spec("edge_tts") is None:
            raise MissingExtra("the voices of Edge need the package edge-tts: pip install edge-tts")
        self._voice, self._speed = voice or DEFAULT_VOICE, speed
        self.name = f"edge {self._voice}"

    def say(self, text: str, manner: Manner) -> Clip:
        """Return the text, spoken; see `ports.Engine`."""
        line = " ".join(text.split())
        if not says_something(line):
            return no_clip(RATE_HZ)
        sound, marks = bytearray(), list[tuple[str, float, float]]()
        for one in self._answered(line, manner):
            if one["type"] == "audio":
                sound += one["data"]
            elif one["type"] == "WordBoundary":
                begin_s = one["offset"] / _TICKS_PER_S
                marks.append((one["text"], begin_s, begin_s + one["duration"] / _TICKS_PER_S))
        pcm = pcm_of(_samples(bytes(sound)))
        words = at_places(line, placed(line, marks), len(pcm) / RATE_HZ) if marks else None
        return Clip(pcm=pcm, rate_hz=RATE_HZ, words=words)

    def _answered(self, text: str, manner: Manner) -> list[dict[str, Any]]:  # Any: what the package gives
        import asyncio

        import aiohttp
        import edge_tts

        async def told() -> list[dict[str, Any]]:
            manners = told_of(manner, self._speed)
            talk = edge_tts.Communicate(text, self._voice, boundary="WordBoundary", **manners)
            async with asyncio.timeout(_TIMEOUT_S):
                return [one async for one in talk.stream()]

        try:
            # The package's own `stream_sync` waits for ever once its connection fails.
            return asyncio.run(told())
        except (ValueError, edge_tts.exceptions.NoAudioReceived) as error:
            raise SpeechFailed(f"{self.name}: {one_line(error)}") from error
        except (OSError, aiohttp.ClientError, edge_tts.exceptions.EdgeTTSException) as error:
            raise SpeechAway(f"{self.name}: {one_line(error) or type(error).__name__}") from error


def told_of(manner: Manner, speed: float) -> dict[str, str]:
    """Return rate and pitch as the service wants them: "+10%", "-22Hz"."""
    delivery = delivery_of(manner)
    rate = round(100 * (speed * delivery.rate - 1))
    pitch_hz = round(_VOICE_HZ * (2 ** (delivery.pitch / 12) - 1))
    return {"rate": f"{rate:+d}%", "pitch": f"{pitch_hz:+d}Hz"}


def placed(text: str, marks: Sequence[tuple[str, float, float]]) -> list[tuple[int, float, float]]:
    """Return (place in the text, begin, end) for words that were heard, each looked for after the one before."""
    spans, at = [], 0
    for word, begin_s, end_s in marks:
        found = text.casefold().find(word.casefold(), at)
        spans.append((at if found < 0 else found, begin_s, end_s))
        at = at if found < 0 else found + len(word)
    return spans


def _samples(sound: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        mp3, raw = Path(folder, "speech.mp3"), Path(folder, "speech.raw")
        mp3.write_bytes(sound)
        ffmpeg.run(["-i", mp3, "-f", "s16le", "-ac", "1", "-ar", str(RATE_HZ), raw])
        return raw.read_bytes()
