"""Minutes of steady work: does memory, the number of open files or the delay of a start grow?

A project gets tasks at a steady rate (most in threads, some in child processes, some flows that park). After a warm-up
the first and the last third are compared: growth beyond the noise is a failure.

    .venv/bin/python benchmarks/soak.py [--quick] [--json] [--minutes 15] [--rate 50]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rig import machine

import overnight

GROWTH = 1.10
"""The last third may use so many times what the first third used."""
SLOTS = 8
NOISE = {"threads": SLOTS}
"""Growth up to this is none: a pool of threads fills up to its slots as load wants. Otherwise 1, of MB, files or ms."""


def noop() -> None:
    """Do nothing."""


def parking(flow: overnight.Flow) -> str:
    """Park twice: for a child and for time."""
    [ended] = flow.wait(flow.start("thread"))
    flow.sleep(0.05)
    return str(ended.state)


def sample(project: overnight.Project, process: psutil.Process, began: float) -> dict[str, float]:
    """Return memory and open files of the whole tree, and how long a new run waits for its start."""
    tree = [process, *process.children(recursive=True)]
    rss, files = 0, 0
    for member in tree:
        try:
            rss += member.memory_info().rss
            files += member.num_fds()
        except psutil.NoSuchProcess:
            continue
    run_id = project.submit("thread")
    run = project.wait(run_id, 30)
    lag = (run.started_us or 0) - run.created_us
    return {
        "at_s": time.monotonic() - began,
        "rss_mb": rss / 1e6,
        "open_files": float(files),
        "start_lag_ms": lag / 1000,
        "threads": float(process.num_threads()),
    }


def soak(folder: Path, minutes: float, rate: float) -> list[dict[str, float]]:
    """Keep the project busy and return a sample every second."""
    samples = []
    process = psutil.Process(os.getpid())
    with overnight.Project.create(folder, overrides={"engine.max_concurrent": SLOTS}) as project:
        project.add_task(overnight.Task(task_id="thread", action=noop, executor="thread", max_concurrent=None))
        project.add_task(overnight.Task(task_id="process", action=noop, executor="process", max_concurrent=2))
        project.add_task(overnight.Task(task_id="flow", action=parking, max_concurrent=2))
        with project.running():
            began = next_sample = time.monotonic()
            number = 0
            while time.monotonic() - began < 60 * minutes:
                number += 1
                project.submit("flow" if number % 20 == 0 else "process" if number % 10 == 0 else "thread")
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                if time.monotonic() >= next_sample:
                    next_sample += 1
                    samples.append(sample(project, process, began))
    return samples


def judged(samples: list[dict[str, float]]) -> dict[str, dict[str, float | bool]]:
    """Compare the first and the last third after a warm-up of a tenth."""
    warm = samples[len(samples) // 10 :]
    third = max(1, len(warm) // 3)
    found: dict[str, dict[str, float | bool]] = {}
    for name in ("rss_mb", "open_files", "threads", "start_lag_ms"):
        first = statistics.median(sample[name] for sample in warm[:third])
        last = statistics.median(sample[name] for sample in warm[-third:])
        grew = last > first * GROWTH and last - first > NOISE.get(name, 1)
        found[name] = {"first_third": first, "last_third": last, "grew": grew}
    return found


def main() -> int:
    """Soak, print, and return 1 when something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=50.0, help="tasks a second")
    options = parser.parse_args()
    minutes = 0.5 if options.quick else options.minutes
    with tempfile.TemporaryDirectory() as folder:
        about = machine(Path(folder))
        samples = soak(Path(folder), minutes, options.rate)
    found = judged(samples)
    if options.json:
        print(json.dumps({"machine": about, "minutes": minutes, "rate": options.rate, **found}, indent=2))
    else:
        print(about)
        for name, row in found.items():
            verdict = "GREW" if row["grew"] else "steady"
            print(f"{name:<14}{row['first_third']:>10.2f} -> {row['last_third']:>10.2f}   {verdict}")
    return int(any(row["grew"] for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
