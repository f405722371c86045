"""A program that is called to its end: real programs, and nothing of them is left."""

import os
import sys

import pytest

from overnight.processes.call import CallFailed, call


def test_what_it_printed_last_is_returned():
    assert call(["sh", "-c", "echo one; echo two >&2"], env=os.environ, timeout_s=10) == "one two"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sh", "-c", "echo no quota; exit 3"], "'sh' exited with code 3: no quota"),
        (["sh", "-c", "kill -9 $$"], r"'sh' was killed by SIGKILL"),
        (["no-such-program"], "'no-such-program' could not be started: .*there is no program"),
    ],
)
def test_any_other_end_than_code_0_is_told(argv, message):
    with pytest.raises(CallFailed, match=message):
        call(argv, env=os.environ, timeout_s=10)


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    left = tmp_path / "left"
    program = f"(trap '' TERM; sleep 30; touch {left}) & echo begun; wait"
    with pytest.raises(CallFailed, match=r"'sh' took longer than 0.5 s: begun"):
        call(["sh", "-c", program], env=os.environ, timeout_s=0.5)
    assert not left.exists()


def test_one_that_is_no_longer_wanted_is_ended():
    with pytest.raises(CallFailed, match="was asked to stop"):
        call([sys.executable, "-c", "import time; time.sleep(60)"], env=os.environ, timeout_s=60, asked=lambda: True)
