"""Media files are read by real programs: what they hold, what is wrong with them, and what they show at an instant."""

import sys
from pathlib import Path

import pytest

from overnight.base.errors import MissingExtra
from overnight.studio import ffmpeg, probe
from overnight.studio.errors import Stopped, Unreadable
from overnight.studio.measure import Run, measured
from overnight.studio.probe import Chapter, clipped_share, frame

SIZE = "s=160x90:r=10"
CHAPTERS = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1500
title=Begin = one; two
[CHAPTER]
TIMEBASE=1/1000
START=1500
END=4000
title=Rest
"""


def made(path, *, pictures, sounds, extra=()):
    """Make a file of pictures and sounds that follow each other; both are (filter, seconds)."""
    inputs = [part for source, _ in (*pictures, *sounds) for part in ("-f", "lavfi", "-i", source)]
    names = [f"[{place}]" for place in range(len(pictures) + len(sounds))]
    graph, maps = [], []
    for kind, these, options in (
        ("v", names[: len(pictures)], "v=1:a=0"),
        ("a", names[len(pictures) :], "v=0:a=1"),
    ):
        if these:
            graph.append(f"{''.join(these)}concat=n={len(these)}:{options}[{kind}]")
            maps += ["-map", f"[{kind}]"]
    ffmpeg.run([*inputs, *extra, "-filter_complex", ";".join(graph), *maps, "-pix_fmt", "yuv420p", path])
    return path


def moving(seconds):
    return f"testsrc2={SIZE}:d={seconds}", seconds


def plain(colour, seconds):
    return f"color={colour}:{SIZE}:d={seconds}", seconds


def tone(seconds, level=0.2):
    return f"aevalsrc=clip({level}*sin(440*2*PI*t)\\,-1\\,1):d={seconds}:s=44100", seconds


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    about = folder / "chapters.txt"
    about.write_text(CHAPTERS)
    extra = ("-i", str(about), "-map_metadata", "2", "-map_chapters", "2")
    return made(folder / "good.mp4", pictures=[moving(4)], sounds=[tone(4)], extra=extra)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    pictures = [moving(2), plain("black", 3), plain("red", 3)]
    sounds = [tone(3), tone(2, 0), tone(3, 4)]
    return made(tmp_path_factory.mktemp("bad") / "bad.mp4", pictures=pictures, sounds=sounds)


def near(run, begin_s, end_s):
    assert (run.begin_s, run.end_s) == (pytest.approx(begin_s, abs=0.15), pytest.approx(end_s, abs=0.15))


def test_a_file_is_known_by_its_streams_and_chapters(good):
    found = probe.probe(good)
    assert found.duration_s == pytest.approx(4.0, abs=0.1)
    assert (found.video.codec, found.video.width, found.video.height, found.video.fps) == ("h264", 160, 90, 10.0)
    assert (found.audio.codec, found.audio.rate_hz, found.audio.channels) == ("aac", 44_100, 1)
    assert found.audio.duration_s == pytest.approx(4.0, abs=0.1)
    assert found.subtitles == ()
    assert found.chapters == (
        Chapter(title="Begin = one; two", begin_s=0.0, end_s=1.5),
        Chapter(title="Rest", begin_s=1.5, end_s=4.0),
    )


def test_subtitles_are_found_with_their_language(good, tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n\n")
    out = tmp_path / "with.mp4"
    ffmpeg.run(
        ["-i", good, "-i", tmp_path / "a.srt", "-c", "copy", "-c:s", "mov_text", "-metadata:s:s:0", "language=eng", out]
    )
    assert [(one.codec, one.language) for one in probe.probe(out).subtitles] == [("mov_text", "eng")]


def test_a_good_file_has_nothing_wrong_with_it(good):
    found = measured(good)
    assert (found.black_runs, found.frozen_runs, found.silences) == ((), (), ())
    assert found.clipped_share == 0
    assert -20 < found.loudness.integrated_lufs < -15
    assert found.media.video.width == 160


def test_black_frozen_silent_and_clipped_parts_are_found_where_they_are(bad):
    done = []
    found = measured(bad, progress=done.append)
    [black] = found.black_runs
    near(black, 2, 5)
    assert black.long_s == pytest.approx(3, abs=0.15)
    near(found.frozen_runs[0], 2, 5)
    near(found.frozen_runs[-1], 5, 8)
    [silent] = found.silences
    near(silent, 3, 5)
    assert found.clipped_share > 0.005
    assert found.loudness.true_peak_dbtp > -0.5
    assert done[-1] == pytest.approx(8, abs=0.5)


def test_how_long_a_run_has_to_be_is_asked_for(bad):
    found = measured(bad, black_s=3.5, frozen_s=3.5, silent_s=2.5)
    assert (found.black_runs, found.frozen_runs, found.silences) == ((), (), ())


def test_silence_has_no_loudness_and_lasts_to_the_end(tmp_path):
    found = measured(made(tmp_path / "a.wav", pictures=[], sounds=[tone(2, 0)]))
    assert found.loudness is None
    assert found.silences == (Run(begin_s=0.0, end_s=2.0),)
    assert (found.media.video, found.black_runs, found.clipped_share) == (None, (), 0.0)


def test_pictures_without_sound_have_nothing_to_be_heard(tmp_path):
    found = measured(made(tmp_path / "a.mp4", pictures=[moving(1)], sounds=[]))
    assert (found.media.audio, found.silences, found.loudness, found.clipped_share) == (None, (), None, None)
    with pytest.raises(Unreadable, match=r"a\.mp4: cannot be read: holds no sound"):
        clipped_share(tmp_path / "a.mp4")


def test_measuring_is_stopped_when_nobody_wants_it_any_more(bad):
    with pytest.raises(Stopped, match="was asked to stop"):
        measured(bad, cancelled=lambda: True)


def test_a_picture_is_the_one_that_is_shown_at_the_instant(bad):
    black, red = frame(bad, 4.9), frame(bad, 5.1)
    assert black.size == red.size == (160, 90)
    assert max(black.getpixel((80, 45))) < 20
    assert red.getpixel((80, 45))[0] > 200 > 60 > red.getpixel((80, 45))[1]
    assert frame(bad, 99.0).getpixel((80, 45)) == red.getpixel((80, 45))
    assert frame(bad, 0.0).getcolors(20) is None


@pytest.mark.parametrize("content", [None, b"", b"no media at all"], ids=["not there", "empty", "text"])
def test_what_cannot_be_read_is_one_line_that_names_it(tmp_path, content):
    bad = tmp_path / "bad.mp4"
    if content is not None:
        bad.write_bytes(content)
    for look in (probe.probe, measured, clipped_share, lambda path: frame(path, 1.0)):
        with pytest.raises(Unreadable, match=r"bad\.mp4: cannot be read: \w+") as error:
            look(bad)
        assert "\n" not in str(error.value)


def test_half_a_file_is_read_as_far_as_it_goes_or_refused(good, tmp_path):
    half = tmp_path / "half.mp4"
    half.write_bytes(good.read_bytes()[:2000])
    with pytest.raises(Unreadable, match=r"half\.mp4"):
        measured(half)


def test_sound_has_no_picture(tmp_path):
    sound = made(tmp_path / "a.wav", pictures=[], sounds=[tone(1)])
    with pytest.raises(Unreadable, match=r"a\.wav: cannot be read: holds no picture"):
        frame(sound, 0.0)


def test_libraries_under_the_gpl_are_not_loaded_by_this_process(good):
    probe.probe(good)
    frame(good, 1.0)
    loaded = Path("/proc/self/maps").read_text()
    assert "libx264" not in loaded
    assert "av" not in sys.modules


def test_without_the_extra_it_says_what_to_install(good, monkeypatch):
    monkeypatch.setattr(probe, "find_spec", lambda name: None)
    for look in (probe.probe, measured, clipped_share, lambda path: frame(path, 1.0)):
        with pytest.raises(MissingExtra, match=r"pip install 'overnight\[studio\]'"):
            look(good)
