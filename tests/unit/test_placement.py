"""Where a job trains: the rule's laws, over all jobs and pools, and what each reason says."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.resources.placement import LOCAL, JobFacts, PoolFacts, Rules, place, wait_s

RULES = Rules(max_data_mb=1000, max_wait_s=1800)
HERE = PoolFacts(name=LOCAL, memory_gb=16, cpus=8, gpus=1, wait_s=0.0)
FAR = PoolFacts(name="far", memory_gb=80, cpus=32, wait_s=0.0, price_per_hour=2.5, max_hours=8)
SMALL = JobFacts(data_mb=12.34, memory_gb=2, cpus=1, duration_s=3600)


def numbers(high):
    return st.floats(0, high)


def maybe(strategy):
    return st.none() | strategy


JOBS = st.builds(
    JobFacts,
    data_mb=numbers(3000),
    memory_gb=maybe(numbers(200)),
    cpus=numbers(40),
    duration_s=maybe(numbers(100_000)),
    bound=st.sampled_from([None, None, "it reads /x, which is outside the project's folder"]),
)
FACTS = {
    "memory_gb": maybe(numbers(200)),
    "cpus": maybe(numbers(40)),
    "wait_s": maybe(numbers(10_000)),
    "price_per_hour": maybe(numbers(10)),
    "max_hours": maybe(st.floats(0.01, 30)),
}
LOCALS = st.builds(PoolFacts, name=st.just(LOCAL), memory_gb=numbers(200), cpus=numbers(40), wait_s=FACTS["wait_s"])
OTHERS = st.lists(st.builds(PoolFacts, name=st.sampled_from("abcd"), **FACTS), unique_by=lambda one: one.name)
PLACES = st.tuples(LOCALS, OTHERS).map(lambda both: [both[0], *both[1]])


def never(job, pool):
    """What can never be, said another way than the rule does."""
    return (
        (job.memory_gb is not None and pool.memory_gb is not None and job.memory_gb > pool.memory_gb)
        or (pool.cpus is not None and job.cpus > pool.cpus)
        or (job.duration_s is not None and pool.max_hours is not None and job.duration_s > 3600 * pool.max_hours)
        or (pool.name != LOCAL and job.bound is not None)
        or (pool.name == LOCAL and job.data_mb > 1000)
    )


@given(JOBS, PLACES)
def test_a_job_never_goes_where_it_can_never_be_and_nowhere_only_if_no_place_can_take_it(job, pools):
    found = place(job, pools, RULES)
    can = {pool.name for pool in pools if not never(job, pool)}
    assert {one.name for one in found.considered if one.fits} == can
    assert found.pool in can if can else found.pool is None


@given(JOBS, PLACES)
def test_a_job_stays_here_unless_something_speaks_against_it(job, pools):
    found = place(job, pools, RULES)
    here = pools[0]
    if found.pool not in (LOCAL, None) and not never(job, here):
        waits = {pool.name: pool.wait_s for pool in pools}
        assert here.wait_s > 1800 and waits[found.pool] < here.wait_s
    if not never(job, here) and (here.wait_s is None or here.wait_s <= 1800):
        assert found.pool == LOCAL


@given(JOBS, PLACES, numbers(10))
def test_a_higher_price_never_wins_a_job(job, pools, more):
    before = place(job, pools, RULES).pool
    for number, pool in enumerate(pools):
        if pool.name not in (LOCAL, before):
            dearer = replace(pool, price_per_hour=(pool.price_per_hour or 0) + more)
            assert place(job, [*pools[:number], dearer, *pools[number + 1 :]], RULES).pool == before


@given(JOBS, PLACES)
def test_the_order_in_which_pools_are_told_of_decides_nothing_and_each_has_its_reasons(job, pools):
    one, other = place(job, pools, RULES), place(job, pools[::-1], RULES)
    assert (one.pool, one.reason) == (other.pool, other.reason)
    assert [about.name for about in one.considered] == [pool.name for pool in pools]
    assert all(about.reasons and all(about.reasons) for about in one.considered)


@given(st.lists(numbers(1000), max_size=12), st.integers(1, 5))
def test_nobody_waits_longer_than_for_all_others_and_nobody_where_a_place_is_free(left, places):
    waits = wait_s(left, places)
    if len(left) < places:
        assert waits == 0
    else:
        assert min(left, default=0) - 1e-9 <= waits <= sum(left) / places + 1e-6
    assert math.isclose(wait_s(left, 1), sum(left))


def test_a_wait_behind_what_nobody_knows_is_not_known():
    assert wait_s([None], 2) == 0.0
    assert wait_s([10.0, None], 2) is None


def test_what_speaks_for_and_against_is_said_with_figures():
    found = place(SMALL, [HERE, FAR], RULES)
    assert (found.pool, found.chosen, found.reason) == (LOCAL, LOCAL, "this machine can take it")
    assert found.considered[0].reasons == (
        "12.3 MB of data",
        "memory: need 2 GB, capacity 16 GB",
        "it waits for about 0 s",
    )
    assert found.considered[1].reasons[-1] == "about 2.5 USD (1 h at 2.5 USD an hour)"


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"data_mb": 1234.5}, "1,234 MB of data are more than 1,000 MB (resources.local_training_max_size_mb)"),
        ({"memory_gb": 40}, "it needs 40 GB of memory, and 16 GB is all there is"),
        ({"cpus": 12}, "it needs 12 cores, and 8 are all there are"),
        ({"gpus": 2}, "it needs 2 GPUs, and this place has 1"),
    ],
)
def test_what_this_machine_cannot_take_goes_to_a_pool_for_that_reason(job, reason):
    found = place(replace(SMALL, **job), [HERE, FAR], RULES)
    assert (found.pool, found.reason) == ("far", f"this machine cannot take it: {reason}")
    assert found.considered[0].reasons[0] == reason and not found.considered[0].fits


def test_a_long_queue_here_sends_a_job_where_it_waits_for_less():
    busy = replace(HERE, wait_s=9000.0)
    found = place(SMALL, [busy, replace(FAR, wait_s=600.0)], RULES)
    assert (found.pool, found.reason) == ("far", "this machine would make it wait for about 2.5 h, and far for less")
    assert "it waits for about 10 min" in found.considered[1].reasons
    for wait in (9000.0, None):
        assert place(SMALL, [busy, replace(FAR, wait_s=wait)], RULES).pool == LOCAL


def test_what_is_not_known_is_told_as_not_known_and_decides_nothing():
    unknown = JobFacts(data_mb=5000)
    found = place(unknown, [HERE, replace(FAR, memory_gb=None, wait_s=None), PoolFacts(name="own")], RULES)
    assert found.pool == "own", "one without a price costs nothing that is known"
    assert found.considered[1].reasons == (
        "5,000.0 MB of data",
        "memory: need not known, capacity not known",
        "how long it waits is not known",
        "2.5 USD an hour; how long it takes is not known",
    )
    assert found.considered[2].reasons[-1] == "no price is set"


def test_a_job_that_no_place_can_take_is_refused_with_every_reason():
    found = place(replace(SMALL, data_mb=2000, duration_s=10 * 3600), [HERE, FAR], RULES)
    with pytest.raises(UserMistake, match=r"local: 2,000 MB .*; far: it takes about 10.0 h, longer than max_hours = 8"):
        _ = found.chosen
    bound = place(replace(SMALL, data_mb=2000, bound="it reads /x"), [HERE, FAR], RULES)
    assert bound.pool is None and bound.considered[1].reasons[0] == "it reads /x"
