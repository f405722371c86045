"""Who holds the one slot of a machine: time, life and tokens decide."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.resources.slots import Holder, release, renew, standing, take

A = Holder(name="a", project="p", pid=1, started=1.0)
B = Holder(name="b", project="q", pid=2, started=2.0)


def alive(*pids):
    return lambda pid, started: pid in pids


def test_the_first_who_asks_has_it_and_the_second_is_told_who():
    mine = take(None, A, ttl_s=10, now_s=100, lives=alive(1, 2))
    assert (mine.token, mine.until_s, mine.name) == (1, 110, "a")
    assert take(mine, B, ttl_s=10, now_s=105, lives=alive(1, 2)) == mine


@pytest.mark.parametrize(("now_s", "living"), [(110, (1, 2)), (105, (2,))])
def test_whose_time_is_over_or_whose_process_is_gone_has_lost_it(now_s, living):
    mine = take(None, A, ttl_s=10, now_s=100, lives=alive(1))
    other = take(mine, B, ttl_s=10, now_s=now_s, lives=alive(*living))
    assert (other.name, other.token) == ("b", 2)
    assert renew(other, mine, ttl_s=10, now_s=now_s) is None
    assert release(other, mine) == other


def test_renewing_gives_new_time_and_keeps_the_token():
    mine = take(None, A, ttl_s=10, now_s=100, lives=alive(1))
    assert renew(mine, mine, ttl_s=10, now_s=108) == replace(mine, until_s=118)
    # Nobody else came meanwhile: who was late has lost nothing.
    assert renew(mine, mine, ttl_s=10, now_s=500) == replace(mine, until_s=510)


def test_what_is_given_back_is_free_and_its_token_is_remembered():
    mine = take(None, A, ttl_s=10, now_s=100, lives=alive(1))
    free = release(mine, mine)
    assert standing(free, 101, alive(1, 0)) is None
    assert take(free, B, ttl_s=10, now_s=101, lives=alive(1, 2)).token == 2


def test_nothing_can_be_renewed_or_released_where_nobody_holds_anything():
    assert renew(None, A, ttl_s=1, now_s=0) is None
    assert release(None, A) is None


@given(st.lists(st.tuples(st.sampled_from("tsrk"), st.integers(1, 3), st.integers(0, 8)), max_size=40))
def test_no_two_ever_believe_that_they_hold_it(steps):
    """Whoever renews with success is the only one who can, and tokens only grow."""
    held, mine, dead, now_s, last = None, {}, set(), 0.0, 0
    for what, pid, wait in steps:
        now_s += wait
        wanted = Holder(name=str(pid), project="p", pid=pid, started=1.0)
        if what == "k":
            dead.add(pid)
        elif what == "t" and pid not in dead:
            held = take(held, wanted, ttl_s=5, now_s=now_s, lives=lambda p, _: p not in dead)
            if held.pid == pid:
                mine[pid] = held
        elif what == "s" and pid in mine:
            held = release(held, mine.pop(pid))
        elif what == "r" and pid in mine and pid not in dead:
            held = renew(held, mine[pid], ttl_s=5, now_s=now_s) or held
        can_renew = [one for one, kept in mine.items() if renew(held, kept, ttl_s=5, now_s=now_s) is not None]
        assert len(can_renew) <= 1
        token = 0 if held is None else held.token
        assert token >= last
        last = token
