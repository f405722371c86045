"""A service that holds a GPU: what it would give back, what it moves, and what is kept for its return."""

import pytest

from daemons import wait_for
from overnight.base.clock import SystemClock
from overnight.resources.machine import Machine
from overnight.resources.probes.gpu import Device
from overnight.resources.sleeping import Seen, Sleepers

GB = 10**9


class Chat:
    """Holds 40 GB of a GPU, and moves what it can into the machine's memory when it sleeps."""

    name = "chat"

    def __init__(self):
        self.asleep = False

    def look(self, at_s):
        return Seen(used_bytes=30 * GB if self.asleep else 10 * GB, pids=(7, 8), frees_gpu=True, moves=True)

    def prepare(self):
        return {}

    def release(self, prepared):
        self.asleep = True


def held(gb):
    processes = {7: gb * GB, 9: 5 * GB}
    return Device(
        uuid="G", name="n", total_bytes=80 * GB, used_bytes=60 * GB, busy_percent=None, process_bytes=processes
    )


@pytest.fixture
def sleepers(tmp_path):
    clock = SystemClock()
    made = Sleepers(Machine(tmp_path, clock), "/p", clock, [Chat()], wake=lambda prepared: None)
    made.often = True
    made.start()
    yield made
    made.stop()


def test_what_a_service_holds_of_a_gpu_is_given_back_and_moves_no_further_than_it_was(sleepers):
    now_s = SystemClock().monotonic
    wait_for(lambda: sleepers.views(now_s())[0].known)
    assert sleepers.pids() == [7, 8]
    sleepers.see([held(40)], now_s())
    [view] = sleepers.views_on(now_s())["G"]
    assert (view.used_bytes, view.gain_bytes, view.moves_bytes) == (40 * GB, 40 * GB, 40 * GB)
    sleepers.follow([("chat", "job")], (), {"job": True})
    [view] = sleepers.views_on(now_s())["G"]
    assert (view.asleep, view.gain_bytes) == (True, 0), "nobody else is asked meanwhile"
    wait_for(lambda: sleepers.views(now_s())[0].used_bytes == 30 * GB)
    sleepers.see([held(1)], now_s())
    [view], [here] = sleepers.views_on(now_s())["G"], sleepers.views(now_s())
    assert (view.used_bytes, view.released_bytes, view.asleep) == (1 * GB, 40 * GB, True)
    assert (here.soon_bytes, here.start_bytes) == (50 * GB, 50 * GB), "20 GB in a second say nothing of 220 in eleven"
    sleepers.follow((), (), {})
    [view] = sleepers.views_on(now_s())["G"]
    assert (view.wanted, view.back_bytes) == (True, 40 * GB), "its run is gone"


def test_what_a_service_that_is_no_longer_named_held_of_a_gpu_is_kept_for_its_return(sleepers, tmp_path):
    now_s = SystemClock().monotonic
    wait_for(lambda: sleepers.views(now_s())[0].known)
    sleepers.see([held(40)], now_s())
    sleepers.follow([("chat", "job")], (), {"job": True})
    wait_for(lambda: "chat" in sleepers.asleep())
    clock = SystemClock()
    other = Sleepers(Machine(tmp_path, clock), "/p", clock, [], wake=lambda prepared: None)
    other.start()
    try:
        other.follow((), (), {})
        [view] = other.views_on(now_s())["G"]
        assert (view.name, view.used_bytes, view.back_bytes) == ("chat", 0, 40 * GB)
    finally:
        other.stop()
