"""Memory is negotiated: real projects, processes that hold memory, services that grow, sleep and are woken."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from model_servers import ModelServer, process
from overnight import Project
from overnight.app.machine_memory import as_json, machine_memory
from overnight.base.clock import SystemClock
from overnight.base.settings import environment
from overnight.engine.claim import Claimant, claim
from overnight.engine.model import Needs, Task
from overnight.engine.queue import Capacity
from overnight.engine.store import get
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.negotiator import ledger_of
from overnight.resources.sleeping import ASLEEP
from small_trainer import points

MB = 10**6
# A test that fails must not wait for what it has started.
LIMITS = {"resources.max_total_memory_gb": 0.5, "resources.host_reserve_gb": 0.0, "engine.grace_s": 0}
JOBS = {"training.models.line.trainer": "small_trainer:Line", "training.validation": 0.3}


@pytest.fixture(autouse=True)
def one_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def hold(ctx, mb, until):
    """Hold memory until a file is there."""
    held = bytearray(b"x") * (mb * MB)
    while not Path(until).exists():
        time.sleep(0.02)
    return len(held) // MB


@contextmanager
def project_in(folder, **overrides):
    with Project.create(folder, overrides={**LIMITS, **JOBS, **overrides}) as made:
        yield made


def entries():
    _, parts = ledger_of(Machine(shared_folder(environment()), SystemClock()))
    return {entry.want.name: entry for part in parts for entry in part.entries}


def holding(project, name, gb, **more):
    project.add_task(Task(task_id=name, action=hold, needs=Needs(memory_gb=gb), **more))


def used_by(project, name):
    return next(one["used_bytes"] for one in as_json(machine_memory(project))["services"] if one["name"] == name)


class Undone(Exception):
    """Ends a transaction without a trace."""


def state_of(project, run_id):
    return project.get(run_id).state


def test_what_does_not_fit_waits_says_why_and_starts_when_the_other_has_ended(tmp_path):
    with project_in(tmp_path / "p") as project:
        holding(project, "a", 0.3)
        holding(project, "b", 0.3)
        first = project.submit("a", args={"mb": 50, "until": str(tmp_path / "a")})
        with project.running():
            wait_for(lambda: state_of(project, first) == "IN_PROGRESS")
            second = project.submit("b", args={"mb": 50, "until": str(tmp_path / "b")})
            waiting = wait_for(lambda: (one := entries().get(f"b #{second}")) and one.why and one)
            assert waiting.why.startswith("needs 0.3 GB; 0.2 GB are free beside what services are expected to use")
            seen = as_json(machine_memory(project))
            assert [one["name"] for one in seen["waiting"]] == [f"b #{second}"]
            wait_for(lambda: (entries()[f"a #{first}"].used_bytes or 0) > 50 * MB)  # what it really uses
            assert state_of(project, second) == "PENDING"
            (tmp_path / "a").touch()
            wait_for(lambda: state_of(project, second) == "IN_PROGRESS")
            assert state_of(project, first) == "COMPLETED"
            (tmp_path / "b").touch()
            wait_for(lambda: state_of(project, second) == "COMPLETED")
            wait_for(lambda: not entries())
    assert ledger_of(Machine(shared_folder(environment()), SystemClock()))[1] == [], "who has gone has left nothing"


def test_the_same_runs_want_memory_however_much_of_the_queue_a_turn_reads(tmp_path, database_url):
    with project_in(tmp_path / "p", **{"engine.database": database_url}) as project:
        holding(project, "any", 0.1, max_concurrent=None)
        holding(project, "one", 0.1)
        locks = Needs(memory_gb=0.1, locks=("gpu",))
        project.add_task(Task(task_id="locked", action=hold, needs=locks, max_concurrent=None))
        project.add_task(Task(task_id="none", action=hold, max_concurrent=None))
        names = ("none", "one", "any", "locked", "none", "one", "locked", "any", "none")
        ids = [project.submit(name) for name in names]
        seen = {}

        def look(tx, slots, granted):
            capacity = Capacity(slots=slots, cpus=100, memory_gb=0.5)
            claimant = Claimant(worker_id="w", capacity=capacity, busy=(), granted=granted)
            claimed, wanting = claim(tx, project.book, claimant)
            seen[slots, granted] = [[ids.index(run.run_id) for run in runs] for runs in (claimed, wanting)]
            raise Undone

        for slots in (4, 50):
            for granted in (frozenset(), frozenset([ids[2]])):
                with pytest.raises(Undone):
                    project.database.writer.do(lambda tx, s=slots, g=granted: look(tx, s, g))
    assert seen == {
        (4, frozenset()): [[0, 4, 8], [1, 2, 3, 7]],
        (50, frozenset()): [[0, 4, 8], [1, 2, 3, 7]],
        (4, frozenset([ids[2]])): [[0, 2, 4, 8], [1, 3, 7]],
        (50, frozenset([ids[2]])): [[0, 2, 4, 8], [1, 3, 7]],
    }


def test_each_project_is_shown_the_limits_of_its_own(tmp_path):
    smaller = {"resources.max_total_memory_gb": 0.4}
    with project_in(tmp_path / "p") as one, project_in(tmp_path / "q", **smaller) as two:
        args, runs = {"mb": 1, "until": str(tmp_path / "go")}, []
        for project in (one, two):
            holding(project, "a", 0.1)
            runs.append(project.submit("a", args=args))
        with one.running(), two.running():
            wait_for(lambda: [state_of(one, runs[0]), state_of(two, runs[1])] == ["IN_PROGRESS"] * 2)
            found = [as_json(machine_memory(project))["capacity_bytes"] for project in (one, two)]
            (tmp_path / "go").touch()
    assert found == [500 * MB, 400 * MB]


def test_a_smaller_run_passes_one_that_does_not_fit(tmp_path):
    with project_in(tmp_path / "p") as project:
        for name, gb in (("a", 0.3), ("b", 0.4), ("c", 0.1)):
            holding(project, name, gb)
        args = {"mb": 10, "until": str(tmp_path / "go")}
        runs = [project.submit(name, args=args) for name in "abc"]
        with project.running():
            wait_for(lambda: state_of(project, runs[2]) == "IN_PROGRESS")
            assert [state_of(project, run) for run in runs] == ["IN_PROGRESS", "PENDING", "IN_PROGRESS"]
            (tmp_path / "go").touch()
            wait_for(lambda: all(state_of(project, run) == "COMPLETED" for run in runs))


def test_a_backlog_of_runs_without_needs_does_not_keep_one_with_needs_from_its_turn(tmp_path):
    with project_in(tmp_path / "p", **{"engine.max_concurrent": 1}) as project:
        project.add_task(Task(task_id="small", action=lambda: time.sleep(0.02), executor="thread", max_concurrent=None))
        holding(project, "a", 0.2, max_concurrent=1)
        first = project.submit("a", args={"mb": 1, "until": str(tmp_path)}, priority="CRITICAL")
        small = [project.submit("small") for _ in range(200)]
        with project.running():
            wait_for(lambda: state_of(project, first) == "COMPLETED")
            assert state_of(project, small[-1]) == "PENDING", "it did not have to wait for all of them"


def test_memory_is_not_kept_for_a_run_whose_task_is_full(tmp_path):
    with project_in(tmp_path / "p") as project:
        holding(project, "a", 0.2, max_concurrent=1)
        holding(project, "b", 0.2)
        args = {"mb": 1, "until": str(tmp_path / "go")}
        first, second = (project.submit("a", args=args) for _ in range(2))
        with project.running():
            wait_for(lambda: state_of(project, first) == "IN_PROGRESS")
            other = project.submit("b", args=args)
            wait_for(lambda: state_of(project, other) == "IN_PROGRESS")
            assert (state_of(project, second), f"a #{second}" in entries()) == ("PENDING", False)
            (tmp_path / "go").touch()
            wait_for(lambda: state_of(project, second) == "COMPLETED")


def test_memory_is_not_kept_for_a_run_whose_lock_another_one_has(tmp_path):
    with project_in(tmp_path / "p") as project:
        for name in "ab":
            project.add_task(Task(task_id=name, action=hold, needs=Needs(memory_gb=0.2, locks=("the-disk",))))
        holding(project, "c", 0.2)
        args = {"mb": 1, "until": str(tmp_path / "go")}
        with project.running():
            first = project.submit("a", args=args)
            wait_for(lambda: state_of(project, first) == "IN_PROGRESS")
            second, third = (project.submit(name, args=args) for name in "bc")
            wait_for(lambda: state_of(project, third) == "IN_PROGRESS")
            assert (state_of(project, second), f"b #{second}" in entries()) == ("PENDING", False)
            (tmp_path / "go").touch()
            wait_for(lambda: state_of(project, second) == "COMPLETED")


def test_two_projects_share_one_machine(tmp_path):
    with ExitStack() as stack:
        projects = [stack.enter_context(project_in(tmp_path / name)) for name in "pq"]
        for project in projects:
            holding(project, "a", 0.3)
            stack.enter_context(project.running())
        args = {"mb": 10, "until": str(tmp_path / "go")}
        first = projects[0].submit("a", args=args)
        wait_for(lambda: state_of(projects[0], first) == "IN_PROGRESS")
        second = projects[1].submit("a", args=args)
        wait_for(lambda: (one := entries().get(f"a #{second}")) and one.why)
        assert state_of(projects[1], second) == "PENDING"
        (tmp_path / "go").touch()
        wait_for(lambda: state_of(projects[1], second) == "COMPLETED")


def test_a_run_that_can_never_fit_fails_at_once_and_says_so(tmp_path):
    with project_in(tmp_path / "p") as project:
        holding(project, "a", 0.6)
        run = project.submit("a", args={"mb": 1, "until": "x"})
        project.run(until_idle=True)
        error = project.get(run).error.message
    assert error == "needs.memory_gb: 0.6 GB are more than this machine has for services and runs together (0.5 GB)"


def test_a_run_beyond_what_it_reserved_is_ended_with_the_figures(tmp_path):
    with project_in(tmp_path / "p") as project:
        holding(project, "a", 0.1, max_retries=0)
        run = project.submit("a", args={"mb": 200, "until": str(tmp_path / "never")})
        project.run(until_idle=True)
        error = project.get(run).error.message
    needed, rest = error.split(", ", 1)
    assert rest == "reserved 0.1 GB; set needs.memory_gb"
    assert float(needed.removeprefix("needed ").removesuffix(" GB")) > 0.1


def test_a_training_yields_to_a_growing_service_and_ends_with_the_same_bits(tmp_path):
    service = {"services.api.words": ["grows-in-this-test"], "engine.max_concurrent": 3}
    settings = {"pause_s": 0.05}
    with project_in(tmp_path / "p", **service) as project, process("grows-in-this-test", mb=20) as api:
        calm = project.submit_training("line", points(), epochs=12, job_id="calm", memory_gb=0.3)
        with project.running():
            wait_for(lambda: project.job("calm").ended)
            job = project.submit_training(
                "line", points(), epochs=40, job_id="moved", memory_gb=0.3, checkpoint_interval=1000, settings=settings
            )
            wait_for(lambda: project.job("moved").status == "training")
            api.stdin.write("260\n")
            api.stdin.flush()
            wait_for(lambda: project.job("moved").status == "queued")
            waiting = project.job("moved").waiting
            assert "yielded: api may soon use" in waiting or "are free beside what services" in waiting
            wait_for(lambda: used_by(project, "api") > 260 * MB)
            api.kill()
            wait_for(lambda: project.job("moved").ended)
            moved = project.job("moved")
        assert (calm.error, moved.status, moved.error) == (None, "completed", None)
        with project.database.read() as connection:
            run = get(connection, moved.training_run_id)
        assert run.attempt == 1, "yielding costs no try"
        assert "set_back" not in {what for what, *_ in run.history}
        whys = [entry[2] for entry in run.history if entry[0] == "yielded"]
        assert whys
        assert whys[0].startswith("yielded: api may soon use ")
        assert job.job_id == "moved"


def test_a_training_that_had_to_yield_before_a_checkpoint_waits_and_says_until_when(tmp_path):
    services = {"services.api.words": ["returns-in-this-test"], "engine.retry.base_s": 3600.0}
    with project_in(tmp_path / "p", **services) as project, process("returns-in-this-test", mb=20) as api:
        with project.running():
            slow = {"prepare_s": 3.0, "pause_s": 0.05}
            project.submit_training("line", points(), epochs=40, job_id="j", memory_gb=0.3, settings=slow)
            wait_for(lambda: project.job("j").status == "preparing")
            api.stdin.write("260\n")
            api.stdin.flush()
            waiting = wait_for(lambda: "before" in (project.job("j").waiting or "") and project.job("j").waiting)
        run = project.get(project.job("j").training_run_id)
    assert waiting.startswith("yielded: api may soon use ")
    assert ", before it had written a checkpoint; next try at " in waiting
    assert [what for what, *_ in run.history] == ["started", "set_back"]
    assert (run.due_us - run.created_us) / 1e6 >= 3600, "as long as after a failure"


class Roomy(ModelServer):
    """Tells that nobody asks for anything, and lets go of a process's memory when it is asked to."""

    def __init__(self, stack):
        super().__init__()
        self.awake = None
        self.wake()

        # What runs on while it sleeps.
        stack.enter_context(process("sleeps-in-this-test", mb=5))

    def wake(self):
        if self.awake is None:
            self.awake = ExitStack()
            self.awake.enter_context(process("sleeps-in-this-test", mb=300))

    def answer(self, method, path, query, body):
        if path == "/sleep" and self.awake is not None:
            self.awake.close()
            self.awake = None
        if path == "/wake":
            self.wake()
        return 200, {"active": 0}


def sleepy(url):
    return {
        "services.api.words": ["sleeps-in-this-test"],
        "services.api.active_url": f"{url}/active",
        "services.api.active_path": "active",
        # Looks further apart than this begin the idle time anew, and a busy machine looks late.
        "services.api.idle_s": 4.0,
        "services.api.release.url": f"{url}/sleep",
        "services.api.wake.url": f"{url}/wake",
    }


@pytest.fixture
def roomy():
    with ExitStack() as stack, Roomy(stack) as server:
        try:
            yield server
        finally:
            if server.awake is not None:
                server.awake.close()


def test_an_idle_service_makes_room_for_a_run_and_is_woken_when_that_has_ended(tmp_path, roomy):
    with project_in(tmp_path / "p", **sleepy(roomy.url)) as project, project.running():
        project.submit_training("line", points(), epochs=2, memory_gb=0.4, job_id="j", settings={"prepare_s": 1.0})
        wait_for(lambda: project.job("j").status == "preparing")
        assert [path for method, path, _ in roomy.changes()] == ["/sleep"]
        assert roomy.awake is None
        wait_for(lambda: project.job("j").ended)
        assert project.job("j").error is None
        wait_for(lambda: roomy.awake is not None)
        assert [path for method, path, _ in roomy.changes()] == ["/sleep", "/wake"]


def test_a_service_that_sleeps_while_the_daemon_is_killed_is_woken_by_the_next_one(tmp_path, roomy):
    service = "".join(
        f"{name.removeprefix('services.api.')} = {json.dumps(value)}\n" for name, value in sleepy(roomy.url).items()
    )
    toml = f"[resources]\nmax_total_memory_gb = 0.5\nhost_reserve_gb = 0\n[services.api]\n{service}"
    line = '[training]\nvalidation = 0.3\n[training.models.line]\ntrainer = "small_trainer:Line"\nmemory_gb = 0.4\n'
    daemon = Daemon(tmp_path / "p", toml + line)
    (daemon.folder / "small_trainer.py").write_text((Path(__file__).parents[1] / "small_trainer.py").read_text())
    (daemon.folder / "points.json").write_text(json.dumps(points()))
    try:
        daemon.up()
        daemon.ok("jobs", "submit", "line", "--data", str(daemon.folder / "points.json"), "--set", "prepare_s=600")
        wait_for(lambda: roomy.awake is None)
        machine = Machine(shared_folder(environment()), SystemClock())
        wait_for(lambda: "asleep" in daemon.ok("resources"))
        assert json.loads(daemon.ok("resources", "--json"))["services"][0]["note"] == "asleep"
        assert list(machine.read(ASLEEP)[str(daemon.folder)]) == ["api"]
        daemon.kill()
        daemon.write(toml)
        daemon.up()
        wait_for(lambda: roomy.awake is not None)
        wait_for(lambda: not machine.read(ASLEEP)[str(daemon.folder)])
    finally:
        daemon.end()


def test_beside_a_busy_service_nothing_of_unknown_size_starts(tmp_path):
    busy = {"services.api.words": ["busy-in-this-test"], "resources.serving_memory_threshold_gb": 0.05}
    with project_in(tmp_path / "p", **busy) as project, process("busy-in-this-test", mb=80) as api, project.running():
        project.submit_training("line", points(), epochs=2, job_id="unknown")
        project.submit_training("line", points(), epochs=2, job_id="known", memory_gb=0.2)
        wait_for(lambda: project.job("known").ended)
        waiting = wait_for(
            lambda: (project.job("unknown").waiting or "").startswith("what it needs is not known") and 1
        )
        assert waiting
        api.kill()
        wait_for(lambda: project.job("unknown").ended)


def test_what_two_jobs_took_is_reserved_for_the_third_and_is_no_limit(tmp_path):
    with project_in(tmp_path / "p") as project, project.running():
        for number in range(2):
            project.submit_training("line", points(40 + number), epochs=2, job_id=f"j{number}")
            wait_for(lambda number=number: project.job(f"j{number}").ended)
        leak = {"leak_mb": 2, "pause_s": 0.02}
        project.submit_training("line", points(50), epochs=12, job_id="third", settings=leak)
        wait_for(lambda: project.job("third").ended)
        status = project.job("third")
        with project.database.read() as connection:
            run = get(connection, status.training_run_id)
    assert status.status == "completed"
    assert run.needs.memory_basis == "estimated"
    assert 0.02 < run.needs.memory_gb < 0.3
    assert run.usage.peak_memory_gb > run.needs.memory_gb, "it took more than was expected, and went on"


def test_what_a_killed_daemon_had_is_free(tmp_path):
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from test_memory import holding, project_in
with project_in({str(tmp_path / "q")!r}) as project:
    holding(project, "a", 0.4)
    project.submit("a", args={{"mb": 10, "until": "never"}})
    project.run()
"""
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: any(entry.begun for entry in entries().values()))
        with project_in(tmp_path / "p") as project, project.running():
            holding(project, "b", 0.3)
            run = project.submit("b", args={"mb": 1, "until": str(tmp_path)})
            wait_for(lambda: (one := entries().get(f"b #{run}")) and one.why)
            other.kill()
            wait_for(lambda: state_of(project, run) == "COMPLETED")
    finally:
        other.kill()
        other.wait()
