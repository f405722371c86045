"""What an engine that speaks has to keep to, and what it gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from overnight.studio.markup import Manner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pcm = NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word as it is written, with its punctuation, and when it is heard."""

    text: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Speech: `pcm` is one channel of 16-bit samples, shape (samples,).

    `words` is None where nobody tells when they are heard.
    """

    pcm: "Pcm"
    rate_hz: int
    words: tuple[Word, ...] | None

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return len(self.pcm) / self.rate_hz


class Engine(Protocol):
    """Speaks. `overnight.testing.speech` has the tests that every engine passes.

    - `name` tells it from others: the engine's, and its voice's where there are several.
    - All clips of one engine have the same `rate_hz`.
    - `words` joined by spaces are the text with single spaces; they come in order, do not overlap, and lie inside the
      clip. Who cannot tell them gives None, for every text that holds words.
    - Where nothing is to be said (no text, punctuation alone) the clip is empty and its words are ().
    - A manner is heard in the clip: `delivery_of` says how much faster or higher. Louder, and silence before and after,
      are added by who narrates.
    - It is used by one thread at a time, for texts of up to `narrate.PIECE_CHARS` characters, and leaves nothing
      behind: no process, no file, no connection.
    - Errors are those of `overnight.base.errors`, in one line without any key.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    def say(self, text: str, manner: Manner) -> Clip:
        """Return the text, spoken.

        Raises:
            SpeechAway: it cannot speak now.
            Died: the program that speaks was killed.
            SpeechFailed: it cannot speak this, or not with these settings.
            ConfigError: a key or an address is wrong.
        """


def no_clip(rate_hz: int) -> Clip:
    """Return a clip of nothing."""
    import numpy as np

    return Clip(pcm=np.zeros(0, np.int16), rate_hz=rate_hz, words=())


def pcm_of(raw: bytes) -> "Pcm":
    """Return samples from little-endian 16-bit PCM; half a sample at its end is left out."""
    import numpy as np

    return np.frombuffer(raw[: len(raw) // 2 * 2], np.dtype("<i2")).astype(np.int16)


def says_something(text: str) -> bool:
    """Tell whether there is a letter or a digit to be spoken."""
    return any(letter.isalnum() for letter in text)
