"""Who starts, who yields and why the others wait: whatever the situation, memory is not hoped for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.resources.forecast import Series, forecast, series_of
from overnight.resources.policy import (
    CRITICAL,
    GB,
    LOW,
    NORMAL,
    Decision,
    Running,
    Service,
    Situation,
    Waiting,
    decide,
    service_of,
)


def service(used=20, soon=None, start=None, later=None, *, name="api", peak=None, stale=False):
    soon = used if soon is None else soon
    start = soon if start is None else start
    later = start if later is None else later
    return Service(
        name=name,
        used_bytes=used * GB,
        soon_bytes=soon * GB,
        start_bytes=start * GB,
        later_bytes=later * GB,
        peak_bytes=None if peak is None else peak * GB,
        stale=stale,
    )


def unmeasured(peak=None):
    return Service(
        name="api",
        used_bytes=None,
        soon_bytes=None,
        start_bytes=None,
        later_bytes=None,
        peak_bytes=None if peak is None else peak * GB,
    )


def running(name, gb, **more):
    return Running(name=name, reserved_bytes=gb * GB, **more)


def waiting(name, gb, **more):
    return Waiting(name=name, need_bytes=gb * GB, **more)


def decided(*, services=(), jobs=(), queue=(), capacity=48, reserve=0):
    return decide(
        Situation(
            capacity_bytes=capacity * GB,
            reserve_bytes=reserve * GB,
            services=list(services),
            running=list(jobs),
            waiting=list(queue),
        )
    )


# -- starts


def test_a_job_starts_beside_what_services_are_expected_to_use():
    assert decided(services=[service(20, 30)], queue=[waiting("a", 16)]).starts == ("a",)
    late = decided(services=[service(20, 36)], queue=[waiting("a", 16)])
    assert late == Decision(
        waits=(("a", "needs 16.0 GB; 12.0 GB are free beside what services are expected to use"),),
    )


def test_the_host_keeps_its_reserve_and_jobs_keep_what_they_hold():
    jobs = [running("old", 8)]
    assert decided(services=[service(20)], jobs=jobs, queue=[waiting("a", 20)]).starts == ("a",)
    assert decided(services=[service(20)], jobs=jobs, queue=[waiting("a", 20)], reserve=1).starts == ()
    grown = [running("old", 8, used_bytes=9 * GB)]
    assert decided(services=[service(20)], jobs=grown, queue=[waiting("a", 20)]).starts == ()


def test_the_queue_is_served_by_urgency_then_order_and_what_does_not_fit_lets_others_by():
    queue = [waiting("late", 8, order=2), waiting("big", 40, order=1), waiting("urgent", 8, order=3, rank=CRITICAL)]
    told = decided(services=[service(20)], queue=queue)
    assert told.starts == ("urgent", "late")
    assert told.waits == (("big", "needs 40.0 GB; 20.0 GB are free beside what services are expected to use"),)


def test_what_never_fits_is_told_so():
    [(_, why)] = decided(queue=[waiting("a", 60)], reserve=4).waits
    assert why == "needs 60.0 GB; the machine has 44.0 GB for services and jobs together"


def test_a_job_that_cannot_yield_looks_at_what_services_need_while_it_runs():
    services = [service(20, later=36)]
    assert decided(services=services, queue=[waiting("a", 16)]).starts == ("a",)
    assert decided(services=services, queue=[waiting("a", 16, yields=False)]).starts == ()


# -- probes that failed


def test_a_stale_probe_keeps_the_peak_free():
    queue = [waiting("a", 16)]
    assert decided(services=[service(20, peak=40)], queue=queue).starts == ("a",)
    assert decided(services=[service(20, peak=40, stale=True)], queue=queue).starts == ()
    assert decided(services=[unmeasured(peak=40)], queue=queue).starts == ()
    assert decided(services=[unmeasured(peak=30)], queue=queue).starts == ("a",)


def test_nothing_starts_beside_a_service_of_which_nothing_is_known():
    told = decided(services=[unmeasured()], queue=[waiting("a", 1)])
    assert told == Decision(waits=(("a", "nothing is known about what api uses"),))
    critical = decided(
        services=[unmeasured()], jobs=[running("low", 4, rank=LOW)], queue=[waiting("a", 1, rank=CRITICAL)]
    )
    assert critical.yields == ()


def test_a_failed_probe_alone_makes_nobody_yield():
    assert decided(services=[unmeasured(peak=40)], jobs=[running("a", 16)]).yields == ()
    assert decided(services=[service(20, 30, peak=40, stale=True)], jobs=[running("a", 16)]).yields == ()
    assert decided(services=[service(20, 33, peak=40, stale=True)], jobs=[running("a", 16)]).yields == ("a",)


LOOKS = {"yield_s": 10.0, "look_s": 1.0, "job_s": 7200.0}


def test_a_service_is_what_its_series_tells_and_stale_when_nobody_looked_for_long():
    series = series_of([*((float(second), 20 * GB) for second in range(1500)), (1500.0, 18 * GB)])
    told = service_of("api", series, now_s=1501, stale_s=5, **LOOKS)
    expected = forecast(series, now_s=1501, **LOOKS)
    assert (told.soon_bytes, told.start_bytes) == (expected.soon_bytes, expected.start_bytes)
    assert (told.used_bytes, told.peak_bytes, told.later_bytes) == (18 * GB, 20 * GB, expected.later_bytes)
    assert told.known
    blind = service_of("api", series, now_s=9000, stale_s=5, **LOOKS)
    assert (blind.soon_bytes, blind.stale, blind.known) == (20 * GB, True, False)
    assert not service_of("api", Series(), now_s=0, stale_s=5, **LOOKS).known


# -- yields


def test_the_least_urgent_and_newest_yields_and_no_more_than_needed():
    jobs = [running("old", 8, order=1), running("new", 8, order=2), running("urgent", 8, order=3, rank=CRITICAL)]
    assert decided(services=[service(20, 24)], jobs=jobs).yields == ()
    assert decided(services=[service(20, 25)], jobs=jobs).yields == ("new",)
    assert decided(services=[service(20, 34)], jobs=jobs).yields == ("new", "old")
    assert decided(services=[service(20, 41)], jobs=jobs).yields == ("new", "old", "urgent")


def test_who_yields_already_is_not_counted_and_who_turned_out_unneeded_stays():
    jobs = [running("going", 8, order=2, yielding=True), running("staying", 8, order=1)]
    assert decided(services=[service(20, 40)], jobs=jobs).yields == ()
    small_first = [running("small", 2, order=2), running("large", 16, order=1)]
    assert decided(services=[service(20, 40)], jobs=small_first).yields == ("large",)


def test_who_cannot_yield_is_not_asked():
    jobs = [running("fixed", 16, yields=False), running("a", 8)]
    assert decided(services=[service(20, 40)], jobs=jobs).yields == ("a",)


def test_the_memory_of_who_yields_is_not_free_yet():
    jobs = [running("going", 16, yielding=True)]
    [(_, why)] = decided(services=[service(20)], jobs=jobs, queue=[waiting("a", 16)]).waits
    assert why == "needs 16.0 GB; 12.0 GB are free beside what services are expected to use"


def test_a_critical_job_makes_low_ones_yield_and_nobody_slips_in():
    jobs = [running("low 1", 10, rank=LOW, order=1), running("low 2", 10, rank=LOW, order=2)]
    queue = [waiting("c", 16, rank=CRITICAL), waiting("n", 2)]
    told = decided(services=[service(20)], jobs=jobs, queue=queue)
    assert (told.starts, told.yields) == ((), ("low 2",))
    assert told.waits == (
        ("c", "needs 16.0 GB; 8.0 GB are free beside what services are expected to use; low 2 yields"),
        ("n", "c, which is CRITICAL, waits for memory"),
    )
    going = [jobs[0], replace(jobs[1], yielding=True)]
    assert decided(services=[service(20)], jobs=going, queue=queue).yields == ()


def test_nobody_yields_to_a_critical_job_if_that_is_not_enough_nor_to_one_that_never_fits():
    jobs = [running("low", 4, rank=LOW), running("normal", 20)]
    assert decided(services=[service(20)], jobs=jobs, queue=[waiting("c", 16, rank=CRITICAL)]).yields == ()
    told = decided(services=[service(20)], jobs=jobs, queue=[waiting("c", 60, rank=CRITICAL), waiting("n", 2)])
    assert (told.starts, told.yields) == (("n",), ())


# -- whatever the situation

gigabytes = st.integers(0, 30)
services = st.builds(
    lambda used, soon, start, later, peak, stale, place: service(
        used, used + soon, used + soon + start, used + soon + start + later, peak=peak, stale=stale, name=f"s{place}"
    ),
    gigabytes,
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 10),
    st.none() | gigabytes,
    st.booleans(),
    st.integers(0, 99),
)
ranks = st.integers(CRITICAL, LOW)
jobs = st.lists(
    st.builds(
        lambda gb, used, rank, order, yields, yielding: {
            "gb": gb,
            "used_bytes": used,
            "rank": rank,
            "order": order,
            "yields": yields,
            "yielding": yielding,
        },
        st.integers(1, 16),
        st.none() | st.integers(0, 20 * GB),
        ranks,
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
    ),
    max_size=5,
).map(lambda rows: [running(f"r{place}", row.pop("gb"), **row) for place, row in enumerate(rows)])
queues = st.lists(st.tuples(st.integers(1, 60), ranks, st.integers(0, 3), st.booleans()), max_size=6).map(
    lambda rows: [
        waiting(f"w{place}", gb, rank=rank, order=order, yields=yields)
        for place, (gb, rank, order, yields) in enumerate(rows)
    ]
)
situations = st.builds(
    lambda room, reserve, served, has, wants: Situation(
        capacity_bytes=room * GB, reserve_bytes=reserve * GB, services=served, running=has, waiting=wants
    ),
    st.integers(0, 100),
    st.integers(0, 10),
    st.lists(services, max_size=3, unique_by=lambda one: one.name),
    jobs,
    queues,
)


def started_bytes(situation):
    starts = decide(situation).starts
    return sum(job.need_bytes for job in situation.waiting if job.name in starts)


@given(situations)
def test_what_starts_fits_by_the_forecast(situation):
    starts = decide(situation).starts
    if not starts:
        return
    held = sum(job.held_bytes for job in situation.running) + started_bytes(situation)
    expected = sum(
        max(one.start_bytes, one.peak_bytes or 0) if one.stale else one.start_bytes for one in situation.services
    )
    assert held + expected <= situation.room_bytes
    if any(not job.yields for job in situation.waiting if job.name in starts):
        before_last = [job for job in situation.waiting if job.name in starts and not job.yields]
        least = min(job.need_bytes for job in before_last)
        later = sum(one.later_bytes for one in situation.services)
        assert sum(job.held_bytes for job in situation.running) + least + later <= situation.room_bytes


@given(situations)
def test_everybody_is_told_something_once_and_only_running_jobs_yield(situation):
    told = decide(situation)
    named = [*told.starts, *(name for name, _ in told.waits)]
    assert sorted(named) == sorted(job.name for job in situation.waiting)
    may = {job.name for job in situation.running if job.yields and not job.yielding}
    assert set(told.yields) <= may
    assert all(why for _, why in told.waits)


@given(situations, st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_means_nothing(situation, random):
    def shuffled(items):
        return random.sample(list(items), len(items))

    other = replace(
        situation,
        services=shuffled(situation.services),
        running=shuffled(situation.running),
        waiting=shuffled(situation.waiting),
    )
    assert decide(other) == decide(situation)


@given(situations, st.integers(0, 20), st.booleans())
def test_less_free_memory_never_starts_more(situation, less, yields):
    # What is free is another number for jobs that cannot yield: one kind at a time.
    situation = replace(situation, waiting=[replace(job, yields=yields) for job in situation.waiting])
    fuller = replace(situation, services=[*situation.services, service(less, name="another")])
    assert started_bytes(fuller) <= started_bytes(situation)


@given(situations, st.booleans())
def test_a_stale_probe_never_starts_more_than_a_fresh_one(situation, yields):
    situation = replace(situation, waiting=[replace(job, yields=yields) for job in situation.waiting])
    fresh = replace(situation, services=[replace(one, stale=False) for one in situation.services])
    stale = replace(situation, services=[replace(one, stale=True) for one in situation.services])
    failed = replace(situation, services=[replace(one, used_bytes=None) for one in situation.services])
    assert started_bytes(stale) <= started_bytes(fresh)
    assert started_bytes(failed) <= started_bytes(fresh)


@given(situations)
def test_a_critical_job_never_yields_for_another_job(situation):
    alone = set(decide(replace(situation, waiting=[])).yields)
    preempted = set(decide(situation).yields) - alone
    assert {job.rank for job in situation.running if job.name in preempted} <= {LOW}


@given(situations)
def test_no_critical_job_yields_to_services_while_a_low_one_that_would_do_stays(situation):
    told = set(decide(replace(situation, waiting=[])).yields)
    critical = [job for job in situation.running if job.name in told and job.rank == CRITICAL]
    staying = [job for job in situation.running if job.name not in told and job.yields and not job.yielding]
    for job in critical:
        assert not any(other.rank > job.rank and other.held_bytes >= job.held_bytes for other in staying)


@given(situations)
def test_after_the_yields_it_fits_or_nobody_is_left_who_could(situation):
    told = set(decide(replace(situation, waiting=[])).yields)
    staying = [job for job in situation.running if job.name not in told and not job.yielding]
    need = sum(one.soon_bytes for one in situation.services) + sum(job.held_bytes for job in staying)
    assert need <= situation.room_bytes or not any(job.yields for job in staying)


@pytest.mark.parametrize("rank", [CRITICAL, NORMAL, LOW])
def test_an_empty_machine_takes_any_job_that_fits(rank):
    assert decided(queue=[waiting("a", 48, rank=rank)]).starts == ("a",)
