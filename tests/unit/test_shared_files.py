"""The files that all projects of one user share: a set for each host, each changed by one process at a time."""

import fcntl
import os

import pytest

from overnight.processes.table import started_of
from overnight.resources import machine as machines
from overnight.resources.machine import SLOTS, Machine
from overnight.testing.clock import FakeClock
from overnight.training.exclusive import SLOT, Wanted, held


def test_hosts_that_share_a_home_folder_do_not_touch_what_the_others_hold(tmp_path):
    clock = FakeClock()
    here, there = (Machine(tmp_path, clock, host=host) for host in ("here.example", "there/../x"))
    holder, mine = there.take("slot", "job", "/p", 60)
    assert mine
    other, mine = here.take("slot", "another", "/p", 60)
    assert (mine, other.name) == (True, "another")
    assert there.holder("slot") == holder
    assert {path.name for path in tmp_path.iterdir()} == {
        "slots-here.example.json", "slots-here.example.lock", "slots-there_.._x.json", "slots-there_.._x.lock",
    }  # fmt: skip


def test_parts_are_files_of_their_own(tmp_path):
    machine = Machine(tmp_path, FakeClock())
    machine.take("slot", "job", "/p", 60)
    machine.edit("other", lambda before: {"was": before})
    assert machine.read("other") == {"was": None}
    held = machine.read(SLOTS)["slot"]
    assert (held["pid"], held["started"]) == (os.getpid(), started_of(os.getpid()))


def test_who_holds_the_lock_and_does_not_go_on_stops_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "LOCK_S", 0.05)
    machine, changed = Machine(tmp_path, FakeClock()), []
    with machine.file("part").with_suffix(".lock").open("a") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=r"part-.*\.lock has been locked for 0.05 s; `fuser"):
            machine.edit("part", changed.append)
        machine.take("slot", "job", "/p", 60)
    assert changed == [], "who has not the lock changes nothing"
    machine.edit("part", lambda before: [before])
    assert machine.read("part") == [None]


def test_what_goes_wrong_within_a_change_is_told_and_gives_the_lock_back(tmp_path):
    def wrong(before):
        raise BlockingIOError("of its own")

    machine = Machine(tmp_path, FakeClock())
    for _ in range(2):
        with pytest.raises(BlockingIOError, match="of its own"):
            machine.edit("part", wrong)


def test_a_training_goes_on_where_its_slot_cannot_be_renewed_at_this_moment(tmp_path, monkeypatch):
    clock = FakeClock()
    machine, wanted = Machine(tmp_path, clock), Wanted(job_id="job", project="/p", ttl_s=90, wait_s=1)
    with held(machine, wanted, now_s=clock.monotonic, pause=clock.advance, told=print, asked=bool) as renew:
        until_s = machine.holder(SLOT).until_s
        with monkeypatch.context() as patch, machine.file(SLOTS).with_suffix(".lock").open("a") as stuck:
            patch.setattr(machines, "LOCK_S", 0.05)
            fcntl.flock(stuck, fcntl.LOCK_EX)
            clock.advance(60)
            renew()
        renew()
        assert machine.holder(SLOT).until_s == until_s + 60
