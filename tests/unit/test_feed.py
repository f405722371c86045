"""A program that reads what it is given: real programs, and nothing of them is left."""

import os
import sys

import pytest

from overnight.processes.feed import feed


def fed(*argv, pieces=()):
    return feed(argv, pieces, env=os.environ)


def test_what_it_reads_and_says_is_whole_however_much_it_is():
    pieces = [os.urandom(300_000) for _ in range(10)]
    ended = fed("sh", "-c", "echo begun >&2; cat", pieces=iter([b"", *pieces]))
    assert (ended.code, ended.said, ended.how) == (0, "begun", "exited with code 0")
    assert ended.output == b"".join(pieces)


def test_one_that_reads_no_further_is_left_be():
    def endless():
        while True:
            yield bytes(65_536)

    ended = fed("sh", "-c", "head -c 10 >/dev/null; echo enough; echo 'no room' >&2; exit 3", pieces=endless())
    assert (ended.code, ended.output, ended.said) == (3, b"enough\n", "no room")


def test_what_it_started_and_left_behind_is_ended_and_not_waited_for(tmp_path):
    ended = fed("sh", "-c", f"(sleep 60; touch {tmp_path}/left) & echo done")
    assert (ended.code, ended.output) == (0, b"done\n")
    assert not (tmp_path / "left").exists()


def test_one_that_is_killed_or_not_there_is_told():
    killed = fed("sh", "-c", "kill -9 $$", pieces=[b"x" * 1_000_000])
    assert (killed.started, killed.code, killed.how) == (True, None, "was killed by SIGKILL (signal 9)")
    absent = fed("no-such-program", pieces=[b"x"])
    assert (absent.started, absent.code) == (False, None)
    assert "could not be started" in absent.how


def test_one_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path):
    program = f"(trap '' TERM; sleep 30; touch {tmp_path}/left) & echo begun; cat; wait"
    ended = feed(["sh", "-c", program], [b"x"], env=os.environ, timeout_s=0.3)
    assert (ended.code, ended.how) == (None, "took longer than 0.3 s")
    assert ended.output.startswith(b"begun")
    assert not (tmp_path / "left").exists()


def test_what_the_pieces_raise_passes_through_and_the_program_is_killed(tmp_path):
    def broken():
        yield b"some"
        raise ValueError("no more")

    program = f"import sys, pathlib; sys.stdin.read(); pathlib.Path({str(tmp_path / 'read')!r}).touch()"
    with pytest.raises(ValueError, match="no more"):
        fed(sys.executable, "-c", program, pieces=broken())
    assert not (tmp_path / "read").exists(), "the end of its input is not what it saw"
