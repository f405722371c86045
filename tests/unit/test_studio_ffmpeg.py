"""The program ffmpeg is found, run, followed and stopped; what goes wrong is one clear line."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from overnight.base.errors import ConfigError, MissingExtra
from overnight.studio import ffmpeg
from overnight.studio.errors import FfmpegFailed, NoRoom, Stopped, TooSlow, Unreadable

BARS = ("-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d={}")
ENDLESS = ("-re", "-f", "lavfi", "-i", "anullsrc")


def bars(seconds):
    return [part.format(seconds) for part in BARS]


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_program_comes_with_the_extra():
    found = ffmpeg.program({})
    assert "imageio_ffmpeg" in str(found)
    assert os.access(found, os.X_OK)


def test_a_variable_names_another_program(tmp_path):
    other = tmp_path / "ffmpeg"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert ffmpeg.program({ffmpeg.VARIABLE: str(other)}) == other
    with pytest.raises(ConfigError, match="OVERNIGHT_FFMPEG: 'no-such-program' is no program"):
        ffmpeg.program({ffmpeg.VARIABLE: "no-such-program", "PATH": str(tmp_path)})


def test_without_the_package_the_one_on_the_path_is_taken_and_none_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'overnight\[studio\]'.*still spoken"):
        ffmpeg.program({"PATH": str(tmp_path)})
    there = tmp_path / "ffmpeg"
    there.write_text("#!/bin/sh\n")
    there.chmod(0o755)
    assert ffmpeg.program({"PATH": str(tmp_path)}) == there


def test_progress_is_told_in_seconds_of_the_output_and_is_no_part_of_what_was_said(tmp_path):
    told = []
    said = ffmpeg.run([*bars(3), tmp_path / "a.mp4"], progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(3.0, abs=0.15)
    assert "libx264" in said
    assert "out_time" not in said
    assert "progress=" not in said


def test_it_is_stopped_at_once_when_nobody_wants_it_any_more(tmp_path):
    told = []
    with pytest.raises(Stopped, match=r"a\.wav: was asked to stop"):
        ffmpeg.run([*ENDLESS, tmp_path / "a.wav"], progress=told.append, cancelled=lambda: len(told) > 1)


def test_one_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(TooSlow, match=r"a\.wav: ffmpeg took longer than 0.3 s"):
        ffmpeg.run([*ENDLESS, tmp_path / "a.wav"], timeout_s=0.3)


@pytest.mark.parametrize("content", [None, b"", b"no media at all"], ids=["not there", "empty", "text"])
def test_what_cannot_be_read_is_named(tmp_path, content):
    bad = tmp_path / "bad.mp4"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(Unreadable, match=r"bad\.mp4: cannot be read: \w+") as error:
        ffmpeg.run(["-i", bad, tmp_path / "a.wav"])
    one_line(error)


def test_what_it_does_not_understand_is_told_in_its_words(tmp_path):
    with pytest.raises(
        FfmpegFailed, match=r"a\.wav: ffmpeg exited with code \d+: .*No such filter: 'nonsense'"
    ) as error:
        ffmpeg.run([*ENDLESS, "-af", "nonsense", tmp_path / "a.wav"])
    one_line(error)


def test_a_full_disk_is_told_and_nothing_is_left():
    with pytest.raises(NoRoom, match=r"/dev/full: the disk is full; make room") as error:
        ffmpeg.run(["-f", "lavfi", "-i", "sine=d=20", "-f", "wav", "/dev/full"])
    one_line(error)


def test_a_limit_on_files_is_told_as_a_full_disk(tmp_path):
    program = (
        "import sys; from pathlib import Path; from overnight.studio import ffmpeg\n"
        "from overnight.studio.errors import NoRoom\n"
        "try:\n"
        "    with ffmpeg.made_whole(Path(sys.argv[1])) as made:\n"
        "        ffmpeg.run(['-f', 'lavfi', '-i', 'sine=d=60', made])\n"
        "except NoRoom as error: print(error)"
    )
    size = 1_000_000
    child = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.wav")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    assert "the disk is full" in child.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_the_old_one_or_the_new_one_never_half_of_one(tmp_path):
    path = tmp_path / "new" / "a.wav"
    with ffmpeg.made_whole(path) as made:
        assert made.suffix == ".wav"
        made.write_bytes(b"old")
    with pytest.raises(KeyError), ffmpeg.made_whole(path) as made:
        made.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [one.name for one in path.parent.iterdir()] == ["a.wav"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_only_the_end_of_much_talk_is_kept():
    heard = ffmpeg._Heard(lambda done_s: None)
    for number in range(60_000):
        heard.take(f"line {number:06} {'x' * 90}\n".encode())
    said = heard.all()
    assert len(said) <= 4_000_000
    assert said.endswith("line 059999 " + "x" * 90)


def test_secrets_of_the_environment_do_not_reach_it(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    teller = tmp_path / "teller"
    teller.write_text("#!/bin/sh\nenv\n")
    teller.chmod(0o755)
    assert "sk-planted" not in ffmpeg.run(["out"], ffmpeg=Path(teller))
