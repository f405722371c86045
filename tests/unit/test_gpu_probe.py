"""What NVML tells about GPUs is read as nvidia-ml-py documents it; whatever it does, a look ends with a reason.

No GPU is here: the module that is handed in has the functions of `pynvml` with planted answers, and the real module is
asked where there is no driver.
"""

import pytest

from fake_nvml import GB, FakeNvml, NVMLError
from overnight.resources.probes.gpu import Device, GpuProbe, Gpus


def test_devices_are_read_with_what_each_process_holds():
    gpus = GpuProbe(FakeNvml(compute=[(7, 20 * GB), (8, GB)], graphics=[(8, GB), (9, 2 * GB)])).look()
    assert gpus.problem is None
    assert gpus.devices[1] == Device(
        uuid="GPU-1",
        name="NVIDIA H100",
        total_bytes=80 * GB,
        used_bytes=30 * GB,
        busy_percent=37.0,
        energy_j=1200.5,
        process_bytes={7: 20 * GB, 8: GB, 9: 2 * GB},
    )
    assert gpus.devices[0].held_bytes([7, 9, 1000, 7]) == 22 * GB
    assert gpus.devices[0].held_bytes([1000]) is None, "the driver tells of no such process"


def test_what_the_driver_does_not_tell_of_a_process_is_not_measured():
    device = GpuProbe(FakeNvml(compute=[(7, None), (8, GB)], graphics=[(7, GB)])).look().devices[0]
    assert device.held_bytes([7, 8]) is None
    assert device.held_bytes([8]) == GB


def test_a_device_without_a_utilisation_is_read_all_the_same():
    gpus = GpuProbe(FakeNvml(nvmlDeviceGetUtilizationRates=NVMLError("Not Supported"))).look()
    assert [device.busy_percent for device in gpus.devices] == [None, None]


@pytest.mark.parametrize(
    "function",
    ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses"],
)
def test_an_error_is_a_reason_and_the_next_look_begins_anew(function):
    nvml = FakeNvml(**{function: NVMLError("GPU is lost")})
    probe = GpuProbe(nvml)
    assert probe.look() == Gpus(devices=None, problem="NVML: GPU is lost")
    assert probe.look().devices is None
    nvml.errors.clear()
    assert len(probe.look().devices) == 2
    assert nvml.calls.count("nvmlInit") == 3


def test_the_library_stays_open_between_looks_until_it_is_closed():
    nvml = FakeNvml()
    probe = GpuProbe(nvml)
    probe.look()
    probe.look()
    probe.close()
    probe.close()
    assert (nvml.calls.count("nvmlInit"), nvml.calls.count("nvmlShutdown")) == (1, 1)


def test_the_real_library_has_the_functions_and_tells_without_a_driver():
    pynvml = pytest.importorskip("pynvml", reason="the extra `gpu` is not installed")
    probe = GpuProbe()
    gpus = probe.look()
    probe.close()
    assert (gpus.devices is None) == (gpus.problem is not None)
    assert gpus.devices is not None or gpus.problem.startswith("NVML: ")
    used = {name for name in vars(FakeNvml) if name.startswith("nvml")}
    assert {name for name in used if not callable(getattr(pynvml, name, None))} == set()
    assert issubclass(pynvml.NVMLError, Exception)


def test_without_the_extra_the_reason_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert GpuProbe().look() == Gpus(devices=None, problem='GPUs are not looked at: pip install "overnight[gpu]"')
