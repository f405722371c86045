"""The conformance suite of the engine on a database.

Subclass it in a pytest file with a fixture `database_url`: the URL of a new, empty database. Each test
drives a real project by hand, on a clock that stands still.
"""

# ruff: noqa: D102 - the name of a test says it

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.base.errors import (
    InvalidTransition,
    NotJson,
    PermanentError,
    RunFailed,
    TransientError,
    UnknownName,
    UserMistake,
)
from overnight.base.instants import to_datetime
from overnight.base.ports import RunContext
from overnight.engine.model import Cancel, Needs, Priority, State
from overnight.engine.tables import locks
from overnight.testing.bench import Bench

ODD_TEXTS = (
    "",
    "plain",
    'it\'s "quoted"',
    "back\\slash %s :name {x}",
    "zeile\nzwei\ttab",
    "žluťoučký 猫 🌙",
    "NULL",
    "[]",
)


class Gates:
    """Tasks that work until they are let go, so that a test sees what works at the same time. For executor `thread`."""

    def __init__(self) -> None:
        self.working: list[str] = []
        self.most = 0
        self._lock = threading.Lock()
        self._open: dict[str, threading.Event] = {}

    def action(self, name: str) -> Callable[[], None]:
        """Return a function that notes that it works, and waits."""

        def wait() -> None:
            with self._lock:
                self.working.append(name)
                self.most = max(self.most, len(self.working))
                gate = self._open.setdefault(name, threading.Event())
            assert gate.wait(30)
            with self._lock:
                self.working.remove(name)

        return wait

    def let_go(self, name: str) -> None:
        """Let all that work under this name end, now and from now on."""
        with self._lock:
            self._open.setdefault(name, threading.Event()).set()


class Suite:
    """What all parts of the suite need."""

    @pytest.fixture
    def bench(self, tmp_path: Path, database_url: str) -> Iterator[Bench]:
        """A project that is worked on by hand."""
        with Bench(tmp_path / "project", database_url) as bench:
            yield bench

    @pytest.fixture
    def gates(self) -> Iterator[Gates]:
        """Tasks that wait to be let go; all are, in the end."""
        gates = Gates()
        yield gates
        for name in list(gates._open):
            gates.let_go(name)


class RunConformance(Suite):
    """Submitting, order, retries, cancel, limits."""

    def test_submitted_run_is_on_disk_pending_and_listed(self, bench: Bench) -> None:
        bench.add("task", priority=Priority.HIGH)
        run = bench.get(bench.project.submit("task"))
        assert (run.state, run.task_id, run.priority, run.attempt) == (State.PENDING, "task", Priority.HIGH, 0)
        assert run.created_us == run.due_us == bench.clock.now_us()
        assert bench.project.runs() == [run]
        assert bench.project.runs(state="COMPLETED") == bench.project.runs(task_id="other") == []

    def test_result_args_times_and_history_of_a_completed_run_are_kept(self, bench: Bench) -> None:
        def double(value: int, plus: int) -> dict[str, int]:
            bench.clock.advance(2)
            return {"value": 2 * value + plus}

        bench.add("double", double, args={"plus": 1, "value": 0})
        run_id = bench.project.submit("double", {"value": 21})
        bench.after(3)
        run = bench.get(run_id)
        assert (run.state, run.attempt, run.worker_id, run.queue, run.rank) == (State.COMPLETED, 1, None, None, None)
        assert json.loads(run.result or "") == {"value": 43}
        assert bench.result(run_id) == {"value": 43}
        assert run.started_us == run.created_us + 3_000_000
        assert run.finished_us == run.created_us + 5_000_000
        assert run.active_us == 2_000_000
        assert run.history == (("started", 3_000_000), ("completed", 5_000_000))
        assert run.usage.cpu_s is not None

    def test_every_transition_is_an_event_in_order(self, bench: Bench) -> None:
        bench.add("task")
        run_id = bench.project.submit("task")
        cursor = bench.project.events()[-1].cursor
        bench.work()
        told = [event["event"] for event in bench.tell() if event.get("run") == run_id]
        assert told == ["submitted", "started", "completed"]
        later = [event["event"] for batch in bench.project.events(after=cursor) for event in batch.events]
        assert later == ["started", "completed"]

    def test_one_key_gives_one_run_before_and_after_its_end(self, bench: Bench) -> None:
        bench.add("task")
        first = bench.project.submit("task", key="monday")
        assert bench.project.submit("task", key="monday") == first
        bench.work()
        assert bench.project.submit("task", key="monday") == first
        other = bench.project.submit("task", key="tuesday")
        assert other != first
        bench.work()
        assert bench.calls == ["task", "task"]
        assert len(bench.project.runs()) == 2

    def test_key_that_no_database_takes_is_refused_in_one_line(self, bench: Bench) -> None:
        bench.add("task")
        for key in ("", "with \0 in it", "half a \ud83c pair"):
            with pytest.raises(UserMistake, match=r"^key: .* cannot be stored"):
                bench.project.submit("task", key=key)
        assert bench.project.runs() == []

    def test_odd_values_come_back_as_they_were(self, bench: Bench) -> None:
        bench.add("echo", lambda value: [value, {"again": value}])
        values = [*ODD_TEXTS, "\0", 2**63 - 1, -(2**63), 1e-300, 1.7976931348623157e308, 0.1]
        keys = [f"k{value}".replace("\0", "nul") for value in values]
        ids = [bench.project.submit("echo", {"value": value}, key=key) for value, key in zip(values, keys, strict=True)]
        bench.work()
        assert [bench.result(run_id) for run_id in ids] == [[value, {"again": value}] for value in values]
        assert [bench.get(run_id).key for run_id in ids] == keys

    def test_odd_error_messages_are_kept_and_harm_nobody(self, bench: Bench) -> None:
        texts = [*ODD_TEXTS, "nul \0", "half a \udcff pair"]

        def fail(number: int) -> None:
            raise PermanentError(texts[number])

        bench.add("fail", fail)
        bench.add("other")
        ids = [bench.project.submit("fail", {"number": number}) for number in range(len(texts))]
        other = bench.project.submit("other")
        bench.work()
        assert bench.state(other) is State.COMPLETED
        errors = [bench.get(run_id).error for run_id in ids]
        # One line; what is not text is told by its number.
        wanted = [" ".join(text.split()).replace("\udcff", "\\udcff") or "PermanentError" for text in texts]
        assert [error and error.message for error in errors] == wanted

    def test_result_that_is_not_json_fails_the_run_for_good_and_nothing_else(self, bench: Bench) -> None:
        values = [{1, 2}, float("nan"), object(), "half a \ud83c pair", [b"bytes"]]
        bench.add("odd", lambda number: values[number])
        bench.add("other")
        ids = [bench.project.submit("odd", {"number": number}) for number in range(len(values))]
        other = bench.project.submit("other")
        bench.work()
        assert bench.state(other) is State.COMPLETED
        for run in map(bench.get, ids):
            assert (run.state, run.attempt) == (State.FAILED, 1)
            assert run.error is not None
            assert (run.error.type, run.error.family) == ("NotJson", "permanent")

    def test_arguments_that_are_not_json_or_an_unknown_task_or_priority_are_refused(self, bench: Bench) -> None:
        bench.add("task")
        with pytest.raises(NotJson, match="args of 'task'"):
            bench.project.submit("task", {"when": object()})
        with pytest.raises(UnknownName, match=r"^there is no task 'tusk'.*\btask\b"):
            bench.project.submit("tusk")
        with pytest.raises(UserMistake, match=r"^priority: 'URGENT'.*CRITICAL, HIGH, NORMAL, LOW"):
            bench.project.submit("task", priority="URGENT")
        with pytest.raises(UnknownName, match="there is no run 7"):
            bench.get(7)
        assert bench.project.runs() == []

    def test_runs_start_by_priority_and_in_the_order_of_submission(self, tmp_path: Path, database_url: str) -> None:
        with Bench(tmp_path / "project", database_url, slots=1) as bench:
            bench.add("task", bench.note)
            for name in ("LOW", "NORMAL", "HIGH", "CRITICAL"):
                for number in (1, 2):
                    bench.project.submit("task", {"name": f"{name} {number}"}, priority=name)
            bench.work()
            names = ("CRITICAL", "HIGH", "NORMAL", "LOW")
            assert bench.calls == [f"{name} {number}" for name in names for number in (1, 2)]

    @pytest.mark.parametrize(("age_s", "first"), [(3599, "NORMAL"), (3601, "LOW")])
    def test_a_low_run_overtakes_a_normal_one_by_waiting_an_hour(
        self, tmp_path: Path, database_url: str, age_s: int, first: str
    ) -> None:
        with Bench(tmp_path / "project", database_url, slots=1) as bench:
            bench.add("task", bench.note)
            bench.project.submit("task", {"name": "LOW"}, priority="LOW")
            bench.clock.advance(age_s)
            bench.project.submit("task", {"name": "NORMAL"})
            bench.work()
            assert bench.calls[0] == first

    def test_run_with_a_due_time_starts_then_and_not_before(self, bench: Bench) -> None:
        bench.add("task")
        due = to_datetime(bench.clock.now_us()) + timedelta(seconds=90)
        run_id = bench.project.submit("task", due=due)
        bench.after(89.999)
        assert bench.state(run_id) is State.PENDING
        assert bench.runtime.worker.sleep_s() == pytest.approx(0.001)
        bench.after(0.001)
        assert bench.state(run_id) is State.COMPLETED

    def test_failing_run_waits_1_2_and_4_minutes_and_then_fails_for_good(self, bench: Bench) -> None:
        def fail() -> None:
            bench.calls.append(bench.clock.now_us())
            raise ValueError("no luck")

        bench.add("task", fail)
        run_id = bench.project.submit("task")
        begin = bench.clock.now_us()
        bench.work()
        for tries, wait_s in enumerate((60, 120, 240), start=1):
            run = bench.get(run_id)
            assert (run.state, run.attempt, run.queue) == (State.RETRYING, tries, 0)
            assert run.error is not None
            assert run.error.message == "no luck"
            bench.after(wait_s - 0.001)
            assert len(bench.calls) == tries
            bench.after(0.001)
        run = bench.get(run_id)
        assert (run.state, run.attempt) == (State.FAILED, 4)
        assert [at - begin for at in bench.calls] == [0, 60_000_000, 180_000_000, 420_000_000]
        assert [note[0] for note in run.history] == ["started", "failed"] * 3 + ["started", "failed"]
        with pytest.raises(RunFailed, match=f"run {run_id} of task 'task' is FAILED: no luck"):
            bench.result(run_id)
        bench.after(10_000)
        assert len(bench.calls) == 4

    @pytest.mark.parametrize("error", [UserMistake("your mistake"), PermanentError("for ever")])
    def test_user_mistakes_and_permanent_errors_are_not_tried_again(self, bench: Bench, error: Exception) -> None:
        def fail() -> None:
            raise error

        bench.add("task", fail)
        run_id = bench.project.submit("task")
        bench.work()
        run = bench.get(run_id)
        assert (run.state, run.attempt) == (State.FAILED, 1)
        assert run.error is not None
        assert run.error.message == str(error)

    def test_run_that_fails_twice_and_then_works_completes(self, bench: Bench) -> None:
        def work() -> int:
            bench.calls.append(0)
            if len(bench.calls) < 3:
                raise TransientError("later")
            return len(bench.calls)

        bench.add("task", work, max_retries=2)
        run_id = bench.project.submit("task")
        for wait_s in (0, 60, 120):
            bench.after(wait_s)
        run = bench.get(run_id)
        assert (run.state, run.attempt, run.result, run.error) == (State.COMPLETED, 3, "3", None)

    def test_retry_rules_of_the_task_come_before_those_of_the_project(self, bench: Bench) -> None:
        from overnight.base.backoff import Backoff

        bench.add("task", lambda: 1 / 0, max_retries=1, retry=Backoff(base_s=5.0))
        run_id = bench.project.submit("task")
        bench.work()
        assert bench.get(run_id).due_us == bench.clock.now_us() + 5_000_000
        bench.after(5)
        assert bench.state(run_id) is State.FAILED

    def test_pending_run_is_cancelled_at_once_ready_or_waiting(self, bench: Bench) -> None:
        bench.add("task")
        later = to_datetime(bench.clock.now_us()) + timedelta(hours=1)
        for run_id in (bench.project.submit("task"), bench.project.submit("task", due=later)):
            run = bench.project.cancel(run_id)
            assert (run.state, run.queue, run.finished_us) == (State.CANCELLED, None, bench.clock.now_us())
            assert run.error is not None
            assert run.error.message == "cancelled by a person"
        bench.after(4000)
        assert bench.calls == []

    def test_time_worked_is_that_of_all_tries(self, bench: Bench) -> None:
        def work() -> None:
            bench.clock.advance(2)
            if len(bench.calls) < 2:
                bench.note("again")
                raise TransientError("not yet")

        bench.add("task", work)
        run_id = bench.project.submit("task")
        bench.work()
        bench.after(60)
        bench.after(120)
        run = bench.get(run_id)
        assert (run.state, run.attempt, run.worked_us, run.active_us) == (State.COMPLETED, 3, 6_000_000, 2_000_000)

    def test_retrying_run_is_cancelled_at_once(self, bench: Bench) -> None:
        bench.add("task", lambda: 1 / 0)
        run_id = bench.project.submit("task")
        bench.work()
        assert bench.state(run_id) is State.RETRYING
        assert bench.project.cancel(run_id).state is State.CANCELLED
        bench.after(1000)
        assert bench.get(run_id).attempt == 1

    def test_running_run_is_told_to_stop_and_ends_cancelled(self, bench: Bench) -> None:
        started, may_end = threading.Event(), threading.Event()

        def work(ctx: RunContext) -> None:
            started.set()
            while not ctx.cancelled:
                may_end.wait(0.005)

        bench.add("task", work, executor="thread")
        run_id = bench.project.submit("task")
        bench.work_until(started.is_set)
        assert bench.project.cancel(run_id).state is State.IN_PROGRESS
        bench.project.cancel(run_id)
        bench.work_until(lambda: bench.state(run_id).final)
        run = bench.get(run_id)
        assert (run.state, run.cancel) == (State.CANCELLED, Cancel.NOBODY)
        told = [event["event"] for event in bench.tell() if event.get("run") == run_id]
        assert told == ["submitted", "started", "cancel_asked", "cancel_asked", "cancelled"]

    def test_cancel_that_meets_a_failure_is_not_tried_again(self, bench: Bench) -> None:
        def work() -> None:
            bench.project.cancel(bench.project.runs()[0].run_id)
            raise ValueError("at the same time")

        bench.add("task", work)
        run_id = bench.project.submit("task")
        bench.work()
        assert bench.state(run_id) is State.CANCELLED

    def test_cancel_of_an_ended_or_unknown_run_is_one_clear_line(self, bench: Bench) -> None:
        bench.add("task")
        run_id = bench.project.submit("task")
        bench.work()
        with pytest.raises(InvalidTransition, match=f"^run {run_id} is COMPLETED already; nothing to cancel$"):
            bench.project.cancel(run_id)
        with pytest.raises(UnknownName, match=r"^there is no run 99; "):
            bench.project.cancel(99)
        assert bench.state(run_id) is State.COMPLETED

    def test_task_never_works_more_than_its_limit_at_once(self, bench: Bench, gates: Gates) -> None:
        bench.add("pair", gates.action("pair"), executor="thread", max_concurrent=2)
        bench.add("other", gates.action("other"), executor="thread")
        for _ in range(5):
            bench.project.submit("pair")
        bench.project.submit("other")
        bench.work_until(lambda: len(gates.working) == 3)
        bench.work()
        assert sorted(gates.working) == ["other", "pair", "pair"]
        gates.let_go("pair")
        gates.let_go("other")
        bench.work_until(lambda: not bench.project.runs(state="PENDING") and bench.runtime.worker.idle)
        assert gates.most == 3
        assert len(bench.project.runs(state="COMPLETED")) == 6

    def test_project_never_works_on_more_runs_than_its_limit(self, bench: Bench, gates: Gates) -> None:
        bench.add("task", gates.action("task"), executor="thread", max_concurrent=None)
        for _ in range(8):
            bench.project.submit("task")
        bench.work_until(lambda: len(gates.working) == 3)
        bench.work()
        gates.let_go("task")
        bench.work_until(lambda: len(bench.project.runs(state="COMPLETED")) == 8)
        assert gates.most == 3

    def test_lock_is_held_by_one_run_and_passed_on(self, bench: Bench, gates: Gates) -> None:
        bench.add("first", gates.action("first"), executor="thread", needs=Needs(locks=("gpu", "disk")))
        bench.add("second", gates.action("second"), executor="thread", needs=Needs(locks=("gpu",)))
        bench.add("free", gates.action("free"), executor="thread")
        for name in ("first", "second", "free"):
            bench.project.submit(name)
        bench.work_until(lambda: len(gates.working) == 2)
        bench.work()
        assert sorted(gates.working) == ["first", "free"]
        assert self._locks(bench) == ["disk", "gpu"]
        gates.let_go("first")
        bench.work_until(lambda: "second" in gates.working)
        assert self._locks(bench) == ["gpu"]
        gates.let_go("second")
        gates.let_go("free")
        bench.work_until(lambda: bench.runtime.worker.idle)
        assert self._locks(bench) == []

    @staticmethod
    def _locks(bench: Bench) -> list[str]:
        with bench.project.database.read() as connection:
            return list(connection.execute(sa.select(locks.c.name).order_by(locks.c.name)).scalars())

    def test_run_that_needs_all_cores_waits_for_them(self, bench: Bench, gates: Gates) -> None:
        cores = os.cpu_count() or 1
        bench.add("one", gates.action("one"), executor="thread", needs=Needs(cpus=1))
        bench.add("all", gates.action("all"), executor="thread", needs=Needs(cpus=cores))
        bench.project.submit("one")
        everything = bench.project.submit("all")
        bench.work_until(lambda: gates.working == ["one"])
        bench.work()
        assert bench.state(everything) is State.PENDING
        gates.let_go("one")
        bench.work_until(lambda: gates.working == ["all"])
        gates.let_go("all")
        bench.work_until(lambda: bench.state(everything) is State.COMPLETED)

    def test_run_that_needs_more_cores_than_there_are_fails_in_one_line(self, bench: Bench) -> None:
        cores = os.cpu_count() or 1
        bench.add("huge", needs=Needs(cpus=cores + 1))
        bench.add("small")
        huge, small = bench.project.submit("huge"), bench.project.submit("small")
        bench.work()
        run = bench.get(huge)
        assert (run.state, bench.state(small)) == (State.FAILED, State.COMPLETED)
        assert run.error is not None
        assert run.error.message == f"needs.cpus: {cores + 1} cores are more than this machine has ({cores})"

    def test_runs_behind_a_crowd_of_a_full_task_still_start(self, bench: Bench, gates: Gates) -> None:
        bench.add("slow", gates.action("slow"), executor="thread")
        bench.add("quick")
        for _ in range(100):
            bench.project.submit("slow")
        quick = bench.project.submit("quick")
        bench.work_until(lambda: gates.working == ["slow"])
        bench.work()
        assert bench.state(quick) is State.COMPLETED
        for run in bench.project.runs(limit=200, state="PENDING"):
            bench.project.cancel(run.run_id)

    def test_progress_is_stored_while_the_run_works_and_gone_after(self, bench: Bench) -> None:
        seen, go_on = threading.Event(), threading.Event()

        def work(ctx: RunContext) -> None:
            ctx.progress(3, 10, loss=0.5)
            seen.set()
            assert go_on.wait(30)

        bench.add("task", work, executor="thread")
        run_id = bench.project.submit("task")
        bench.work_until(lambda: seen.is_set() and bench.get(run_id).progress)
        assert json.loads(bench.get(run_id).progress or "") == {"done": 3, "total": 10, "loss": 0.5}
        go_on.set()
        bench.work_until(lambda: bench.state(run_id) is State.COMPLETED)
        assert bench.get(run_id).progress is None
