"""Tests that failed once are looked at again: what counts as an accident."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AGAIN = Path(__file__).parents[1] / "again.py"
BARE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p pytest_cov.plugin"}
"""Without the plugins of this house, of which loading two takes longer than these tests."""
STEADY = "def test_{name}():\n    pass\n"
RED = "def test_{name}():\n    assert False\n"
ONCE = """
def test_{name}(pytestconfig):
    seen = pytestconfig.rootpath / "{name}"
    if not seen.exists():
        seen.touch()
        assert False
"""


@pytest.mark.parametrize(
    ("tests", "named"), [((ONCE,), ["a"]), ((ONCE, STEADY, ONCE), ["a", "c"]), ((ONCE, RED), None), ((ONCE,) * 3, None)]
)
def test_few_that_are_red_among_the_others_and_green_alone_are_named(tmp_path, tests, named):
    (tmp_path / "pytest.ini").touch()
    for name, text in zip("abc", tests, strict=False):
        (tmp_path / f"test_{name}.py").write_text(text.format(name=name))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=BARE, capture_output=True, check=False
    )
    assert ran.returncode == 1
    again = subprocess.run([sys.executable, AGAIN], cwd=tmp_path, env=BARE, capture_output=True, text=True, check=False)
    assert again.returncode == (named is None), again.stdout
    told = [line.split()[1] for line in again.stdout.splitlines() if line.startswith("UNSTEADY: ")]
    assert told == [f"test_{name}.py::test_{name}" for name in named or ()]


def test_where_none_is_known_to_have_failed_the_run_stays_red(tmp_path):
    assert subprocess.run([sys.executable, AGAIN], cwd=tmp_path, check=False).returncode == 1
