"""What is counted of a log is kept with the place in it, so that another one goes on there."""

from contextlib import closing
from pathlib import Path

import pytest

from overnight.base.clock import SystemClock
from overnight.campaigns.logs.following import Follower, Kept, end_of
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.logs.watching import Patience, Standing


@pytest.fixture
def log(tmp_path):
    return tmp_path / "a.log"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.json"


def told(log, *lines):
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def look(log, path, *, kept=None, alive=True, restarted=False):
    """Look once, as a follower that begins and ends with it; return what is kept."""
    before = kept or Kept.read(path) or Kept(log=str(log), about={})
    follower = Follower(
        before, path, total=40, patience=Patience(), patterns=Patterns(), clock=SystemClock(), restarted=restarted
    )
    with closing(follower):
        follower.look(alive=alive)
        while follower.behind:
            follower.look(alive=alive)
    found = Kept.read(path)
    assert found == follower.kept
    return found


def samples(begin, end, quality=0.9):
    return [line for number in range(begin, end + 1) for line in (f"quality: {quality}", f"[code] {number}/40")]


def test_each_follower_goes_on_where_the_last_one_was(log, path):
    told(log, *samples(1, 10))
    first = look(log, path)
    assert (first.counts.done, first.counts.scored, first.standing) == (10, 10, Standing.GOES_ON)
    assert first.told_us is not None
    assert look(log, path) == first, "nothing new"
    told(log, *samples(11, 40))
    assert look(log, path).counts.scored == 40
    assert look(log, path, alive=None).complete


def test_what_is_kept_and_cannot_be_read_is_nothing(path):
    assert Kept.read(path) is None
    for text in ("", "[]", "{}", '{"counts": {}}', '{"log": 1, "about": {}, "standing": "?"}'):
        path.write_text(text)
        assert Kept.read(path) is None


@pytest.mark.parametrize("before", [4, 20])
def test_a_generator_that_goes_on_after_a_restart_keeps_what_was_counted(log, path, before):
    told(log, *samples(1, before, 0.5))
    look(log, path)
    told(log, "starting", *samples(before + 1, 30))
    assert look(log, path, restarted=True).counts.scores == (0.5,) * before + (0.9,) * (30 - before)


def test_one_that_begins_anew_after_a_restart_is_counted_anew(log, path):
    told(log, *samples(1, 20, 0.5))
    look(log, path)
    told(log, "starting", *samples(1, 30))
    found = look(log, path, restarted=True)
    assert (found.counts.scores, found.counts.done, found.counts.begun_anew) == ((0.9,) * 30, 30, 0)


def test_one_that_has_said_where_it_goes_on_and_begins_anew_later_is_counted_once_more(log, path):
    told(log, *samples(1, 20))
    look(log, path)
    told(log, *samples(21, 22), *samples(1, 2))
    assert look(log, path, restarted=True).counts.begun_anew == 1


def test_the_end_of_a_log_is_behind_all_that_it_holds(log, path):
    nowhere = Kept(log=str(log), about={}, place=end_of(log))
    told(log, *samples(1, 40))
    assert look(log, path, kept=nowhere).counts.scored == 40, "there was no log yet"
    with log.open("a") as file:
        file.write("quality: 0.")
    kept = Kept(log=str(log), about={}, place=end_of(log))
    told(log, "1", *samples(1, 3))
    found = look(log, path, kept=kept)
    assert (found.counts.done, found.counts.scored) == (3, 3)
    assert Path(found.log) == log
