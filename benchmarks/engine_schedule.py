"""How punctual the schedule is, what an idle engine costs, and how soon a full queue moves again. On SQLite.

- schedule: from the nominal instant to the first line of the task's function, beside 10,000 tasks that are not due; and
  the CPU time of an engine with 100,000 of them while nothing is due.
- idle: from before `import overnight` to the end of `Project.start()` in a fresh process, what that process then uses,
  and what `overnight up`, which has HTTP loaded, uses.
- queue: a process is killed with SIGKILL while 10,000 runs wait; the next one is timed from its start (Python and
  imports count) to the first function that begins, and until all have COMPLETED.

Times are told as multiples of one raw commit of the same run too: on a slow disk or a busy machine only those say
something. Each figure comes from a fresh process.

Run by engine.py; as a program: engine_schedule.py PART FOLDER ARGUMENTS prints JSON.
"""

import json
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rig import load, percentile

import overnight

SCHEDULES = 10_000
TICKING = 3
"""Tasks that fire every second, all at the same instants."""
QUEUED = 10_000
SLOTS = 64
LIMIT_S = 600.0
SETTLE_S = 3.0
"""Between the start of an engine and the first look at what it uses while idle."""
FAR = "36500d"
"""A period whose next instant lies decades ahead."""

AIMS: dict[str, tuple[str, float]] = {
    "start_error_ms.p50": ("<=", 2.0),
    "start_error_ms.p99": ("<=", 20.0),
    "instants_without_run": ("<=", 0.0),
    "many_cpu_percent": ("<=", 1.0),
    "engine_ready_ms": ("<=", 500.0),
    "idle_cpu_percent": ("<=", 0.5),
    "idle_pss_mb": ("<=", 70.0),
    "first_start_ms": ("<=", 2000.0),
}
TIMES = frozenset({"start_error_ms.p50", "start_error_ms.p99", "engine_ready_ms", "first_start_ms"})
"""Aims that hold on a quiet machine with a fast disk; elsewhere the multiple of a raw commit stands for them."""
ANCHORS = {
    "start_error_ms.p50": "Huey 340, DBOS 600",
    "engine_ready_ms": "Huey 100, DBOS 440",
    "idle_pss_mb": "DBOS 69",
}
"""What peers took when they were measured once; they are not measured in this run."""
FSYNC_MS = 0.2
LOAD = 0.5

ERRORS_MS: list[float] = []
STARTED: list[float] = []


def applicable(machine: dict[str, Any]) -> bool:
    """Tell whether the disk is fast enough and the machine was quiet enough for aims in absolute time."""
    return bool(machine["fsync_ms"] <= FSYNC_MS and machine["load_1min"] < LOAD)


def measure_schedule(folder: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Return the figures of each section."""
    return {
        "schedule": schedule_figures(folder, quick),
        "idle": idle_figures(folder, quick),
        "queue": queue_figures(folder),
    }


def raw_commit_ms(folder: Path, count: int = 300) -> float:
    """Return the median milliseconds of one committed insert through sqlite3, with fsync."""
    seen = []
    connection = sqlite3.connect(folder / f"commit-{time.monotonic_ns()}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, task TEXT)")
    for _ in range(count):
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO runs (task) VALUES ('noop')")
        connection.execute("COMMIT")
        seen.append(1000 * (time.perf_counter() - began))
    connection.close()
    return statistics.median(seen)


def child(*arguments: object) -> dict[str, Any]:
    """Run Python with these arguments and return the JSON object that it prints last."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def part(name: str, folder: Path, *arguments: object) -> dict[str, Any]:
    """Run one part of this file in a fresh process."""
    return child(__file__, name, folder, *arguments)


def open_project(folder: str | Path) -> overnight.Project:
    """Open the project of a part, or make it."""
    return overnight.Project.create(folder, overrides={"engine.max_concurrent": SLOTS})


# The schedule.


def schedule_figures(place: Path, quick: bool) -> dict[str, Any]:
    """Return how punctual starts are, and what many schedules cost while none is due."""
    many, seconds = (20_000, 10) if quick else (100_000, 20)
    figures: dict[str, Any] = {"load_1min": load(), "raw_commit_ms": raw_commit_ms(place)}
    with tempfile.TemporaryDirectory(dir=place) as name:
        figures |= punctuality(part("tick", Path(name), 25 if quick else 105), figures["raw_commit_ms"])
    with tempfile.TemporaryDirectory(dir=place) as name:
        figures |= part("many", Path(name), many, seconds)
    return figures


def punctuality(told: dict[str, Any], raw_ms: float) -> dict[str, Any]:
    """Return the figures of `tick`; `raw_ms` is one raw commit."""
    errors = told["errors_ms"]
    ranks = {"p50": percentile(errors, 0.5), "p99": percentile(errors, 0.99)}
    return {
        "schedules": SCHEDULES,
        "firings": len(errors),
        "instants_without_run": TICKING * told["instants"] - len(errors),
        "start_error_ms": ranks | {"worst": max(errors)},
        "start_error_commits": {name: value / raw_ms for name, value in ranks.items()},
    }


def note_error(ctx: overnight.RunContext) -> None:
    """Note how late the function began."""
    at = time.time()
    assert ctx.scheduled is not None
    ERRORS_MS.append(1000 * (at - ctx.scheduled.timestamp()))


def noop() -> None:
    """Do nothing."""


def add_far(project: overnight.Project, count: int) -> None:
    """Add so many tasks that are not due."""
    for number in range(count):
        project.add_task(overnight.Task(task_id=f"far-{number}", action=noop, executor="thread", every=FAR))


def tick(folder: str, seconds: str) -> dict[str, Any]:
    """Let tasks fire every second beside many that do not, and return how late each began."""
    with open_project(folder) as project:
        add_far(project, SCHEDULES)
        for number in range(TICKING):
            project.add_task(overnight.Task(task_id=f"tick-{number}", action=note_error, executor="thread", every="1s"))
        project.start()
        # Away from the instants at both ends, so that it is clear how many lie between.
        time.sleep(1.5 - time.time() % 1)
        ERRORS_MS.clear()
        time.sleep(float(seconds))
        errors = list(ERRORS_MS)
    return {"errors_ms": errors, "instants": int(seconds)}


def many(folder: str, count: str, seconds: str) -> dict[str, Any]:
    """Return what so many tasks cost while none is due, and how long it took to add them and to start."""
    with open_project(folder) as project:
        began = time.perf_counter()
        add_far(project, int(count))
        added = time.perf_counter()
        project.start()
        started = time.perf_counter()
        time.sleep(SETTLE_S)
        percent = cpu_percent(time.process_time, float(seconds))
    return {
        "many_schedules": int(count),
        "many_cpu_percent": percent,
        "many_add_s": added - began,
        "many_start_s": started - added,
    }


def cpu_percent(used_s: Callable[[], float], seconds: float) -> float:
    """Return the share of one core that is used in the next seconds, in percent; `used_s` tells the CPU time so far."""
    before, began = used_s(), time.perf_counter()
    time.sleep(seconds)
    return 100 * (used_s() - before) / (time.perf_counter() - began)


# An idle engine.

READY = """
import sys, time
began = time.perf_counter()
import overnight
project = overnight.Project.open(sys.argv[1])
project.start()
ready_ms = 1000 * (time.perf_counter() - began)
memory = open("/proc/self/smaps_rollup").read()
seconds = float(sys.argv[2])
time.sleep(min(3.0, seconds))
before = time.process_time()
time.sleep(seconds)
cpu_s = time.process_time() - before
project.close()
import json
print(json.dumps({"ready_ms": ready_ms, "memory": memory, "cpu_s": cpu_s}))
"""


def idle_figures(place: Path, quick: bool) -> dict[str, Any]:
    """Return when an engine is ready and what it uses then, with and without HTTP; the first start is not counted."""
    seconds, runs = 10, 3 if quick else 9
    raw_ms = raw_commit_ms(place)
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name) / "project"
        shutil.copytree(Path(overnight.__file__).parent / "examples" / "minimal", folder)
        with (folder / "overnight.toml").open("a") as file:
            file.write("\n[server]\nport = 0\n")
        child("-c", READY, folder, 0)
        python, ready = [], []
        for _ in range(runs):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=LIMIT_S)
            python.append(1000 * (time.perf_counter() - began))
            ready.append(child("-c", READY, folder, 0)["ready_ms"])
        idle = child("-c", READY, folder, seconds)
        http = up(folder, seconds)
    median = statistics.median(ready)
    memory = memory_mb(idle["memory"])
    return {
        "load_1min": load(),
        "raw_commit_ms": raw_ms,
        "python_start_ms": statistics.median(python),
        "engine_ready_ms": median,
        "engine_ready_commits": median / raw_ms,
        "idle_cpu_percent": 100 * idle["cpu_s"] / seconds,
        "idle_pss_mb": memory["Pss"],
        "idle_rss_mb": memory["Rss"],
        **http,
    }


def memory_mb(rollup: str) -> dict[str, float]:
    """Return the sums of a `smaps_rollup` by name, in MB (10^6 bytes)."""
    return {name: int(kib) * 1024 / 1e6 for name, kib in re.findall(r"^(\w+): +(\d+) kB$", rollup, re.MULTILINE)}


def up(folder: Path, seconds: float) -> dict[str, Any]:
    """Return what `overnight up` uses once it has answered over HTTP."""
    command = [sys.executable, "-m", "overnight", "--project", str(folder), "up", "--foreground"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        await_health(process, folder / ".overnight" / "daemon.json")
        memory = memory_mb(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
        time.sleep(SETTLE_S)
        times = psutil.Process(process.pid).cpu_times
        percent = cpu_percent(lambda: sum(times()[:2]), seconds)
    finally:
        end(process)
    return {"http_pss_mb": memory["Pss"], "http_rss_mb": memory["Rss"], "http_cpu_percent": percent}


def await_health(process: "subprocess.Popen[bytes]", told: Path) -> None:
    """Wait until the daemon answers `GET /health`, well or not."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            url = json.loads(told.read_text())["url"]
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"overnight up did not answer (exit code {process.poll()})")


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process as a person does; kill it where it does not listen."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# A full queue.


def queue_figures(place: Path) -> dict[str, Any]:
    """Return how soon the next process works on what a killed one has left."""
    figures: dict[str, Any] = {"load_1min": load(), "raw_commit_ms": raw_commit_ms(place), "queued": QUEUED}
    with tempfile.TemporaryDirectory(dir=place) as name:
        leave_queue(Path(name))
        told = part("resume", Path(name), time.monotonic())
    return figures | told | {"first_start_commits": told["first_start_ms"] / figures["raw_commit_ms"]}


def leave_queue(folder: Path) -> None:
    """Have a process fill the queue, and kill it."""
    with subprocess.Popen([sys.executable, __file__, "fill", str(folder)], stdout=subprocess.PIPE) as process:
        late = threading.Timer(LIMIT_S, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"filled\n":
                raise RuntimeError("the queue could not be filled")
        finally:
            late.cancel()
            process.kill()


def add_queued(project: overnight.Project, action: Callable[[], object]) -> None:
    """Add the task that keeps all slots of the process that is killed, and the one that waits behind it."""
    for name in ("hold", "queued"):
        project.add_task(overnight.Task(task_id=name, action=action, executor="thread", max_concurrent=None))


def hold() -> None:
    """Note the start, then take longer than the process lives."""
    STARTED.append(time.monotonic())
    time.sleep(LIMIT_S)


def note_start() -> None:
    """Note the start."""
    STARTED.append(time.monotonic())


def fill(folder: str) -> None:
    """Work on as many runs as there are slots, queue many behind them, say so, and wait for the end."""
    project = open_project(folder)
    add_queued(project, hold)
    project.start()
    for _ in range(SLOTS):
        project.submit("hold")
    while len(STARTED) < SLOTS:
        time.sleep(0.01)

    def produce(count: int) -> None:
        for _ in range(count):
            project.submit("queued")

    shares = [QUEUED // SLOTS + (number < QUEUED % SLOTS) for number in range(SLOTS)]
    threads = [threading.Thread(target=produce, args=(count,)) for count in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("filled", flush=True)
    time.sleep(LIMIT_S)


def resume(folder: str, spawned: str) -> dict[str, Any]:
    """Work on what was left; `spawned` is when this process was asked for, by the clock that only moves forward."""
    left = "SELECT count(*) FROM runs WHERE state <> 'COMPLETED'"
    with open_project(folder) as project:
        add_queued(project, note_start)
        with project.database.read() as connection:
            waiting = int(connection.exec_driver_sql(left).scalar_one())
        began = time.monotonic()
        project.start()
        while waiting:
            time.sleep(0.05)
            with project.database.read() as connection:
                waiting = int(connection.exec_driver_sql(left).scalar_one())
        ended = time.monotonic()
    first = STARTED[0]
    return {
        "first_start_ms": 1000 * (first - float(spawned)),
        "first_start_after_start_ms": 1000 * (first - began),
        "all_completed_s": ended - began,
        "resumed_runs_per_s": len(STARTED) / (ended - first),
    }


PARTS: dict[str, Callable[..., dict[str, Any] | None]] = {"tick": tick, "many": many, "fill": fill, "resume": resume}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
