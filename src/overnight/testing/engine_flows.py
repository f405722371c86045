"""The conformance suite of flows on a database; how to use it is told in `testing.engine`."""

# ruff: noqa: D102 - the name of a test says it

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from overnight.base.errors import (
    InvalidTransition,
    PermanentError,
    StaleToken,
    TransientError,
    UnknownName,
    UserMistake,
)
from overnight.base.points import Point
from overnight.engine.flow import Flow
from overnight.engine.model import Cancel, Run, State, Task
from overnight.engine.tables import steps
from overnight.testing.bench import Bench
from overnight.testing.engine import Suite

HOUR_S = 3600
DAY_S = 24 * HOUR_S


def _newest(bench: Bench, task_id: str) -> Run:
    return bench.project.runs(task_id=task_id)[0]


def _told(bench: Bench, *events: str) -> list[dict[str, Any]]:
    return [event for event in bench.tell() if event["event"] in events]


class FlowConformance(Suite):
    """Durable flows."""

    def _note(self, bench: Bench, name: str) -> str:
        bench.calls.append(name)
        return name

    def _steps(self, bench: Bench, run_id: int) -> list[tuple[str, str]]:
        with bench.project.database.read() as connection:
            query = sa.select(steps.c.kind, steps.c.name).where(steps.c.run_id == run_id).order_by(steps.c.ordinal)
            return [(kind, name) for kind, name in connection.execute(query)]

    def _asking(self, bench: Bench) -> int:
        """Submit a flow that notes 'before', asks, and notes 'after'."""

        def flow(flow: Flow) -> list[str]:
            before = flow.step("before", self._note, bench, "before")
            answer = flow.ask("go", "Shall I go on?", ("yes", "no"))
            return [before, answer, flow.step("after", self._note, bench, "after")]

        bench.add("flow", flow)
        run_id = bench.project.submit("flow")
        bench.work()
        return run_id

    def test_steps_are_recorded_once_and_answered_from_the_record(self, bench: Bench) -> None:
        run_id = self._asking(bench)
        run = bench.get(run_id)
        assert (run.state, run.worker_id, run.parked) == (State.IN_PROGRESS, None, True)
        [question] = bench.project.questions()
        assert run.waiting_for == {"question": question.question_id}
        assert (question.prompt, question.choices, question.run_id) == ("Shall I go on?", ("yes", "no"), run_id)
        assert bench.runtime.worker.idle
        bench.clock.advance(DAY_S)
        bench.project.answer(question.question_id, "yes", by="ada")
        bench.work()
        assert bench.result(run_id) == ["before", "yes", "after"]
        assert bench.calls == ["before", "after"]
        assert bench.project.questions() == []
        assert self._steps(bench, run_id) == [("step", "before"), ("ask", "go"), ("step", "after")]
        run = bench.get(run_id)
        assert (run.attempt, run.token, run.active_us) == (1, 2, 0)
        assert [note[0] for note in run.history] == ["started", "parked", "resumed", "completed"]

    def test_wrong_unknown_or_second_answer_is_one_clear_line(self, bench: Bench) -> None:
        self._asking(bench)
        [question] = bench.project.questions()
        with pytest.raises(UserMistake, match=r"'maybe' is not one of the choices \(yes, no\)"):
            bench.project.answer(question.question_id, "maybe")
        with pytest.raises(UnknownName, match="there is no question 99"):
            bench.project.answer(99, "yes")
        bench.project.answer(question.question_id, "no", by="ada")
        with pytest.raises(InvalidTransition, match="was answered 'no' by ada"):
            bench.project.answer(question.question_id, "yes")
        bench.work()
        assert bench.calls == ["before", "after"]

    def test_question_with_nothing_to_choose_fails_the_flow(self, bench: Bench) -> None:
        bench.add("flow", lambda flow: flow.ask("go", "Go?", ("yes", "yes")))
        run_id = bench.project.submit("flow")
        bench.work()
        run = bench.get(run_id)
        assert (run.state, bench.project.questions()) == (State.FAILED, [])
        assert run.error is not None
        assert "give at least two" in run.error.message

    def test_flow_starts_children_waits_for_all_and_gets_their_results(self, bench: Bench) -> None:
        def flow(flow: Flow) -> list[Any]:
            ids = [flow.start("child", {"number": number}) for number in (1, 2, 3)]
            ended = flow.wait(*ids)
            return [[one.state, one.result, one.error.message if one.error else None] for one in ended]

        def child(number: int) -> int:
            bench.calls.append(number)
            if number == 2:
                raise PermanentError("two is bad")
            return number * 10

        bench.add("flow", flow)
        bench.add("child", child)
        run_id = bench.project.submit("flow")
        bench.work()
        wanted = [["COMPLETED", 10, None], ["FAILED", None, "two is bad"], ["COMPLETED", 30, None]]
        assert bench.result(run_id) == wanted
        assert bench.calls == [1, 2, 3]
        assert {run.parent_id for run in bench.project.runs(task_id="child")} == {run_id}

    def test_value_of_a_failed_child_raises_and_unknown_tasks_and_runs_are_named(self, bench: Bench) -> None:
        def value(flow: Flow) -> Any:
            return flow.wait(flow.start("child"))[0].value()

        def child() -> None:
            raise PermanentError("broken")

        bench.add("child", child)
        bench.add("value", value)
        bench.add("nothing", lambda flow: flow.start("nobody"))
        bench.add("nowhere", lambda flow: flow.wait(77))
        ids = [bench.project.submit(name) for name in ("value", "nothing", "nowhere")]
        bench.work()
        errors = [run.error for run in map(bench.get, ids)]
        assert [error and error.type for error in errors] == ["RunFailed", "UnknownName", "UnknownName"]
        assert "of task 'child' ended FAILED: broken" in str(errors[0])

    def test_sleeping_flow_wakes_at_its_time_also_through_a_crash(self, bench: Bench) -> None:
        def flow(flow: Flow) -> str:
            flow.step("before", self._note, bench, "before")
            flow.sleep(100)
            return flow.step("after", self._note, bench, "after")

        bench.add("flow", flow)
        run_id = bench.project.submit("flow")
        bench.work()
        bench.after(40)
        bench.crash()
        bench.after(59.999)
        assert bench.calls == ["before"]
        assert bench.get(run_id).parked
        bench.after(0.001)
        assert bench.result(run_id) == "after"

    def test_time_and_random_numbers_are_the_same_whenever_the_flow_comes_there(self, bench: Bench) -> None:
        seen: list[list[Any]] = []

        def flow(flow: Flow) -> None:
            random = flow.random()
            seen.append([flow.now().isoformat(), random.random(), random.random(), flow.random().random()])
            flow.ask("go", "Go?")

        bench.add("flow", flow)
        runs = [bench.project.submit("flow"), bench.project.submit("flow")]
        bench.work()
        bench.clock.advance(50)
        for question in bench.project.questions():
            bench.project.answer(question.question_id, "yes")
        bench.work()
        fork = bench.project.fork(runs[0], 4)
        bench.work()
        assert bench.state(fork) is State.COMPLETED
        first, second, first_again, second_again, forked = seen
        assert first == first_again == forked
        assert second == second_again
        assert first[1:] != second[1:]
        assert first[1] != first[3], "each call of random() has numbers of its own"

    @pytest.mark.parametrize(
        ("name", "now"),
        [("rename", ("b", "ask")), ("reorder", ("ask", "a")), ("removal", ("ask",)), ("end", ())],
    )
    def test_changed_flow_fails_instead_of_skipping(self, bench: Bench, name: str, now: tuple[str, ...]) -> None:
        plan = ["a", "ask"]

        def flow(flow: Flow) -> None:
            for step in plan:
                if step == "ask":
                    flow.ask("go", "Go?")
                else:
                    flow.step(step, self._note, bench, step)

        bench.add("flow", flow)
        run_id = bench.project.submit("flow")
        bench.work()
        plan[:] = now
        bench.project.answer(bench.project.questions()[0].question_id, "yes")
        bench.work()
        run = bench.get(run_id)
        assert (run.state, bench.calls) == (State.FAILED, ["a"])
        assert run.error is not None
        assert run.error.type == "FlowChanged"
        assert "step 'a'" in run.error.message
        assert "fork the run" in run.error.message

    def test_fork_takes_the_steps_before_the_chosen_one_as_done(self, bench: Bench) -> None:
        def flow(flow: Flow, word: str) -> list[str]:
            return [flow.step(name, self._note, bench, name) for name in ("a", "b", "c")] + [word]

        bench.add("flow", flow)
        source = bench.project.submit("flow", {"word": "kept"})
        with pytest.raises(InvalidTransition, match=f"run {source} is PENDING: cancel it first"):
            bench.project.fork(source, 1)
        bench.work()
        bench.calls.clear()
        for step, wanted in ((2, ["c"]), (0, ["a", "b", "c"]), (3, [])):
            fork = bench.project.fork(source, step)
            bench.work()
            assert bench.calls == wanted
            assert bench.result(fork) == ["a", "b", "c", "kept"]
            assert bench.get(fork).forked_from == source
            bench.calls.clear()
        with pytest.raises(UserMistake, match="step: -1 is below 0"):
            bench.project.fork(source, -1)
        with pytest.raises(UnknownName, match="there is no run 99"):
            bench.project.fork(99)

    def test_fork_of_a_cancelled_flow_takes_over_its_open_question(self, bench: Bench) -> None:
        source = self._asking(bench)
        bench.project.cancel(source)
        assert bench.project.questions() == []
        fork = bench.project.fork(source, 2)
        bench.work()
        [question] = bench.project.questions()
        assert question.run_id == fork
        bench.project.answer(question.question_id, "yes")
        bench.work()
        assert bench.result(fork) == ["before", "yes", "after"]
        assert bench.calls == ["before", "after"]

    def test_failing_flow_goes_on_behind_its_recorded_steps(self, bench: Bench) -> None:
        def fragile() -> str:
            bench.calls.append("fragile")
            if bench.calls.count("fragile") < 3:
                raise ValueError("not yet")
            return "fragile"

        def flow(flow: Flow) -> list[str]:
            return [flow.step("a", self._note, bench, "a"), flow.step("fragile", fragile)]

        bench.add("flow", flow)
        run_id = bench.project.submit("flow")
        for wait_s in (0, 60, 120):
            bench.after(wait_s)
        assert bench.result(run_id) == ["a", "fragile"]
        assert bench.calls == ["a", "fragile", "fragile", "fragile"]
        assert bench.get(run_id).attempt == 3

    def test_step_that_returns_no_json_fails_the_flow_and_records_nothing(self, bench: Bench) -> None:
        bench.add("flow", lambda flow: flow.step("odd", lambda: {1, 2}))
        run_id = bench.project.submit("flow")
        bench.work()
        run = bench.get(run_id)
        assert (run.state, run.attempt, self._steps(bench, run_id)) == (State.FAILED, 1, [])
        assert run.error is not None
        assert run.error.message.startswith("what step 'odd' returned is not JSON")

    def test_closing_worker_gets_the_flow_back_between_two_steps(self, bench: Bench) -> None:
        closed: list[bool] = []

        def flow(flow: Flow) -> list[str]:
            first = flow.step("a", self._note, bench, "a")
            if not closed:
                closed.append(True)
                bench.runtime.worker.closing.set()
            return [first, flow.step("b", self._note, bench, "b")]

        bench.add("flow", flow)
        run_id = bench.project.submit("flow")
        bench.work()
        run = bench.get(run_id)
        assert (run.state, run.queue, run.attempt, bench.calls) == (State.PENDING, 1, 0, ["a"])
        bench.crash()
        bench.work()
        assert bench.result(run_id) == ["a", "b"]
        assert (bench.get(run_id).attempt, bench.calls) == (1, ["a", "b"])

    def test_cancelled_flow_takes_its_children_and_questions_along(self, bench: Bench) -> None:
        def flow(flow: Flow) -> None:
            flow.wait(flow.start("asking"), flow.start("later"))

        def asking(flow: Flow) -> None:
            flow.ask("go", "Go?")

        bench.add("flow", flow)
        bench.add("asking", asking)
        bench.add("later", lambda: 1 / 0)
        run_id = bench.project.submit("flow")
        bench.work()
        children = bench.project.runs(task_id="asking") + bench.project.runs(task_id="later")
        assert [run.state for run in children] == [State.IN_PROGRESS, State.RETRYING]
        bench.project.cancel(run_id)
        ended = [bench.get(run.run_id) for run in children]
        assert [run.state for run in ended] == [State.CANCELLED] * 2
        assert [run.error and run.error.message for run in ended] == [Cancel.PARENT.reason] * 2
        assert bench.project.questions() == []

    def test_flow_that_fails_for_good_takes_its_children_along_and_one_that_will_be_tried_again_does_not(
        self, bench: Bench
    ) -> None:
        def flow(flow: Flow) -> None:
            flow.start("asking")
            raise TransientError("not yet")

        bench.add("flow", flow, max_retries=1)
        bench.add("asking", lambda flow: flow.ask("go", "Go?"))
        run_id = bench.project.submit("flow")
        bench.work()
        child = _newest(bench, "asking")
        assert (bench.state(run_id), child.state, child.parked) == (State.RETRYING, State.IN_PROGRESS, True)
        bench.after(60)
        assert bench.state(run_id) is State.FAILED
        ended = bench.get(child.run_id)
        assert (ended.state, ended.error and ended.error.message) == (
            State.CANCELLED, Cancel.PARENT.reason,
        )  # fmt: skip
        assert len(bench.project.runs(task_id="asking")) == 1

    def test_what_a_completed_flow_started_goes_on(self, bench: Bench) -> None:
        bench.add("flow", lambda flow: flow.start("asking"))
        bench.add("asking", lambda flow: flow.ask("go", "Go?"))
        run_id = bench.project.submit("flow")
        bench.work()
        assert bench.state(run_id) is State.COMPLETED
        assert _newest(bench, "asking").parked

    def test_flow_cancelled_while_it_works_takes_its_children_along_and_begins_no_further_step(
        self, bench: Bench
    ) -> None:
        working, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            working.set()
            assert go_on.wait(30)

        def flow(flow: Flow) -> None:
            flow.start("asking")
            flow.step("slow", slow)
            flow.step("never", self._note, bench, "never")

        bench.add("asking", lambda flow: flow.ask("go", "Go?"))
        bench.add("flow", flow, executor="thread")
        run_id = bench.project.submit("flow")
        bench.work_until(lambda: working.is_set() and bench.project.questions())
        bench.project.cancel(run_id)
        bench.work()
        go_on.set()
        bench.work_until(lambda: bench.state(run_id).final)
        assert bench.calls == []
        assert {run.state for run in bench.project.runs()} == {State.CANCELLED}

    def test_a_wait_with_a_time_limit_ends_at_it_or_when_all_have_ended(self, bench: Bench) -> None:
        def flow(flow: Flow, seconds: int) -> list[Any]:
            child = flow.start("child")
            [seen] = flow.wait(child, until=flow.now() + timedelta(seconds=seconds))
            cancelled = flow.cancel(child)
            [after] = flow.wait(child)
            return [seen.state, cancelled, after.state, flow.cancel(child)]

        bench.add("flow", flow)
        bench.add("child", lambda flow: flow.sleep(50))
        short = bench.project.submit("flow", {"seconds": 40})
        bench.work()
        bench.after(39.999)
        bench.crash()
        bench.work()
        assert bench.get(short).parked and _newest(bench, "child").state is State.IN_PROGRESS
        bench.after(0.001)
        assert bench.result(short) == ["IN_PROGRESS", True, "CANCELLED", False]
        long = bench.project.submit("flow", {"seconds": 60})
        bench.work()
        bench.after(49.999)
        assert bench.get(long).parked
        bench.after(0.001)
        assert bench.result(long) == ["COMPLETED", False, "COMPLETED", False]

    def test_cancelled_child_wakes_the_flow_that_waits_for_it(self, bench: Bench) -> None:
        bench.add("flow", lambda flow: flow.wait(flow.start("child"))[0].state)
        bench.add("child", lambda flow: flow.ask("go", "Go?"))
        run_id = bench.project.submit("flow")
        bench.work()
        bench.project.cancel(_newest(bench, "child").run_id)
        bench.work()
        assert bench.result(run_id) == "CANCELLED"

    def test_answer_that_comes_while_the_flow_parks_wakes_it(self, bench: Bench) -> None:
        def answer() -> None:
            bench.project.answer(bench.project.questions()[0].question_id, "yes")

        bench.hook.at[Point.FLOW_PARKING] = answer
        run_id = self._asking(bench)
        assert bench.result(run_id) == ["before", "yes", "after"]

    def test_child_that_ends_while_the_flow_parks_wakes_it(self, bench: Bench) -> None:
        bench.add("flow", lambda flow: flow.wait(flow.start("child"))[0].state)
        bench.add("child")
        bench.hook.at[Point.FLOW_PARKING] = lambda: bench.project.cancel(_newest(bench, "child").run_id)
        run_id = bench.project.submit("flow")
        bench.work()
        assert bench.result(run_id) == "CANCELLED"

    def test_worker_that_lost_its_run_records_no_further_step(self, bench: Bench) -> None:
        run_id = self._asking(bench)
        database, book = bench.project.database, bench.project.book
        stale = Flow(database, book, bench.get(run_id).run_id, bench.get(run_id).token)
        stale.step("before", self._note, bench, "before")
        stale._next += 1
        bench.project.answer(bench.project.questions()[0].question_id, "yes")
        with pytest.raises(StaleToken):
            stale.step("after", lambda: "stale")
        bench.work()
        assert bench.result(run_id) == ["before", "yes", "after"]
        with pytest.raises(StaleToken):
            stale.step("more", lambda: "stale")
        assert len(self._steps(bench, run_id)) == 3

    def test_time_limit_of_a_flow_stands_while_it_is_parked_and_each_try_has_its_own(self, bench: Bench) -> None:
        release = threading.Event()
        working: list[int] = []

        def slow() -> None:
            working.append(0)
            assert release.wait(30)

        def flow(flow: Flow) -> None:
            flow.ask("go", "Go?")
            flow.step("first", slow)
            flow.step("second", slow)

        bench.project.add_task(Task(task_id="flow", action=flow, timeout_s=100, max_retries=1))
        run_id = bench.project.submit("flow")
        bench.work_until(bench.project.questions)
        bench.work_until(lambda: bench.get(run_id).parked)
        bench.after(DAY_S)
        bench.project.answer(bench.project.questions()[0].question_id, "yes")
        bench.work_until(lambda: len(working) == 1)
        bench.after(99)
        assert bench.runtime.worker._running[run_id].stopping is None
        bench.after(1)
        assert bench.runtime.worker._running[run_id].stopping == "timed_out"
        release.set()
        bench.work_until(lambda: bench.state(run_id) is State.RETRYING)
        run = bench.get(run_id)
        assert run.error is not None
        assert (run.error.type, run.error.message) == ("TimedOut", "took longer than timeout_s = 100 and was stopped")
        release.clear()
        bench.clock.advance(60)
        bench.work_until(lambda: len(working) == 2)
        bench.after(50)
        assert bench.runtime.worker._running[run_id].stopping is None
        release.set()
        bench.work_until(lambda: bench.state(run_id) is State.COMPLETED)

    def test_result_of_a_flow_is_that_of_its_function(self, bench: Bench) -> None:
        bench.add("flow", lambda flow, value=3: {"value": value, "run": flow.run_id})
        run_id = bench.project.submit("flow", {"value": 4})
        bench.work()
        assert json.loads(bench.get(run_id).result or "") == {"value": 4, "run": run_id}
