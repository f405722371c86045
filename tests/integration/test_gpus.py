"""GPUs are negotiated: real projects and processes beside a driver that tells what is planted; no GPU is here."""

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from fake_nvml import GB, FakeNvml
from model_servers import VllmServer, process
from overnight import Project
from overnight.app.machine_memory import as_json, machine_memory
from overnight.base.clock import SystemClock
from overnight.base.errors import InvalidTask
from overnight.base.settings import environment
from overnight.engine.model import Needs, Task
from overnight.engine.store import get
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.negotiator import ledger_of
from small_trainer import points

LIMITS = {"resources.max_total_memory_gb": 1.0, "resources.host_reserve_gb": 0.0, "engine.grace_s": 0}
JOBS = {"training.models.line.trainer": "small_trainer:Line", "training.validation": 0.3}
TELL = "import os, json; print(json.dumps({'visible': os.environ.get('CUDA_VISIBLE_DEVICES')}))"


class Driver(FakeNvml):
    """Tells what the processes hold that are planted, and nothing else."""

    def __init__(self, count=2):
        super().__init__({place: [] for place in range(count)}, used_gb=[0] * count)
        self.graphics = []

    def hold(self, place, pid, gb):
        self.compute[place] = [*(one for one in self.compute[place] if one[0] != pid), (pid, int(gb * GB))]
        self.used[place] = sum(size for _, size in self.compute[place])


@pytest.fixture(autouse=True)
def one_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    return driver


def sees(ctx, note, until):
    """Say which GPUs this process sees, and stay until a file is there."""
    said = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid()}
    Path(f"{note}.new").write_text(json.dumps(said))
    Path(f"{note}.new").rename(note)
    while not Path(until).exists():
        time.sleep(0.02)


def project_in(folder, **overrides):
    return Project.create(folder, overrides={**LIMITS, **JOBS, "engine.max_concurrent": 4, **overrides})


def entries():
    _, parts = ledger_of(Machine(shared_folder(environment()), SystemClock()))
    return {entry.want.name: entry for part in parts for entry in part.entries}


def seeing(project, name, gpus=1, gb=0.0, **more):
    project.add_task(Task(task_id=name, action=sees, needs=Needs(gpus=gpus, gpu_memory_gb=gb), **more))


def begin(project, name, folder, until="go"):
    note = folder / f"{project.folder.name}-{name}-{time.monotonic_ns()}"
    return project.submit(name, args={"note": str(note), "until": str(folder / until)}), note


def said_in(note):
    return json.loads(wait_for(lambda: note.exists() and note.read_text()))


def why(name):
    return wait_for(lambda: (one := entries().get(name)) and one.why)


@pytest.mark.parametrize("module", [None, "no driver"])
def test_where_the_machine_tells_of_no_gpus_who_needs_one_waits_and_says_why(tmp_path, monkeypatch, driver, module):
    driver.errors["nvmlInit"] = driver.NVMLError("Driver Not Loaded")
    monkeypatch.setitem(sys.modules, "pynvml", module and driver)
    told = "NVML: Driver Not Loaded" if module else 'GPUs are not looked at: pip install "overnight[gpu]"'
    with project_in(tmp_path / "p") as project, project.running():
        seeing(project, "a")
        seeing(project, "b", 0)
        run, _ = begin(project, "a", tmp_path)
        other, note = begin(project, "b", tmp_path, until="p")
        assert why(f"a #{run}") == f"needs 1 GPU; this machine tells of none ({told})"
        wait_for(lambda: project.get(other).state == "COMPLETED")
        assert said_in(note)["visible"] is None
        assert project.get(run).state == "PENDING"
        seen = as_json(machine_memory(project))
        assert (seen["gpus"], seen["gpus_problem"]) == (None, told)


def test_each_run_sees_its_own_gpus_and_who_needs_none_sees_what_it_saw(tmp_path, driver):
    with ExitStack() as stack:
        first, second = (stack.enter_context(project_in(tmp_path / name)) for name in "pq")
        for project in (first, second):
            for name, gpus in (("alone", 1), ("both", 2), ("none", 0)):
                seeing(project, name, gpus)
            stack.enter_context(project.running())
        run, note = begin(first, "alone", tmp_path)
        assert said_in(note)["visible"] == "GPU-0"
        _, other = begin(second, "alone", tmp_path)
        assert said_in(other)["visible"] == "GPU-1", "another project sees what is taken"
        waits, both = begin(second, "both", tmp_path)
        assert why(f"both #{waits}") == f"needs 2 GPUs for itself; GPU 0: alone #{run} of {first.folder} has some of it"
        (tmp_path / "go").touch()
        assert said_in(both)["visible"] == "GPU-0,GPU-1"
        wait_for(lambda: second.get(waits).state == "COMPLETED" and first.get(run).state == "COMPLETED")
        for project in (first, second):
            _, note = begin(project, "none", tmp_path)
            assert said_in(note)["visible"] is None, "no child that has had GPUs is used again"


def test_runs_share_a_gpu_by_what_they_need_of_it_and_programs_see_it_too(tmp_path, driver):
    driver.hold(1, 1, 50)
    with project_in(tmp_path / "p") as project, project.running():
        seeing(project, "a", gb=20)
        seeing(project, "b", gb=20)
        project.add_task(Task(task_id="c", action=(sys.executable, "-c", TELL), needs=Needs(gpus=1, gpu_memory_gb=50)))
        run, note = begin(project, "a", tmp_path)
        assert said_in(note)["visible"] == "GPU-1", "where it just fits"
        driver.hold(1, said_in(note)["pid"], 5)
        other, _ = begin(project, "b", tmp_path)
        program = project.submit("c")
        wait_for(lambda: project.get(program).state == "COMPLETED")
        assert json.loads(project.get(program).result) == {"visible": "GPU-0"}
        wait_for(lambda: entries()[f"a #{run}"].devices == {"GPU-1": 5 * GB})
        found = as_json(machine_memory(project))["gpus"]
        assert [one["used_bytes"] for one in found[1]["services"]] == [50 * GB], "the rest of the machine"
        [running] = found[1]["running"]
        assert (running["name"], running["used_bytes"], running["reserved_bytes"]) == (f"a #{run}", 5 * GB, 20 * GB)
        (tmp_path / "go").touch()
        wait_for(lambda: project.get(other).state == "COMPLETED")


def test_a_run_beyond_what_it_reserved_of_a_gpu_is_ended_with_the_figures(tmp_path, driver):
    with project_in(tmp_path / "p") as project, project.running():
        seeing(project, "a", gb=4, max_retries=0)
        run, note = begin(project, "a", tmp_path)
        driver.hold(0, said_in(note)["pid"], 5.2)
        wait_for(lambda: project.get(run).state == "FAILED")
        error = project.get(run).error.message
    assert error == "needed 5.2 GB of GPU memory, reserved 4.0 GB; set needs.gpu_memory_gb"


def test_after_a_failed_look_the_most_that_others_used_is_kept_free(tmp_path, driver):
    driver.hold(0, 1, 40)
    driver.hold(1, 1, 80)
    with project_in(tmp_path / "p") as project, project.running():
        seeing(project, "a", gb=10)
        seeing(project, "b", gb=60, yields=True)
        _, note = begin(project, "a", tmp_path)
        assert said_in(note)["visible"] == "GPU-0"
        driver.hold(0, 1, 2)
        wait_for(lambda: rest_of(0).used_bytes == 2 * GB)
        driver.errors["nvmlDeviceGetCount"] = driver.NVMLError("GPU is lost")
        wait_for(lambda: rest_of(0).stale)
        run, _ = begin(project, "b", tmp_path)
        assert why(f"b #{run}") == (
            "needs 1 GPU; GPU 0: needs 60.0 GB; 30.0 GB are free beside what services are expected to use"
        )
        del driver.errors["nvmlDeviceGetCount"]
        (tmp_path / "go").touch()
        wait_for(lambda: project.get(run).state == "COMPLETED")


def rest_of(place):
    _, [part] = ledger_of(Machine(shared_folder(environment()), SystemClock()))
    return part.devices[place].services[-1]


class Chat(VllmServer):
    """vLLM that frees its GPU while it sleeps."""

    def __init__(self, driver, pid):
        super().__init__()
        self.driver, self.pid = driver, pid
        driver.hold(0, pid, 0.3)

    def answer(self, method, path, query, body):
        answer = super().answer(method, path, query, body)
        self.driver.hold(0, self.pid, 0.01 if self.asleep else 0.3)
        return answer


def test_an_idle_vllm_frees_its_gpu_for_a_run_and_is_woken_when_that_has_ended(tmp_path, driver):
    driver.hold(1, 1, 70)
    with process("vllm-in-this-test") as api, Chat(driver, api.pid) as server:
        chat = {"kind": "vllm", "words": ["vllm-in-this-test"], "url": server.url, "idle_s": 2.5}
        services = {f"services.chat.{key}": value for key, value in chat.items()}
        with project_in(tmp_path / "p", **services) as project, project.running():
            project.submit_training(
                "line", points(), epochs=2, gpus=1, memory_gb=0.2, settings={"prepare_s": 1.0}, job_id="j"
            )
            wait_for(lambda: project.job("j").status == "preparing")
            assert [path for _, path, _ in server.changes()] == ["/sleep?level=1&mode=wait"]
            assert entries()["j"].devices.keys() == {"GPU-0"}
            wait_for(lambda: project.job("j").ended)
            assert project.job("j").error is None
            wait_for(lambda: [path for _, path, _ in server.changes()][1:] == ["/wake_up"])


def test_a_training_yields_its_gpu_to_a_growing_service(tmp_path, driver):
    driver.hold(1, 1, 80)
    service = {"services.api.words": ["grows-on-a-gpu"], "training.models.line.gpu_memory_gb": 30.0}
    with project_in(tmp_path / "p", **service) as project, process("grows-on-a-gpu") as api, project.running():
        driver.hold(0, api.pid, 10)
        settings = {"pause_s": 0.05}
        project.submit_training("line", points(), epochs=40, gpus=1, memory_gb=0.3, job_id="j", settings=settings)
        wait_for(lambda: project.job("j").status == "training")
        driver.hold(0, api.pid, 60)
        wait_for(lambda: project.job("j").status == "queued")
        driver.hold(0, api.pid, 0)
        with project.database.read() as connection:
            history = get(connection, project.job("j").training_run_id).history
        [reason] = [entry[2] for entry in history if entry[0] == "yielded"][:1]
        assert reason.startswith("yielded: api may soon use ")
        assert reason.endswith(" GB of GPU 0")


def test_gpus_of_what_runs_in_the_daemon_itself_are_refused(tmp_path):
    with project_in(tmp_path / "p") as project, pytest.raises(InvalidTask, match=r"needs\.gpus: executor 'thread'"):
        seeing(project, "a", executor="thread")


def test_a_daemon_shows_who_has_which_gpu(tmp_path, monkeypatch):
    (tmp_path / "driver").mkdir()
    tests = str(Path(__file__).parents[1])
    (tmp_path / "driver" / "pynvml.py").write_text(
        f"import sys\nsys.path.append({tests!r})\nfrom fake_nvml import FakeNvml, NVMLError\n"
        "fake = FakeNvml(used_gb=(1, 1))\n"
        "globals().update({name: getattr(fake, name) for name in dir(fake) if name.startswith('nvml')})\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'driver'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    argv = json.dumps([sys.executable, "-c", f"{TELL}; import time; time.sleep(600)"])
    daemon = Daemon(tmp_path / "p", f"[tasks.a]\naction = {argv}\n[tasks.a.needs]\ngpus = 2\n")
    try:
        daemon.up()
        daemon.ok("tasks", "run", "a")
        wait_for(lambda: any(entry.begun for entry in entries().values()))
        found = json.loads(daemon.ok("resources", "--json"))
        assert [[one["name"] for one in device["running"]] for device in found["gpus"]] == [["a #1"], ["a #1"]]
        shown = daemon.ok("resources")
        assert "0 NVIDIA H100" in shown
        assert shown.count("80.0 GB reserved") == 2
    finally:
        daemon.end()
