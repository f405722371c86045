"""Reads the counters of energy of this machine: its processors and their memory through Linux, GPUs through NVML.

The processors' counters (RAPL) are files of the kernel's power capping framework, `energy_uj` and
`max_energy_range_uj` in microjoules (Linux kernel documentation, "Power Capping Framework"). Most systems let only root
read them, since they betray what others compute (CVE-2020-8694); in virtual machines there are none.
"""

from collections.abc import Iterator
from pathlib import Path

from overnight.resources.energy import Reading
from overnight.resources.probes.gpu import GpuProbe

ZONES = "sys/class/powercap"
_MICRO = 1e-6


def readings(root: Path, gpus: GpuProbe) -> list[Reading]:
    """Return what the counters of this machine show; none where none can be read. `root` holds `sys`."""
    devices = gpus.look().devices or ()
    return [
        *_zones(root / ZONES),
        *(Reading(source=one.uuid, joules=one.energy_j) for one in devices if one.energy_j is not None),
    ]


def _zones(folder: Path) -> Iterator[Reading]:
    # `intel-rapl:0` is a package (AMD's are called so too), `intel-rapl:0:1` a part of it. Of the parts only memory is
    # not in the package's figure already; `psys`, where there is one, holds the packages once more.
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if not name.startswith(("package", "dram")):
                continue
            micro = int((zone / "energy_uj").read_text())
            most = int((zone / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue  # not ours to read, or just gone
        yield Reading(source=zone.name, joules=micro * _MICRO, wraps_at_j=most * _MICRO)
