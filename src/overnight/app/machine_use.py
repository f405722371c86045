"""How much of this machine is in use, by whatever runs on it."""

import threading
from dataclasses import dataclass

import psutil

from overnight.app.memory import measured
from overnight.base.clock import Clock
from overnight.resources.probes.gpu import GpuProbe

LEAST_S = 0.5
"""A share of the processor is measured over this time at least."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class MachineUse:
    """What is in use; 1 GB = 10^9 bytes. None where it was not measured."""

    memory_gb: float | None
    """That nobody could have without taking it from somebody."""
    memory_total_gb: float | None
    """Of the machine, or of the control group that holds the daemon where that may have less."""
    cpu_percent: float | None
    """Of all cores together, since the look before."""
    gpu_memory_gb: float | None = None
    """Of all GPUs together."""
    gpu_percent: float | None = None
    """How busy the GPUs are, their mean."""


class MachineLook:
    """Looks at the machine. Safe to use from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic
        self._lock = threading.Lock()
        self._gpus = GpuProbe()
        self._before = (self._now_s(), *_cpu_s())
        self._cpu_percent: float | None = None

    def look(self) -> MachineUse:
        """Return what is in use now."""
        host = measured()
        with self._lock:
            # The library is one thread's at a time.
            devices = self._gpus.look().devices
        busy = [device.busy_percent for device in devices or () if device.busy_percent is not None]
        return MachineUse(
            memory_gb=None if host is None else host.used_bytes / GB,
            memory_total_gb=None if host is None else host.capacity_bytes / GB,
            cpu_percent=self._cpu(),
            gpu_memory_gb=sum(device.used_bytes for device in devices) / GB if devices else None,
            gpu_percent=sum(busy) / len(busy) if busy else None,
        )

    def close(self) -> None:
        """Let go of the GPUs."""
        with self._lock:
            self._gpus.close()

    def _cpu(self) -> float | None:
        with self._lock:
            at_s, busy_s, all_s = self._before
            now_s = self._now_s()
            if now_s - at_s >= LEAST_S:
                busy, total = _cpu_s()
                self._before = (now_s, busy, total)
                if total > all_s:
                    self._cpu_percent = min(100.0, max(0.0, 100 * (busy - busy_s) / (total - all_s)))
            return self._cpu_percent


def _cpu_s() -> tuple[float, float]:
    """Return the seconds that all cores have worked since the start of the machine, and those that there were."""
    times = psutil.cpu_times()
    # Linux counts a guest's time among the user's too.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total
