"""Memory is negotiated where several workers share one database."""

from contextlib import ExitStack

import pytest
from test_memory import entries, holding, one_machine, project_in, state_of

from daemons import wait_for
from overnight.base.clock import SystemClock
from overnight.base.settings import environment
from overnight.engine.model import Task
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.negotiator import ledger_of

__all__ = ["one_machine"]


@pytest.fixture
def pair(tmp_path, postgres_database):
    """Two workers that work on one project."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(project_in(tmp_path / name, **{"engine.database": postgres_database})) for name in "pq"
        ]
        for project in found:
            for name in "ab":
                holding(project, name, 0.3)
            project.add_task(Task(task_id="tick", action=lambda: None, executor="thread", max_concurrent=None))
        yield found


def looked_since(at_s):
    machine = Machine(shared_folder(environment()), SystemClock())
    wait_for(lambda: all(part.at_s > at_s for part in ledger_of(machine)[1]))


@pytest.mark.postgres
def test_two_workers_of_one_database_take_turns_with_the_memory(pair, tmp_path):
    with pair[0].running(), pair[1].running():
        args = {"mb": 10, "until": str(tmp_path / "go")}
        ids = [pair[0].submit(name, args=args) for name in "abab"]
        wait_for(lambda: "IN_PROGRESS" in {state_of(pair[0], run) for run in ids})
        assert sorted(state_of(pair[1], run) for run in ids) == ["IN_PROGRESS", "PENDING", "PENDING", "PENDING"]
        (tmp_path / "go").touch()
        wait_for(lambda: all(state_of(pair[0], run) == "COMPLETED" for run in ids))
        wait_for(lambda: not entries())


@pytest.mark.postgres
def test_a_run_that_another_worker_looks_at_waits_for_memory_all_the_same(pair, tmp_path):
    import psycopg

    one = pair[0]
    with one.running():
        first = one.submit("a", args={"mb": 1, "until": str(tmp_path / "go")})
        wait_for(lambda: state_of(one, first) == "IN_PROGRESS")
        second = one.submit("b", args={"mb": 1, "until": str(tmp_path / "go")})
        wait_for(lambda: f"b #{second}" in entries())
        with psycopg.connect(one.database.url.replace("postgresql+psycopg:", "postgresql:")) as other:
            other.execute("SELECT 1 FROM runs WHERE run_id = %s FOR UPDATE", (second,))
            for _ in range(2):
                tick = one.submit("tick")
                wait_for(lambda tick=tick: state_of(one, tick) == "COMPLETED")
                looked_since(one.clock.now_us() / 1e6)
                assert f"b #{second}" in entries()
        (tmp_path / "go").touch()
        wait_for(lambda: state_of(one, second) == "COMPLETED")
