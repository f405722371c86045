"""Samples in a terminal: as they are, obeyed by nothing, and leafed through key by key."""

import io
import os
import pty
import re
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.console import Console
from test_reports_campaign import EVIL, sample

from overnight.campaigns.ports import Message
from overnight.cli.campaign_view import Pages, browse, keys, table_of, view_of

SAMPLES = [
    replace(
        sample(place),
        messages=[Message(role="assistant", content=f"answer {place}")],
        domain="sql" if place % 2 else "code",
        reason="wrong" if place % 3 == 0 else None,
    )
    for place in range(10)
]


def read(*, domain, reason, after, limit):
    found = [one for one in SAMPLES if domain in (None, one.domain) and (reason is None or one.reason == reason)]
    return [one for one in found if after is None or one.sample_id > after][:limit]


PAGES = Pages(read=read, domains=["code", "sql"], reasons=["wrong"])


def printed(renderable, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def pressed(sent, *, height=9, pages=PAGES, **asked):
    """Return what stood in the terminal after each key, until it was left."""
    console = Console(file=io.StringIO(), width=100, height=height, force_terminal=True, color_system=None)
    seen, left = [], iter([*sent, "q", "q"])

    def read_key():
        seen.append(console.file.getvalue())
        console.file.truncate(0)
        console.file.seek(0)
        return next(left)

    browse(pages, console, read_key, **asked)
    return seen


def answers(page):
    return [int(number) for number in re.findall(r"answer (\d+)", page)]


def test_a_table_has_a_line_for_each_sample_and_cuts_what_is_too_long():
    long = replace(sample(2), quality=None, reason="r" * 99, messages=[Message(role="assistant", content="y" * 300)])
    lines = printed(table_of([sample(1), long])).splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 100
    assert "accepted" in lines[1] and "0.800" in lines[1] and "line one line two" in lines[1]
    assert f"{'r' * 19}…" in lines[2] and "not measured" in lines[2] and lines[2].rstrip().endswith("yyy…")


def test_a_sample_without_messages_has_an_empty_answer():
    assert "sql" in printed(table_of([replace(sample(1), messages=[])]))


def test_a_sample_is_shown_whole_with_its_code_as_it_is():
    code = "def f(x):\n\treturn x[0]  # [bold]not markup[/bold] :smile:\n"
    told = printed(view_of(replace(sample(3, content=code, reason="wrong answer"), detail="41", pilot=True)))
    assert "def f(x):\n    return x[0]  # [bold]not markup[/bold] :smile:\n" in told
    assert f"sample    {3:032x}, of the pilot\n" in told and "became    refused: wrong answer (41)\n" in told
    assert "source    name books, licence MIT\n" in told and "0.800 (diversity 0.5)" in told
    assert "system\nbe brief\n" in told and "assistant\nline one\n    line two\n" in told


def test_no_sample_steers_the_terminal():
    one = replace(sample(1, content=EVIL), domain=EVIL, cell=EVIL, reason=EVIL, detail=EVIL, source={EVIL: EVIL})
    one = replace(one, messages=[Message(role="user", content=EVIL), Message(role=EVIL, content=EVIL)])
    for renderable in (table_of([one]), view_of(one)):
        told = printed(renderable, width=300)
        assert "\x1b" not in told and "\u202e" not in told and "\\x1b[31m[red]" in told


def test_without_a_terminal_the_first_page_is_printed():
    console = Console(file=io.StringIO(), width=100)
    browse(PAGES, console, None, domain="sql")
    assert answers(console.file.getvalue()) == [1, 3, 5, 7, 9]
    browse(PAGES, console, None, reason="no such")
    assert console.file.getvalue().endswith("no samples\n")


def test_pages_are_turned_and_do_not_end_in_an_empty_one():
    seen = pressed("nnnnppppp", height=9)
    assert [answers(page) for page in seen[:5]] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9], [9]]
    assert [answers(page) for page in seen[5:10]] == [[6, 7, 8], [3, 4, 5], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    assert "page 4" in seen[3] and "page 1" in seen[8]


def test_filters_go_round_and_begin_on_the_first_page():
    seen = pressed("nddrdrr", height=9)
    assert [answers(page)[0] for page in seen[1:]] == [3, 0, 1, 3, 0, 0, 0]
    assert "domain: code, reason: all, page 1" in seen[2]
    assert "domain: sql, reason: wrong, page 1" in seen[4] and answers(seen[4]) == [3, 9]
    assert "domain: all, reason: wrong" in seen[5] and "domain: all, reason: all" in seen[6]
    [page] = pressed("", domain="music", reason="wrong")
    assert "no samples" in page and "domain: music, reason: wrong" in page
    assert answers(pressed("d", domain="music")[1]) == [0, 1, 2], "from one that there is not, to all"
    assert len(pressed("np\n1jkx", domain="music")) == 8, "where there is nothing, keys do nothing"


def test_a_sample_is_opened_by_its_number_or_from_its_row_and_closed_again():
    seen = pressed(["2", "j", "k", "k", "k", "q", "j", "\n", "", "q", "9"], height=40)
    opened = [f"number {number}\n" for number in range(10)]
    assert opened[1] in seen[1] and opened[2] in seen[2] and opened[1] in seen[3]
    assert opened[0] in seen[4] and opened[0] in seen[5], "before the first row there is none"
    assert answers(seen[6]) == list(range(10)) and opened[1] in seen[8] and opened[1] in seen[9]
    assert opened[8] in seen[11]


def test_a_long_sample_is_read_in_pieces():
    long = [sample(0, content="\n".join(f"line {place}" for place in range(40))), sample(1)]
    pages = Pages(read=lambda **asked: long if asked["after"] is None else [], domains=[], reasons=[])
    seen = pressed("1" + "n" * 8 + "p" * 8 + "jq", height=12, pages=pages)
    pieces = seen[1:7]
    assert all(page.count("\n") <= 12 for page in pieces)
    assert [sum(f"line {place}\n" in page for page in pieces) for place in range(40)] == [1] * 40
    assert "line two" in seen[6] and seen[6] == seen[7] == seen[8], "behind the last piece there is none"
    assert seen[1] == seen[15] == seen[16] and "number 1\n" in seen[18]


@contextmanager
def terminal(monkeypatch):
    """Stand stdin and stdout on a terminal, and give its other end."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "r+b", buffering=0) as raw:
        stream = io.TextIOWrapper(raw)
        monkeypatch.setattr("sys.stdin", stream)
        monkeypatch.setattr("sys.stdout", stream)
        yield outer
        stream.detach()
    os.close(outer)


def test_keys_come_at_once_and_without_a_line_and_the_terminal_is_as_before(monkeypatch):
    import termios

    with terminal(monkeypatch) as outer:
        before = termios.tcgetattr(outer)
        with keys() as read_key:
            assert read_key is not None
            os.write(outer, b"nj")
            assert [read_key(), read_key()] == ["n", "j"]
            for sent, key in ((b"\x1b[A", "k"), (b"\x1b[6~", "n"), (b"\x1b[17~", ""), (b"\r", "\n")):
                os.write(outer, sent)
                assert read_key() == key
            assert termios.tcgetattr(outer) != before
        assert termios.tcgetattr(outer) == before


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("q"))
    with keys() as read_key:
        assert read_key is None


def test_a_terminal_that_is_gone_leaves(monkeypatch):
    with terminal(monkeypatch) as outer, keys() as read_key:
        os.write(outer, b"\x04")
        assert read_key() == "\x04", "as it does not wait for lines, it does not end with one either"
        monkeypatch.setattr("os.read", lambda *_: b"")
        assert read_key() == "q"


@pytest.mark.parametrize("height", [1, 5, 200])
def test_a_page_has_at_least_a_row_and_no_more_than_a_person_looks_at(height):
    many = Pages(read=lambda **asked: [sample(n) for n in range(50)][: asked["limit"]], domains=[], reasons=[])
    assert pressed("", pages=many, height=height)[0].count("line one") == min(20, max(1, height - 6))
