"""The shift of a sound against another one is found, whatever has been done to its level, its coding and beside it."""

import pytest

from overnight.base.errors import UserMistake
from overnight.studio import ffmpeg
from overnight.studio.sync import shift

RHYTHM = "0.3*sin(500*2*PI*t)*gt(sin(2*PI*t*t/7)+sin(2.3*t)\\,0.2)"


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    made = tmp_path_factory.mktemp("sync") / "voice.wav"
    ffmpeg.run(["-f", "lavfi", "-i", f"aevalsrc={RHYTHM}:d=20:s=22050", made])
    return made


@pytest.mark.parametrize(
    ("filters", "late_s", "alike"),
    [
        ("anull", 0.0, 0.97),
        ("volume=-12dB", 0.0, 0.97),
        ("adelay=1500:all=1", 1.5, 0.9),
        ("atrim=start=2.5,asetpts=PTS-STARTPTS", -2.5, 0.85),
    ],
)
def test_what_was_shifted_is_found(voice, tmp_path, filters, late_s, alike):
    heard = tmp_path / "heard.m4a"
    ffmpeg.run(["-i", voice, "-af", filters, "-c:a", "aac", heard])
    found = shift(heard, voice)
    assert found.late_s == pytest.approx(late_s, abs=0.06) and found.alike > alike


def test_another_sound_is_not_alike(voice, tmp_path):
    ffmpeg.run(["-f", "lavfi", "-i", "sine=f=440:d=20", tmp_path / "tone.wav"])
    assert shift(tmp_path / "tone.wav", voice).alike < 0.4
    ffmpeg.run(["-f", "lavfi", "-i", "anullsrc=d=20", tmp_path / "nothing.wav"])
    assert shift(tmp_path / "nothing.wav", voice).alike == 0.0


def test_what_has_no_sound_is_refused(voice, tmp_path):
    (tmp_path / "a.txt").write_text("nothing to hear")
    with pytest.raises(UserMistake):
        shift(tmp_path / "a.txt", voice)
