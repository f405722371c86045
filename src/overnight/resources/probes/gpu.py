"""Reads what NVIDIA's GPUs hold, by device and by process, through NVML. Needs the extra `gpu` and a driver.

The functions are those of nvidia-ml-py (module `pynvml`), which are those of the NVML API reference of NVIDIA.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from overnight.base.errors import one_line


@dataclass(frozen=True, kw_only=True)
class Device:
    """One GPU. `process_bytes` tells what processes hold, by pid; None where the driver does not tell.

    `energy_j` is what it has used since its driver was loaded; None where it does not tell.
    """

    uuid: str
    name: str
    total_bytes: int
    used_bytes: int
    busy_percent: float | None
    process_bytes: Mapping[int, int | None] = field(default_factory=dict)
    energy_j: float | None = None

    def held_bytes(self, pids: Iterable[int]) -> int | None:
        """Return what these processes hold; None where the driver tells it of none of them, or not of all."""
        held = [self.process_bytes[pid] for pid in set(pids) if pid in self.process_bytes]
        return None if None in held or not held else sum(size for size in held if size is not None)


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """All GPUs at one moment; where they could not be measured, `devices` is None and `problem` says why."""

    devices: tuple[Device, ...] | None
    problem: str | None = None


class GpuProbe:
    """Looks at the GPUs. Holds the library open between looks, because opening it may take seconds. One thread's.

    `nvml` is the module `pynvml`, which is imported at the first look unless it is handed in.
    """

    def __init__(self, nvml: Any = None) -> None:  # Any: a module without types
        self._nvml = nvml
        self._open = False

    def look(self) -> Gpus:
        """Return what the GPUs hold. Never raises."""
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            if not self._open:
                self._nvml.nvmlInit()
                self._open = True
            handles = map(self._nvml.nvmlDeviceGetHandleByIndex, range(self._nvml.nvmlDeviceGetCount()))
            return Gpus(devices=tuple(self._device(handle) for handle in handles))
        except ImportError:
            return Gpus(devices=None, problem='GPUs are not looked at: pip install "overnight[gpu]"')
        except Exception as error:  # noqa: BLE001  # whatever a driver does, a look must not end the one who looks
            # A driver that was reset or replaced wants to be opened anew.
            self.close()
            return Gpus(devices=None, problem=f"NVML: {one_line(error) or type(error).__name__}")

    def close(self) -> None:
        """Close the library; the next look opens it again."""
        if self._open:
            self._open = False
            with suppress(Exception):
                self._nvml.nvmlShutdown()

    def _device(self, handle: Any) -> Device:
        nvml = self._nvml
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        busy: float | None = None
        energy_j: float | None = None
        with suppress(nvml.NVMLError):  # not every device tells
            busy = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with suppress(nvml.NVMLError):  # from the generation Volta on, in millijoules
            energy_j = nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        return Device(
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            name=_text(nvml.nvmlDeviceGetName(handle)),
            total_bytes=int(memory.total),
            used_bytes=int(memory.used),
            busy_percent=busy,
            energy_j=energy_j,
            process_bytes=self._processes(handle),
        )

    def _processes(self, handle: Any) -> dict[int, int | None]:
        held: dict[int, int | None] = {}
        # A process that computes and draws stands in both lists with the same number.
        for ask in (self._nvml.nvmlDeviceGetComputeRunningProcesses, self._nvml.nvmlDeviceGetGraphicsRunningProcesses):
            for process in ask(handle):
                size, known = process.usedGpuMemory, held.get(process.pid, 0)
                held[process.pid] = None if size is None or known is None else max(int(size), known)
        return held


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
