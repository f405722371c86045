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
    service_of,
)
from overnight.resources.sharing import decide as decide_everywhere


def decide(situation):
    """Return what is decided about one place."""
    return decide_everywhere(situation).machine


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
    three = [running("small", 2, order=3), running("little", 2, order=2), running("large", 16, order=1)]
    assert decided(services=[service(20, 43)], jobs=three).yields == ("large",)
    assert decided(services=[service(20, 45)], jobs=three).yields == ("large", "small"), (
        "one of the small ones is needed"
    )


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
    enough = [running("low", 8, rank=LOW), running("normal", 12)]
    assert decided(services=[service(20)], jobs=enough, queue=[waiting("c", 16, rank=CRITICAL)]).yields == ("low",)
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


# -- services that are asked for their memory, and jobs of unknown size


def asleep(held, used=1, *, wanted):
    return replace(service(used, used), released_bytes=held * GB, wanted=wanted)


def test_an_idle_service_is_asked_where_the_job_can_then_start_and_only_as_few_as_it_takes():
    idle = [replace(service(20, 20, name="a"), gain_bytes=20 * GB), replace(service(8, 8, name="b"), gain_bytes=8 * GB)]
    assert decided(services=idle, queue=[waiting("j", 30)]).releases == (("a", "j"),)
    assert decided(services=idle, queue=[waiting("j", 44)]).releases == (("a", "j"), ("b", "j"))
    assert decided(services=idle, queue=[waiting("j", 20)]).releases == (), "it fits as it is"
    busy = [service(20, 20, name="a"), idle[1]]
    assert decided(services=busy, queue=[waiting("j", 30)]).releases == (), "in vain"
    assert decided(services=idle, queue=[waiting("j", 30, yields=False)]).releases == ()


def test_services_are_asked_for_the_first_job_only():
    idle = [replace(service(20, 20, name="a"), gain_bytes=20 * GB)]
    both = [waiting("first", 40, order=1), waiting("second", 30, order=2)]
    assert decided(services=idle, queue=both).releases == (("a", "first"),)


def test_a_released_service_is_woken_when_it_is_wanted_and_its_memory_is_free():
    assert decided(services=[asleep(20, wanted=False)]).wakes == ()
    assert decided(services=[asleep(20, wanted=True)]).wakes == ("api",)
    full = decided(services=[asleep(20, wanted=True)], jobs=[running("j", 40)])
    assert (full.wakes, full.yields) == ((), ("j",)), "who is in its way yields"
    assert decided(services=[asleep(20, wanted=True)], queue=[waiting("j", 40)]).starts == ()
    assert decided(services=[asleep(20, wanted=False)], queue=[waiting("j", 40)]).starts == ("j",)


def test_services_come_back_as_far_as_memory_is_free_beside_jobs_services_and_each_other():
    one, other = (replace(asleep(20, wanted=True), name=name) for name in ("a", "b"))
    assert decided(services=[one, other], jobs=[running("j", 8)]).wakes == ("a", "b")
    # 38 GB are free beside what they use, and each lacks 19.
    assert decided(services=[one, other], jobs=[running("j", 9)]).wakes == ("a",)
    awake = service(20, name="c")
    assert decided(services=[one, awake], jobs=[running("j", 8)]).wakes == ("a",)
    assert decided(services=[one, awake], jobs=[running("j", 9)]).wakes == ()
    large = replace(one, used_bytes=15 * GB)
    assert decided(services=[large], jobs=[running("j", 28)]).wakes == ("a",), "it lacks 5 GB only"


def test_a_job_of_unknown_size_does_not_start_beside_a_busy_service():
    def told(*services, **job):
        queue = [waiting("j", 5, known=False, **job)]
        return decide(Situation(capacity_bytes=48 * GB, busy_bytes=20 * GB, services=services, waiting=queue))

    found = told(service(21, 21))
    assert found.waits == (
        ("j", "what it needs is not known, and these services are busy: api (21.0 GB); set its memory_gb"),
    )
    assert told(service(20, 20)).starts == ("j",)
    assert told(replace(service(21, 21), serves=False)).starts == ("j",), "the rest of the machine serves nobody"
    assert told(replace(service(21, 21), gain_bytes=20 * GB)).releases == (("api", "j"),)
    assert (
        "needs 5.0 GB (assumed; set its memory_gb)"
        in decided(capacity=4, queue=[waiting("j", 5, known=False)]).waits[0][1]
    )


def test_a_critical_job_keeps_others_back_but_one_that_has_only_grown_old_not_for_what_services_hold():
    grown_old = waiting("old", 40, rank=CRITICAL, preempts=False)
    assert decided(services=[service(20)], queue=[grown_old, waiting("j", 5)]).starts == ("j",)
    assert decided(jobs=[running("r", 20)], queue=[grown_old, waiting("j", 5)]).starts == ()
    urgent = replace(grown_old, preempts=True)
    assert decided(services=[service(20)], queue=[urgent, waiting("j", 5)]).starts == ()


def test_nobody_waits_with_a_critical_job_of_unknown_size_beside_a_busy_service():
    queue = [waiting("voice", 5, rank=CRITICAL, known=False), waiting("j", 5)]
    busy = Situation(capacity_bytes=48 * GB, busy_bytes=20 * GB, services=[service(21, 21)], waiting=queue)
    assert decide(busy).starts == ("j",)


def test_whom_a_critical_job_has_yield_is_told_with_it():
    found = decided(jobs=[running("low", 40, rank=LOW)], queue=[waiting("urgent", 20, rank=CRITICAL)])
    assert found.preempts == (("low", "urgent"),)
