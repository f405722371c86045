"""No-op tasks a second of peers that a Python user can embed, each as its documentation says, durable where it can be.

Huey: SQLite storage with fsync, 64 consumer threads. DBOS: SQLite and PostgreSQL, a queue polled every 10 ms,
64 workflows at once. A peer that is not installed is left out, and said to be.
"""

import importlib.util
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

PRODUCERS = 64
NOT_INSTALLED = "not installed"
LIMIT_S = 600


def measure_peers(folder: Path, postgres_url: str | None, quick: bool) -> dict[str, object]:
    """Return runs a second of each peer, each measured in a process of its own, or why there is no figure."""
    found: dict[str, object] = {}
    places = {"huey_sqlite": str(folder), "dbos_sqlite": str(folder), "dbos_postgres": postgres_url}
    for name, place in places.items():
        if place is None:
            continue
        installed = importlib.util.find_spec(name.partition("_")[0]) is not None
        form = "quick" if quick else "full"
        found[f"{name}_runs_per_s"] = measure_peer(name, place, form) if installed else NOT_INSTALLED
    return found


def measure_peer(name: str, place: str, form: str) -> float | str:
    """Return the runs a second of one peer, or how it failed."""
    command = [sys.executable, __file__, name, place, form]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    except subprocess.TimeoutExpired:
        return f"failed: not ready after {LIMIT_S} s"
    except subprocess.CalledProcessError as error:
        return f"failed: {(error.stderr.strip().splitlines() or ['no message'])[-1]}"
    return float(json.loads(done.stdout.splitlines()[-1]))


def produce(count: int, one: object) -> None:
    """Call `one` so many times from 64 threads."""
    assert callable(one)

    def work() -> None:
        for _ in range(count // PRODUCERS):
            one()

    threads = [threading.Thread(target=work) for _ in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def huey_rate(folder: Path, count: int) -> float:
    """Return Huey's tasks a second: SQLite with fsync, from the first enqueue to the last execution."""
    from huey import SqliteHuey

    huey = SqliteHuey(filename=str(folder / "huey.db"), fsync=True, results=False)
    done = threading.Semaphore(0)

    @huey.task()
    def noop() -> None:
        done.release()

    consumer = huey.create_consumer(workers=PRODUCERS, worker_type="thread", initial_delay=0.001, max_delay=0.01)
    consumer.start()
    began = time.perf_counter()
    produce(count, noop)
    for _ in range(count // PRODUCERS * PRODUCERS):
        done.acquire()
    rate = count / (time.perf_counter() - began)
    consumer.stop(graceful=False)
    return rate


def dbos_rate(url: str, count: int) -> float:
    """Return DBOS's workflows a second through a queue."""
    from dbos import DBOS, DBOSConfig

    config: DBOSConfig = {"name": "bench", "system_database_url": url, "log_level": "ERROR"}
    DBOS(config=config)

    @DBOS.workflow()
    def noop() -> None:
        return None

    DBOS.launch()
    DBOS.register_queue("bench", concurrency=PRODUCERS, polling_interval_sec=0.01)
    began = time.perf_counter()
    handles = [DBOS.enqueue_workflow("bench", noop) for _ in range(count)]
    for handle in handles:
        handle.get_result()
    rate = count / (time.perf_counter() - began)
    DBOS.destroy()
    return rate


if __name__ == "__main__":
    peer, place, form = sys.argv[1:]
    if peer == "huey_sqlite":
        print(json.dumps(huey_rate(Path(place), 1_280 if form == "quick" else 6_400)))
    else:
        url = f"sqlite:///{place}/dbos.db" if peer == "dbos_sqlite" else place
        print(json.dumps(dbos_rate(url, 128 if form == "quick" else 640)))
    sys.stdout.flush()
    import os

    os._exit(0)  # consumers of peers may leave threads behind
