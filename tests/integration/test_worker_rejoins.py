"""On PostgreSQL, a worker that was silent for too long loses its runs to others, and goes on under a new name."""

import threading

import pytest
import sqlalchemy as sa

import overnight
from overnight.engine import recovery, worker
from overnight.engine.tables import workers

LIMIT_S = 30


@pytest.mark.postgres
def test_a_worker_that_was_declared_dead_drops_its_work_and_goes_on_under_a_new_name(
    postgres_database, tmp_path, monkeypatch
):
    monkeypatch.setattr(worker, "RENEW_EVERY_S", 0.1)
    entered, release = threading.Event(), threading.Event()
    calls = []

    def slow():
        calls.append(len(calls))
        if len(calls) == 1:
            entered.set()
            release.wait(LIMIT_S)
            return "the answer of the worker that was fenced"
        return "the answer of the worker that took over"

    with overnight.Project.create(tmp_path, overrides={"engine.database": postgres_database}) as project:
        project.add_task(overnight.Task(task_id="slow", action=slow, executor="thread"))
        with project.running():
            run_id = project.submit("slow")
            assert entered.wait(LIMIT_S)
            before = project.get(run_id)
            with project.database.read() as connection:
                [old] = connection.execute(sa.select(workers.c.worker_id)).scalars()
            # What another host does when the lease has ended.
            project.database.writer.do(lambda tx: recovery.take_over(tx, project.book, old))
            taken = project.get(run_id)
            assert (taken.state, taken.losses) == ("PENDING", 1)
            release.set()
            run = project.wait(run_id, LIMIT_S)
    assert run.state == "COMPLETED"
    assert run.result == '"the answer of the worker that took over"'
    assert run.token > before.token
    assert calls == [0, 1]


@pytest.mark.postgres
def test_a_stop_reaches_the_worker_that_is_just_being_made(postgres_database, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "RENEW_EVERY_S", 0.1)
    making, go_on = threading.Event(), threading.Event()
    with overnight.Project.create(tmp_path, overrides={"engine.database": postgres_database}) as project:
        project.start()
        runtime = project._runtime
        make = runtime._new_worker

        def slowly():
            made = make()
            making.set()
            assert go_on.wait(LIMIT_S)
            return made

        monkeypatch.setattr(runtime, "_new_worker", slowly)
        project.database.writer.do(lambda tx: recovery.take_over(tx, project.book, runtime.worker._looks.worker_id))
        assert making.wait(LIMIT_S)
        old = runtime.worker
        stopper = threading.Thread(target=project.stop, args=(LIMIT_S,))
        stopper.start()
        assert old.closing.wait(LIMIT_S)
        go_on.set()
        stopper.join(LIMIT_S / 3)
        assert not stopper.is_alive()
        assert runtime.ended
        assert runtime.worker is not old
        with project.database.read() as connection:
            assert connection.execute(sa.select(workers.c.worker_id)).all() == []
