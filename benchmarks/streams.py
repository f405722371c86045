"""Streams of a training job: 1,000 readers of one job, 100 of them slow, while its trainer finishes epochs.

The readers are in a process of their own, so that what is measured is the daemon. An epoch's trainer writes the instant
into its figures (`val_loss`, seconds on the machine's monotonic clock), and a reader's latency is from there to the
instant at which it holds the event: the file, the look at it, the fan-out and the reading. A slow reader reads 256
bytes a second. The job begins to train when all are there. Every fast reader must get every event once and in order,
and a slow one what it has read so far.

    .venv/bin/python benchmarks/streams.py [--quick] [--json]
"""

import argparse
import contextlib
import json
import os
import resource
import select
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rig import machine, percentile

AIM_P99_MS, FLOOR_RATE, AIM_MB = 250.0, 5.0, 300.0
CLOCK = '''
import time
from pathlib import Path
from overnight.training.ports import State, Validation

class Clock:
    """A trainer whose epochs last as long as its setting says, and whose loss is the time."""
    metric, metric_sign, batch_size = "accuracy", 1, 1000
    def __init__(self, settings, seed): self.pause_s, self.next_s = settings["pause_s"], None
    @classmethod
    def check(cls, item): return None
    def prepare(self, training, validation, epochs):
        while not Path("go").exists(): time.sleep(0.01)
    def train_batch(self, rows, epoch):
        now = time.monotonic()
        self.next_s = (self.next_s or now) + self.pause_s
        time.sleep(max(0.0, self.next_s - now))
        return 0.0
    def validate(self): return Validation(loss=time.monotonic(), metric=0.5)
    def state(self): return State(arrays={}, values={})
    def restore(self, state): pass
    def save(self, folder): (folder / "clock").write_text("")
    @classmethod
    def load(cls, folder): return cls({"pause_s": 0}, 0)
    def predict(self, inputs): return []
'''


def readers(port: int, count: int, slow: int) -> dict[str, object]:
    """Read the stream `count` times at once, in a process of its own; what was read is looked at when all is over."""
    chosen = selectors.DefaultSelector()
    sockets, pieces = [], []
    for number in range(count):
        reader = socket.create_connection(("127.0.0.1", port))
        reader.sendall(b"GET /api/training/stream/watched HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sockets.append(reader)
        pieces.append([(0.0, reader.recv(4096))])
        reader.setblocking(False)
        if number >= slow:
            chosen.register(reader, selectors.EVENT_READ, number)
    print("ready", flush=True)
    now_s = time.monotonic
    left, next_slow = count - slow, now_s()
    while left:
        for key, _ in chosen.select(0.2):
            content = key.fileobj.recv(65536)
            pieces[key.data].append((now_s(), content))
            if not content or b"event: completed" in content:
                chosen.unregister(key.fileobj)
                left -= 1
        if now_s() >= next_slow:
            next_slow += 1.0
            for number in range(slow):
                with contextlib.suppress(BlockingIOError):
                    pieces[number].append((now_s(), sockets[number].recv(256)))
    seen = [events(one) for one in pieces]
    return {
        "ids": [[number for number, _ in one] for one in seen[slow:]],
        "slow_ids": [[number for number, _ in one] for one in seen[:slow]],
        "late_s": [late for one in seen[slow:] for _, late in one if late is not None],
    }


def events(pieces: list[tuple[float, bytes]]) -> list[tuple[int, float | None]]:
    """Return the number of each event, and how late it came where its epoch says when it was."""
    found, rest = [], b""
    for at, content in pieces:
        *whole, rest = (rest + content).split(b"\n\n")
        for event in whole:
            fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
            if b"id" in fields:
                told = json.loads(fields[b"data"])
                made = told.get("val_loss") if fields[b"event"] == b"status" else None
                found.append((int(fields[b"id"]), None if made is None else at - made))
    return found


def project(folder: Path, rate: float) -> None:
    """Lay out the project of a job that finishes `rate` epochs a second."""
    (folder / "clock_trainer.py").write_text(CLOCK)
    (folder / "overnight.toml").write_text(
        "[server]\nport = 0\n[training]\nvalidation = 0.3\n"
        f'[training.models.clock]\ntrainer = "clock_trainer:Clock"\nsettings = {{ pause_s = {1 / rate} }}\n'
    )


def overnight(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "overnight", "--project", str(folder), *words], check=True, capture_output=True
    )


def measure(folder: Path, *, rate: float, seconds: float, count: int, slow: int) -> dict[str, object]:
    """Train one job before all readers, and return what they saw."""
    project(folder, rate)
    overnight(folder, "up")
    try:
        about = json.loads((folder / ".overnight" / "daemon.json").read_text())
        port, epochs = int(about["url"].rpartition(":")[2]), round(rate * seconds)
        body = {
            "job_id": "watched", "model_type": "clock", "epochs": epochs, "checkpoint_interval": 20,
            "experiences": [{"input": number, "expected_output": number} for number in range(20)],
        }  # fmt: skip
        request = urllib.request.Request(f"{about['url']}/api/training/start", json.dumps(body).encode())
        urllib.request.urlopen(request, timeout=60).read()
        command = [sys.executable, __file__, "--readers", str(port), str(count), str(slow)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        (folder / "go").touch()
        cpu_before, at, most_mb = cpu_s(about["pid"]), time.monotonic(), 0.0
        while not select.select([child.stdout], [], [], 0.2)[0]:
            most_mb = max(most_mb, memory_mb(about["pid"]))
        share = (cpu_s(about["pid"]) - cpu_before) / (time.monotonic() - at)
        seen = json.loads(child.stdout.read())
        child.wait()
    finally:
        overnight(folder, "down", "--force")
    return {**summary(seen, epochs), "rate": rate, "daemon_mb": round(most_mb, 1), "daemon_cpu_share": round(share, 3)}


def summary(seen: dict, epochs: int) -> dict[str, object]:
    """Return the figures of what readers saw."""
    wanted = [1, 2]
    for epoch in range(1, epochs + 1):
        wanted.append(2 * epoch + 1)
        if epoch % 20 == 0 or epoch == epochs:
            wanted.append(2 * epoch + 2)
    wanted.append(2 * epochs + 3)
    late = sorted(one * 1000 for one in seen["late_s"])
    return {
        "readers": len(seen["ids"]) + len(seen["slow_ids"]),
        "slow": len(seen["slow_ids"]),
        "events_each": len(wanted),
        "complete_and_in_order": sum(ids == wanted for ids in seen["ids"]),
        "slow_in_order": sum(ids == wanted[: len(ids)] for ids in seen["slow_ids"]),
        "p50_ms": round(percentile(late, 0.5), 1),
        "p99_ms": round(percentile(late, 0.99), 1),
        "max_ms": round(late[-1], 1),
    }


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure, print, and return 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="15 s instead of 60")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--readers", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.readers:
        print(json.dumps(readers(*options.readers)))
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = []
    with tempfile.TemporaryDirectory() as name:
        about = machine(Path(name))
        for rate in (FLOOR_RATE, 20.0):
            folder = Path(name) / f"at_{rate:g}"
            folder.mkdir()
            found.append(measure(folder, rate=rate, seconds=15 if options.quick else 60, count=1000, slow=100))
    good = all(
        one["complete_and_in_order"] == one["readers"] - one["slow"]
        and one["slow_in_order"] == one["slow"]
        and one["p99_ms"] < AIM_P99_MS
        and one["daemon_mb"] < AIM_MB
        for one in found
    )
    if options.json:
        print(json.dumps({"machine": about, "measured": found, "good": good}, indent=2))
    else:
        print("  ".join(f"{name} {value}" for name, value in about.items()))
        for one in found:
            print("  ".join(f"{name} {value}" for name, value in one.items()))
        print(f"aims: complete, in order, p99 < {AIM_P99_MS:g} ms, < {AIM_MB:g} MB: {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
