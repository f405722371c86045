"""Measure what services cost: until all work, at rest, until one that was killed works again, until all are gone.

    python benchmarks/services.py [--quick] [--json]

N small HTTP servers (`python -m http.server`) are services of a fresh project, all in one phase, each looked at every
second. Beside that stands the raw limit: the same N programs started at once by `subprocess`, and asked until each has
answered. "At rest" is the processor time of the daemon and all minders and keepers, in percent of one core, over a
while in which nothing happens, less that of a daemon without services.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from rig import machine, show

PATIENCE_S = 120.0
LOOK_S = 0.01


def ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found.append(one.getsockname()[1])
        return found


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
            return True
    except OSError:
        return False


def until(what: Any) -> float:  # Any: a function that says whether it is so
    """Return the seconds until it is so."""
    begun = time.perf_counter()
    while not what():
        if time.perf_counter() - begun > PATIENCE_S:
            raise TimeoutError("it does not come to that")
        time.sleep(LOOK_S)
    return time.perf_counter() - begun


def raw(count: int) -> float:
    """Return the seconds until so many programs answer that are merely started."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = ports(count)
        begun = time.perf_counter()
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", folder],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for port in wanted
        ]
        try:
            until(lambda: all(map(answers, wanted)))
            return time.perf_counter() - begun
        finally:
            for one in started:
                one.kill()
                one.wait()


@contextlib.contextmanager
def project(count: int) -> Iterator[tuple[Path, list[int]]]:
    with tempfile.TemporaryDirectory() as made:
        folder, wanted = Path(made), ports(count)
        tables = "".join(
            f'[services.s{place}]\ncommand = ["{{python}}", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]\n'
            f'health = {{ url = "http://127.0.0.1:{port}/", every_s = 1.0 }}\nbackoff_s = 0.0\n'
            for place, port in enumerate(wanted)
        )
        (folder / "overnight.toml").write_text(f"[server]\nport = 0\n{tables}")
        try:
            yield folder, wanted
        finally:
            overnight(folder, "down", "--force")


def overnight(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "overnight", "--project", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S).stdout


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ".overnight" / "services.json").read_text())
    return found


def daemon_of(folder: Path) -> int:
    return int(json.loads((folder / ".overnight" / "daemon.json").read_text())["pid"])


def watchers(folder: Path) -> list[psutil.Process]:
    """Return the daemon, and what stands above each service: its minder and its keeper."""
    found = [psutil.Process(daemon_of(folder))]
    for one in told(folder)["services"].values():
        keeper = psutil.Process(one["pid"])
        found += [keeper, *([] if keeper.parent() is None else [keeper.parent()])]
    return found


def at_rest(folder: Path, seconds: float) -> float:
    """Return the percent of one core that those who watch have taken over a while."""

    def used() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in watched)

    watched = watchers(folder)
    before = used()
    time.sleep(seconds)
    return 100 * (used() - before) / seconds


def measure(count: int, seconds: float) -> dict[str, float]:
    figures = {"services": float(count), "raw_start_s": raw(count)}
    with project(0) as (folder, _):
        begun = time.perf_counter()
        overnight(folder, "up")
        alone_s = time.perf_counter() - begun
        alone = at_rest(folder, seconds)
    with project(count) as (folder, wanted):
        begun = time.perf_counter()
        overnight(folder, "up")
        figures["up_s"] = time.perf_counter() - begun - alone_s
        figures["ratio"] = figures["up_s"] / figures["raw_start_s"]
        figures["at_rest_percent"] = at_rest(folder, seconds) - alone
        figures["watchers_mb_each"] = (
            sum(one.memory_full_info().pss for one in watchers(folder)[1:]) / max(1, count) / 1e6
        )
        victim = psutil.Process(told(folder)["services"]["s0"]["pid"]).children()[0]
        os.kill(victim.pid, signal.SIGKILL)
        until(lambda: not answers(wanted[0]))
        figures["again_s"] = until(lambda: answers(wanted[0]))
        begun = time.perf_counter()
        overnight(folder, "down")
        figures["down_s"] = time.perf_counter() - begun
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Three services, a short while.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    wish = parser.parse_args()
    figures = measure(3, 5.0) if wish.quick else measure(20, 20.0)
    with tempfile.TemporaryDirectory() as folder:
        told_of = machine(Path(folder))
    show({"machine": told_of, "services": figures}, as_json=wish.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
