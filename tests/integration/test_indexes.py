"""Finished runs cost nothing but their place on disk, and little of that: see also test_queue_plans."""

import json

import pytest
import sqlalchemy as sa

import overnight
from overnight.app import schema
from overnight.base.backoff import Backoff
from overnight.base.clock import SystemClock
from overnight.db.database import Database
from overnight.engine import store
from overnight.engine.book import Book
from overnight.engine.idle import can_move
from overnight.engine.model import Task


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    opened = Database(f"sqlite:///{folder}/o.db", SystemClock(), folder)
    schema.prepare(opened)
    yield opened
    opened.close()


def plans(database, ask):
    """Return how SQLite answers each statement that `ask` makes of a connection."""
    asked = []

    def note(connection, cursor, statement, parameters, context, many):
        asked.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as connection:
        return [
            row[3]
            for statement, parameters in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


ASKED = {
    "what is worked on": lambda c: store.worked_on(c),
    "the unfinished runs": lambda c: store.unfinished(c, limit=3),
    "the unfinished runs of a task": lambda c: store.unfinished(c, task_id="nightly"),
    "pending": lambda c: store.newest(c, limit=100, state="PENDING"),
    "in progress": lambda c: store.newest(c, limit=100, state="IN_PROGRESS"),
    "retrying of a task": lambda c: store.newest(c, limit=100, state="RETRYING", task_id="nightly"),
}


@pytest.mark.parametrize("question", ASKED)
def test_to_find_unfinished_runs_no_finished_one_is_read(database, question):
    def ask():
        with database.read() as connection:
            assert ASKED[question](connection) == []

    lines = plans(database, ask)
    assert any("INDEX runs_live" in line for line in lines)
    assert [line for line in lines if line.startswith("SCAN runs") and "INDEX runs_" not in line] == []


def test_whether_anything_can_move_is_asked_without_reading_finished_runs(database):
    book = Book([Task(task_id="a", action=print)], Backoff())
    lines = plans(database, lambda: can_move(database, book))
    assert {"runs_live", "runs_ready_task", "runs_waiting", "runs_parked", "tasks_next"} <= set(" ".join(lines).split())
    assert [line for line in lines if line.startswith("SCAN runs") and "INDEX runs_" not in line] == []


@pytest.mark.no_cover
def test_a_finished_run_is_in_no_index_and_takes_less_than_400_bytes_in_all(tmp_path):
    def pages(project):
        """Return the bytes of each table and index, but for the stream, which is trimmed."""
        query = "SELECT name, sum(pgsize) FROM dbstat WHERE name <> 'stream' GROUP BY name"
        with project.database.read() as connection:
            return {name: size for name, size in map(tuple, connection.exec_driver_sql(query))}  # noqa: C416

    with overnight.Project.create(tmp_path, overrides={"engine.max_concurrent": 64}) as project:
        project.add_task(overnight.Task(task_id="noop", action=lambda: None, executor="thread", max_concurrent=None))
        try:
            pages(project)
        except sa.exc.OperationalError:
            pytest.skip("this SQLite was built without the dbstat table")
        with project.running():
            for count in (300, 2_000):
                before = pages(project)
                for run_id in [project.submit("noop") for _ in range(count)]:
                    assert project.wait(run_id, 60).state == "COMPLETED"
            after = pages(project)
    growth = {name: size - before[name] for name, size in after.items()}
    assert sum(growth.values()) / count < 400, json.dumps(growth)
    assert all(size <= 4096 * 4 for name, size in growth.items() if name != "runs"), json.dumps(growth)
