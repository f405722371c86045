"""Speaks with ElevenLabs, which tells when each character is heard (POST /v1/text-to-speech/VOICE/with-timestamps)."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from overnight.studio.markup import Manner
from overnight.studio.speech.delivery import delivery_of
from overnight.studio.speech.ports import Clip, Word, no_clip, pcm_of, says_something
from overnight.studio.speech.services import TIMEOUT_S, Service, key_of
from overnight.studio.speech.timing import at_places

KEY = "ELEVENLABS_API_KEY"
"""The variable of the environment that holds the key."""
DEFAULT_URL = "https://api.elevenlabs.io"
DEFAULT_MODEL, DEFAULT_VOICE = "eleven_multilingual_v2", "JBFqnCBsd6RMkjVDRZzb"
RATE_HZ = 22_050
_SLOWEST, _FASTEST = 0.7, 1.2
_STABILITY, _STYLE = {Manner.ENTHUSIASTIC: 0.3, Manner.EMPHASIZE: 0.4}, {Manner.ENTHUSIASTIC: 0.5}
"""Less stable is more lively; more style is more expressive."""


class ElevenLabs:
    """Implements `ports.Engine`. The key comes from ELEVENLABS_API_KEY alone; `voice` is the id of one."""

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
            "elevenlabs",
            base_url or DEFAULT_URL,
            header="xi-api-key",
            value=key_of(variables, KEY),
            key_from=KEY,
            timeout_s=timeout_s,
        )
        self.name = f"elevenlabs {self._model} {self._voice}"

    def say(self, text: str, manner: Manner) -> Clip:
        """Return the text, spoken; see `ports.Engine`."""
        line = " ".join(text.split())
        if not says_something(line):
            return no_clip(RATE_HZ)
        body = {
            "text": line,
            "model_id": self._model,
            "voice_settings": {
                "stability": _STABILITY.get(manner, 0.5),
                "similarity_boost": 0.75,
                "style": _STYLE.get(manner, 0.0),
                "speed": min(max(round(self._speed * delivery_of(manner).rate, 3), _SLOWEST), _FASTEST),
            },
        }
        path = f"/v1/text-to-speech/{quote(self._voice, safe='')}/with-timestamps?output_format=pcm_{RATE_HZ}"
        content = self._service.post(path, body)
        try:
            told = json.loads(content)
            pcm = pcm_of(base64.b64decode(told["audio_base64"], validate=True))
            words = _words(line, told.get("alignment"), len(pcm) / RATE_HZ)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._service.garbled(f"{type(error).__name__}: {error}") from None
        return Clip(pcm=pcm, rate_hz=RATE_HZ, words=words)


def _words(text: str, alignment: Any, duration_s: float) -> tuple[Word, ...] | None:  # Any: JSON
    """Return the words, from the times of the characters; None where those are not of this text."""
    if not alignment or "".join(alignment["characters"]) != text:
        return None
    begins = map(float, alignment["character_start_times_seconds"])
    ends = map(float, alignment["character_end_times_seconds"])
    timed = zip(range(len(text)), text, begins, ends, strict=True)
    return at_places(text, [(place, begin, end) for place, one, begin, end in timed if not one.isspace()], duration_s)
