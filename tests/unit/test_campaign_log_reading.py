"""Logs that others write are read as they grow: each whole line once, whatever is done to the file."""

import json
import os
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.campaigns.logs.reading import AT_ONCE, LAST_CHARACTERS, LAST_LINES, LONGEST_LINE, LogTail


@pytest.fixture
def log(tmp_path):
    return tmp_path / "campaign.log"


@pytest.fixture
def tail(log):
    with closing(LogTail(log)) as made:
        yield made


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def put_aside(path):
    """As logrotate and Python's RotatingFileHandler do: the names move up, the newest first."""
    older = [one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdecimal()]
    for one in sorted(older, key=lambda one: -int(one.suffix[1:])):
        one.rename(one.with_suffix(f".{int(one.suffix[1:]) + 1}"))
    path.rename(f"{path}.1")


def everything(tail):
    lines = tail.read()
    while tail.behind:
        lines += tail.read()
    return lines


def test_lines_are_given_once_and_only_when_they_are_whole(log, tail):
    assert tail.read() == [], "there is no log yet"
    append(log, b"one\ntw")
    assert tail.read() == ["one"]
    assert tail.read() == []
    append(log, b"o\r\n\n  \nthree\n")
    assert tail.read() == ["two", "three"]
    append(log, "half of \u00e4".encode()[:-1])
    assert tail.read() == []
    append(log, "\u00e4".encode()[-1:] + b"\n")
    assert tail.read() == ["half of \u00e4"]


def test_a_progress_bar_is_read_though_it_never_ends_a_line(log, tail):
    append(log, b"\r 1/3\r 2/3\r 3/3")
    assert tail.read() == [" 1/3", " 2/3"]
    assert (tail.rest(), tail.rest()) == ([" 3/3"], [])


def test_bytes_that_are_no_text_harm_nobody(log, tail):
    append(log, b"a\xff\xfe\nb\xe2\n\x1b[0m c\n")
    assert tail.read() == ["a\ufffd\ufffd", "b\ufffd", "\x1b[0m c"]


def test_of_a_line_without_end_the_beginning_is_given_at_once_and_the_rest_left_out(log, tail):
    append(log, b"x" * (LONGEST_LINE + 1))
    assert tail.read() == ["x" * LONGEST_LINE]
    append(log, b"y" * (2 * AT_ONCE))
    assert everything(tail) == []
    assert tail.rest() == []
    append(log, b"y\nnext\n" + b"z" * (LONGEST_LINE + 9) + b"\nlast\n")
    assert everything(tail) == ["next", "z" * LONGEST_LINE, "last"]


def test_a_log_that_is_put_aside_is_finished_first(log, tail):
    append(log, b"one\n")
    assert tail.read() == ["one"]
    append(log, b"two\nunfinished")
    put_aside(log)
    assert everything(tail) == ["two"], "as long as there is no new one, somebody may write to it"
    append(Path(f"{log}.1"), b" no more\nend")
    append(log, b"three\n")
    assert everything(tail) == ["unfinished no more", "end", "three"]


def test_several_that_were_put_aside_since_are_all_read_in_their_order(log, tail):
    append(log, b"0\n")
    assert tail.read() == ["0"]
    Path(f"{log}.1.gz").write_bytes(b"packed\n")
    Path(f"{log}.bak").write_bytes(b"other\n")
    for number in range(1, 12):
        put_aside(log)
        append(log, b"%d\n" % number)
    assert everything(tail) == [str(number) for number in range(1, 12)]


def test_what_was_put_aside_before_the_first_look_is_read_and_what_was_before_the_tail_is_not(log):
    append(log, b"of another run\n")
    put_aside(log)
    with closing(LogTail(log)) as tail:
        assert tail.read() == []
        append(log, b"one\n")
        put_aside(log)
        append(log, b"two\n")
        stored = json.loads(json.dumps(tail.state()))
        assert everything(tail) == ["one", "two"]
    with closing(LogTail(log, stored)) as again:
        assert everything(again) == ["one", "two"]


def test_one_that_was_removed_is_followed_by_the_one_that_has_its_name(log, tail):
    append(log, b"one\n")
    assert tail.read() == ["one"]
    append(log, b"two\n")
    log.unlink()
    assert tail.read() == ["two"]
    append(log, b"three\n")
    assert everything(tail) == ["three"]


def test_a_log_that_is_emptied_is_read_from_its_beginning(log, tail):
    append(log, b"one\ntwo\n")
    assert tail.read() == ["one", "two"]
    os.truncate(log, 0)
    append(log, b"new\n")
    assert tail.read() == ["new"]
    os.truncate(log, 0)
    append(log, b"longer than what was there before\n")
    assert tail.read() == ["longer than what was there before"]


def test_the_hole_that_a_program_leaves_in_an_emptied_log_is_no_line(log, tail):
    with log.open("wb", buffering=0) as writer:
        writer.write(b"x" * 10_000_000 + b"\n")
        everything(tail)
        os.truncate(log, 0)
        writer.write(b"Progress: 90/190\n")
    assert log.stat().st_size > 10_000_000
    assert everything(tail) == ["Progress: 90/190"]


def test_a_place_that_was_stored_is_found_again_also_under_another_name(log, tail):
    append(log, b"one\ntwo\nthr")
    assert tail.read() == ["one", "two"]
    stored = json.loads(json.dumps(tail.state()))
    append(log, b"ee\n")
    put_aside(log)
    append(log, b"four\n")
    with closing(LogTail(log, stored)) as again:
        assert everything(again) == ["three", "four"]
        again.close()
        append(log, b"five\n")
        assert everything(again) == ["five"], "it goes on after it was closed"


def test_a_stored_place_in_a_file_that_is_another_one_now_counts_for_nothing(log, tail):
    append(log, b"one\ntwo\n")
    tail.read()
    stored = tail.state()
    log.write_bytes(b"1\n22\n333\n4444\n")
    assert log.stat().st_ino == stored["inode"]
    with closing(LogTail(log, stored)) as again:
        assert again.read() == ["1", "22", "333", "4444"]
    with closing(LogTail(log.with_name("none"), stored)) as other:
        assert other.read() == []
        assert other.state() == {**stored, "older": []}, "it may come back"


def test_the_last_lines_are_kept_for_a_person(log, tail):
    append(log, b"".join(b"line %d\n" % number for number in range(100)) + b"y" * 1000 + b"\nrest")
    everything(tail)
    tail.rest()
    assert len(tail.tail) == LAST_LINES
    assert list(tail.tail)[-3:] == ["line 99", "y" * LAST_CHARACTERS, "rest"]


def test_what_cannot_be_read_as_a_log_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (("pipe", "not a file"), ("", "not a file"), ("file/log", "Not a dir"), ("loop", "symbolic link")):
        with pytest.raises(UserMistake, match=f"the log .* cannot be read: .*{why}"):
            LogTail(tmp_path / name).read()


@pytest.mark.no_cover
def test_a_log_of_any_length_takes_little_memory_and_comes_in_pieces(log, tail):
    block = b"".join(b"%0999d\n" % number for number in range(1000))
    with log.open("wb") as file:
        for _ in range(300):
            file.write(block)
    tracemalloc.start()
    try:
        count, pieces = len(tail.read()), 1
        while tail.behind:
            count, pieces = count + len(tail.read()), pieces + 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (count, pieces) == (300_000, pytest.approx(300_000_000 / AT_ONCE, abs=2))
    assert peak < 8 * AT_ONCE, peak


def test_a_place_behind_ten_gigabytes_is_gone_to_at_once(log, tail):
    append(log, b"one\n")
    tail.read()
    os.truncate(log, 10_000_000_000)
    append(log, b"two\n")
    place = {**tail.state(), "offset": 10_000_000_000, "mark": "00" * 64}
    with closing(LogTail(log, place)) as again:
        assert again.read() == ["two"]
        assert again.state()["offset"] == 10_000_000_004


PIECES = st.lists(st.sampled_from([b"a", b"\xc3\xa4", b"\xff", b"\n", b"\r\n", b"line\n", b" "]), max_size=6).map(
    b"".join
)
STEPS = st.lists(st.one_of(PIECES, st.sampled_from(["read", "put aside", "go on elsewhere", "close"])), max_size=30)


def lines_of(data):
    texts = data.replace(b"\r", b"\n").split(b"\n")
    return [one.decode(errors="replace") for one in texts if one.strip()]


@settings(max_examples=200)
@given(STEPS)
def test_each_line_is_given_once_in_its_order_however_it_is_written_and_read(tmp_path_factory, steps):
    log = tmp_path_factory.mktemp("log") / "log"
    tail, given_out, files = LogTail(log), [], [b""]
    for step in steps:
        if isinstance(step, bytes):
            append(log, step)
            files[-1] += step
        elif step == "put aside" and log.exists():
            put_aside(log)
            files.append(b"")
        elif step == "read":
            given_out += tail.read()
        elif step == "go on elsewhere":
            tail, before = LogTail(log, json.loads(json.dumps(tail.state()))), tail
            before.close()
        elif step == "close":
            tail.close()
    given_out += everything(tail) + tail.rest()
    tail.close()
    assert given_out == [line for data in files for line in lines_of(data)]
