"""Speaks with OpenAI, or with any server that speaks its protocol (POST .../audio/speech).

Such servers do not tell when words are heard: those times are estimated.
"""

import struct
from collections.abc import Mapping
from typing import Any

from overnight.studio.markup import Manner
from overnight.studio.speech.delivery import delivery_of
from overnight.studio.speech.ports import Clip, no_clip, pcm_of, says_something
from overnight.studio.speech.services import TIMEOUT_S, Service, key_of

KEY, BASE_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
"""The variables of the environment that hold the key, and another address than OpenAI's."""
DEFAULT_URL = "https://api.openai.com/v1"
DEFAULT_MODEL, DEFAULT_VOICE = "gpt-4o-mini-tts", "alloy"
_SLOWEST, _FASTEST = 0.25, 4.0
_DEAF = ("tts-1",)
"""Models, by the beginning of their names, that take no instructions."""
RATE_HZ = 24_000
"""At which OpenAI speaks; other servers may speak at another rate, and say so in what they send."""


class OpenAi:
    """Implements `ports.Engine`. The key comes from OPENAI_API_KEY alone."""

    def __init__(
        self,
        variables: Mapping[str, str],
        *,
        model: str | None = None,
        voice: str | None = None,
        base_url: str | None = None,
        speed: float = 1.0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Ask nobody yet.

        Raises:
            ConfigError: there is no key, or the address is none.
        """
        self._model, self._voice, self._speed = model or DEFAULT_MODEL, voice or DEFAULT_VOICE, speed
        self._service = Service(
            "openai",
            base_url or variables.get(BASE_URL) or DEFAULT_URL,
            header="Authorization",
            value=f"Bearer {key_of(variables, KEY)}",
            key_from=KEY,
            timeout_s=timeout_s,
        )
        self._rate_hz = RATE_HZ
        self.name = f"openai {self._model} {self._voice}"

    def say(self, text: str, manner: Manner) -> Clip:
        """Return the text, spoken; see `ports.Engine`."""
        if not says_something(text):
            return no_clip(self._rate_hz)
        delivery = delivery_of(manner)
        body: dict[str, Any] = {  # Any: JSON
            "model": self._model,
            "voice": self._voice,
            "input": " ".join(text.split()),
            "response_format": "wav",
            "speed": min(max(round(self._speed * delivery.rate, 3), _SLOWEST), _FASTEST),
        }
        if not self._model.startswith(_DEAF):
            body["instructions"] = delivery.words
        try:
            self._rate_hz, raw = sound_of(self._service.post("/audio/speech", body))
        except ValueError as error:
            raise self._service.garbled(str(error)) from None
        return Clip(pcm=pcm_of(raw), rate_hz=self._rate_hz, words=None)


def sound_of(wav: bytes) -> tuple[int, bytes]:
    """Return the rate (Hz) of a WAV file and its 16-bit samples; of several channels the first.

    A server that sends it while it speaks does not know how long it will be, and writes a length that is not true.

    Raises:
        ValueError: it is no WAV file of 16-bit samples; the message says what is wrong.
    """
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise ValueError("it is no WAV file")
    at, rate_hz, channels = 12, 0, 1
    while at + 8 <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, at)
        at += 8
        if name == b"fmt " and at + 16 <= len(wav):
            kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", wav, at)
            if kind not in (1, 0xFFFE) or bits != 16 or not rate_hz or not channels:
                raise ValueError("its samples are not 16-bit PCM")
        elif name == b"data" and rate_hz:
            raw = wav[at : at + size]
            first = pcm_of(raw[: len(raw) // (2 * channels) * 2 * channels])[::channels]
            return rate_hz, first.tobytes()
        at += size + size % 2
    raise ValueError("it holds no sound")
