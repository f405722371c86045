"""The ledger of a machine: whoever decides, in whatever order, memory is handed out once and given back once."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from overnight.resources.ledger import (
    SILENT_S,
    Limits,
    Part,
    Want,
    living,
    part_of,
    rank_of,
    services_of,
    settle,
    told,
)
from overnight.resources.policy import CRITICAL, GB, HIGH, LOW, NORMAL, Service

LIMITS = Limits(capacity_bytes=48 * GB, reserve_bytes=2 * GB, busy_bytes=20 * GB)
HOUR = 3600 * 10**6


def part(pid=1, places=3, services=(), **more):
    return Part(project=f"/p{pid}", pid=pid, started=1.0, at_s=1000.0, places=places, services=services, **more)


def want(key, gb, *, preempts=False, **more):
    return Want(key=key, name=f"job-{key}", need_bytes=gb * GB, order=key, preempts=preempts, **more)


def service(name="api", used=10, **more):
    size = used * GB
    return Service(name=name, used_bytes=size, soon_bytes=size, start_bytes=size, later_bytes=size, **more)


def settled(mine, *others):
    return settle(mine, others, LIMITS)


def granted(done):
    return [entry.want.key for entry in done.part.entries if entry.granted]


def test_who_fits_is_granted_and_who_does_not_is_told_why():
    done = settled(told(None, part(services=(service(),)), [], [want(1, 30), want(2, 10)]))
    assert granted(done) == [1]
    assert done.part.entries[1].why == "needs 10.0 GB; 6.0 GB are free beside what services are expected to use"


def test_what_another_process_has_is_not_handed_out_again():
    theirs = settled(told(None, part(2), [], [want(1, 30)])).part
    assert granted(settled(told(None, part(1), [], [want(7, 20)]), theirs)) == []
    assert granted(settled(told(None, part(1), [], [want(7, 16)]), theirs)) == [7]


def test_what_was_granted_stays_so_until_it_begins_and_is_given_back_when_it_is_neither_waiting_nor_running():
    first = settled(told(None, part(), [], [want(1, 30)])).part
    again = settled(told(first, part(), [], [want(1, 30)])).part
    assert granted(settled(again)) == [1]
    begun = told(again, part(), [(want(1, 30), 5 * GB)], [])
    assert [(entry.begun, entry.used_bytes) for entry in begun.entries] == [(True, 5 * GB)]
    assert told(begun, part(), [], []).entries == ()


def test_one_that_yielded_and_waits_again_is_not_granted_what_it_had():
    begun = told(None, part(), [(want(1, 30), 5 * GB)], [])
    assert not told(begun, part(), [], [want(1, 30)]).entries[0].granted


def test_memory_of_dead_processes_is_free_and_those_that_are_silent_do_not_wait():
    theirs = told(None, part(2), [], [want(1, 40, rank=CRITICAL)])
    mine = told(None, part(1), [], [want(7, 20)])
    assert granted(settled(mine, theirs)) == []
    assert granted(settled(mine, *living([theirs], lambda pid, started: False))) == [7]
    assert granted(settled(mine, replace(theirs, at_s=theirs.at_s - SILENT_S - 1))) == [7]


def test_nobody_waits_for_memory_that_is_kept_for_a_run_without_a_place():
    theirs = told(None, part(2, places=-1), [], [want(1, 40)])
    assert granted(settled(told(None, part(1), [], [want(7, 20)]), theirs)) == [7]
    for places in (0, 1):  # one may always be granted: it gets the next place, whoever else waits for that
        mine = settled(told(None, part(places=places), [], [want(1, 10), want(2, 10)]))
        assert granted(mine) == [1]


def test_with_one_place_a_run_that_does_not_fit_is_passed_by_one_that_does():
    mine = settled(told(None, part(places=1, services=(service(),)), [], [want(1, 40), want(2, 5), want(3, 5)]))
    assert granted(mine) == [2]
    assert mine.part.entries[0].why.startswith("needs 40.0 GB; 36.0 GB are free"), mine


def test_two_runs_of_one_name_are_two():
    twin = Want(key=2, name="job-1", need_bytes=30 * GB, order=2)
    assert granted(settled(told(None, part(places=1), [], [want(1, 30), twin]))) == [1]


def test_a_run_that_needs_more_than_it_was_granted_asks_again():
    first = settled(told(None, part(), [], [want(1, 5)])).part
    theirs = settled(told(None, part(2), [], [want(9, 40)]), first).part
    assert granted(settled(told(first, part(), [], [want(1, 40)]), theirs)) == []


def test_what_another_project_said_of_its_service_long_ago_is_not_relied_on():
    mine = told(None, part(1), [], [want(1, 10)])
    theirs = part(2, services=(service(used=10, peak_bytes=40 * GB),))
    assert granted(settled(mine, theirs)) == [1]
    assert granted(settled(mine, replace(theirs, at_s=theirs.at_s - 60))) == []


def test_who_has_waited_until_critical_blocks_others_and_has_nobody_yield():
    held = [(want(1, 30, rank=LOW), GB)]
    theirs = told(None, part(2), held, [])
    waited = settled(told(None, part(1), [], [want(7, 30, rank=CRITICAL), want(8, 5, rank=HIGH)]), theirs)
    assert granted(waited) == []
    assert waited.part.entries[1].why == "job-7, which is CRITICAL, waits for memory"
    assert settled(theirs, waited.part).yields == ()


def test_one_that_waits_for_what_services_hold_keeps_nobody_back():
    mine = told(None, part(services=(service(used=20),)), [], [want(7, 40, rank=CRITICAL), want(8, 5)])
    assert granted(settled(mine)) == [8]


def test_a_growing_service_has_the_run_yield_once_and_says_so():
    grown = replace(service(used=10), soon_bytes=30 * GB)
    mine = told(None, part(services=(grown,)), [(want(1, 20), 18 * GB)], [])
    done = settled(mine)
    assert done.yields == ((1, "yielded: api may soon use 30.0 GB"),)
    assert settled(done.part).yields == ()
    # It is remembered as yielding, as long as it is worked on.
    assert told(done.part, part(), [(want(1, 20), 18 * GB)], []).entries[0].yielding is not None


def test_each_process_stops_only_its_own_runs():
    grown = replace(service(used=10), soon_bytes=30 * GB)
    theirs = told(None, part(2), [(want(1, 20), 18 * GB)], [])
    mine = part(1, services=(grown,))
    assert settled(mine, theirs).yields == ()
    assert [key for key, _ in settled(theirs, mine).yields] == [1]


def test_a_critical_run_has_low_ones_of_other_projects_yield():
    urgent = told(None, part(1), [], [want(7, 30, rank=CRITICAL, preempts=True)])
    theirs = told(None, part(2), [(want(1, 20, rank=LOW), GB)], [])
    assert settled(urgent, theirs).part.entries[0].why is not None
    assert settled(theirs, urgent).yields == ((1, "yielded to job-7 of /p1, which is CRITICAL"),)


def test_where_no_place_is_left_the_newest_low_run_makes_one_for_a_critical_one():
    held = [(want(1, 1, rank=LOW), GB), (want(2, 1, rank=LOW), GB), (want(3, 1, rank=NORMAL), GB)]
    mine = told(None, part(places=0), held, [want(9, 1, rank=CRITICAL, preempts=True)])
    done = settled(mine)
    assert done.yields == ((2, "yielded to job-9, which is CRITICAL"),)
    assert settled(done.part).yields == (), "one is enough"
    assert settled(told(None, part(places=0), held, [want(9, 1, rank=HIGH)])).yields == ()


def test_only_whose_service_it_is_asks_it_to_release_and_wakes_it():
    idle = service(used=30, gain_bytes=30 * GB)
    mine = told(None, part(1), [], [want(7, 20)])
    assert settled(mine, part(2, services=(idle,))).releases == ()
    told_by_it = settled(part(2, services=(idle,)), mine)
    assert told_by_it.releases == (("api", "job-7 of /p1"),)
    assert told_by_it.runs == {"job-7 of /p1": False}, "it is known whether that one has begun"
    asleep = service(used=1, released_bytes=30 * GB, wanted=True)
    assert settled(part(1), part(2, services=(asleep,))).wakes == ()
    assert settled(part(2, services=(asleep,)), part(1)).wakes == ("api",)


def test_the_rest_of_the_machine_counts_once_and_the_service_of_two_projects_too():
    rest, api = service("the rest", 5, serves=False), service("api", 10)
    found = services_of(part(1, services=(rest, api)), [part(2, services=(rest, api, service("other", 3)))])
    assert sorted(one.name for one in found) == ["api", "other", "the rest"]


def test_a_part_survives_json():
    mine = told(None, part(services=(service(),)), [(want(1, 3), None)], [want(2, 5, known=False)])
    assert mine.who == ("/p1", 1, 1.0)
    assert part_of(json.loads(json.dumps(asdict(settled(mine).part)))) == settled(mine).part


def test_who_waited_long_enough_counts_as_more_urgent_and_in_the_end_as_critical():
    bonus = {CRITICAL: 24 * HOUR, HIGH: 4 * HOUR, NORMAL: HOUR, LOW: 0}
    for rank, ahead in bonus.items():
        assert rank_of(ahead, due_us=5 * HOUR, now_us=5 * HOUR) == rank
    assert rank_of(0, due_us=0, now_us=4 * HOUR) == HIGH
    assert rank_of(0, due_us=0, now_us=24 * HOUR) == CRITICAL


@settings(max_examples=60, stateful_step_count=40)
class Projects(RuleBasedStateMachine):
    """Three processes that want, begin, end, die, in any order, each deciding for itself under the lock."""

    def __init__(self):
        super().__init__()
        self.parts = {}
        self.wanted = {pid: [] for pid in (1, 2, 3)}
        self.held = {pid: [] for pid in (1, 2, 3)}
        self.number = 0
        self.api = 10
        self.parts[4] = part(4, services=(service(used=self.api),))

    def _look(self, pid):
        mine = part(pid, places=3 - len(self.held[pid]))
        held = [(one, one.need_bytes) for one in self.held[pid]]
        now = told(self.parts.get(pid), mine, held, self.wanted[pid])
        others = [other for who, other in self.parts.items() if who != pid]
        done = settle(now, others, LIMITS)
        self.parts[pid] = done.part
        return done

    @rule(pid=st.sampled_from([1, 2, 3]), gb=st.integers(1, 40), rank=st.sampled_from([CRITICAL, HIGH, NORMAL, LOW]))
    def want_some(self, pid, gb, rank):
        self.number += 1
        self.wanted[pid].append(want(self.number, gb, rank=rank))
        self._look(pid)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def look(self, pid):
        done = self._look(pid)
        stopped = {key for key, _ in done.yields}
        # One that yields gives its memory back and waits again.
        for one in [one for one in self.held[pid] if one.key in stopped]:
            self.held[pid].remove(one)
            self.wanted[pid].append(one)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def begin(self, pid):
        known = {entry.want.key for entry in self.parts.get(pid, part(pid)).entries if entry.granted}
        for one in [one for one in self.wanted[pid] if one.key in known]:
            self.wanted[pid].remove(one)
            self.held[pid].append(one)
        assert len(self.held[pid]) <= 4, "more were granted memory than could begin"
        self._look(pid)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def end_one(self, pid):
        if self.held[pid]:
            self.held[pid].pop(0)
            self._look(pid)

    @rule(pid=st.sampled_from([1, 2, 3]))
    def die(self, pid):
        self.parts.pop(pid, None)
        self.wanted[pid] += self.held[pid]
        self.held[pid] = []

    @rule(gb=st.integers(0, 46))
    def service_moves(self, gb):
        # Who has to yield to one that grows into what others hold is tested with the policy.
        if self._taken() + gb * GB <= LIMITS.capacity_bytes - LIMITS.reserve_bytes:
            self.api = gb
            self.parts[4] = part(4, services=(service(used=gb),))

    def _taken(self):
        entries = [entry for one in self.parts.values() for entry in one.entries if entry.granted]
        return sum(entry.want.need_bytes for entry in entries)

    @invariant()
    def nothing_is_handed_out_twice(self):
        assert self._taken() + self.api * GB <= LIMITS.capacity_bytes - LIMITS.reserve_bytes

    def teardown(self):
        """Whatever has happened: when all go on, whoever fits beside the service has its turn at last."""
        room = LIMITS.room_bytes - self.api * GB
        for _ in range(2 * self.number + 3):
            for pid in (1, 2, 3):
                self.look(pid)
                self.begin(pid)
                self.end_one(pid)
        waiting = [one.name for wanted in self.wanted.values() for one in wanted if one.need_bytes <= room]
        assert not waiting, "it would fit alone"


TestProjects = pytest.mark.no_cover(Projects.TestCase)
