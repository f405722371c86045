"""Who starts on a machine and its GPUs together: no device is handed out twice, and nothing is kept for nobody."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.resources.policy import CRITICAL, GB, HIGH, LOW, NORMAL, Running, Service, Situation, Waiting
from overnight.resources.sharing import decide


def service(name, used, *, soon=0, **more):
    size = used * GB
    ahead = size + soon * GB
    more = {"peak_bytes": ahead, "later_bytes": ahead, **more}
    return Service(name=name, used_bytes=size, soon_bytes=ahead, start_bytes=ahead, **more)


def rest(used=0, **more):
    return service("the rest", used, serves=False, **more)


def has(name, gb, **more):
    return Running(name=name, reserved_bytes=gb * GB, **more)


def alone(name, **more):
    return Running(name=name, reserved_bytes=0, whole=True, **more)


def job(name, gpus=1, each=0, *, gb=0, **more):
    return Waiting(name=name, need_bytes=gb * GB, gpus=gpus, gpu_bytes=each * GB, **more)


def gpu(*parts, place=0, capacity=80):
    services = [part for part in parts if isinstance(part, Service)]
    running = [part for part in parts if isinstance(part, Running)]
    return Situation(name=f"GPU {place}", capacity_bytes=capacity * GB, services=services, running=running)


ONE = (gpu(),)


def decided(*waiting, gpus=ONE, machine=(), capacity=100, **more):
    services = [part for part in machine if isinstance(part, Service)]
    running = [part for part in machine if isinstance(part, Running)]
    whole = Situation(capacity_bytes=capacity * GB, services=services, running=running, waiting=waiting)
    return decide(whole, {f"gpu-{place}": one for place, one in enumerate(gpus)}, **more)


# -- which devices


def test_a_run_gets_the_device_with_the_least_room_that_is_enough():
    gpus = [gpu(), gpu(has("a", 50)), gpu(has("b", 70))]
    assert decided(job("j", each=30), gpus=gpus).starts == {"j": ("gpu-1",)}
    assert decided(job("j", 2, each=30), gpus=gpus).starts == {"j": ("gpu-0", "gpu-1")}
    assert decided(job("i", each=30, order=1), job("j", each=80, order=2), gpus=gpus).starts == {
        "i": ("gpu-1",),
        "j": ("gpu-0",),
    }
    assert decided(job("j", each=10), gpus=[gpu(), gpu()]).starts == {"j": ("gpu-0",)}, "the first of equals"


def test_a_run_needs_the_machine_and_every_device_and_says_what_it_lacks():
    found = decided(job("j", 2, each=30, gb=10), gpus=[gpu(), gpu(has("a", 60))])
    assert (found.starts, found.waits) == (
        {},
        {"j": "needs 2 GPUs; GPU 0: needs 30.0 GB; 20.0 GB are free beside what services are expected to use"},
    )
    found = decided(job("j", each=30, gb=10), machine=[has("a", 95)])
    assert found.waits == {"j": "needs 10.0 GB; 5.0 GB are free beside what services are expected to use"}
    assert decided(job("j", each=30), machine=[has("a", 120)]).starts == {"j": ("gpu-0",)}, "it asks for no memory"
    assert decided(job("j", 0, gb=10), gpus=()).starts == {"j": ()}


@pytest.mark.parametrize(
    ("gpus", "wanted", "why"),
    [
        ((), job("j"), "needs 1 GPU; this machine tells of none (no driver)"),
        ((gpu(),), job("j", 4), "needs 4 GPUs; this machine has 1"),
        (
            (gpu(),),
            job("j", each=90),
            "needs 1 GPU; GPU 0: needs 90.0 GB; GPU 0 has 80.0 GB for services and jobs together",
        ),
        (
            (gpu(service("chat", 60)),),
            job("j"),
            "needs 1 GPU for itself; GPU 0: there is chat (60.0 GB); set its gpu_memory_gb",
        ),
        ((gpu(has("a", 1)),), job("j"), "needs 1 GPU for itself; GPU 0: a has some of it"),
        ((gpu(alone("a")),), job("j", each=1), "needs 1 GPU; GPU 0: a has some of it"),
        (
            (gpu(replace(rest(), used_bytes=None, peak_bytes=None)),),
            job("j", each=1),
            "needs 1 GPU; GPU 0: nothing is known about what the rest uses",
        ),
    ],
)
def test_who_waits_for_a_device_is_told_why(gpus, wanted, why):
    found = decided(wanted, gpus=gpus, untold="no driver")
    assert (found.starts, found.waits) == ({}, {"j": why})


def test_one_for_itself_is_beside_the_screen_and_who_sleeps_and_nobody_is_beside_it():
    asleep = service("chat", 2, released_bytes=60 * GB)
    assert decided(job("j"), gpus=[gpu(rest(8), asleep)]).starts == {"j": ("gpu-0",)}
    assert decided(job("j"), gpus=[gpu(rest(9))]).starts == {}
    assert decided(job("j"), gpus=[gpu(replace(asleep, wanted=True))]).starts == {}
    assert decided(job("j"), gpus=[gpu(service("chat", 1))]).starts == {}
    assert decided(job("i", order=1), job("j", each=1, order=2)).starts == {"i": ("gpu-0",)}


def test_a_stale_probe_keeps_the_peak_of_a_device_free():
    wanted = job("j", each=40)
    assert decided(wanted, gpus=[gpu(service("chat", 30, peak_bytes=70 * GB))]).starts == {"j": ("gpu-0",)}
    assert decided(wanted, gpus=[gpu(service("chat", 30, peak_bytes=70 * GB, stale=True))]).starts == {}


# -- yields


def test_a_run_yields_where_its_device_is_needed_by_a_service_that_grows():
    found = decided(gpus=[gpu(service("chat", 30, soon=30), has("a", 30)), gpu(has("b", 30))])
    assert [decision.yields for decision in found.devices.values()] == [("a",), ()]
    assert decided(gpus=[gpu(service("chat", 30, soon=30), alone("a"))]).devices["gpu-0"].yields == ()
    taken = alone("a", used_bytes=30 * GB)
    assert decided(gpus=[gpu(service("chat", 30, soon=30), taken)]).devices["gpu-0"].yields == ("a",)


def yields(found):
    return {name for decision in (found.machine, *found.devices.values()) for name in decision.yields}


def test_a_critical_run_has_low_ones_yield_only_where_it_can_start_then():
    urgent = job("c", each=40, gb=40, rank=CRITICAL)
    low, low_here = has("g", 60, rank=LOW), has("m", 80, rank=LOW)
    assert yields(decided(urgent, gpus=[gpu(low)], machine=[low_here])) == {"g", "m"}
    assert yields(decided(urgent, gpus=[gpu(replace(low, rank=NORMAL))], machine=[low_here])) == set()
    assert yields(decided(urgent, gpus=[gpu(low)], machine=[replace(low_here, rank=NORMAL)])) == set()
    assert yields(decided(replace(urgent, gpu_bytes=0), gpus=[gpu(low, has("h", 1, rank=LOW))])) == {"g", "h"}
    assert yields(decided(replace(urgent, gpu_bytes=0), gpus=[gpu(low, has("h", 1))])) == set()
    assert yields(decided(urgent, gpus=[gpu(alone("w", rank=LOW))])) == {"w"}
    # One device is enough, and it stays the same one while its run goes.
    two = [gpu(has("g", 60, rank=LOW)), gpu(has("h", 60, rank=LOW))]
    assert yields(decided(urgent, gpus=two)) == {"g"}
    assert yields(decided(urgent, gpus=[gpu(replace(low, yielding=True, used_bytes=70 * GB)), two[1]])) == set()


def test_what_a_critical_run_has_found_is_kept_while_others_make_room_for_it():
    urgent = job("c", 2, each=40, gb=60, rank=CRITICAL)
    others = (job("a", 0, gb=50, order=1), job("b", each=50, order=2))
    found = decided(urgent, *others, gpus=[gpu(has("g", 60, rank=LOW)), gpu()])
    assert (found.starts, yields(found)) == ({}, {"g"})
    held = decided(urgent, *others, gpus=[gpu(has("g", 60)), gpu()])
    assert held.starts == {"a": (), "b": ("gpu-1",)}, "nobody makes room: nothing is kept"


# -- services that are asked


def idle(name="chat", used=60, **more):
    return service(name, used, gain_bytes=used * GB, **more)


def test_an_idle_service_is_asked_for_its_device_where_the_machine_has_room_for_what_it_moves():
    wanted = job("j", each=40, gb=10)
    assert decided(wanted, gpus=[gpu(idle())]).releases == (("chat", "j"),)
    moves = gpu(idle(moves_bytes=60 * GB))
    assert decided(wanted, gpus=[moves], machine=[has("a", 30)]).releases == (("chat", "j"),)
    assert decided(wanted, gpus=[moves], machine=[has("a", 31)]).releases == ()
    assert decided(wanted, gpus=[gpu(idle())], machine=[has("a", 95)]).releases == (), "it could not start for memory"
    assert decided(job("j"), gpus=[gpu(idle())]).releases == (("chat", "j"),)
    assert decided(job("j"), gpus=[gpu(idle(), has("a", 1))]).releases == (), "it would still not be alone"
    assert decided(job("j"), gpus=[gpu(idle(), service("other", 1))]).releases == ()


def test_one_service_is_asked_and_no_other_while_it_falls_asleep():
    wanted = job("j", each=40)
    assert decided(wanted, gpus=[gpu(idle("a")), gpu(idle("b"))]).releases == (("a", "j"),)
    falling = service("a", 60, released_bytes=60 * GB)
    assert decided(wanted, gpus=[gpu(idle("b")), gpu(falling)]).releases == ()
    small = gpu(service("a", 1, released_bytes=60 * GB), has("r", 60))
    assert decided(wanted, gpus=[small, gpu(idle("b"))]).releases == (("b", "j"),), "there it would wait in vain"


def test_a_service_is_woken_when_there_is_room_for_it_at_all_of_its_places():
    back = service("chat", 1, released_bytes=60 * GB, wanted=True)
    here = service("chat", 20, released_bytes=5 * GB, wanted=True)
    assert decided(gpus=[gpu(back)], machine=[here]).wakes == ("chat",)
    assert decided(gpus=[gpu(back, has("a", 30))], machine=[here]).wakes == ()
    assert decided(gpus=[gpu(back), gpu(back, has("a", 30))], machine=[here]).wakes == ()


# -- whatever the situation

ranks = st.integers(HIGH, LOW)
services = st.builds(
    lambda used, soon, stale, place: service(f"s{place}", used, soon=soon, stale=stale, serves=place > 1),
    st.integers(0, 40),
    st.integers(0, 10),
    st.booleans(),
    st.integers(0, 5),
)


def on_one(names):
    several = st.lists(
        st.builds(has, names, st.integers(1, 40), rank=ranks, yields=st.booleans()),
        max_size=2,
        unique_by=lambda one: one.name,
    )
    one = st.builds(alone, names, rank=ranks, used_bytes=st.none() | st.integers(0, 80).map(lambda gb: gb * GB))
    return several | one.map(lambda run: [run])


def devices(least, most):
    each = st.builds(
        lambda served, runs: gpu(*served, *runs),
        st.lists(services, max_size=2, unique_by=lambda one: one.name),
        on_one(st.sampled_from("abc")),
    )
    return st.lists(each, min_size=least, max_size=most)


queues = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 80), st.integers(0, 60), ranks, st.integers(0, 3)), max_size=4
).map(
    lambda rows: [
        job(f"j{place}", gpus, each if gpus else 0, gb=gb if gpus else gb + 1, rank=rank, order=order)
        for place, (gpus, each, gb, rank, order) in enumerate(rows)
    ]
)
machines = st.lists(services, max_size=2, unique_by=lambda one: one.name)


def expected(situation):
    return sum(one.peak_bytes if one.stale else one.start_bytes for one in situation.services)


def started(found, waiting, name=None):
    """Return what was handed out of the machine's memory, or of a device; one for itself takes all."""
    wants = [one for one in waiting if one.name in found.starts and (name is None or name in found.starts[one.name])]
    return sum(one.need_bytes if name is None else one.gpu_bytes or 80 * GB for one in wants)


@given(queues, devices(0, 3), machines)
def test_no_device_is_handed_out_twice(waiting, gpus, machine):
    found = decided(*waiting, gpus=gpus, machine=machine)
    named = {f"gpu-{place}": one for place, one in enumerate(gpus)}
    assert found.starts.keys() | found.waits.keys() == {one.name for one in waiting}
    assert not found.starts.keys() & found.waits.keys()
    for one in waiting:
        assert len(set(found.starts.get(one.name, ()))) == (one.gpus if one.name in found.starts else 0)
    for name, situation in named.items():
        new = [one for one in waiting if name in found.starts.get(one.name, ())]
        if not new:
            continue
        inside = len(new) + len(situation.running)
        whole = [one for one in new if not one.gpu_bytes] + [one for one in situation.running if one.whole]
        assert not whole or inside == 1, "who has a device for itself is alone"
        if not whole:
            held = sum(one.held_bytes for one in situation.running)
            assert held + sum(one.gpu_bytes for one in new) + expected(situation) <= situation.capacity_bytes
    if any(one.need_bytes and one.name in found.starts for one in waiting):
        assert started(found, waiting) + sum(one.start_bytes for one in machine) <= 100 * GB


@given(queues, devices(0, 3), machines, st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_means_nothing(waiting, gpus, machine, random):
    def shuffled(items):
        return random.sample(list(items), len(items))

    other = [replace(one, services=shuffled(one.services), running=shuffled(one.running)) for one in gpus]
    again = decided(*shuffled(waiting), gpus=other, machine=shuffled(machine))
    assert again == decided(*waiting, gpus=gpus, machine=machine)


@given(queues, devices(1, 1), machines, st.integers(1, 20))
def test_less_free_memory_of_a_device_or_of_the_machine_never_starts_more_of_it(waiting, gpus, machine, less):
    more = service("another", less)
    plain = decided(*waiting, gpus=gpus, machine=machine)
    fuller = [replace(gpus[0], services=[*gpus[0].services, more])]
    assert started(decided(*waiting, gpus=fuller, machine=machine), waiting, "gpu-0") <= started(
        plain, waiting, "gpu-0"
    )
    assert started(decided(*waiting, gpus=gpus, machine=[*machine, more]), waiting) <= started(plain, waiting)


@given(queues.filter(bool), devices(0, 3), machines, st.integers(0, 2), st.integers(1, 20))
def test_a_job_that_starts_on_less_starts_on_more(waiting, gpus, machine, place, less):
    fuller = list(gpus)
    if place < len(gpus):
        fuller[place] = replace(gpus[place], services=[*gpus[place].services, service("another", less)])
    starts = decided(waiting[0], gpus=fuller, machine=[*machine, service("another", less)]).starts
    assert starts.keys() <= decided(waiting[0], gpus=gpus, machine=machine).starts.keys()


@given(queues, devices(0, 3), machines)
def test_a_stale_look_at_a_device_never_starts_what_a_fresh_one_does_not(waiting, gpus, machine):
    stale = [replace(one, services=[replace(each, stale=True) for each in one.services]) for one in gpus]
    fresh = [replace(one, services=[replace(each, stale=False) for each in one.services]) for one in gpus]
    for one in waiting:
        after = decided(one, gpus=stale, machine=machine).starts
        assert after.keys() <= decided(one, gpus=fresh, machine=machine).starts.keys()
