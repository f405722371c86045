"""Speaks with espeak-ng, without a network: fast, plain, in more than a hundred languages.

The library comes with the package espeakng-loader and is under the GPL, so it is loaded by a child process for each
text, `espeak_child`, and never by this one. It tells when every word and sound begins; those times are measured.
"""

import json
import struct
import sys
from importlib.util import find_spec
from pathlib import Path

from overnight.base.errors import MissingExtra
from overnight.base.settings import environment
from overnight.processes.feed import feed
from overnight.processes.spawn import scrubbed
from overnight.studio.errors import Died, SpeechFailed
from overnight.studio.markup import Manner
from overnight.studio.speech import espeak_child
from overnight.studio.speech.delivery import delivery_of
from overnight.studio.speech.ports import Clip, no_clip, pcm_of, says_something
from overnight.studio.speech.timing import at_places

RATE_HZ = 22_050
WORDS_PER_MINUTE = 150
"""How fast a plain voice speaks; English prose was measured at 152 with its pauses. espeak-ng's own pace is 175."""
_SLOWEST, _FASTEST = 80, 450
_RANGES = {Manner.ENTHUSIASTIC: 75, Manner.CAUTIONARY: 35}
"""How far the melody goes, from 0 to 100; 50 for all others."""
_TIMEOUT_S = 120.0
MISSING = (
    "there is nothing that speaks: pip install 'overnight[studio]' brings espeak-ng, and a key in OPENAI_API_KEY or "
    "ELEVENLABS_API_KEY lets a service speak; without it slides are still drawn and captions still cut"
)


class Espeak:
    """Implements `ports.Engine`.

    `language` is a voice of espeak-ng, such as "en-us", "de" or "fr+f3"; `speed` is a factor.
    """

    def __init__(self, *, language: str = "en-us", speed: float = 1.0) -> None:
        """Find the library.

        Raises:
            MissingExtra: it is not installed.
        """
        spec = find_spec("espeakng_loader")
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra(MISSING)
        self._folder = Path(spec.submodule_search_locations[0])
        self._language, self._speed = language, speed
        self.name = f"espeak-ng {language}"

    def say(self, text: str, manner: Manner) -> Clip:
        """Return the text, spoken; see `ports.Engine`."""
        line = " ".join(text.split())
        if not says_something(line):
            return no_clip(RATE_HZ)
        argv = [sys.executable, "-I", "-S", str(Path(espeak_child.__file__))]
        asked = [json.dumps(self._asked(line, manner)).encode()]
        ended = feed(argv, asked, env=scrubbed(environment()), timeout_s=_TIMEOUT_S)
        if ended.killed:
            raise Died(f"espeak-ng: {ended.how}")
        if ended.code != 0:
            raise SpeechFailed(f"espeak-ng: {ended.said or ended.how}")
        (size,) = struct.unpack_from("<I", ended.output)
        told = json.loads(ended.output[4 : 4 + size])
        pcm = pcm_of(ended.output[4 + size :])
        if told["rate_hz"] != RATE_HZ:
            raise SpeechFailed(f"espeak-ng speaks {self._language!r} at {told['rate_hz']} Hz, and not at {RATE_HZ}")
        words = at_places(line, spans_of(told["events"], len(pcm), RATE_HZ), len(pcm) / RATE_HZ)
        return Clip(pcm=pcm, rate_hz=RATE_HZ, words=words)

    def _asked(self, text: str, manner: Manner) -> dict[str, object]:
        delivery = delivery_of(manner)
        library = "libespeak-ng.dylib" if sys.platform == "darwin" else "libespeak-ng.so"
        return {
            "library": str(self._folder / library),
            "data": str(self._folder),
            "voice": self._language,
            "text": text,
            "rate": round(min(max(WORDS_PER_MINUTE * self._speed * delivery.rate, _SLOWEST), _FASTEST)),
            # 50 is the voice's own pitch, 0 an octave lower, 100 an octave higher.
            "pitch": round(min(max(50 + 50 * delivery.pitch / 12, 0), 100)),
            "range": _RANGES.get(manner, 50),
        }


def spans_of(events: list[tuple[str, int, int]], samples: int, rate_hz: int) -> list[tuple[int, float, float]]:
    """Return (place in the text, begin, end) in seconds of what is heard between the events of `espeak_child`.

    A word ends where the next one begins, or where silence follows.
    """
    spans: list[tuple[int, float, float]] = []
    place, begin = None, 0
    for kind, at, sample in [*events, ("silence", 0, samples)]:
        if place is not None and kind != "sound":
            spans.append((place, begin / rate_hz, sample / rate_hz))
            place = None
        if kind == "word":
            place, begin = at, sample
    return spans
