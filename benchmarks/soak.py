"""Minutes of steady work: does memory, the number of open files or the delay of a start grow?

A daemon (with HTTP, files for others, watchdog and retention) gets tasks at a steady rate: most in threads, some in
child processes, some flows that park. After a warm-up the first and the last third are compared: growth beyond the
noise is a failure. `--plot` draws the three of them over time.

    .venv/bin/python benchmarks/soak.py [--quick] [--json] [--minutes 15] [--rate 50] [--plot soak.svg]
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from rig import machine

import overnight
from overnight.app import sweeping
from overnight.app.daemon import Daemon
from overnight.app.signals import Stop
from overnight.server.serving import serve

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
    with overnight.Project.create(folder, overrides={"engine.max_concurrent": SLOTS, "server.port": 0}) as project:
        # Old at once, so that retention has as much to do as comes in.
        keep = {"keep_days": 0, "keep_last": 1000}
        project.add_task(overnight.Task(task_id="thread", action=noop, executor="thread", max_concurrent=None, **keep))
        project.add_task(overnight.Task(task_id="process", action=noop, executor="process", max_concurrent=2, **keep))
        project.add_task(overnight.Task(task_id="flow", action=parking, max_concurrent=2, **keep))
        with daemon_of(project):
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


@contextlib.contextmanager
def daemon_of(project: overnight.Project) -> Iterator[None]:
    """Let a daemon work on the project, as `overnight up` does, in a thread of this process."""
    sweeping.PASS_EVERY_S = 10.0
    stop = Stop()
    daemon = Daemon(project)
    thread = threading.Thread(target=daemon.run, args=(stop, serve))
    thread.start()
    try:
        while project.runtime is None:
            time.sleep(0.01)
        yield
    finally:
        stop.ask()
        thread.join()


PLOTTED = (
    ("rss_mb", "memory of the process tree, MB"),
    ("open_files", "open files"),
    ("start_lag_ms", "start lag, ms"),
)
WIDTH, HEIGHT, MARGIN = 720, 140, 24


def plot(samples: list[dict[str, float]]) -> str:
    """Return an SVG with a curve for each of the plotted figures, each from 0 to its largest value."""
    until = max(sample["at_s"] for sample in samples)
    parts = []
    for place, (name, title) in enumerate(PLOTTED):
        top = place * (HEIGHT + MARGIN) + MARGIN
        most = max(max(sample[name] for sample in samples), 1e-9)
        points = " ".join(
            f"{WIDTH * sample['at_s'] / until:.1f},{top + HEIGHT * (1 - sample[name] / most):.1f}" for sample in samples
        )
        parts.append(f'<text x="4" y="{top - 6}">{title}: 0 to {most:.4g} in {until / 60:.1f} min</text>')
        parts.append(f'<line x1="0" y1="{top + HEIGHT}" x2="{WIDTH}" y2="{top + HEIGHT}" stroke="#999"/>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="#1f6f9f" stroke-width="1"/>')
    size = f'width="{WIDTH}" height="{len(PLOTTED) * (HEIGHT + MARGIN) + MARGIN}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"


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
    parser.add_argument("--plot", type=Path, help="draw memory, open files and lag into this SVG file")
    options = parser.parse_args()
    minutes = 0.5 if options.quick else options.minutes
    with tempfile.TemporaryDirectory() as folder:
        about = machine(Path(folder))
        samples = soak(Path(folder), minutes, options.rate)
    found = judged(samples)
    if options.plot is not None:
        options.plot.write_text(plot(samples))
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
