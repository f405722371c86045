"""Music of the studio: the pitches and lengths that were asked for, and nothing that cannot be heard."""

import wave

import numpy as np
import pytest

from overnight.base.errors import UserMistake
from overnight.studio.music import RATE_HZ, Note, play

A, E = Note(hz=440.0, seconds=0.5), Note(hz=659.255, seconds=0.25)


def heard(path):
    with wave.open(str(path), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def loudest_hz(sound):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
    return float(np.fft.rfftfreq(1 << 18, 1 / RATE_HZ)[spectrum.argmax()])


def test_each_note_has_its_pitch_and_begins_when_it_is_due(tmp_path):
    seconds = play([A, Note(hz=None, seconds=0.75), E], tmp_path / "tune.wav")
    sound = heard(tmp_path / "tune.wav")
    assert seconds == pytest.approx(1.5 + 0.6, abs=0.01) and len(sound) == pytest.approx(seconds * RATE_HZ, abs=1)
    assert loudest_hz(sound[: RATE_HZ // 2]) == pytest.approx(440, abs=1)
    assert loudest_hz(sound[round(1.26 * RATE_HZ) : round(1.5 * RATE_HZ)]) == pytest.approx(659.3, abs=2)
    before = np.abs(sound[round(1.15 * RATE_HZ) : round(1.24 * RATE_HZ)]).max()
    assert before < 0.01 * np.abs(sound).max(), "the rest is silent once the string has rung"
    assert 0.45 * 32_767 < np.abs(sound).max() < 0.55 * 32_767 and abs(sound[-1]) < 10


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        ([], "the melody holds no notes"),
        ([Note(hz=None, seconds=1.0)], "the melody holds no notes"),
        ([Note(hz=5.0, seconds=1.0)], "a note of 5.0 Hz for 1 s cannot be heard"),
        ([Note(hz=440.0, seconds=0.0)], "for 0 s cannot be heard"),
        ([Note(hz=440.0, seconds=2000.0)], "longer than 30 minutes"),
    ],
)
def test_what_cannot_be_played_is_one_line(tmp_path, notes, says):
    with pytest.raises(UserMistake) as refused:
        play(notes, tmp_path / "tune.wav")
    assert says in str(refused.value) and not list(tmp_path.iterdir())
