"""What was found out about functions is kept for others, and never in the way."""

import sqlite3
from contextlib import closing

import pytest

from overnight.campaigns.generators.python.kept import Kept


@pytest.fixture
def path(tmp_path):
    return tmp_path / "there" / "python.db"


def test_what_one_has_found_another_need_not_find_out(path):
    with closing(Kept(path)) as one, closing(Kept(path)) as other:
        one.put({"passed": [1, 2]}, "own", "a text")
        assert other.get("own", "a text") == {"passed": [1, 2]}
        assert other.get("own", "another text") is None
        assert other.get("own a text") is None, "words that are told apart are others than words that are not"
        other.put({"passed": []}, "own", "a text")
        assert one.get("own", "a text") == {"passed": []}


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 20, b""])
def test_a_file_that_cannot_be_used_is_as_none(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with closing(Kept(path)) as kept:
        kept.put(1, "a")
        assert kept.get("a") == (None if content else 1)


def test_a_value_that_is_damaged_is_none(path):
    with closing(Kept(path)) as kept, closing(sqlite3.connect(path)) as other:
        kept.put(1, "a")
        other.execute("UPDATE kept SET value = 'tor'")
        other.commit()
        assert kept.get("a") is None


def test_without_a_file_nothing_is_kept(path):
    with closing(Kept(None)) as kept:
        kept.put(1, "a")
        assert kept.get("a") is None
    with closing(Kept(path / "below" / "a.db")) as kept, closing(Kept(path)):
        assert kept.get("a") is None
