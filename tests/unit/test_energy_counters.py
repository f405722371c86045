"""Energy is told as far as counters tell it: they wrap, begin anew, come and go."""

import pytest

from fake_nvml import FakeNvml, NVMLError
from overnight.resources.energy import LONGEST_S, Reading, used_j
from overnight.resources.probes.energy import ZONES, readings
from overnight.resources.probes.gpu import GpuProbe


def counter(joules, source="package", wraps_at_j=None):
    return Reading(source=source, joules=joules, wraps_at_j=wraps_at_j)


@pytest.mark.parametrize(
    ("before", "after", "joules"),
    [
        ([counter(5.0)], [counter(8.5)], 3.5),
        ([counter(5.0), counter(1.0, "dram")], [counter(6.0), counter(3.0, "dram")], 3.0),
        ([counter(250.0, wraps_at_j=262.0)], [counter(8.0, wraps_at_j=262.0)], 20.0),
        ([counter(250.0)], [counter(8.0)], None),
        ([counter(250.0), counter(1.0, "dram")], [counter(8.0), counter(2.0, "dram")], 1.0),
        ([counter(5.0)], [counter(8.0, "other")], None),
        ([], [], None),
        ([counter(5.0)], [counter(5.0)], 0.0),
    ],
)
def test_what_was_used_is_what_counters_show_more(before, after, joules):
    assert used_j(before, after, 60.0) == joules


def test_a_counter_that_may_have_wrapped_unseen_tells_nothing():
    before, after = [counter(5.0, wraps_at_j=262.0)], [counter(8.0, wraps_at_j=262.0)]
    assert used_j(before, after, LONGEST_S) == 3.0
    assert used_j(before, after, LONGEST_S + 1) is None


def zone(root, folder, name, micro, most=262_143_328_850):
    place = root / ZONES / folder
    place.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", micro), ("max_energy_range_uj", most)):
        (place / file).write_text(f"{text}\n")


def test_processors_and_their_memory_count_once_and_gpus_beside_them(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 3_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 500_000)
    zone(tmp_path, "intel-rapl:1", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 3_000_000)
    zone(tmp_path, "intel-rapl:2", "package-1", "nobody knows")
    found = readings(tmp_path, GpuProbe(FakeNvml()))
    assert [(one.source, one.joules) for one in found] == [
        ("intel-rapl:0", 3.0),
        ("intel-rapl:0:1", 0.5),
        ("GPU-0", 1200.5),
        ("GPU-1", 1200.5),
    ]
    assert found[0].wraps_at_j == pytest.approx(262_143.32885) and found[2].wraps_at_j is None


def test_where_nothing_counts_there_is_nothing(tmp_path):
    older = FakeNvml(nvmlDeviceGetTotalEnergyConsumption=NVMLError("Not Supported"))
    assert readings(tmp_path, GpuProbe(older)) == []
