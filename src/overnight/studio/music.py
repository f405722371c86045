"""Plays a melody into a WAV file, on a string that is made of sines.

Each note is a sum of harmonics whose size falls with their number, and which die away the sooner the higher they are,
as those of a plucked string do (N. H. Fletcher and T. D. Rossing, The Physics of Musical Instruments, chapter 2). Made
so, every pitch is exact, which a delay line of whole samples would not give.
"""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.base.errors import MissingExtra, UserMistake
from overnight.studio.ffmpeg import made_whole

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

RATE_HZ = 48_000
HARMONICS = 8
_PEAK = 0.5
_DIES_S = 0.9
"""In which time the lowest harmonic falls to 1/e; the n-th takes 1/n of it."""
_ATTACK_S = 0.004
_RINGS_S = 0.6
"""How long a string rings on after its note."""
MOST_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Note:
    """A note of `hz` for so many seconds; None is a rest."""

    hz: float | None
    seconds: float


def play(notes: Sequence[Note], wav: Path) -> float:
    """Play the notes into `wav` (one channel, 16 bits, 48,000 Hz), and return how long that is in seconds.

    Raises:
        UserMistake: there are no notes, they last longer than half an hour, or one cannot be heard.
        MissingExtra: numpy is not installed.
        NoRoom: the disk is full.
    """
    _check(notes)
    try:
        import numpy as np
    except ImportError:
        raise MissingExtra("music needs the extra `studio`: pip install 'overnight[studio]'") from None
    total_s = sum(note.seconds for note in notes)
    sound = np.zeros(round((total_s + _RINGS_S) * RATE_HZ) + 1, np.float32)
    at_s = 0.0
    for note in notes:
        if note.hz is not None:
            begin = round(at_s * RATE_HZ)
            heard = _plucked(note.hz, note.seconds)[: len(sound) - begin]
            sound[begin : begin + len(heard)] += heard
        at_s += note.seconds
    loudest = float(np.abs(sound).max())
    pcm = np.rint(sound * (32_767 * _PEAK / loudest if loudest else 0.0)).astype("<i2")
    with made_whole(wav) as made, wave.open(str(made), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.tobytes())
    return len(pcm) / RATE_HZ


def _check(notes: Sequence[Note]) -> None:
    if not any(note.hz is not None for note in notes):
        raise UserMistake("there is nothing to play: the melody holds no notes")
    for note in notes:
        if note.seconds <= 0 or (note.hz is not None and not 20 <= note.hz <= RATE_HZ / 2):
            raise UserMistake(f"a note of {note.hz} Hz for {note.seconds:g} s cannot be heard")
    if sum(note.seconds for note in notes) > MOST_S:
        raise UserMistake(f"the melody is longer than {MOST_S / 60:g} minutes")


def _plucked(hz: float, seconds: float) -> "NDArray[float32]":
    """Return one note with what rings on after it."""
    import numpy as np

    at = np.arange(round((seconds + _RINGS_S) * RATE_HZ), dtype=np.float32) / RATE_HZ
    found = np.zeros_like(at)
    for number in range(1, HARMONICS + 1):
        if number * hz < RATE_HZ / 2:
            found += np.exp(-at * number / _DIES_S) * np.sin(2 * np.pi * number * hz * at) / number**1.5
    # Let go at the end of the note, and silent at the end of what rings.
    found *= np.minimum(1.0, at / _ATTACK_S) * np.clip((seconds + _RINGS_S - at) / _RINGS_S, 0.0, 1.0) ** 2
    return found.astype(np.float32)
