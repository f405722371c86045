"""Logs of bounded size, and reading along with a command's output."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.processes.capture import LineTap, RunLog


def test_a_log_is_made_when_there_is_something_to_write(tmp_path):
    log = RunLog(str(tmp_path / "deep" / "log"), 100)
    log.close()
    assert not (tmp_path / "deep").exists()
    log.write(b"one")
    log.close()
    log.write(b"two")
    log.close()
    assert (tmp_path / "deep" / "log").read_bytes() == b"onetwo"


@given(
    pieces=st.lists(st.binary(max_size=50), max_size=30),
    limit=st.integers(1, 60),
)
def test_no_log_is_longer_than_its_limit_and_the_newest_output_is_there(tmp_path_factory, pieces, limit):
    folder = tmp_path_factory.mktemp("log")
    log = RunLog(str(folder / "log"), limit)
    for piece in pieces:
        log.write(piece)
    log.close()
    total = b"".join(pieces)
    kept = (folder / "log").read_bytes() if total else b""
    assert all(path.stat().st_size <= limit for path in folder.iterdir())
    assert total.endswith(kept)
    assert bool(kept) == bool(total)
    assert {path.name for path in folder.iterdir()} <= {"log", "log.1"}


@pytest.mark.parametrize(("path", "says"), [("/dev/full", "No space left"), ("/proc/none/log", "No such file")])
def test_a_log_that_cannot_be_written_says_so_and_drops_the_rest(path, says):
    log = RunLog(path, 100)
    for _ in range(3):
        log.write(b"x" * 1000)
    assert says in log.problem
    assert path in log.problem


def test_a_pipe_that_nobody_reads_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    log = RunLog(str(tmp_path / "pipe"), 100)
    log.write(b"x")
    assert log.problem is not None


def tap(data, size):
    seen = []
    reader = LineTap(seen.append)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return reader, seen


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_progress_and_the_last_line_are_found_however_the_output_is_cut(size):
    data = b'text\n{"progress": {"done": 1}}\n{"progress": 0.5}\n{"other": "progress"}\n{"a": 1}\n\n'
    reader, seen = tap(data, size)
    assert seen == [{"done": 1}, {"done": 0.5}]
    assert reader.last_object() == {"a": 1}


def test_a_last_line_without_an_end_counts():
    assert tap(b'x\n{"a": 2}', 3)[0].last_object() == {"a": 2}


def test_a_line_that_is_too_long_is_skipped_and_not_kept():
    reader, seen = tap(b'{"progress": "' + b"x" * 300_000 + b'"}\n{"progress": 1}\n', 4096)
    assert seen == [{"done": 1}]
    reader, _ = tap(b'{"a": 1}\n' + b"x" * 300_000, 4096)
    assert reader.last_object() is None
    assert len(reader._rest) < 70_000
