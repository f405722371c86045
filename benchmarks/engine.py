"""How fast the durable engine is, beside the raw limit of the same database in the same run, and beside peers.

A raw life cycle is three committed transactions (insert, claim, complete) through sqlite3 or psycopg with prepared
statements. Ours is submitted one by one, each submit acknowledged after fsync, and ends COMPLETED for a second
connection. Rates are taken in turns, raw and ours, and the ratio is that of the medians: on a loaded machine only
ratios say something. What the schedule, an idle engine and a full queue cost is measured by `engine_schedule.py`, on
SQLite; aims in absolute time are judged where the disk and the load allow it.

    .venv/bin/python benchmarks/engine.py [--quick] [--json] [--only sqlite|postgres|schedule]

Peers (DBOS, Huey) are measured when they are installed in the environment that runs this: `make bench` does that.
"""

import argparse
import json
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine_peers import NOT_INSTALLED, measure_peers
from engine_resume import resume_ms
from engine_schedule import AIMS as SCHEDULE_AIMS
from engine_schedule import ANCHORS, TIMES, applicable, measure_schedule
from rig import load, machine, percentile

import overnight

PRODUCERS = 64
SLOTS = 4
"""Children at once, and producers, where runs execute in processes."""
COPIED = (
    "task_id, state, priority, created_us, due_us, attempt, token, losses, result, started_us, finished_us, active_us, "
    "earlier_us, cpu_s, history"
)
FIRST = "ORDER BY run_id LIMIT 1"
STARTED: dict[int, float] = {}
CHAIN: list[tuple[float, float]] = []


def noop() -> None:
    """Do nothing: what is measured is everything around it."""


def note_start(number: int) -> None:
    """Note when the function really began."""
    STARTED[number] = time.perf_counter()


def note_both() -> None:
    """Note when a link of a chain began and ended."""
    began = time.perf_counter()
    CHAIN.append((began, time.perf_counter()))


# The raw limit.


def raw_sqlite(folder: Path, count: int) -> dict[str, float]:
    """Return unbatched life cycles and inserts a second through sqlite3."""
    path = folder / f"raw-{time.monotonic_ns()}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, task TEXT, state TEXT, due REAL)")
    connection.execute("CREATE INDEX ready ON runs (due) WHERE state = 'PENDING'")

    def commit(statement: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(statement, values).fetchall()
        connection.execute("COMMIT")
        return rows

    insert = "INSERT INTO runs (task, state, due) VALUES ('noop', 'PENDING', ?)"
    claim = (
        "UPDATE runs SET state = 'IN_PROGRESS' WHERE id = "
        "(SELECT id FROM runs WHERE state = 'PENDING' ORDER BY due LIMIT 1) RETURNING id"
    )
    began = time.perf_counter()
    for _ in range(count):
        commit(insert, (time.time(),))
        [(found,)] = commit(claim, ())
        commit("UPDATE runs SET state = 'COMPLETED' WHERE id = ?", (found,))
    cycles = count / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(count):
        commit(insert, (time.time(),))
    inserts = count / (time.perf_counter() - began)
    batched = raw_sqlite_batched(connection, 10 * count)
    connection.close()
    return {"cycles": cycles, "inserts": inserts, "batched": batched}


def raw_sqlite_batched(connection: sqlite3.Connection, count: int) -> float:
    """Return life cycles a second when each of the three transactions holds 100 of them."""
    began = time.perf_counter()
    for _ in range(count // 100):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO runs (task, state, due) VALUES ('batch', 'PENDING', ?)", [(0.0,)] * 100)
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        ids = connection.execute(
            "UPDATE runs SET state = 'IN_PROGRESS' WHERE id IN (SELECT id FROM runs WHERE state = 'PENDING' "
            "ORDER BY due LIMIT 100) RETURNING id"
        ).fetchall()
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE runs SET state = 'COMPLETED' WHERE id = ?", ids)
        connection.execute("COMMIT")
    return count / (time.perf_counter() - began)


def plain(url: str) -> str:
    """Return the URL as psycopg takes it, without the name of the driver."""
    return url.replace("postgresql+psycopg:", "postgresql:")


def raw_postgresql(url: str, count: int) -> dict[str, float]:
    """Return unbatched life cycles and inserts a second through psycopg with prepared statements."""
    import psycopg

    with psycopg.connect(plain(url), autocommit=True, prepare_threshold=0) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute("DROP TABLE IF EXISTS raw_runs")
        connection.execute("CREATE TABLE raw_runs (id BIGSERIAL PRIMARY KEY, task TEXT, state TEXT, due FLOAT8)")
        connection.execute("CREATE INDEX raw_ready ON raw_runs (due) WHERE state = 'PENDING'")
        insert = "INSERT INTO raw_runs (task, state, due) VALUES ('noop', 'PENDING', %s)"
        claim = (
            "UPDATE raw_runs SET state = 'IN_PROGRESS' WHERE id = (SELECT id FROM raw_runs WHERE state = 'PENDING' "
            "ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"
        )
        began = time.perf_counter()
        for _ in range(count):
            connection.execute(insert, (time.time(),))
            row = connection.execute(claim).fetchone()
            assert row is not None
            connection.execute("UPDATE raw_runs SET state = 'COMPLETED' WHERE id = %s", row)
        cycles = count / (time.perf_counter() - began)
        began = time.perf_counter()
        for _ in range(count):
            connection.execute(insert, (time.time(),))
        inserts = count / (time.perf_counter() - began)
        connection.execute("DROP TABLE raw_runs")
    return {"cycles": cycles, "inserts": inserts}


# Ours.


class Bench:
    """A project on one database, and a second connection that sees only what is committed."""

    def __init__(self, folder: Path, url: str | None, slots: int = PRODUCERS) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        overrides = {"engine.max_concurrent": slots}
        if url is not None:
            overrides["engine.database"] = url
        self.project = overnight.Project.create(self.folder, overrides=overrides)
        for executor in ("thread", "process"):
            self.add(f"noop-{executor}", noop, executor)
        self.add("start", note_start, "thread")
        links = 20
        for place in range(links):
            after = (f"link-{place - 1}",) if place else ()
            self.project.add_task(
                overnight.Task(task_id=f"link-{place}", action=note_both, executor="thread", after=after)
            )

    def add(self, name: str, action: Callable[..., object], executor: str) -> None:
        """Add a task without a limit of its own."""
        self.project.add_task(
            overnight.Task(task_id=name, action=action, executor=executor, max_concurrent=None)  # type: ignore[arg-type]
        )

    def rate(self, task: str, count: int, producers: int) -> tuple[float, float]:
        """Return (submits a second, runs a second until the last is COMPLETED for a second connection)."""
        each = count // producers
        ids: list[int] = []

        def produce() -> None:
            ids.extend([self.project.submit(task) for _ in range(each)])

        threads = [threading.Thread(target=produce) for _ in range(producers)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        submitted = time.perf_counter() - began
        self.await_completed(min(ids), max(ids))
        return each * producers / submitted, each * producers / (time.perf_counter() - began)

    def submit_rate(self, count: int, producers: int) -> float:
        """Return acknowledged submits a second, with nobody working on the queue."""
        each = count // producers

        def produce() -> None:
            for _ in range(each):
                self.project.submit("noop-thread")

        self.project.database.writer.start()
        threads = [threading.Thread(target=produce) for _ in range(producers)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return each * producers / (time.perf_counter() - began)

    def await_completed(self, first: int, last: int) -> None:
        """Wait until another connection sees these runs COMPLETED; each look goes on at the first that was not."""
        query = f"SELECT run_id FROM runs WHERE run_id BETWEEN {{}} AND {last} AND state <> 'COMPLETED' {FIRST}"
        while True:
            with self.project.database.read() as connection:
                left = connection.exec_driver_sql(query.format(first)).scalar()
            if left is None:
                return
            first = left
            time.sleep(0.005)

    def start_lags_ms(self, count: int) -> list[float]:
        """Return milliseconds from the call of submit to the first line of the function, on an idle engine."""
        lags = []
        for number in range(count):
            STARTED.pop(number, None)
            began = time.perf_counter()
            run = self.project.submit("start", {"number": number})
            self.project.wait(run, 10)
            lags.append(1000 * (STARTED[number] - began))
        return lags

    def gaps_ms(self, chains: int) -> list[float]:
        """Return milliseconds between the end of a task's function and the first line of its dependant's."""
        gaps = []
        for _ in range(chains):
            CHAIN.clear()
            self.project.submit("link-0", with_dependants=True)
            while len(CHAIN) < 20:
                time.sleep(0.01)
            gaps += [1000 * (after[0] - before[1]) for before, after in pairwise(CHAIN)]
        return gaps

    def size_bytes(self) -> int:
        """Return the size of the database file after a checkpoint."""
        with self.project.database.read() as connection:
            if self.project.database.dialect.name != "sqlite":
                return int(connection.exec_driver_sql("SELECT pg_total_relation_size('runs')").scalar_one())
        path = self.folder / ".overnight" / "overnight.db"
        with sqlite3.connect(path, isolation_level=None) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return path.stat().st_size

    def fill(self, count: int) -> None:
        """Add finished runs, as they lie in an old project."""
        copy = f"INSERT INTO runs ({COPIED}) SELECT {COPIED} FROM runs WHERE state = 'COMPLETED' LIMIT "
        with self.project.database.read() as connection:
            query = "SELECT count(*) FROM runs WHERE state = 'COMPLETED'"
            there = int(connection.exec_driver_sql(query).scalar_one())
        wanted = there + count
        while there < wanted:
            step = min(wanted - there, there)
            self.project.database.writer.do(lambda tx, n=step: tx.connection.exec_driver_sql(f"{copy}{n}") and None)
            there += step

    def close(self) -> None:
        """Stop working and remove everything."""
        self.project.close()
        shutil.rmtree(self.folder)


def measure(folder: Path, fresh: Callable[[], str | None], quick: bool) -> dict[str, Any]:
    """Return every figure of one database; `fresh` gives the URL of an empty one, None for SQLite."""
    figures: dict[str, Any] = {"executor": "thread", "producers": PRODUCERS}
    url = fresh()
    few = 500 if quick else 1500

    def raw() -> dict[str, float]:
        return raw_sqlite(folder, few) if url is None else raw_postgresql(url, few)

    figures |= submit_figures(Bench(folder, url), raw, quick)
    figures |= run_figures(Bench(folder, fresh()), raw, quick)
    figures |= process_figures(Bench(folder, fresh(), slots=SLOTS), figures["raw_cycles_per_s"], quick)
    figures |= age_figures(Bench(folder, fresh()), quick)
    resumed = resume_ms(folder, fresh(), 3 if quick else 15)
    figures["resume_ms"] = {"p50": percentile(resumed, 0.5), "worst": max(resumed)}
    return figures


def submit_figures(bench: Bench, raw: Callable[[], dict[str, float]], quick: bool) -> dict[str, object]:
    """Return how fast submits are acknowledged, beside raw inserts."""
    inserts, submits = [], []
    for _ in range(2 if quick else 5):
        inserts.append(raw()["inserts"])
        submits.append(bench.submit_rate(3_200 if quick else 12_800, PRODUCERS))
    bench.close()
    limit, ours = statistics.median(inserts), statistics.median(submits)
    return {"raw_inserts_per_s": limit, "submits_per_s": ours, "ratio_submit": ours / limit}


def run_figures(bench: Bench, raw: Callable[[], dict[str, float]], quick: bool) -> dict[str, object]:
    """Return how fast runs complete, beside raw life cycles, and how long an idle engine takes to begin."""
    count = 3_200 if quick else 12_800
    limits: list[dict[str, float]] = []
    ours, one = [], []
    with bench.project.running():
        bench.rate("noop-thread", 640, PRODUCERS)
        for _ in range(2 if quick else 5):
            limits.append(raw())
            ours.append(bench.rate("noop-thread", count, PRODUCERS)[1])
            one.append(bench.rate("noop-thread", count // 16, 1)[1])
        lags = bench.start_lags_ms(100 if quick else 500)
        gaps = bench.gaps_ms(5 if quick else 25)
    bench.close()
    limit = statistics.median(turn["cycles"] for turn in limits)
    batched = [turn["batched"] for turn in limits if "batched" in turn]
    return {
        "raw_cycles_per_s": limit,
        "raw_cycles_batched_per_s": statistics.median(batched) if batched else None,
        "runs_per_s": statistics.median(ours),
        "ratio": statistics.median(ours) / limit,
        "ratio_one": statistics.median(one) / limit,
        "start_lag_ms": {"p50": percentile(lags, 0.5), "p99": percentile(lags, 0.99)},
        "dependent_gap_ms": {"p50": percentile(gaps, 0.5), "p99": percentile(gaps, 0.99)},
    }


def process_figures(bench: Bench, limit: float, quick: bool) -> dict[str, object]:
    """Return how fast runs complete in child processes that are kept warm, beside raw life cycles."""
    with bench.project.running():
        bench.rate("noop-process", 64, SLOTS)
        rate = bench.rate("noop-process", 400 if quick else 1600, SLOTS)[1]
    bench.close()
    return {"ratio_process": rate / limit, "ratio_process_slots": SLOTS, "ratio_process_producers": SLOTS}


def age_figures(bench: Bench, quick: bool) -> dict[str, object]:
    """Return the bytes of a finished run, and how much slower a project with 1,000,000 of them is (quick: 100,000)."""
    count = 3_200 if quick else 12_800
    grown, many = (20_032, 100_000) if quick else (100_032, 1_000_000)
    with bench.project.running():
        bench.rate("noop-thread", 640, PRODUCERS)
        young = statistics.median(bench.rate("noop-thread", count, PRODUCERS)[1] for _ in range(3))
        before = bench.size_bytes()
        bench.rate("noop-thread", grown, PRODUCERS)
        size = (bench.size_bytes() - before) / grown
        bench.fill(many)
        old = statistics.median(bench.rate("noop-thread", count, PRODUCERS)[1] for _ in range(3))
    bench.close()
    return {"bytes_per_finished_run": size, "finished_runs": many, "slower_with_finished_runs": young / old}


AIMS: dict[str, tuple[str, float]] = {
    "ratio": (">=", 2.0),
    "ratio_submit": (">=", 1.5),
    "start_lag_ms.p50": ("<=", 2.0),
    "start_lag_ms.p99": ("<=", 10.0),
    "dependent_gap_ms.p50": ("<=", 1.5),
    "resume_ms.worst": ("<=", 1000.0),
    "slower_with_finished_runs": ("<=", 1.3),
    "bytes_per_finished_run": ("<=", 400.0),
    "times_huey_sqlite": (">=", 1.0),
    "times_dbos_sqlite": (">=", 30.0),
    "times_dbos_postgres": (">=", 30.0),
    **SCHEDULE_AIMS,
}
NOT_APPLICABLE = "absolute aim not applicable"


def compared(result: dict[str, Any], peers: dict[str, object]) -> dict[str, object]:
    """Return the peers' figures with how many times as fast the engine was on the same database in this run.

    Where a peer has no figure, the reason stands in its place.
    """
    found = dict(peers)
    for database, peer in (("sqlite", "huey_sqlite"), ("sqlite", "dbos_sqlite"), ("postgres", "dbos_postgres")):
        if database in result:
            theirs = peers[f"{peer}_runs_per_s"]
            found[f"times_{peer}"] = result[database]["runs_per_s"] / theirs if isinstance(theirs, float) else theirs
    return found


def aims(result: dict[str, Any]) -> dict[str, str]:
    """Return for each figure that has an aim, by its dotted name, whether it is met, missed, unknown or not applicable.

    Unknown is what only a peer that is not installed could tell; a peer that fails does not prove us right. Not
    applicable is an absolute time that was missed on a slow disk or a busy machine.
    """
    found = {}
    for name, value in flat({key: figures for key, figures in result.items() if key != "machine"}):
        key = name.partition(".")[2]
        if key in AIMS:
            found[name] = verdict(value, *AIMS[key])
            if found[name] == "missed" and key in TIMES and not applicable(result["machine"]):
                found[name] = NOT_APPLICABLE
    return found


def verdict(value: object, sign: str, limit: float) -> str:
    """Return whether a figure reaches its aim."""
    if value == NOT_INSTALLED:
        return "unknown"
    met = isinstance(value, int | float) and (value >= limit if sign == ">=" else value <= limit)
    return "met" if met else "missed"


def shown(name: str, figures: dict[str, Any], verdicts: dict[str, str]) -> list[str]:
    """Return a line for each figure, with its aim where it has one."""
    lines = [f"{name}:"]
    for key, value in flat(figures):
        text = f"{value:,.3f}" if isinstance(value, float) else str(value)
        aim = "   aim {} {:g}: {}".format(*AIMS[key], verdicts[f"{name}.{key}"].upper()) if key in AIMS else ""
        anchor = f" (when last measured: {ANCHORS[key]})" if key in ANCHORS else ""
        lines.append(f"  {key:<28}{text:>14}{aim}{anchor}")
    return lines


def flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested figures with dotted names."""
    found: list[tuple[str, Any]] = []
    for key, value in figures.items():
        found += flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


def measure_databases(folder: Path, stack: ExitStack, only: str | None, quick: bool) -> dict[str, Any]:
    """Return the figures of each database, and those of the peers; `stack` ends the server."""
    result: dict[str, Any] = {}
    url_of_peers = None
    if only != "postgres":
        result["sqlite"] = measure(folder, lambda: None, quick)
    if only != "sqlite":
        from overnight.testing.postgres import create_database, postgres_server

        server = stack.enter_context(postgres_server(durable=True))
        url_of_peers = plain(create_database(server))
        result["postgres"] = measure(folder, lambda: create_database(server), quick)
    return result | {"peers": compared(result, measure_peers(folder, url_of_peers, quick))}


def main() -> int:
    """Measure, print, and return 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs: about a minute a database, noisier")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", choices=["sqlite", "postgres", "schedule"], help="one part only")
    parser.add_argument("--folder", type=Path, help="where the databases lie (default: a temporary folder)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        result: dict[str, Any] = {"machine": machine(folder)}
        if options.only in (None, "schedule"):
            result |= measure_schedule(folder, options.quick)
        if options.only != "schedule":
            result |= measure_databases(folder, stack, options.only, options.quick)
    result["machine"]["load_1min_at_end"] = load()
    verdicts = aims(result)
    judged = {
        kind.replace(" ", "_"): [name for name, found in verdicts.items() if found == kind]
        for kind in ("missed", "unknown", NOT_APPLICABLE)
    }
    if options.json:
        print(json.dumps(result | judged, indent=2))
    else:
        print("\n".join(line for name, figures in result.items() for line in shown(name, figures, verdicts)))
    return int(bool(judged["missed"]))


if __name__ == "__main__":
    sys.exit(main())
