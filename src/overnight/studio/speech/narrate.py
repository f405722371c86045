"""Speaks a narration into a file, piece by piece: what is in memory is one piece, however long the narration is."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, assert_never

from overnight.base.errors import MissingExtra
from overnight.studio.errors import NothingToSay, SpeechFailed, Stopped
from overnight.studio.ffmpeg import made_whole
from overnight.studio.markup import Cue, Pause, Piece, Said
from overnight.studio.sentences import in_pieces
from overnight.studio.speech.delivery import Delivery, delivery_of
from overnight.studio.speech.ports import Clip, Engine, Word, says_something
from overnight.studio.speech.timing import estimated

if TYPE_CHECKING:
    from overnight.studio.speech.ports import Pcm

PIECE_CHARS = 600
"""The longest text that an engine gets at once, in characters; it is cut at the end of a sentence where it can be."""
HEADROOM_DB = 4.0
"""All is turned down by so much, so that what is stressed can be louder without clipping."""
_GAPS = (((".", "!", "?", "\u2026"), 0.35), ((",", ";", ":", "\u2014", "-"), 0.2))
"""Silence after a piece, by the mark at its end; inside of a piece the engine pauses by itself."""
_GAP_S = 0.06
_QUIET = 100
"""Samples up to this size (-50 dBFS) are silence."""
_MARGIN_S = 0.02
_HEADER_BYTES = 44

Timed = Literal["measured", "estimated"]


@dataclass(frozen=True, kw_only=True)
class CueAt:
    """Something that is shown from `at_s` on."""

    cue: Cue
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A narration in a WAV file of one channel, with the times of its words and cues, and who spoke it."""

    wav: Path
    duration_s: float
    rate_hz: int
    words: tuple[Word, ...]
    cues: tuple[CueAt, ...]
    engine: str
    timed: Timed


def narrate(
    engine: Engine,
    pieces: Sequence[Piece],
    wav: Path,
    *,
    progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Spoken:
    """Speak the pieces into `wav`, which is the old file or the whole new one.

    `progress` is told the share (0 to 1) of the text that is spoken; `cancelled` is asked before each part of it.

    Raises:
        NothingToSay: no piece holds a word.
        Stopped: `cancelled` said so.
        NoRoom: the disk is full.
        MissingExtra: numpy is not installed.
        SpeechAway, SpeechFailed, ConfigError: as `Engine.say` does.
    """
    total = sum(len(piece.text) for piece in pieces if isinstance(piece, Said) and says_something(piece.text))
    if not total:
        raise NothingToSay("there is nothing to say: the narration holds no words outside of its markers")
    _need_numpy()
    done = 0
    with made_whole(wav) as made, made.open("wb") as file:
        tape = _Tape(file)
        for piece in pieces:
            match piece:
                case Said():
                    for part in in_pieces(piece.text, PIECE_CHARS):
                        if cancelled():
                            raise Stopped(f"{wav}: was asked to stop")
                        tape.say(engine.say(part, piece.manner), part, delivery_of(piece.manner))
                        done += len(part) + 1
                        progress(min(done / total, 1.0))
                case Pause():
                    tape.rest(piece.seconds)
                case Cue():
                    tape.cues.append(CueAt(cue=piece, at_s=tape.at_s))
                case _:
                    assert_never(piece)
        tape.finish()
    if not tape.words:
        wav.unlink()
        raise NothingToSay(f"{engine.name} found nothing that it could say")
    return Spoken(
        wav=wav,
        duration_s=tape.at_s,
        rate_hz=tape.rate_hz or 0,
        words=tuple(tape.words),
        cues=tuple(tape.cues),
        engine=engine.name,
        timed="measured" if tape.measured else "estimated",
    )


class _Tape:
    """A WAV file that grows at its end, and what was heard when."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._samples, self._early_s = file, 0, 0.0
        self.rate_hz: int | None = None
        self.words: list[Word] = []
        self.cues: list[CueAt] = []
        self.measured = True
        file.write(bytes(_HEADER_BYTES))

    @property
    def at_s(self) -> float:
        return self._early_s if self.rate_hz is None else self._samples / self.rate_hz

    def say(self, clip: Clip, text: str, delivery: Delivery) -> None:
        begin, end = _heard(clip)
        if begin == end:
            return
        self._run_at(clip.rate_hz)
        self.rest(delivery.lead_s)
        at_s, from_s, to_s = self.at_s, begin / clip.rate_hz, end / clip.rate_hz
        self._write(_turned(clip.pcm[begin:end], delivery.gain_db - HEADROOM_DB))
        if clip.words is None:
            self.measured = False
            self.words += estimated(text, at_s, self.at_s)
        else:
            self.words += [_moved(word, from_s, to_s, at_s) for word in clip.words]
        gap_s = next((rest_s for marks, rest_s in _GAPS if text.rstrip("\"')]\u2019\u201d").endswith(marks)), _GAP_S)
        self.rest(gap_s + delivery.rest_s)

    def rest(self, seconds: float) -> None:
        import numpy as np

        if self.rate_hz is None:
            self._early_s += seconds
        else:
            self._write(np.zeros(round(seconds * self.rate_hz), np.int16))

    def finish(self) -> None:
        size, rate_hz = self._samples * 2, self.rate_hz or 1
        self._file.seek(0)
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16)
        self._file.write(struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size))

    def _run_at(self, rate_hz: int) -> None:
        if self.rate_hz is None:
            self.rate_hz = rate_hz
            self.rest(self._early_s)
        if self.rate_hz != rate_hz:
            raise SpeechFailed(f"the engine spoke at {self.rate_hz} Hz first, and then at {rate_hz} Hz")

    def _write(self, pcm: "Pcm") -> None:
        self._file.write(pcm.astype("<i2").tobytes())
        self._samples += len(pcm)


def _heard(clip: Clip) -> tuple[int, int]:
    """Return the first sample of a clip that is to be kept, and the one after the last; silence around it is not."""
    import numpy as np

    loud = np.flatnonzero(np.abs(clip.pcm.astype(np.int32)) > _QUIET)
    if not len(loud):
        return 0, 0
    margin = round(_MARGIN_S * clip.rate_hz)
    return max(int(loud[0]) - margin, 0), min(int(loud[-1]) + 1 + margin, len(clip.pcm))


def _moved(word: Word, from_s: float, to_s: float, at_s: float) -> Word:
    """Return a word of a clip, of which what is between two instants begins at `at_s`."""
    begin_s, end_s = (min(max(one, from_s), to_s) - from_s + at_s for one in (word.begin_s, word.end_s))
    return Word(text=word.text, begin_s=begin_s, end_s=end_s)


def _turned(pcm: "Pcm", gain_db: float) -> "Pcm":
    import numpy as np

    turned: Pcm = np.clip(np.rint(pcm * 10 ** (gain_db / 20)), -32_768, 32_767).astype(np.int16)
    return turned


def _need_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise MissingExtra("speech needs the extra `studio`: pip install 'overnight[studio]'") from None
