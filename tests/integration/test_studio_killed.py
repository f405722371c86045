"""Programs of the studio that are killed say nothing of what they were given: another try may do, and is made."""

import pytest

from overnight.base.errors import TransientError
from overnight.studio import ffmpeg, reading_child
from overnight.studio.errors import Died
from overnight.studio.markup import Manner
from overnight.studio.probe import probe
from overnight.studio.speech import espeak_child
from overnight.studio.speech.espeak import Espeak

SUICIDE = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"


def test_a_killed_ffmpeg_is_told_and_can_be_tried_again(tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nkill -KILL $$\n")
    program.chmod(0o755)
    with pytest.raises(Died, match=r"out\.mp4: ffmpeg was killed by SIGKILL") as died:
        ffmpeg.run(["-i", "a.wav", tmp_path / "out.mp4"], ffmpeg=program)
    assert isinstance(died.value, TransientError)


def test_a_killed_voice_is_told_and_can_be_tried_again(tmp_path, monkeypatch):
    engine = Espeak()
    (tmp_path / "child.py").write_text(SUICIDE)
    monkeypatch.setattr(espeak_child, "__file__", str(tmp_path / "child.py"))
    with pytest.raises(Died, match="espeak-ng: was killed by SIGKILL"):
        engine.say("Hello", Manner.PLAIN)


def test_a_video_whose_reader_was_killed_is_not_called_unreadable(tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(SUICIDE)
    monkeypatch.setattr(reading_child, "__file__", str(tmp_path / "child.py"))
    with pytest.raises(Died, match=r"a\.mp4: what reads it was killed by SIGKILL"):
        probe(tmp_path / "a.mp4")
