"""The shift of a sound against another one is found, whatever has been done to its level, its coding and beside it."""

import tracemalloc

import pytest

from overnight.base.errors import UserMistake
from overnight.studio import ffmpeg
from overnight.studio.filters import sound_graph
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


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A sound of several windows."""
    made = tmp_path_factory.mktemp("sync") / "long.wav"
    ffmpeg.run(["-f", "lavfi", "-i", f"aevalsrc={RHYTHM}:d=66:s=22050", made])
    return made


@pytest.mark.parametrize(
    ("begin_s", "late_s"), [(22.0, 1.0), (33.0, 1.0), (44.0, 1.0), (44.0, 0.4), (33.0, -1.0), (44.0, -0.5), (54.0, 1.0)]
)
def test_a_sound_that_is_out_of_time_from_a_cut_on_is_found(long, tmp_path, begin_s, late_s):
    gap = f"adelay={round(late_s * 1000)}:all=1" if late_s > 0 else f"atrim=start={-late_s},asetpts=PTS-STARTPTS"
    parts = (
        f"[0]asplit[a][b];[a]atrim=end={begin_s}[c];"
        f"[b]atrim=start={begin_s},asetpts=PTS-STARTPTS,{gap}[d];[c][d]concat=n=2:v=0:a=1,apad"
    )
    ffmpeg.run(["-i", long, "-filter_complex", parts, "-t", "66", "-c:a", "aac", tmp_path / "cut.m4a"])
    found = shift(tmp_path / "cut.m4a", long)
    assert found.late_s == pytest.approx(late_s, abs=0.06) and found.alike > 0.8


@pytest.mark.parametrize("swells", [False, True])
def test_music_under_a_voice_makes_no_difference(long, tmp_path, swells):
    hum = "0.3*sin(220*2*PI*t)*(0.6+0.4*sin(0.9*t))+0.2*sin(331*2*PI*t)"
    ffmpeg.run(["-f", "lavfi", "-i", f"aevalsrc={hum}:d=66:s=22050", tmp_path / "music.wav"])
    inputs = ["-i", long, "-i", tmp_path / "music.wav"]
    graph = sound_graph(0, 1, 66.0, swells=swells)
    ffmpeg.run([*inputs, "-filter_complex", graph, "-map", "[sound]", "-c:a", "aac", tmp_path / "mixed.m4a"])
    found = shift(tmp_path / "mixed.m4a", long)
    assert found.late_s == pytest.approx(0.0, abs=0.06) and found.alike > 0.9


def test_a_voice_that_is_heard_in_one_window_only_is_in_time_there(long, tmp_path):
    silenced = "volume=0:enable='gt(t,22)'"
    ffmpeg.run(["-i", long, "-af", silenced, "-c:a", "aac", tmp_path / "begun.m4a"])
    found = shift(tmp_path / "begun.m4a", long)
    assert found.late_s == pytest.approx(0.0, abs=0.06) and found.alike > 0.5


def test_a_sound_that_is_cut_off_is_in_time(long, tmp_path):
    hum = "0.3*sin(500*2*PI*t)*gt(sin(5*t)\\,0)"
    ffmpeg.run(["-f", "lavfi", "-i", f"aevalsrc={hum}:d=40:s=22050", tmp_path / "hum.wav"])
    ffmpeg.run(["-i", tmp_path / "hum.wav", "-t", "20", tmp_path / "half.wav"])
    assert shift(tmp_path / "half.wav", tmp_path / "hum.wav").late_s == pytest.approx(0.0, abs=0.06)


def test_the_envelope_of_a_long_sound_takes_little_memory(tmp_path):
    ffmpeg.run(["-f", "lavfi", "-i", "anoisesrc=d=600:r=8000:a=0.1", tmp_path / "long.wav"])
    tracemalloc.start()
    try:
        assert shift(tmp_path / "long.wav", tmp_path / "long.wav").alike == pytest.approx(1.0)
        assert tracemalloc.get_traced_memory()[1] < 15e6
    finally:
        tracemalloc.stop()


def test_another_sound_is_not_alike(voice, tmp_path):
    ffmpeg.run(["-f", "lavfi", "-i", "sine=f=440:d=20", tmp_path / "tone.wav"])
    assert shift(tmp_path / "tone.wav", voice).alike < 0.4
    ffmpeg.run(["-f", "lavfi", "-i", "anullsrc=d=20", tmp_path / "nothing.wav"])
    assert shift(tmp_path / "nothing.wav", voice).alike == 0.0


def test_what_has_no_sound_is_refused(voice, tmp_path):
    (tmp_path / "a.txt").write_text("nothing to hear")
    with pytest.raises(UserMistake):
        shift(tmp_path / "a.txt", voice)
