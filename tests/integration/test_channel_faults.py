"""What goes wrong while the channel works, through its agents: a full disk, a cancel, no program, no documents."""

import os
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from channel_example import Context
from channel_project import one_video
from daemons import wait_for
from overnight.app.project import Project
from overnight.base.errors import MissingExtra
from overnight.studio import ffmpeg

IN_NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MADE_BEFORE = {"topic.json", "script.json", "lesson.json", "voice.json", "voice.wav"}
ROOM_BYTES = 150_000
"""What the disk has room for beside what there is already: some stills, and no video."""


@pytest.fixture
def video(once, tmp_path):
    """The folder of a video whose narration is spoken, in a project of its own."""
    made = Path(once("channel", one_video)[1])
    folder = Path(shutil.copytree(made.parents[3], tmp_path / "c"))
    video = folder / ".overnight" / "data" / "videos" / made.name
    for file in video.iterdir():
        if file.name not in MADE_BEFORE:
            file.unlink()
    return video


def project_of(video):
    return video.parents[3]


def command(video, *words):
    return [sys.executable, "-m", "overnight", "--project", str(project_of(video)), *words]


def assembled(video, **environment):
    return subprocess.run(
        command(video, "tasks", "run", "video_assembly", "--wait"),
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_disk_that_gets_full_in_a_render_is_told_and_the_next_run_makes_the_video(video, tmp_path):
    saved = Path(shutil.copytree(video, tmp_path / "saved"))
    size = sum(file.stat().st_size for file in saved.iterdir()) + ROOM_BYTES
    where = shlex.quote(str(video))
    mount = f"mount -t tmpfs -o size={size} none {where} && cp {shlex.quote(str(saved))}/* {where}"
    tried = subprocess.run([*IN_NAMESPACES, mount], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no filesystem can be mounted here: {tried.stderr.strip()}")
    run = shlex.join(command(video, "tasks", "run", "video_assembly", "--wait"))
    done = subprocess.run([*IN_NAMESPACES, f"{mount} && {run}; ls -A {where}"], capture_output=True, text=True)
    told = " ".join((done.stdout + done.stderr).split())
    assert "video.mp4: the disk is full; make room, then do it again" in told
    left = set(done.stdout[done.stdout.rindex("captions.srt") :].split())
    assert left == {"captions.srt", "captions.vtt", *MADE_BEFORE}, "no half video, no folder of stills"
    again = assembled(video)
    assert again.returncode == 0 and (video / "video.mp4").exists(), again.stdout


def test_a_cancelled_render_ends_its_programs_and_leaves_nothing_half_done(video):
    toml = project_of(video) / "overnight.toml"
    toml.write_text(toml.read_text().replace("width = 320, height = 180", "width = 1920, height = 1080"))
    with Project.open(project_of(video)) as project, project.running():
        run_id = project.submit("video_assembly")
        wait_for(lambda: list(video.glob(".video-*/part*.mp4")))
        project.cancel(run_id)
        wait_for(lambda: project.get(run_id).state.value == "CANCELLED")
        names = [one.name() for one in psutil.Process().children(recursive=True)]
        assert not [name for name in names if "ffmpeg" in name]
    assert {file.name for file in video.iterdir()} == {"captions.srt", "captions.vtt", *MADE_BEFORE}


def test_without_ffmpeg_it_is_said_what_to_install_and_what_still_works(video, monkeypatch):
    monkeypatch.chdir(project_of(video))
    monkeypatch.delenv(ffmpeg.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(ffmpeg, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as raised:
        import_module("video_assembly").video_assembly(Context(), width=320, height=180, fps=5)
    assert str(raised.value) == ffmpeg.MISSING
    assert "pip install 'overnight[studio]'" in ffmpeg.MISSING and "narration is still spoken" in ffmpeg.MISSING
    assert not (video / "video.mp4").exists()


def test_another_ffmpeg_that_is_not_there_is_named(video):
    done = assembled(video, OVERNIGHT_FFMPEG="/nowhere/ffmpeg")
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1 and "OVERNIGHT_FFMPEG" in told and "/nowhere/ffmpeg" in told


def test_an_empty_knowledge_base_and_a_topic_without_sources_are_one_line(video):
    folder = project_of(video)
    for words, says in (
        (["--arg", "topic=submarines"], "no document of the knowledge base is about 'submarines'"),
        ([], "the knowledge base is empty"),
    ):
        if not words:
            shutil.rmtree(folder / "knowledge")
            (folder / "knowledge").mkdir()
        done = subprocess.run(
            command(video, "tasks", "run", "curator", "--wait", *words), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and says in " ".join((done.stdout + done.stderr).split()), done.stdout
