"""The ledger of a machine with GPUs: whoever decides, in whatever order, a device is handed out once."""

import json
from dataclasses import asdict, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from overnight.resources.ledger import Device, Limits, Part, Want, part_of, settle, told
from overnight.resources.policy import CRITICAL, GB, HIGH, LOW, NORMAL, Service

LIMITS = Limits(capacity_bytes=100 * GB, reserve_bytes=0)


def service(name, used, **more):
    size = used * GB
    figures = {"used_bytes": size, "soon_bytes": size, "start_bytes": size, "later_bytes": size, "peak_bytes": size}
    return Service(name=name, **{**figures, **more})


def device(place, *services):
    return Device(uuid=f"G{place}", name=f"GPU {place}", total_bytes=80 * GB, services=services)


TWO = (device(0), device(1))


def part(pid=1, devices=TWO, services=(), **more):
    given = {"places": 3, "at_s": 1000.0, **more}
    return Part(project=f"/p{pid}", pid=pid, started=1.0, devices=devices, services=services, **given)


def want(key, gpus=1, each=0, *, gb=0, preempts=False, **more):
    given = {"name": f"job-{key}", "order": key, **more}
    return Want(key=key, need_bytes=gb * GB, gpus=gpus, gpu_bytes=each * GB, preempts=preempts, **given)


def granted(done):
    return {entry.want.key: tuple(entry.devices) for entry in done.part.entries if entry.granted}


def settled(mine, *others):
    return settle(mine, others, LIMITS)


def test_a_grant_names_the_devices_and_others_see_it():
    theirs = settled(told(None, part(2), [], [want(1)]))
    assert granted(theirs) == {1: ("G0",)}
    assert granted(settled(told(None, part(1), [], [want(7)]), theirs.part)) == {7: ("G1",)}
    assert granted(settled(told(None, part(1, TWO[:1]), [], [want(7, each=1)]), theirs.part)) == {}, "it is alone"
    waits = settled(told(None, part(1), [], [want(7, 2)]), theirs.part)
    assert granted(waits) == {}
    assert waits.part.entries[0].why == "needs 2 GPUs for itself; GPU 0: job-1 of /p2 has some of it"
    again = part_of(json.loads(json.dumps(asdict(theirs.part))))
    assert again == theirs.part


def test_two_projects_choose_the_same_devices():
    taken = settled(told(None, part(3), [], [want(1, each=50)])).part
    for each in (0, 20, 40):
        chosen = {tuple(granted(settled(told(None, part(pid), [], [want(7, each=each)]), taken))[7]) for pid in (1, 2)}
        assert len(chosen) == 1


def test_a_grant_stands_until_it_begins_and_one_of_other_devices_is_asked_for_anew():
    first = settled(told(None, part(), [], [want(1, each=30)])).part
    kept = told(first, part(), [], [want(1, each=30)])
    assert (kept.entries[0].granted, kept.entries[0].devices) == (True, {"G0": None})
    assert not told(first, part(), [], [want(1, 2, each=30)]).entries[0].granted
    assert not told(first, part(), [], [want(1)]).entries[0].granted
    begun = told(first, part(), [(want(1, each=30), GB)], [], devices={1: {"G0": 5 * GB}})
    assert begun.entries[0].devices == {"G0": 5 * GB}


def test_what_is_used_beyond_the_reservation_counts():
    theirs = told(None, part(2), [(want(1, each=10), None)], [], devices={1: {"G0": 60 * GB}})
    assert granted(settled(told(None, part(1, devices=TWO[:1]), [], [want(7, each=30)]), theirs)) == {}
    assert granted(settled(told(None, part(1, devices=TWO[:1]), [], [want(7, each=20)]), theirs)) == {7: ("G0",)}


def test_a_service_of_another_project_counts_where_it_is_and_only_while_it_is_fresh():
    theirs = part(2, devices=(device(0, service("chat", 60)), device(1)))
    mine = told(None, part(1), [], [want(7, each=20)])
    assert granted(settled(mine, theirs)) == {7: ("G0",)}
    peak = replace(theirs, devices=(device(0, service("chat", 60, peak_bytes=70 * GB)), device(1)))
    assert granted(settled(mine, replace(peak, at_s=900.0))) == {7: ("G1",)}


def test_a_run_of_a_growing_service_s_device_yields_and_is_told_which():
    grown = device(0, service("chat", 10, soon_bytes=60 * GB))
    mine = told(None, part(devices=(grown, device(1))), [(want(1, each=40), GB)], [], devices={1: {"G0": 30 * GB}})
    assert settled(mine).yields == ((1, "yielded: chat may soon use 60.0 GB of GPU 0"),)


def test_who_asks_a_service_is_whose_it_is_also_for_its_device():
    idle = service("chat", 60, gain_bytes=60 * GB)
    owner = part(2, devices=(device(0, idle), device(1, service("x", 70))), services=(service("chat", 1),))
    mine = told(None, part(1), [], [want(7, each=40)])
    assert settled(mine, owner).releases == ()
    assert settled(owner, mine).releases == (("chat", "job-7 of /p1"),)


def test_a_machine_that_tells_of_no_gpus_says_why():
    mine = told(None, part(devices=(), untold="NVML: no driver"), [], [want(1), want(2, 0, gb=1)])
    done = settled(mine)
    assert granted(done) == {2: ()}
    assert done.part.entries[0].why == "needs 1 GPU; this machine tells of none (NVML: no driver)"


@settings(max_examples=40, stateful_step_count=30)
class Projects(RuleBasedStateMachine):
    """Three processes that want devices, begin, end, die, in any order, each deciding for itself under the lock."""

    def __init__(self):
        super().__init__()
        self.parts = {}
        self.wanted = {pid: [] for pid in (1, 2, 3)}
        self.held = {pid: [] for pid in (1, 2, 3)}
        self.number = 0
        self.chat = 10

    def _look(self, pid):
        mine = part(pid, (device(0, service("chat", self.chat)), device(1)), places=3 - len(self.held[pid]))
        held = [(one, one.need_bytes) for one, _ in self.held[pid]]
        on = {one.key: dict.fromkeys(uuids, one.gpu_bytes) for one, uuids in self.held[pid]}
        now = told(self.parts.get(pid), mine, held, self.wanted[pid], devices=on)
        done = settle(now, [other for who, other in self.parts.items() if who != pid], LIMITS)
        self.parts[pid] = done.part
        return done

    @rule(
        pid=st.sampled_from([1, 2, 3]),
        gpus=st.integers(0, 2),
        each=st.sampled_from([0, 10, 30, 70]),
        rank=st.sampled_from([CRITICAL, HIGH, NORMAL, LOW]),
        preempts=st.booleans(),
    )
    def want_some(self, pid, gpus, each, rank, preempts):
        self.number += 1
        each, gb = (each, 0) if gpus else (0, 40)
        self.wanted[pid].append(want(self.number, gpus, each, gb=gb, rank=rank, preempts=preempts and rank == CRITICAL))
        self._look(pid)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def look(self, pid):
        stopped = {key for key, _ in self._look(pid).yields}
        for one, uuids in [pair for pair in self.held[pid] if pair[0].key in stopped]:
            self.held[pid].remove((one, uuids))
            self.wanted[pid].append(one)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def begin(self, pid):
        entries = self.parts[pid].entries if pid in self.parts else ()
        known = {entry.want.key: tuple(entry.devices) for entry in entries if entry.granted and not entry.begun}
        for one in [one for one in self.wanted[pid] if one.key in known]:
            assert len(known[one.key]) == one.gpus, "as many devices as it needs"
            self.wanted[pid].remove(one)
            self.held[pid].append((one, known[one.key]))
        self._look(pid)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def end_one(self, pid):
        if self.held[pid]:
            self.held[pid].pop(0)
            self._look(pid)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def die(self, pid):
        self.parts.pop(pid, None)
        self.wanted[pid] += [one for one, _ in self.held[pid]]
        self.held[pid] = []

    @rule(gb=st.integers(0, 70))
    def service_moves(self, gb):
        # Who has to yield to one that grows into what others hold is tested with the policy.
        if not self._on("G0"):
            self.chat = gb

    def _on(self, uuid):
        entries = [entry for one in self.parts.values() for entry in one.entries if uuid in entry.devices]
        assert all(entry.granted for entry in entries)
        return entries

    @invariant()
    def no_device_is_handed_out_twice(self):
        for uuid, used in (("G0", self.chat), ("G1", 0)):
            entries = self._on(uuid)
            assert not any(entry.want.gpu_bytes == 0 for entry in entries) or len(entries) == 1
            assert sum(entry.want.gpu_bytes for entry in entries) + (used * GB if entries else 0) <= 80 * GB


TestProjects = Projects.TestCase
