"""Which runs start: order, limits, locks, and that nobody who passes a waiting run delays it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.ids import RunId
from overnight.engine.model import Needs
from overnight.engine.queue import Busy, Candidate, Capacity, Choice, Why, choose, limit_us

NOW = 1_000


def candidate(
    run_id: int,
    *,
    task: str | None = None,
    cpus: float = 0,
    locks: Sequence[str] = (),
    limit: int | None = None,
    most: int | None = None,
) -> Candidate:
    needs = Needs(cpus=cpus, locks=tuple(locks))
    return Candidate(
        run_id=RunId(run_id), task_id=task or f"task{run_id}", needs=needs, limit_us=limit, max_concurrent=most
    )


def pick(candidates: Sequence[Candidate], busy: Sequence[Busy] = (), *, slots: int = 9, cpus: float = 4) -> Choice:
    return choose(candidates, busy, Capacity(slots=slots, cpus=cpus), NOW)


def test_runs_start_in_order_until_the_slots_are_taken() -> None:
    choice = pick([candidate(n) for n in range(5)], [Busy(task_id="x")], slots=3)
    assert choice.start == (0, 1)
    assert set(choice.waiting.values()) == {Why.FULL}


def test_what_other_workers_do_takes_no_slot_and_no_cores_but_holds_locks_and_counts_for_its_task() -> None:
    busy = [
        Busy(task_id="pair", needs=Needs(cpus=4), here=False),
        Busy(task_id="", needs=Needs(locks=("gpu",)), here=False),
    ]
    runs = [
        candidate(1, task="pair", most=1, cpus=1),
        candidate(2, locks=("gpu",)),
        candidate(3, cpus=4),
    ]
    choice = pick(runs, busy, slots=1)
    assert choice.waiting == {1: Why.TASK_LIMIT, 2: Why.LOCK}
    assert choice.start == (3,)


def test_run_that_can_never_fit_holds_nobody_up() -> None:
    choice = pick([candidate(1, cpus=5), candidate(2, cpus=4)])
    assert (choice.start, choice.waiting) == ((2,), {1: Why.NEVER})


def test_task_limit_counts_what_works_and_what_starts_now() -> None:
    runs = [candidate(n, task="t", most=2) for n in range(4)]
    assert pick(runs, [Busy(task_id="t")]).start == (0,)
    assert pick([candidate(n, task="t", most=None) for n in range(4)]).start == (0, 1, 2, 3)


def test_two_runs_with_one_lock_do_not_start_together_and_the_locks_of_a_waiting_one_stay_free_for_it() -> None:
    runs = [candidate(1, locks=("a", "b")), candidate(2, locks=("b", "c")), candidate(3, locks=("c",)), candidate(4)]
    choice = pick(runs)
    assert choice.start == (1, 4)
    assert choice.waiting == {2: Why.LOCK, 3: Why.LOCK}


def test_smaller_run_passes_if_it_ends_in_time_or_fits_beside() -> None:
    busy = [Busy(task_id="x", needs=Needs(cpus=3), ends_us=NOW + 100)]
    head = candidate(1, cpus=3)
    assert pick([head, candidate(2, cpus=1, limit=100)], busy).start == (2,)
    # Three of four cores go to the head at NOW + 100: one is over, whatever takes it may stay.
    assert pick([head, candidate(2, cpus=1, limit=101)], busy).start == (2,)
    assert pick([head, candidate(2, cpus=1)], busy).start == (2,)
    greedy = pick([candidate(1, cpus=4), candidate(2, cpus=1, limit=101)], busy)
    assert (greedy.start, greedy.waiting) == ((), {1: Why.CPUS, 2: Why.BEHIND})
    assert pick([candidate(1, cpus=4), candidate(2, cpus=1, limit=100)], busy).start == (2,)
    # The one spare core is given away once, though two are free now.
    half = [Busy(task_id="x", needs=Needs(cpus=2), ends_us=NOW + 100)]
    two = pick([head, candidate(2, cpus=1), candidate(3, cpus=1), candidate(4, cpus=1, limit=100)], half)
    assert (two.start, two.waiting) == ((2, 4), {1: Why.CPUS, 3: Why.BEHIND})


def test_passing_run_leaves_the_slot_of_the_waiting_one() -> None:
    busy = [Busy(task_id="x", needs=Needs(cpus=4), ends_us=NOW + 100)]
    choice = pick([candidate(1, cpus=4), candidate(2), candidate(3)], busy, slots=2)
    assert (choice.start, choice.waiting) == ((2,), {1: Why.CPUS, 3: Why.FULL})
    choice = pick([candidate(1, cpus=4), candidate(2)], [*busy, Busy(task_id="y", ends_us=None)], slots=3)
    assert choice.start == (2,)
    crowded = [Busy(task_id="x", needs=Needs(cpus=4), ends_us=NOW + 100, here=True)]
    choice = pick([candidate(1, cpus=4), candidate(2), candidate(3, limit=50)], crowded, slots=3)
    assert choice.start == (2, 3)


def test_run_that_passes_takes_no_lock_of_the_one_that_waits_for_cores() -> None:
    busy = [Busy(task_id="x", needs=Needs(cpus=3), ends_us=NOW + 100)]
    choice = pick([candidate(1, cpus=2, locks=("gpu",)), candidate(2, locks=("gpu",), limit=1)], busy)
    assert choice.waiting == {1: Why.CPUS, 2: Why.LOCK}


def test_run_that_waits_for_a_lock_keeps_the_cores_that_it_will_need() -> None:
    busy = [Busy(task_id="x", needs=Needs(cpus=1, locks=("gpu",)), ends_us=NOW + 100)]
    runs = [candidate(1, cpus=3, locks=("gpu",)), candidate(2, cpus=2, limit=101), candidate(3, cpus=2, limit=100)]
    choice = pick(runs, busy)
    assert (choice.start, choice.waiting) == ((3,), {1: Why.LOCK, 2: Why.BEHIND})


def test_where_nobody_knows_the_end_only_what_fits_beside_may_pass() -> None:
    busy = [Busy(task_id="x", needs=Needs(cpus=3), ends_us=None)]
    assert pick([candidate(1, cpus=4), candidate(2, cpus=1, limit=1)], busy).start == ()
    assert pick([candidate(1, cpus=3), candidate(2, cpus=1)], busy).start == (2,)


def test_remaining_limit_is_what_is_left_and_never_below_zero() -> None:
    assert limit_us(None, 5) is None
    assert limit_us(2.0, 500_000) == 1_500_000
    assert limit_us(1.0, 2_000_000) == 0


LOCKS = ("a", "b")
needs = st.builds(
    lambda cpus, held: Needs(cpus=cpus, locks=tuple(held)), st.integers(0, 4), st.sets(st.sampled_from(LOCKS))
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Candidate], list[Busy], Capacity]:
    """A machine that keeps its limits, with honest ends, and a queue; all runs of a task have the same needs."""
    capacity = Capacity(slots=draw(st.integers(1, 5)), cpus=4)
    of_task = {f"t{n}": draw(needs) for n in range(4)}
    busy: list[Busy] = []
    for _ in range(draw(st.integers(0, 5))):
        run = Busy(task_id=draw(st.sampled_from(sorted(of_task))), ends_us=NOW + draw(st.integers(1, 50)))
        run = Busy(task_id=run.task_id, needs=of_task[run.task_id], ends_us=run.ends_us)
        if fits([*busy, run], capacity):
            busy.append(run)
    limits = {task: draw(st.none() | st.integers(1, 60)) for task in of_task}
    most = {task: draw(st.none() | st.integers(1, 2)) for task in of_task}
    queue = [
        Candidate(
            run_id=RunId(number), task_id=task, needs=of_task[task], limit_us=limits[task], max_concurrent=most[task]
        )
        for number, task in enumerate(draw(st.lists(st.sampled_from(sorted(of_task)), max_size=8)))
    ]
    return queue, busy, capacity


def fits(busy: Sequence[Busy], capacity: Capacity) -> bool:
    held = [lock for run in busy for lock in run.needs.locks]
    return (
        len(busy) <= capacity.slots
        and sum(run.needs.cpus for run in busy) <= capacity.cpus
        and len(held) == len(set(held))
    )


def as_busy(run: Candidate) -> Busy:
    return Busy(task_id=run.task_id, needs=run.needs, ends_us=None if run.limit_us is None else NOW + run.limit_us)


def earliest(run: Candidate, busy: Sequence[Busy], capacity: Capacity) -> float:
    """By trying every instant: when could the run start if nothing else did?"""
    instants = sorted({NOW, *(one.ends_us for one in busy if one.ends_us is not None)})
    for at in instants:
        still = [one for one in busy if one.ends_us is None or one.ends_us > at]
        if fits([*still, as_busy(run)], capacity):
            return at
    return math.inf


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_choice_keeps_every_limit_and_explains_every_run(
    scene: tuple[list[Candidate], list[Busy], Capacity],
) -> None:
    queue, busy, capacity = scene
    choice = choose(queue, busy, capacity, NOW)
    assert sorted([*choice.start, *choice.waiting]) == [run.run_id for run in queue]
    assert list(choice.start) == sorted(choice.start), "in the order of the queue"
    started = [run for run in queue if run.run_id in choice.start]
    assert fits([*busy, *map(as_busy, started)], capacity)
    before = [one.task_id for one in busy]
    for run in started:
        working = before + [other.task_id for other in started]
        assert run.max_concurrent is None or working.count(run.task_id) <= max(
            run.max_concurrent, before.count(run.task_id)
        )


@pytest.mark.no_cover
@settings(max_examples=200, deadline=None)
@given(scenes())
def test_first_waiting_run_is_never_delayed_by_those_that_pass_it(
    scene: tuple[list[Candidate], list[Busy], Capacity],
) -> None:
    queue, busy, capacity = scene
    choice = choose(queue, busy, capacity, NOW)
    head = next((run for run in queue if choice.waiting.get(run.run_id) in (Why.CPUS, Why.LOCK)), None)
    if head is None:
        return
    ahead = [as_busy(run) for run in queue if run.run_id in choice.start and run.run_id < head.run_id]
    behind = [as_busy(run) for run in queue if run.run_id in choice.start and run.run_id > head.run_id]
    alone = earliest(head, [*busy, *ahead], capacity)
    assert alone == math.inf or earliest(head, [*busy, *ahead, *behind], capacity) <= alone


@pytest.mark.no_cover
@settings(max_examples=200, deadline=None)
@given(scenes())
def test_run_at_the_head_of_the_queue_starts_if_it_fits(
    scene: tuple[list[Candidate], list[Busy], Capacity],
) -> None:
    queue, busy, capacity = scene
    if not queue:
        return
    head = queue[0]
    room = head.max_concurrent is None or [one.task_id for one in busy].count(head.task_id) < head.max_concurrent
    starts = choose(queue, busy, capacity, NOW).start[:1] == (head.run_id,)
    assert starts == (room and fits([*busy, as_busy(head)], capacity))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), needs, st.integers(1, 20)), min_size=1, max_size=25).map(
        lambda given: sorted(given, key=lambda one: one[0])
    )
)
def test_nobody_waits_for_ever_whatever_arrives(arrivals: list[tuple[int, Needs, int]]) -> None:
    """Honest limits: every run starts before all that came before it could take, one after another."""
    capacity = Capacity(slots=2, cpus=4)
    queue: list[tuple[int, Candidate]] = []
    busy: dict[int, Busy] = {}
    waited: dict[int, int] = {}
    pending = [
        (at, Candidate(run_id=RunId(n), task_id=f"t{n}", needs=need, limit_us=length))
        for n, (at, need, length) in enumerate(arrivals)
    ]
    now = 0
    while pending or queue:
        queue += [item for item in pending if item[0] <= now]
        pending = [item for item in pending if item[0] > now]
        busy = {n: one for n, one in busy.items() if one.ends_us is not None and one.ends_us > now}
        choice = choose([run for _, run in queue], list(busy.values()), capacity, now)
        for at, run in queue:
            if run.run_id in choice.start:
                assert run.limit_us is not None
                busy[run.run_id] = Busy(task_id=run.task_id, needs=run.needs, ends_us=now + run.limit_us)
                waited[run.run_id] = now - at
        queue = [item for item in queue if item[1].run_id not in choice.start]
        now += 1
        assert now < 2_000, f"{len(queue)} runs never start"
    for number, wait in waited.items():
        assert wait <= sum(length for _, _, length in arrivals[:number]) + 40


def test_reservation_counts_no_cores_of_other_workers_and_none_is_made_for_a_lock_that_one_of_them_holds() -> None:
    busy = [
        Busy(task_id="far", needs=Needs(cpus=4), ends_us=NOW + 1, here=False),
        Busy(task_id="x", needs=Needs(cpus=4), ends_us=NOW + 100),
    ]
    assert pick([candidate(1, cpus=4), candidate(2, limit=100)], busy).start == (2,)
    assert pick([candidate(1, cpus=4), candidate(2)], busy, slots=2).start == (2,)
    assert pick([candidate(1, cpus=4), candidate(2), candidate(3)], busy, slots=2).start == (2,)
    far = [Busy(task_id="", needs=Needs(locks=("gpu",)), here=False)]
    assert pick([candidate(1, locks=("gpu",)), candidate(2)], far, slots=1).start == (2,)


def test_a_run_that_was_granted_no_memory_waits_and_those_behind_it_do_not() -> None:
    waits = replace(candidate(1), needs=Needs(memory_gb=4), admitted=False)
    choice = choose([waits, candidate(2)], [], Capacity(slots=9, cpus=4), NOW)
    assert (choice.start, choice.waiting) == ((2,), {1: Why.MEMORY})


def test_more_memory_than_the_machine_has_never_comes_but_what_is_only_assumed_may() -> None:
    asked = {basis: Needs(memory_gb=40, memory_basis=basis) for basis in ("given", "estimated", "assumed")}
    runs = [replace(candidate(place), needs=needs) for place, needs in enumerate(asked.values())]
    choice = choose(runs, [], Capacity(slots=9, cpus=4, memory_gb=24), NOW)
    assert (choice.start, set(choice.waiting.values())) == ((2,), {Why.NEVER})
