"""The questions of the queue, as the engine sends them, are answered by partial indexes on both databases."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import store
from overnight.engine.model import Run
from overnight.engine.tables import runs
from query_plans import plans

OLD, QUEUED = 3_000, 600
COMMON = {
    "task_id": "task", "state": "PENDING", "priority": "NORMAL", "created_us": 0, "due_us": 0, "attempt": 0,
    "token": 0, "losses": 0, "active_us": 0, "earlier_us": 0, "history": "[]",
}  # fmt: skip
KINDS = (
    {"queue": 1, "rank": 1},
    {"queue": 0},
    {"queue": 2, "waiting_for": '{"after":["parent"]}', "cycle": 7},
    {"state": "IN_PROGRESS", "worker_id": "worker"},
    {"state": "IN_PROGRESS", "worker_id": "worker", "cancel": 1, "parent_id": 1, "key": "key"},
)


def fill(tx: Tx) -> None:
    """Make an old project: thousands of finished runs, hundreds of another task's in the queue, a few of each kind."""
    given = {name for kind in KINDS for name in kind}
    empty = {**COMMON, "finished_us": None, **{name: None for name in given if name not in COMMON}}
    old = [{**empty, "state": "COMPLETED", "finished_us": number} for number in range(1, OLD)]
    queued = [{**empty, "task_id": "other", "queue": 1, "rank": number} for number in range(QUEUED)]
    few = [{**empty, **kind} for kind in (*KINDS[:-1] * 3, KINDS[-1])]
    tx.connection.execute(sa.insert(runs), [*old, *queued, *few])


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[Database]:
    opened = Database(database_url, SystemClock(), tmp_path)
    schema.prepare(opened)
    opened.writer.do(fill)
    opened.writer.do(lambda tx: tx.connection.exec_driver_sql("ANALYZE"))
    yield opened
    opened.close()


QUESTIONS: dict[str, tuple[str, Callable[[Tx], object]]] = {
    "the first of the queue": ("runs_ready", lambda tx: store.ready(tx, 9)),
    "the tasks with ready runs": ("runs_ready_task", store.ready_tasks),
    "what is due now": ("runs_waiting", store.promote),
    "when the next is due": ("runs_waiting", store.next_due_us),
    "what waits for its parents": ("runs_parents", lambda tx: store.waiting_for_parents(tx.connection)),
    "what a worker works on": ("runs_live", lambda tx: store.of_worker(tx.connection, "worker")),
    "what is to be cancelled": ("runs_cancel", store.to_cancel),
    "what a flow has started": ("runs_parent", lambda tx: store.children_of(tx.connection, 1)),
    "the runs of a cycle": ("runs_cycle", lambda tx: store.in_cycle(tx.connection, tx.dialect, ["task"], 7)),
    "the newest due run": ("runs_cycle", lambda tx: store.latest_due(tx, "task", 9)),
    "the next due run": ("runs_cycle", lambda tx: store.first_due(tx, "task", 1)),
    "the runs of keys": ("runs_key", lambda tx: store.with_keys(tx, ["key"])),
}
READS_ALL = re.compile(r"SCAN (runs|each)\b(?! USING INDEX runs_)|Seq Scan on runs")


def test_a_question_of_the_queue_reads_its_partial_index_and_no_finished_run(database, monkeypatch):
    for question, (index, ask) in QUESTIONS.items():
        plan = database.writer.do(lambda tx, ask=ask: plans(tx, ask, monkeypatch))
        assert re.search(rf"\b{index}\b", plan), f"{question}:\n{plan}"
        assert not READS_ALL.search(plan), f"{question}:\n{plan}"


def test_the_first_runs_of_a_task_are_found_without_those_before_them(database, monkeypatch):
    for lock in (True, False):
        plan = database.writer.do(
            lambda tx, lock=lock: plans(
                tx, lambda tx: store.ready_of(tx, ["task"], each=2, limit=9, lock=lock), monkeypatch
            )
        )
        assert re.search(r"INDEX runs_ready_task|Index (Only )?Scan using runs_ready_task", plan), plan
        assert not READS_ALL.search(plan), plan


def test_runs_are_saved_by_their_ids(database, monkeypatch):
    def save(tx: Tx) -> set[int]:
        known: list[Run] = store.of_worker(tx.connection, "worker")
        return {*store.save(tx, [(run, run) for run in known])}

    plan = database.writer.do(lambda tx: plans(tx, save, monkeypatch))
    assert "SEARCH runs USING INTEGER PRIMARY KEY" in plan or re.search(r"Index Scan using runs_pkey on runs", plan)
    assert not READS_ALL.search(plan), plan
