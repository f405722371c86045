"""Projects of the example channel for tests: small pictures, and a voice that needs no network."""

import re
import subprocess
import sys
from pathlib import Path

from overnight.app.examples import new_project
from overnight.app.project import Project

SMALL = 'args = { channel = "Plain Algorithms", width = 320, height = 180, fps = 10 }'
VOICE = 'target_s = 120\nargs = { engine = "espeak" }'


def channel(folder: Path, **guide) -> Path:
    """Make the example a project with small pictures and a voice that needs no network."""
    new_project(folder, "channel")
    toml = (folder / "overnight.toml").read_text()
    toml = toml.replace('args = { channel = "Plain Algorithms" }', SMALL).replace("target_s = 120", VOICE)
    assert SMALL in toml and VOICE in toml
    (folder / "overnight.toml").write_text(toml + "\n[engine.retry]\nbase_s = 0.05\n")
    text = (folder / "CHANNEL_STYLE_GUIDE.md").read_text()
    for name, value in guide.items():
        text, found = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value} ", text)
        assert found == 1, name
    (folder / "CHANNEL_STYLE_GUIDE.md").write_text(text)
    return folder


def one_video(folder: Path) -> str:
    """Have the agents make one video, by the command that the README names; return its folder."""
    folder = channel(folder / "c")
    with Project.open(folder) as project:
        project.submit("curator", {"topic": "binary search"})
        project.run(until_idle=True)
    words = ["tasks", "run", "scriptwriter", "--with-dependants", "--wait"]
    command = [sys.executable, "-m", "overnight", "--project", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with Project.open(folder) as project:
        ended = {run.task_id: run for run in project.runs(limit=50)}
        assert {run.state.value for run in ended.values()} == {"COMPLETED"}, ended
        assert "scriptwriter" in ended and "ab_test_orchestrator" in ended
    [video] = (folder / ".overnight" / "data" / "videos").glob("*/video.mp4")
    return str(video.parent)
