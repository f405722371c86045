"""Who negotiates for the runs of one process: what it grants, takes back, and when somebody else may have that."""

import os
import sys
import threading
from dataclasses import replace

import pytest

from daemons import wait_for
from fake_nvml import FakeNvml
from overnight.resources.ledger import Limits, Want
from overnight.resources.machine import Machine
from overnight.resources.negotiator import Held, Negotiator
from overnight.resources.policy import GB, HIGH
from overnight.resources.sleeping import Seen
from overnight.testing.clock import FakeClock


@pytest.fixture
def made(tmp_path):
    """Make negotiators of several projects on one machine of 10 GB, of which other processes use nothing."""
    clock = FakeClock()

    def make(project, **more):
        return Negotiator(
            Machine(tmp_path, clock),
            project,
            Limits(capacity_bytes=10 * GB, reserve_bytes=0),
            clock=clock,
            granted=lambda: None,
            stop_run=lambda key, why: None,
            **{"host_bytes": lambda: 0, **more},
        )

    # Nobody looks but the test.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Negotiator, "start", lambda self: None)
        yield make


def want(key, gb):
    return Want(key=key, name=f"job-{key}", need_bytes=gb * GB, order=key)


def step(*negotiators):
    for negotiator in negotiators:
        negotiator.step()


def test_what_is_taken_back_is_nobody_elses_before_the_worker_has_told_again(made):
    one, other = made("/one"), made("/other")
    one.tell([], [want(1, 8)], 3)
    step(one)
    assert set(one.granted) == {1}
    # The turn that ends here leaves the run out; the next one has begun with the answer of before when it is revoked.
    one.tell([], [], 3)
    other.tell([], [want(2, 8)], 3)
    step(one, other, one, other)
    assert (set(one.granted), set(other.granted)) == (set(), set())
    # That turn has claimed it.
    one.tell([Held(want=want(1, 8), pids=lambda: [])], [], 2)
    step(one, other)
    assert (set(one.granted), set(other.granted)) == (set(), set())
    one.tell([], [], 3)
    step(one, other)
    assert set(other.granted) == {2}


def test_what_is_taken_back_is_free_once_the_worker_has_told_again(made):
    one, other = made("/one"), made("/other")
    one.tell([], [want(1, 8)], 3)
    step(one)
    one.tell([], [], 3)
    other.tell([], [want(2, 8)], 3)
    step(one, other)
    one.tell([], [], 3)
    step(one, other)
    assert (set(one.granted), set(other.granted)) == (set(), {2})


def test_what_is_wanted_again_before_the_worker_has_told_twice_stays_granted(made):
    one = made("/one")
    one.tell([], [want(1, 8)], 3)
    step(one)
    one.tell([], [], 3)
    step(one)
    one.tell([], [want(1, 8)], 3)
    step(one)
    assert set(one.granted) == {1}


def test_one_that_wants_more_keeps_what_it_was_granted_until_the_worker_has_told_again(made):
    one, other = made("/one"), made("/other")
    one.tell([], [want(1, 4)], 3)
    step(one)
    one.tell([], [want(1, 9)], 3)
    other.tell([], [want(2, 5)], 3)
    step(one, other)
    assert (set(one.granted), set(other.granted)) == (set(), {2})
    one.tell([], [want(1, 9)], 3)
    step(one)
    assert set(one.granted) == set()


def test_after_a_look_that_failed_nothing_may_begin_and_nothing_is_handed_out_twice(made, monkeypatch):
    one, other = made("/one"), made("/other")
    one.tell([], [want(1, 8)], 3)
    step(one)

    def broken(part, change, **how):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(one._machine, "edit", broken)
        step(one)
    assert set(one.granted) == set()
    one.tell([], [], 3)
    other.tell([], [want(2, 8)], 3)
    step(one, other)
    assert set(other.granted) == {2}, "its worker has told since"


def test_the_ledger_is_not_forced_to_disk_each_second(made, monkeypatch):
    one, forced = made("/one"), []
    monkeypatch.setattr(os, "fsync", forced.append)
    one.tell([], [want(1, 8)], 3)
    step(one)
    assert (set(one.granted), forced) == ({1}, [])
    one._machine.edit("asleep", lambda before: {})
    assert len(forced) == 2, "the file and its folder"


def version(gb, key=-3):
    return Want(key=key, name="nlu v1.0.1", need_bytes=int(gb * GB), order=key, yields=False, preempts=False)


def asked(negotiator, want):
    """Ask, look once, and return what came of it."""
    negotiator.reserve(want, within_s=0)
    step(negotiator)
    return negotiator.reserve(want, within_s=0)


def test_a_version_that_is_loaded_has_its_memory_before_anybody_else(made):
    one, other = made("/one"), made("/other")
    assert one.reserve(version(8), within_s=0).why == "nobody has decided yet"
    assert asked(one, version(8)).granted
    other.tell([], [want(2, 4)], 3)
    step(other)
    assert set(other.granted) == set()
    one.use(-3, lambda: 9 * GB)
    step(one, other)
    # Whoever measures it finds 9 GB: nothing of that is somebody else's.
    assert [(entry.begun, entry.used_bytes) for entry in one.look().part.entries] == [(True, 9 * GB)]
    assert set(other.granted) == set()
    one.release(-3)
    step(one, other)
    assert set(other.granted) == {2}


def test_what_no_run_will_give_back_is_not_waited_for(made):
    one, other = made("/one"), made("/other")
    other.tell([], [want(2, 6)], 3)
    step(other)
    other.tell([Held(want=want(2, 6), pids=lambda: [])], [], 2)
    step(other)
    answer = asked(one, version(8))
    assert (answer.granted, answer.hopeless) == (False, False), "until the run has ended"
    assert answer.why == "needs 8.0 GB; 4.0 GB are free beside what services are expected to use"
    answer = asked(one, version(11))
    assert (answer.granted, answer.hopeless) == (False, True)
    # The answer to an earlier wish is none to the next one.
    assert one.reserve(version(3), within_s=0).why == "nobody has decided yet"
    assert asked(one, version(3)).granted


def test_what_was_not_reserved_can_be_given_back(made):
    one = made("/one")
    one.use(-1, lambda: 5)
    one.release(-1)
    step(one)
    assert one.look().part.entries == ()


def test_a_version_takes_no_place_of_a_run_and_waits_for_none(made):
    one = made("/one")
    one.tell([], [want(2, 2)], 1)
    assert asked(one, version(2)).granted
    assert set(one.granted) == {2}, "its one place is free"
    one.tell([], [want(2, 2), want(1, 2)], 0)
    step(one)
    other = made("/other")
    other.tell([], [want(2, 1)], 0)
    step(other)
    assert asked(other, version(2, key=-4)).granted, "all its places are taken, and the next one is a run's"


def test_what_a_version_takes_while_it_is_loaded_is_not_taken_for_somebody_elses(made):
    stopped, grown = [], 0
    one = made("/one")
    one._stop_run, one._host_bytes = lambda key, why: stopped.append(key), lambda: grown
    one.tell([Held(want=want(2, 4), pids=lambda: [])], [], 2)
    step(one)
    assert asked(one, version(5)).granted
    one.use(-3, lambda: grown)
    for _ in range(10):
        one._clock.advance(1.0)
        grown += GB // 2
        step(one)
    assert stopped == []
    assert [entry.used_bytes for entry in one.look().part.entries if not entry.want.is_run] == [5 * GB]


def test_a_version_that_is_there_keeps_its_memory_when_it_is_asked_for_again_later(made):
    one = made("/one")
    assert asked(one, version(8)).granted
    one.use(-3, 8 * GB)
    step(one)
    one._host_bytes = lambda: 8 * GB
    assert asked(one, replace(version(8), rank=HIGH)).granted
    assert [entry.begun for entry in one.look().part.entries] == [True]


class Chat:
    """A service on GPU 0 that is looked at for the first time when the test says so."""

    name = "chat"

    def __init__(self):
        self.may_look = threading.Event()

    def look(self, at_s):
        self.may_look.wait()
        return Seen(used_bytes=1, pids=(77,))


def test_a_service_that_is_first_seen_while_the_gpus_are_looked_at_keeps_its_gpu(made, monkeypatch):
    driver = FakeNvml({0: [(77, GB // 3)]}, used_gb=[1 / 3])
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    chat = Chat()

    def measured():
        chat.may_look.set()
        return wait_for(negotiator._services.pids) and 1

    negotiator = made("/one", sleepers=[chat], host_bytes=measured)
    negotiator._services.start()
    try:
        negotiator.tell([], [replace(want(1, 1), gpus=1)], 3)
        for _ in range(3):
            step(negotiator)
            assert not negotiator.granted
    finally:
        chat.may_look.set()
        negotiator._services.stop()
