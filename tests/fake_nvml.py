"""The functions of `pynvml` that are used, with planted answers: no GPU is here."""

from types import SimpleNamespace

GB = 10**9


class NVMLError(Exception):
    pass


class FakeNvml:
    """Devices GPU-0, GPU-1 and so on of 80 GB. Processes are (pid, bytes): the same on all devices, or a list of each.

    `errors` names functions that raise.
    """

    NVMLError = NVMLError

    def __init__(self, compute=(), graphics=(), *, used_gb=(30, 30), **errors):
        self.compute, self.graphics, self.errors = compute, graphics, errors
        self.used = [gb * GB for gb in used_gb]
        self.calls = []
        self.more_mj = [0 for _ in self.used]

    def __getattribute__(self, name):
        if name.startswith("nvml"):
            self.calls.append(name)
            if name in self.errors:
                raise self.errors[name]
        return super().__getattribute__(name)

    def nvmlInit(self):
        return None

    def nvmlShutdown(self):
        return None

    def nvmlDeviceGetCount(self):
        return len(self.used)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle):
        return b"NVIDIA H100"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return 1_200_500 + self.more_mj[handle]

    def nvmlDeviceGetMemoryInfo(self, handle):
        used = self.used[handle]
        return SimpleNamespace(total=80 * GB, free=80 * GB - used, used=used)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=37, memory=5)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return _processes(self.compute, handle)

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return _processes(self.graphics, handle)


def _processes(given, handle):
    mine = given[handle] if isinstance(given, dict) else given
    return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in mine]
