"""The workflow for CI in the page about strategy learning does what the page says, with the shell that CI has."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
PAGE = Path(__file__).parents[2] / "docs" / "concepts-learning.md"
SMALL = """
[learning]
default = "idle"
exercises = 6
validation_exercises = 12
minimum_samples = 4
[learning.strategies.idle]
training = { learning_rate = 1e-6, epochs = 1 }
[learning.strategies.conservative]
training = { learning_rate = 1e-5, epochs = 1 }
[learning.strategies.balanced]
training = { learning_rate = 1e-5, epochs = 2 }
[learning.strategies.aggressive]
training = { learning_rate = 0.02, epochs = 8 }
"""


def script():
    """Return the commands of the workflow's last step."""
    found = re.search(r"^ +run: \|\n((?: {10}.*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert found is not None, "the page has a workflow with a step of several lines"
    return textwrap.dedent(found[1])


def run(folder, text):
    program = folder / "bin" / "overnight"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m overnight "$@"\n')
    program.chmod(0o755)
    paths = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False
    )


def test_the_workflow_passes_where_the_best_strategy_is_proven(tmp_path):
    (tmp_path / "overnight.toml").write_text(SMALL)
    found = run(tmp_path, script())
    assert found.returncode == 0, found.stderr
    assert "aggressive against idle: ACCEPT" in found.stdout


def test_the_workflow_fails_where_a_command_does_and_passes_where_it_cannot_be_told(tmp_path):
    (tmp_path / "overnight.toml").write_text("[learning]\ndefault = 'nobody'\n")
    assert run(tmp_path, script()).returncode != 0
    (tmp_path / "overnight.toml").write_text(SMALL)
    learn, _, rest = script().partition("\n")
    assert learn.startswith("overnight learn run")
    nothing_measured = run(tmp_path, rest)
    assert nothing_measured.returncode == 0 and "not told" in nothing_measured.stdout
