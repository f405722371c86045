"""The conformance suite of the protocol of engines that speak.

In a pytest file, subclass `SpeechConformance` and write `build`, which returns the engine.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from overnight.studio.markup import Manner, parse
from overnight.studio.speech.narrate import PIECE_CHARS, narrate
from overnight.studio.speech.ports import Clip, Engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT = "A small step downhill, again and again, finds the lowest place. It takes 42 steps \u2014 no more!"
_QUIET = 100
_VOICED_S = 0.04


def heard_s(clip: Clip) -> float:
    """Return how long a clip is without the silence around it."""
    import numpy as np

    loud = np.flatnonzero(np.abs(clip.pcm.astype(np.int32)) > _QUIET)
    return float(loud[-1] - loud[0]) / clip.rate_hz


def pitch_hz(clip: Clip) -> float:
    """Return the median pitch of a voice, from 60 to 400 Hz, by autocorrelation of voiced parts of 40 ms."""
    import numpy as np

    size = round(_VOICED_S * clip.rate_hz)
    low, high = clip.rate_hz // 400, clip.rate_hz // 60
    found: list[float] = []
    for at in range(0, len(clip.pcm) - size, size):
        part: NDArray[np.float64] = clip.pcm[at : at + size].astype(np.float64)
        part = part - part.mean()
        alike = np.correlate(part, part, "full")[size - 1 :]
        if alike[0] > size * 500**2:
            lag = low + int(alike[low:high].argmax())
            if alike[lag] > 0.5 * alike[0]:
                found.append(clip.rate_hz / lag)
    return float(np.median(found))


class SpeechConformance(ABC):
    """What every engine keeps to."""

    @abstractmethod
    def build(self, folder: Path) -> Engine:
        """Return a new engine; `folder` is empty and its own."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        """An engine."""
        folder = tmp_path / "engine"
        folder.mkdir()
        return self.build(folder)

    def test_it_speaks_about_as_long_as_people_do(self, engine: Engine) -> None:
        """Between a third and three times of 150 words a minute, and not silence."""
        clip = engine.say(TEXT, Manner.PLAIN)
        assert str(clip.pcm.dtype) == "int16"
        assert clip.pcm.ndim == 1
        assert 8_000 <= clip.rate_hz <= 48_000
        expected_s = len(TEXT.split()) / 150 * 60
        assert expected_s / 3 < heard_s(clip) < expected_s * 3

    def test_words_are_those_of_the_text_and_lie_in_the_clip_in_order(self, engine: Engine) -> None:
        """Where an engine tells them at all."""
        clip = engine.say(f"  {TEXT}\n", Manner.EXPLANATORY)
        if clip.words is None:
            return
        assert " ".join(word.text for word in clip.words) == TEXT
        times = [at for word in clip.words for at in (word.begin_s, word.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= clip.duration_s
        assert times[-1] > clip.duration_s / 2

    @pytest.mark.parametrize("text", ["", "  \n ", "\u2026 \u2014 !"], ids=["empty", "white space", "marks alone"])
    def test_nothing_to_say_is_an_empty_clip(self, engine: Engine, text: str) -> None:
        """And no error: a narration may hold such a piece."""
        clip = engine.say(text, Manner.PLAIN)
        assert (len(clip.pcm), clip.words) == (0, ())

    def test_a_manner_is_heard_in_the_pace(self, engine: Engine) -> None:
        """Enthusiasm is faster than emphasis."""
        fast, slow = (heard_s(engine.say(TEXT, manner)) for manner in (Manner.ENTHUSIASTIC, Manner.EMPHASIZE))
        assert slow / fast > 1.1

    def test_all_clips_have_the_same_rate(self, engine: Engine) -> None:
        """So that they can follow each other."""
        assert len({engine.say("One.", manner).rate_hz for manner in Manner}) == 1

    def test_the_longest_text_that_it_gets_is_spoken_whole(self, engine: Engine) -> None:
        """It is not cut off."""
        text = " ".join([TEXT] * (PIECE_CHARS // (len(TEXT) + 1)))
        whole, one = engine.say(text, Manner.PLAIN), engine.say(TEXT, Manner.PLAIN)
        assert heard_s(whole) > 0.9 * heard_s(one) * (PIECE_CHARS // (len(TEXT) + 1))

    def test_it_narrates(self, engine: Engine, tmp_path: Path) -> None:
        """Words, cues and pauses in one file."""
        pieces = parse(
            f"[show title: One] {TEXT} [pause 2] [cautionary] Mind the gap. [show table: a | b] Done."
        ).pieces
        found = narrate(engine, pieces, tmp_path / "voice.wav")
        assert [word.text for word in found.words][-4:] == ["Mind", "the", "gap.", "Done."]
        mind = next(word for word in found.words if word.text == "Mind")
        before = [word for word in found.words if word.end_s <= mind.begin_s]
        assert mind.begin_s - before[-1].end_s > 2
        assert found.cues[0].at_s == 0
        done = found.words[-1]
        assert found.cues[1].at_s <= done.begin_s < found.duration_s
