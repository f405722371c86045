"""The last lines of logs, also of those that were put aside, read from their ends."""

import pytest

from overnight.cli import tail
from overnight.cli.tail import print_logs


def last(capsys, paths, count, **more):
    found = print_logs(paths, lines=count, follow=False, **more)
    out = capsys.readouterr().out
    assert found == (out != "")
    return out.splitlines()


@pytest.mark.parametrize("window", [7, 65_536])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 8, 100])
def test_the_last_lines_are_those_of_the_file_and_then_of_what_was_put_aside(
    tmp_path, capsys, monkeypatch, window, count
):
    monkeypatch.setattr(tail, "_WINDOW", window)
    path = tmp_path / "a.log"
    (tmp_path / "a.log.2").write_text("one\ntwo, which is longer than a window\n")
    (tmp_path / "a.log.1").write_text("\nthree\n")
    (tmp_path / "a.log.gz").write_text("no log\n")
    path.write_text("four\nfünf\nsix, and no end")
    every = ["one", "two, which is longer than a window", "", "three", "four", "fünf", "six, and no end"]
    assert last(capsys, [path], count) == (every[-count:] if count else [])


def test_of_several_each_has_its_name_before_it_and_those_that_are_not_there_are_left_out(tmp_path, capsys):
    one, other = tmp_path / "one.log", tmp_path / "other.log"
    one.write_text("1\n2\n3\n")
    other.write_text("a\n")
    told = last(capsys, [one, tmp_path / "none.log", other], 2)
    assert told == [f"==> {one} <==", "2", "3", f"==> {other} <==", "a"]
    assert last(capsys, [tmp_path / "none.log"], 2) == []


def test_only_the_lines_about_a_task_are_counted(tmp_path, capsys):
    path = tmp_path / "a.log"
    path.write_text("x task=a y\nx task=b y\nx task=a\nx task=ab\n")
    assert last(capsys, [path], 1, task="a") == ["x task=a"]


def test_an_empty_log_is_none(tmp_path, capsys):
    path = tmp_path / "a.log"
    path.touch()
    assert last(capsys, [path], 5) == []
