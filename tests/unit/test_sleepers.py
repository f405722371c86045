"""Services that are put to sleep for a run, and who wakes them when the work on their project ends."""

import threading
from contextlib import ExitStack

import pytest

from daemons import wait_for
from overnight.base.clock import SystemClock
from overnight.resources import negotiator as negotiating
from overnight.resources import sleeping
from overnight.resources.ledger import Limits, Want
from overnight.resources.machine import Machine
from overnight.resources.negotiator import Held, Negotiator, ledger_of
from overnight.resources.policy import GB
from overnight.resources.sleeping import ASLEEP, Seen


class Api:
    """An idle service of 6 GB."""

    name = "api"

    def __init__(self):
        self.broken = False
        self.awake, self.may_wake = True, threading.Event()
        self.may_wake.set()

    def look(self, at_s):
        used = 6 * GB if self.awake else 0
        return Seen(used_bytes=used, active=0.0, gain_bytes=used)

    def prepare(self):
        return {"what": "wakes it"}

    def release(self, prepared):
        self.awake = False

    def wake(self, prepared):
        assert prepared == {"what": "wakes it"}
        self.may_wake.wait(30)
        if self.broken:
            raise OSError("nobody is there")
        self.awake = True


@pytest.fixture
def api(monkeypatch):
    for module in (sleeping, negotiating):
        monkeypatch.setattr(module, "LOOK_S", 0.1)
    made = Api()
    yield made
    made.may_wake.set()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path, SystemClock())


@pytest.fixture
def work(machine, api):
    """Begin to work on a project of the machine, which has 10 GB."""
    with ExitStack() as ends:

        def begin(project, *services, idle_look_s=0.1):
            made = Negotiator(
                machine,
                project,
                Limits(capacity_bytes=10 * GB, reserve_bytes=0),
                clock=SystemClock(),
                host_bytes=lambda: 6 * GB if api.awake else 0,
                sleepers=services,
                wake=api.wake,
                idle_look_s=idle_look_s,
                granted=lambda: None,
                stop_run=lambda key, why: None,
            )
            made.start_for_services()
            ends.callback(made.stop, lambda: True)
            return made

        yield begin


def want(key, gb=8):
    return Want(key=key, name=f"job-{key}", need_bytes=gb * GB, order=key)


def has_begun(one, key):
    """Have the service put to sleep for a run of this process, and begin it."""
    one.tell([], [want(key)], 3)
    wait_for(lambda: key in one.granted)
    one.tell([Held(want=want(key), pids=lambda: [])], [], 2)
    wait_for(lambda: key not in one.granted)


def seen(machine):
    """Wait until others know what the service uses: whoever looks before takes it for somebody else's."""
    wait_for(
        lambda: any(one.used_bytes for part in ledger_of(machine)[1] for one in part.services if one.name == "api")
    )


def noted(machine):
    return list((machine.read(ASLEEP) or {}).get("/mine", {}))


def test_what_sleeps_for_a_run_of_this_project_is_woken_when_the_work_ends(work, api, machine):
    mine = work("/mine", api)
    has_begun(mine, 1)
    assert (api.awake, noted(machine)) == (False, ["api"])
    mine.stop()
    assert (api.awake, noted(machine)) == (True, [])


def test_what_makes_room_for_a_run_of_another_project_sleeps_on_and_is_woken_by_who_works_next(work, api, machine):
    mine = work("/mine", api)
    seen(machine)
    other = work("/other")
    has_begun(other, 2)
    mine.stop()
    assert (api.awake, noted(machine)) == (False, ["api"]), "it would need what that run has"
    mine = work("/mine", api)
    other.tell([], [], 3)
    wait_for(lambda: api.awake and not noted(machine))


def test_a_stop_in_a_hurry_does_not_wait_for_a_service_to_wake(work, api, machine):
    mine, asked = work("/mine", api), []
    has_begun(mine, 1)
    api.may_wake.clear()
    mine.stop(lambda: len(asked) > 5 or asked.append(1))
    assert (api.awake, noted(machine)) == (False, ["api"])


def test_a_service_that_does_not_wake_holds_a_stop_up_for_a_bounded_time(work, api, machine, monkeypatch):
    for module, name in ((negotiating, "STOP_S"), (sleeping, "_END_S")):
        monkeypatch.setattr(module, name, 0.5)
    mine = work("/mine", api)
    has_begun(mine, 1)
    api.may_wake.clear()
    stopping = threading.Thread(target=mine.stop)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive()
    assert noted(machine) == ["api"]


def test_one_that_the_project_no_longer_names_is_woken_by_what_was_written_down(work, api, machine):
    mine = work("/mine", api)
    has_begun(mine, 1)
    mine.stop(lambda: True)
    assert (api.awake, noted(machine)) == (False, ["api"])
    work("/mine")
    wait_for(lambda: api.awake and not noted(machine))


def test_one_that_is_no_longer_named_and_does_not_wake_is_given_up(work, api, machine, monkeypatch):
    monkeypatch.setattr(sleeping, "_AGAIN_S", 0.05)
    mine = work("/mine", api)
    has_begun(mine, 1)
    mine.stop(lambda: True)
    api.broken = True
    mine = work("/mine")
    wait_for(lambda: not noted(machine))
    assert not api.awake
    mine.tell([], [want(2, gb=10)], 3)
    wait_for(lambda: 2 in mine.granted)


def test_services_are_looked_at_all_the_time_only_while_a_run_has_memory_or_waits_for_some(work, api, monkeypatch):
    looks, look = [], api.look
    monkeypatch.setattr(api, "look", lambda at_s: looks.append(at_s) or look(at_s))
    monkeypatch.setattr(negotiating, "STALE_S", 0.3)
    mine = work("/mine", api, idle_look_s=3600)
    wait_for(lambda: looks)
    threading.Event().wait(0.5)
    assert len(looks) == 1, "nobody wants anything"
    mine.tell([], [want(1, gb=20)], 3)
    wait_for(lambda: len(looks) >= 4)


def test_what_is_told_of_services_is_fresh_also_where_they_are_rarely_looked_at(work, api, machine):
    work("/mine", api, idle_look_s=0.3)
    wait_for(lambda: ledger_of(machine)[1])
    [first] = ledger_of(machine)[1]
    wait_for(lambda: ledger_of(machine)[1][0].at_s > first.at_s + 1)
    [part] = ledger_of(machine)[1]
    assert [(one.used_bytes, one.stale) for one in part.services if one.serves] == [(6 * GB, False)]
