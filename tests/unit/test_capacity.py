"""What a machine has of memory, and what of it may be handed out, read from planted and from real kernel files."""

from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import NotMeasured
from overnight.base.resource_settings import ResourceSettings
from overnight.resources.capacity import (
    GB,
    Host,
    Limit,
    assumed_need_bytes,
    capacity_bytes,
    host_of,
    meminfo,
    reserve_bytes,
    rest_bytes,
)
from overnight.resources.probes.host import look

GIB = 2**30
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
)


class Machine:
    """A planted /proc and /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plant("proc/meminfo", f"MemTotal: {64 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {48 * 2**20} kB\n")

    def plant(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}")

    def joins(self, membership: str, mounts: str) -> None:
        self.plant("proc/self/cgroup", membership)
        self.plant("proc/self/mountinfo", mounts)

    def group2(self, folder: str, limit: object, used: int, inactive: int = 0) -> None:
        self.plant(f"sys/fs/cgroup/{folder}/memory.max", f"{limit}\n")
        self.plant(f"sys/fs/cgroup/{folder}/memory.current", f"{used}\n")
        self.plant(f"sys/fs/cgroup/{folder}/memory.stat", f"anon 5\ninactive_file {inactive}\nactive_file 7\n")

    def group1(self, folder: str, limit: int, used: int, inactive: int = 0) -> None:
        self.plant(f"sys/fs/cgroup/memory/{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.plant(f"sys/fs/cgroup/memory/{folder}/memory.usage_in_bytes", f"{used}\n")
        stat = f"inactive_file 1\ntotal_inactive_file {inactive}\n"
        self.plant(f"sys/fs/cgroup/memory/{folder}/memory.stat", stat)

    def look(self) -> Host:
        return look(self.root)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_groups_it_is_what_the_machine_has(machine):
    assert machine.look() == Host(capacity_bytes=64 * GIB, available_bytes=48 * GIB)
    assert machine.look().used_bytes == 16 * GIB


def test_a_lower_limit_of_a_group_counts_and_its_cached_files_do_not(machine):
    machine.joins("0::/user.slice/job\n", V2_MOUNT)
    machine.group2("user.slice/job", 16 * GIB, used=10 * GIB, inactive=4 * GIB)
    assert machine.look() == Host(
        capacity_bytes=16 * GIB, available_bytes=10 * GIB, limited_by="/sys/fs/cgroup/user.slice/job"
    )


def test_a_limit_of_a_group_around_ours_counts(machine):
    machine.joins("0::/user.slice/job\n", V2_MOUNT)
    machine.group2("user.slice/job", "max", used=1 * GIB)
    machine.group2("user.slice", 8 * GIB, used=7 * GIB)
    assert machine.look() == Host(
        capacity_bytes=8 * GIB, available_bytes=1 * GIB, limited_by="/sys/fs/cgroup/user.slice"
    )


def test_what_is_free_is_the_least_of_all_levels(machine):
    machine.joins("0::/a/b\n", V2_MOUNT)
    machine.group2("a/b", 16 * GIB, used=2 * GIB)
    machine.group2("a", 32 * GIB, used=31 * GIB)
    host = machine.look()
    assert (host.capacity_bytes, host.available_bytes) == (16 * GIB, 1 * GIB)


def test_a_limit_above_the_machine_changes_nothing(machine):
    machine.joins("4:memory:/\n", V1_MOUNTS)
    machine.group1("", 0x7FFFFFFFFFFFF000, used=63 * GIB)
    assert machine.look() == Host(capacity_bytes=64 * GIB, available_bytes=48 * GIB)


def test_version_1_is_read_beside_an_empty_version_2(machine):
    machine.joins(
        "4:cpu,memory:/docker/abc\n1:cpu:/\n0::/docker/abc\n",
        V1_MOUNTS + V2_MOUNT.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
    )
    machine.group1("docker/abc", 4 * GIB, used=3 * GIB, inactive=1 * GIB)
    assert machine.look() == Host(
        capacity_bytes=4 * GIB, available_bytes=2 * GIB, limited_by="/sys/fs/cgroup/memory/docker/abc"
    )


@pytest.mark.parametrize(
    ("path", "root"), [("/docker/abc", "/docker/abc"), ("/docker/abc", "/elsewhere"), ("/../other", "/")]
)
def test_in_a_container_the_mount_is_its_group(machine, path, root):
    machine.joins(f"0::{path}\n", V2_MOUNT.replace(" / /sys", f" {root} /sys"))
    machine.group2("", 2 * GIB, used=GIB)
    machine.group2("../other", GIB, used=GIB)
    assert machine.look().capacity_bytes == 2 * GIB, "what lies outside of the mount is not ours"


def test_a_group_over_its_limit_has_nothing_left(machine):
    machine.joins("0::/a\n", V2_MOUNT)
    machine.group2("a", 2 * GIB, used=3 * GIB)
    assert machine.look().available_bytes == 0


@pytest.mark.parametrize(
    "text", ["MemTotal: 1 kB\n", "MemTotal:\nMemAvailable: 1 kB\n", "", "MemTotal: x\nMemAvailable: 1"]
)
def test_a_machine_that_does_not_tell_is_not_measured(machine, text):
    machine.plant("proc/meminfo", text)
    with pytest.raises(NotMeasured, match="cannot be told"):
        machine.look()


def test_a_group_that_tells_nonsense_is_not_measured(machine):
    machine.joins("0::/a\n", V2_MOUNT)
    machine.group2("a", "lots", used=3)
    with pytest.raises(NotMeasured):
        machine.look()


def test_what_cannot_be_read_is_not_measured(machine):
    (machine.root / "proc/meminfo").unlink()
    (machine.root / "proc/meminfo").mkdir()
    with pytest.raises(NotMeasured, match="cannot be read"):
        machine.look()


def test_without_proc_psutil_is_asked(tmp_path):
    assert look(tmp_path).capacity_bytes == psutil.virtual_memory().total


def test_this_machine_is_within_what_psutil_tells():
    host, memory = look(), psutil.virtual_memory()
    assert 0 < host.available_bytes <= host.capacity_bytes <= memory.total
    assert host.limited_by is not None or abs(host.available_bytes - memory.available) < GIB


def test_meminfo_counts_in_units_of_1024():
    assert meminfo("MemTotal:       24683656 kB\nMemAvailable:   24185476 kB\n") == (25276063744, 24765927424)


HOST = Host(capacity_bytes=100 * GB, available_bytes=90 * GB)


@pytest.mark.parametrize(("allowed", "capacity"), [(None, 100), (48.5, 48.5), (500.0, 100)])
def test_the_capacity_can_be_lowered_and_not_raised(allowed, capacity):
    assert capacity_bytes(ResourceSettings(max_total_memory_gb=allowed), HOST) == capacity * GB


@pytest.mark.parametrize(("given", "capacity", "reserve"), [(None, 100, 5), (None, 8, 1), (0.0, 100, 0), (2.5, 8, 2.5)])
def test_the_reserve_is_a_twentieth_and_one_gigabyte_at_least(given, capacity, reserve):
    assert reserve_bytes(ResourceSettings(host_reserve_gb=given), capacity * GB) == reserve * GB


@pytest.mark.parametrize(("capacity", "need"), [(100, 40), (60, 30)])
def test_an_unknown_need_is_half_of_the_capacity_at_the_most(capacity, need):
    assert assumed_need_bytes(ResourceSettings().training_memory_reserve_gb, capacity * GB) == need * GB


@given(
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    st.lists(st.tuples(st.integers(0, 2**41), st.integers(0, 2**41)), max_size=4),
)
def test_there_is_never_more_free_than_there_is(total, available, limits):
    host = host_of(total, available, [Limit(folder="f", limit_bytes=a, used_bytes=b) for a, b in limits])
    assert 0 <= host.available_bytes <= host.capacity_bytes <= total
    assert all(host.capacity_bytes <= limit for limit, _ in limits)


@pytest.mark.parametrize(
    ("used", "told", "known", "silent", "rest"),
    [
        (30, 29, 20, 0, 10),  # 9 of others, and 1 that the driver itself takes
        (30, 30, 30, 0, 0),
        (30, 0, 0, 0, 30),  # a driver that tells of no process: it is somebody's
        (30, 0, 0, 40, 4),  # or that of the runs of which it does not tell, beside the driver's
        (30, 0, 0, 20, 10),
        (30, 20, 20, 40, 4),
        (20, 21, 21, 0, 0),  # measured one after another
        (20, 10, 12, 0, 4 + 6),
    ],
)
def test_what_others_use_of_a_gpu_is_what_no_run_and_no_service_is_known_to_use(used, told, known, silent, rest):
    found = rest_bytes(80 * GB, used * GB, told=told * GB, known=known * GB, silent=silent * GB)
    assert found == rest * GB
