"""What `overnight resources` shows: bars in proportion, everybody who has memory, and why the others wait."""

from overnight.app.machine_memory import DeviceUse, MachineMemory, Use
from overnight.cli.resources import bar, lines
from overnight.resources.capacity import Host
from overnight.resources.ledger import Limits
from overnight.resources.probes.gpu import Device

GB = 10**9
LIMITS = Limits(capacity_bytes=20 * GB, reserve_bytes=GB)


def shown(**parts):
    found = MachineMemory(
        **{
            "host": Host(capacity_bytes=20 * GB, available_bytes=12 * GB),
            "limits": LIMITS,
            "services": (),
            "running": (),
            "waiting": (),
            "gpus": None,
            "gpus_problem": "no driver",
            "age_s": 0.2,
        }
        | parts
    )
    return [text for text, _ in lines(found, 10)]


def test_a_bar_has_what_is_used_what_is_kept_beyond_that_and_the_rest():
    assert bar(5, 8, 10, 10) == "█████▒▒▒··"
    assert bar(5, 3, 10, 10) == "█████·····"
    assert bar(30, 0, 10, 10) == "█" * 10
    assert bar(0, 0, 0, 4) == "····"


def test_free_is_what_nobody_has_or_may_soon_use():
    found = shown(
        services=(Use(name="api", used_bytes=4 * GB, expected_bytes=6 * GB),),
        running=(Use(name="job", used_bytes=2 * GB, reserved_bytes=5 * GB, project="/p"),),
        waiting=(Use(name="next", used_bytes=None, reserved_bytes=9 * GB, note="needs 9.0 GB; 8.0 GB are free"),),
    )
    assert found[0] == "memory     20.0 GB, 8.0 GB in use, 1.0 GB kept for the host"
    assert found[1] == "           8.0 GB are free for runs that can yield"
    assert found[3:] == [
        "SERVICES",
        f"  {'api':<28} ██▒·······  4.0 GB, may soon use 6.0 GB",
        "RUNS",
        f"  {'job':<28} █▒········  2.0 GB of 5.0 GB reserved",
        "WAITING",
        f"  {'next':<28} needs 9.0 GB; 8.0 GB are free",
    ]


def test_a_run_that_has_been_granted_memory_and_has_not_begun_is_not_said_to_use_none():
    found = shown(
        running=(
            Use(name="next", used_bytes=None, reserved_bytes=5 * GB, begun=False),
            Use(name="new", used_bytes=None, reserved_bytes=4 * GB),
        )
    )
    assert found[4:] == [
        f"  {'next':<28} ▒▒········  5.0 GB granted, not begun",
        f"  {'new':<28} ▒▒········  not measured of 4.0 GB reserved",
    ]


def test_what_is_not_measured_is_said_to_be_so():
    found = shown(host=None, services=(Use(name="api", used_bytes=None, note="it does not answer"),))
    assert found[0] == "memory     20.0 GB, not measured in use, 1.0 GB kept for the host"
    assert found[4].endswith("not measured")
    assert found[5].strip() == "it does not answer"
    assert found[-1] == "no run has memory or waits for some"


def test_a_control_group_and_gpus_are_shown_where_there_are_some():
    host = Host(capacity_bytes=8 * GB, available_bytes=4 * GB, limited_by="/sys/fs/cgroup/box")
    device = Device(uuid="u", name="H100", total_bytes=80 * GB, used_bytes=40 * GB, busy_percent=55.0)
    chat = Use(name="chat", used_bytes=32 * GB, expected_bytes=48 * GB)
    job = Use(name="job", used_bytes=8 * GB, reserved_bytes=16 * GB, project="/p")
    found = shown(host=host, gpus=(DeviceUse(device=device, services=(chat,), running=(job,)),))
    assert "           limited by the control group /sys/fs/cgroup/box" in found
    assert found[-4:] == [
        "GPUS",
        f"  {'0 H100':<28} █████·····  40.0 GB of 80.0 GB, 55 % busy",
        f"  {'  chat':<28} ████▒▒····  32.0 GB, may soon use 48.0 GB",
        f"  {'  job':<28} █▒········  8.0 GB of 16.0 GB reserved",
    ]
