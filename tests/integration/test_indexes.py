"""The queue's questions are answered by partial indexes, so finished runs cost nothing but their place on disk."""

import json

import pytest
import sqlalchemy as sa

import overnight
from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.db.database import Database
from overnight.engine import tables

QUESTIONS = {
    "runs_ready": sa.select(tables.runs)
    .where(tables.READY)
    .order_by(tables.runs.c.rank, tables.runs.c.run_id)
    .limit(9),
    "runs_waiting": sa.select(sa.func.min(tables.runs.c.due_us)).where(tables.WAITING),
    "runs_parents": sa.select(tables.runs.c.run_id).where(tables.PARENTS),
    "runs_live": sa.select(tables.runs.c.run_id).where(tables.LIVE),
    "runs_parked": sa.select(tables.runs.c.run_id).where(tables.PARKED),
    "runs_cancel": sa.select(tables.runs.c.run_id).where(tables.CANCEL),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    opened = Database(f"sqlite:///{folder}/o.db", SystemClock(), folder)
    schema.prepare(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize("index", QUESTIONS)
def test_a_question_of_the_queue_reads_its_partial_index_and_no_table_scan(database, index):
    text = QUESTIONS[index].compile(database.engine, compile_kwargs={"literal_binds": True})
    with database.read() as connection:
        plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    assert f"INDEX {index}" in plan
    assert "SCAN runs USING" in plan or "SEARCH runs USING" in plan


def test_a_finished_run_is_in_no_index_and_takes_less_than_400_bytes(tmp_path):
    count = 2_000
    with overnight.Project.create(tmp_path, overrides={"engine.max_concurrent": 64}) as project:
        project.add_task(overnight.Task(task_id="noop", action=lambda: None, executor="thread", max_concurrent=None))
        with project.running():
            for _ in range(count):
                run_id = project.submit("noop")
            project.wait(run_id, 60)
        query = "SELECT name, sum(pgsize) FROM dbstat WHERE name LIKE 'runs%' GROUP BY name"
        try:
            with project.database.read() as connection:
                used = {name: size for name, size in map(tuple, connection.exec_driver_sql(query))}  # noqa: C416
        except sa.exc.OperationalError:
            pytest.skip("this SQLite was built without the dbstat table")
    assert used["runs"] / count < 400
    assert all(size <= 4096 * 4 for name, size in used.items() if name != "runs"), json.dumps(used)
