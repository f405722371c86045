"""How fast experiences come in, beside what the database itself can do.

    python benchmarks/ingest.py [--quick] [--json]

Each figure is measured in a new project on SQLite, with experiences of model_type nlu that its trainer looks through:
the queries of CLINC150 where OVERNIGHT_TEST_DATA names the test data, made-up ones elsewhere; `rows` says which. Each
carries a number of its own, so that none is there before.

`files`: 100,000 experiences (quick: 20,000) in files of 1,000 are renamed into the watched folder of a real daemon;
from then until the last one is in `processed/`. `http`: 30,000 (quick: 6,000) in batches of 100 are sent to it by 4
clients over connections that they keep; each waits for its answer, so that every batch is on disk. What is taken
becomes no job, because of its quality: no training runs beside.

`raw`: the same rows, ready as values, into the same table by `executemany`, a transaction for each 1,000 or 100 of
them. `share_of_raw` is what is left of that. `cpu_us_each` is the daemon's processor time for one experience, which
hardly depends on what else the machine does. Aims: 20,000 a second by files, 3,000 a second by HTTP.
"""

import argparse
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rig import machine, show

from overnight import Project
from overnight.base.settings import environment
from overnight.data.batches import quality_0_1
from overnight.data.experiences import _key, millionths
from overnight.training.experiences import named

AIMS = {"files_per_s": 20_000.0, "http_per_s": 3_000.0}
CLIENTS = 4
TOML = "[server]\nport = 0\n[training]\nmin_experiences = 10000\nmin_experience_quality = 1.0\n"
Experience = dict[str, Any]


def texts() -> tuple[str, list[tuple[str, str]]]:
    """Return where the texts come from, and texts with their intents."""
    folder = environment().get("OVERNIGHT_TEST_DATA")
    if folder is None:
        return "made up (OVERNIGHT_TEST_DATA is unset)", [
            (f"turn on the light in room {n}", "light") for n in range(500)
        ]
    found = json.loads((Path(folder) / "nlu" / "clinc150_small.json").read_text())
    return "CLINC150", [(text, intent) for text, intent in found["train"]]


def experiences(count: int, rows: list[tuple[str, str]]) -> Iterator[Experience]:
    for number in range(count):
        text, intent = rows[number % len(rows)]
        yield {
            "type": "intent",
            "input": text,
            "expected_output": intent,
            "success": True,
            "confidence": 0.9,
            "metadata": {"number": number},
            "timestamp": "2026-11-26T12:00:00Z",
        }


def batched(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while lot := list(islice(rest, size)):
        yield lot


class Served:
    """A project with a daemon of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox = folder / ".overnight" / "experiences"
        folder.mkdir()
        (folder / "overnight.toml").write_text(TOML)

    def say(self, *words: str) -> None:
        command = [sys.executable, "-m", "overnight", "--project", str(self.folder), *words]
        subprocess.run(command, check=True, capture_output=True)

    def __enter__(self) -> "Served":
        self.say("up")
        return self

    def __exit__(self, *error: object) -> None:
        self.say("down", "--force")

    def count(self) -> int:
        with Project.open(self.folder) as project:
            return sum(held.unused + held.below for held in project.experience_buffer())


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_files(folder: Path, count: int, rows: list[tuple[str, str]]) -> tuple[float, float]:
    """Return how many experiences a second come in, and the microseconds of processor time that each takes."""
    served = Served(folder / "files")
    served.inbox.mkdir(parents=True)
    # One file comes first, so that what the daemon loads with the first of all is not counted.
    lots = list(batched(experiences(count + 1000, rows), 1000))
    with served:
        for number, lot in enumerate(lots):
            body = {"batch_id": f"b{number}", "model_type": "nlu", "experiences": lot}
            path = served.inbox / (f"experiences_intent_{number:05}.json" if not number else f".{number:05}")
            path.write_text(json.dumps(body))
        done = served.inbox / "processed"
        while not done.exists() or not list(done.iterdir()):
            time.sleep(0.01)
        pid = int(json.loads((served.folder / ".overnight" / "daemon.json").read_text())["pid"])
        began, cpu_began = time.perf_counter(), cpu_s(pid)
        for number in range(1, len(lots)):
            (served.inbox / f".{number:05}").rename(served.inbox / f"experiences_intent_{number:05}.json")
        while len(list(done.iterdir())) < len(lots):
            time.sleep(0.01)
        seconds, used_s = time.perf_counter() - began, cpu_s(pid) - cpu_began
    assert served.count() == count + 1000
    return count / seconds, 1e6 * used_s / count


def by_http(folder: Path, count: int, rows: list[tuple[str, str]]) -> float:
    lots = list(batched(experiences(count + 100, rows), 100))
    bodies = [json.dumps({"model_type": "nlu", "experiences": lot}) for lot in lots]
    with Served(folder / "http") as served:
        about = json.loads((served.folder / ".overnight" / "daemon.json").read_text())
        address = urllib.parse.urlsplit(about["url"])

        def send(mine: list[str]) -> None:
            connection = http.client.HTTPConnection(address.hostname or "", address.port)
            for body in mine:
                connection.request("POST", "/api/experiences", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                told = answer.read()
                assert answer.status == 200, told
            connection.close()

        send(bodies[:1])
        threads = [threading.Thread(target=send, args=(bodies[1 + n :: CLIENTS],)) for n in range(CLIENTS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        assert served.count() == count + 100
    return count / seconds


def raw(folder: Path, count: int, rows: list[tuple[str, str]], each: int) -> float:
    """Return how many of the same rows a second SQLite takes, a transaction for `each` of them."""
    name = folder / f"raw-{each}"
    with Project.create(name):
        pass
    values = []
    for one in experiences(count, rows):
        digest, body = named(one)
        values.append((1, "nlu", millionths(quality_0_1(one)), _key(digest), body))
    connection = sqlite3.connect(name / ".overnight" / "overnight.db", isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    insert = "INSERT INTO experiences (batch, model_type, quality_millionths, key, body) VALUES (?, ?, ?, ?, ?)"
    began = time.perf_counter()
    for lot in batched(values, each):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, lot)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return count / seconds


def figures(folder: Path, quick: bool) -> dict[str, object]:
    source, rows = texts()
    many, few = (20_000, 6_000) if quick else (100_000, 30_000)
    (files, files_cpu_us), over_http = by_files(folder, many, rows), by_http(folder, few, rows)
    raw_files, raw_http = raw(folder, many, rows, 1000), raw(folder, few, rows, 100)
    found: dict[str, object] = {
        "rows": source,
        "files_per_s": files,
        "files_cpu_us_each": files_cpu_us,
        "files_raw_per_s": raw_files,
        "files_share_of_raw": files / raw_files,
        "http_per_s": over_http,
        "http_raw_per_s": raw_http,
        "http_share_of_raw": over_http / raw_http,
    }
    found["missed"] = [name for name, aim in AIMS.items() if float(str(found[name])) < aim]
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the experiences: a look, no figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = {"machine": machine(Path(name)), "ingest": figures(Path(name), options.quick)}
    show(result, as_json=options.json)
    return int(bool(result["ingest"]["missed"]))


if __name__ == "__main__":
    sys.exit(main())
