"""What a tree of processes holds: measured, and rarely enough that nobody notices."""

import pytest

from overnight.processes import memory, table
from overnight.processes.memory import PSS_SHARE, TreeMemory
from overnight.testing.clock import FakeClock

READING_S = 0.04


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def held(monkeypatch, clock):
    """Two processes that share 100 of the 400 that their RSS adds up to; a reading of their PSS takes a while."""
    held = {"resident": 400, "shared": 100, "readings": 0}

    def exactly(pids):
        held["readings"] += 1
        clock.advance(READING_S)
        return held["resident"] - held["shared"]

    monkeypatch.setattr(memory.table, "resident_bytes", lambda pids: held["resident"])
    monkeypatch.setattr(memory.table, "memory_bytes", exactly)
    return held


def looks(tree, clock, held, seconds, allowed=0.0, every_s=0.2):
    """Look as often as an executor does, while the tree grows a little each time; return the last maximum."""
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        held["resident"] += 1
        most = tree.most_bytes([1, 2], allowed)
        clock.advance(every_s)
    return most


def test_reading_a_tree_that_grows_takes_a_small_share_of_the_time(clock, held):
    tree = TreeMemory(clock)
    looks(tree, clock, held, 100)
    assert held["readings"] * READING_S <= PSS_SHARE * 100 + READING_S
    assert held["readings"] * READING_S >= PSS_SHARE * 100 / 2, "it is looked at all the same"


def test_a_tree_that_holds_less_than_before_is_not_read(clock, held):
    tree = TreeMemory(clock)
    assert tree.most_bytes([1, 2], 0) == 300
    held["resident"] = 300  # cannot be more than 300 without what is shared
    clock.advance(1000)
    assert tree.most_bytes([1, 2], 0) == 300
    assert held["readings"] == 1


def test_the_maximum_is_measured_and_no_sum_of_what_is_shared(clock, held):
    tree = TreeMemory(clock)
    tree.most_bytes([1, 2], 0)
    held["resident"] = 450
    assert tree.most_bytes([1, 2], 0) == 300, "not read yet, and not guessed"
    clock.advance(READING_S / PSS_SHARE)
    assert tree.most_bytes([1, 2], 0) == 350


def test_a_tree_that_may_hold_more_than_it_is_allowed_is_looked_at_closely(clock, held):
    tree = TreeMemory(clock)
    tree.most_bytes([1, 2], 420)
    held["resident"], held["shared"] = 600, 150
    clock.advance(0.2)
    assert tree.most_bytes([1, 2], 420) == 450


def test_one_process_shares_with_nobody(monkeypatch, clock):
    monkeypatch.setattr(memory.table, "memory_bytes", lambda pids: pytest.fail("its RSS says it"))
    monkeypatch.setattr(memory.table, "resident_bytes", lambda pids: 7 if pids else 0)
    tree = TreeMemory(clock)
    assert (tree.most_bytes([1], 0), tree.most_bytes([], 0)) == (7, 7)
    assert table is memory.table
