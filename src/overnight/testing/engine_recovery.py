"""The conformance suite of recovery on a database; how to use it is told in `testing.engine`."""

# ruff: noqa: D102 - the name of a test says it

from typing import Any

import pytest
import sqlalchemy as sa

from overnight.base.errors import CommitInDoubt
from overnight.base.points import Point
from overnight.engine import moves, store
from overnight.engine.machine import Succeeded
from overnight.engine.model import Needs, State
from overnight.engine.tables import locks, runs, workers
from overnight.testing.bench import Bench, Crash
from overnight.testing.engine import Suite


class RecoveryConformance(Suite):
    """Crashes, fences, other workers."""

    def test_write_with_an_old_token_changes_nothing(self, bench: Bench) -> None:
        bench.add("task")
        run_id = bench.project.submit("task")
        with bench.crashing(Point.ENGINE_CLAIMED):
            bench.work()
        stale = bench.get(run_id)
        with bench.crashing(Point.ENGINE_OUTCOME):
            bench.work()
        now = bench.get(run_id)
        assert (now.token, now.state) == (stale.token + 1, State.IN_PROGRESS)
        writer, book = bench.project.database.writer, bench.project.book
        ended = Succeeded(result='"stale"')
        assert writer.do(lambda tx: moves.move(tx, book, [(stale, ended)])) == {}
        assert writer.do(lambda tx: store.save(tx, [(stale, stale._replace(result='"stale"'))])) == set()
        writer.do(lambda tx: store.save_progress(tx, [(run_id, stale.token, '{"done":9}')]))
        assert bench.get(run_id) == now
        bench.work()
        assert bench.get(run_id).result == "null"

    def test_lost_worker_costs_no_try_and_its_locks_are_free(self, bench: Bench) -> None:
        bench.add("task", needs=Needs(locks=("gpu",)), max_retries=0)
        bench.add("other", needs=Needs(locks=("gpu",)))
        run_id, other = bench.project.submit("task"), bench.project.submit("other")
        with bench.crashing(Point.ENGINE_CLAIMED):
            bench.work()
        assert bench.get(run_id).worker_id is not None
        bench.work()
        run = bench.get(run_id)
        assert (run.state, run.attempt, run.losses, run.token) == (State.COMPLETED, 1, 1, 2)
        assert [note[0] for note in run.history] == ["started", "lost", "started", "completed"]
        assert bench.state(other) is State.COMPLETED
        with bench.project.database.read() as connection:
            assert connection.execute(sa.select(locks)).fetchall() == []
            assert len(connection.execute(sa.select(workers)).fetchall()) == 1

    def test_run_that_was_to_be_cancelled_when_its_worker_died_is_cancelled(self, bench: Bench) -> None:
        bench.add("task")
        run_id = bench.project.submit("task")
        with bench.crashing(Point.ENGINE_CLAIMED):
            bench.work()
        bench.project.cancel(run_id)
        assert bench.state(run_id) is State.IN_PROGRESS
        bench.work()
        assert bench.state(run_id) is State.CANCELLED
        assert bench.calls == []

    def test_run_that_takes_its_worker_down_again_and_again_waits_longer_each_time(self, bench: Bench) -> None:
        bench.add("task")
        run_id = bench.project.submit("task")
        for _ in range(5):
            assert bench.runtime.worker.idle, "taken over before the time passes"
            with bench.crashing(Point.ENGINE_CLAIMED):
                bench.after(60)
        begin = bench.clock.now_us()
        assert bench.runtime.worker.idle
        run = bench.get(run_id)
        assert (run.losses, run.due_us - begin, run.state) == (5, 2_000_000, State.PENDING)

    @pytest.mark.parametrize("done", [True, False])
    @pytest.mark.parametrize("visit", range(1, 6))
    def test_commit_in_doubt_loses_nothing_and_does_nothing_twice(self, bench: Bench, visit: int, done: bool) -> None:
        def flow(flow: Any) -> list[str]:
            answers = [flow.step(name, bench.calls.append, name) for name in ("first", "second")]
            return [*answers, flow.wait(flow.start("task"))[0].state]

        point = Point.WRITER_AFTER_COMMIT if done else Point.WRITER_BEFORE_COMMIT
        left = [visit]

        def doubt() -> None:
            left[0] -= 1
            if left[0] > 0:
                bench.hook.at[point] = doubt
                return
            raise CommitInDoubt("who knows")

        bench.add("task", max_concurrent=2)
        bench.add("flow", flow)
        ids = [bench.project.submit(name) for name in ("task", "flow", "task")]
        bench.work_until(lambda: bench.runtime.worker.idle)
        bench.hook.at[point] = doubt
        bench.work()
        bench.after(10)
        assert left == [0], "the commit was in doubt"
        runs = [bench.get(run_id) for run_id in ids]
        assert {run.state for run in runs} == {State.COMPLETED}
        assert {run.attempt for run in runs} == {1}
        assert sorted(bench.calls) == ["first", "second", "task", "task", "task"]

    POINTS = tuple(point for point in Point if not point.startswith(("child.", "recovery.")))

    @pytest.mark.parametrize("point", POINTS)
    def test_crash_at_any_point_loses_nothing_and_repeats_no_recorded_step(self, bench: Bench, point: Point) -> None:
        recorded: list[str] = []

        def step(name: str) -> str:
            bench.calls.append(name)
            bench.hook.at[Point.FLOW_STEP_RECORDED] = lambda: recorded.append(name)
            return name

        def flow(flow: Any) -> list[str]:
            first = flow.step("first", step, "first")
            child = flow.start("task")
            second = flow.step("second", step, "second")
            [ended] = flow.wait(child)
            return [first, second, ended.state, flow.step("third", step, "third")]

        bench.add("task")
        bench.add("flow", flow)
        for visit in (1, 2, 4):
            recorded.clear()
            bench.calls.clear()
            acknowledged: list[int] = []
            bench.hook.crash_at(point, visit)
            try:
                for task_id in ("flow", "task"):
                    run_id = bench.project.submit(task_id, key=f"{task_id} {visit}")
                    acknowledged.append(run_id)
                bench.work()
            except Crash:
                bench.hook.revive()
                bench.crash()
            else:
                assert visit > 1, f"{point} is never visited"
                bench.hook.revive()
            before = list(recorded)
            flow_id = bench.project.submit("flow", key=f"flow {visit}")
            bench.work()
            assert {bench.state(run_id) for run_id in (*acknowledged, flow_id)} == {State.COMPLETED}
            assert bench.result(flow_id) == ["first", "second", "COMPLETED", "third"]
            assert [name for name in before if bench.calls.count(name) != 1] == [], "recorded, and done again"
        with bench.project.database.read() as connection:
            left = sa.select(runs.c.run_id).where(runs.c.finished_us.is_(None))
            assert connection.execute(left).fetchall() == []
