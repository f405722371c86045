"""The conformance suite of schedules and cycles on a database; how to use it is told in `testing.engine`."""

# ruff: noqa: D102 - the name of a test says it

import threading
from collections.abc import Callable
from typing import Any

import pytest

from overnight.base.backoff import Backoff
from overnight.base.errors import PermanentError
from overnight.base.instants import US, to_datetime
from overnight.base.points import Point
from overnight.engine.flow import Flow
from overnight.engine.model import Run, State
from overnight.testing.bench import Bench
from overnight.testing.engine import Suite

HOUR_S = 3600
DAY_S = 24 * HOUR_S


def _newest(bench: Bench, task_id: str) -> Run:
    return bench.project.runs(task_id=task_id)[0]


def _told(bench: Bench, *events: str) -> list[dict[str, Any]]:
    return [event for event in bench.tell() if event["event"] in events]


class CycleConformance(Suite):
    """Schedules, and tasks that come after others."""

    def _at_midnight(self, bench: Bench) -> None:
        bench.clock.advance((-bench.clock.now_us() % (DAY_S * US)) / US)

    def test_periodic_task_runs_once_at_each_instant(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("tick", every="1m")
        bench.after(59.999)
        assert bench.calls == []
        assert bench.runtime.worker.sleep_s() == pytest.approx(0.001)
        for expected in (1, 2, 3):
            bench.after(0.001 if expected == 1 else 60)
            assert len(bench.calls) == expected
            bench.work()
        run = _newest(bench, "tick")
        assert run.due_us == run.cycle == bench.clock.now_us()

    def test_no_instant_fires_twice_through_crashes_and_no_missed_one_is_silent(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("tick", every="1m")
        bench.work()
        with bench.crashing(Point.ENGINE_CLAIMED):
            bench.after(60)
        bench.work()
        assert bench.calls == ["tick"]
        bench.after(600)
        assert bench.calls == ["tick", "tick"]
        [missed] = _told(bench, "missed")
        assert (missed["task"], missed["count"], missed["reason"]) == ("tick", 9, "late")
        assert _newest(bench, "tick").due_us == bench.clock.now_us()

    def test_once_follows_the_time_zone_of_its_task_also_when_that_changes(self, bench: Bench) -> None:
        self._at_midnight(bench)
        day = to_datetime(bench.clock.now_us()).date()
        bench.add("alarm", once=f"{day}T05:00", timezone="Asia/Tokyo")
        bench.work()
        assert bench.calls == ["alarm"], "that was yesterday in UTC"
        for zone in ("UTC", "Etc/GMT-1"):
            bench.add("later", once=f"{day}T05:00", timezone=zone)
            bench.runtime.resync()
        bench.after(4 * HOUR_S - 1)
        assert bench.calls == ["alarm"]
        bench.after(1)
        assert bench.calls == ["alarm", "later"]
        bench.after(2 * HOUR_S)
        assert bench.calls == ["alarm", "later"]

    def test_a_task_that_says_so_lets_a_due_instant_pass_while_a_run_has_not_ended(self, bench: Bench) -> None:
        def flow(flow: Flow) -> None:
            flow.sleep(90)

        self._at_midnight(bench)
        bench.add("busy", flow, every="60s", overlap="skip")
        by_hand = bench.project.submit("busy")
        bench.work()
        bench.after(61)
        assert [run.run_id for run in bench.project.runs(task_id="busy")] == [by_hand]
        assert [event["reason"] for event in _told(bench, "missed")] == ["overlap"]
        bench.after(40)
        assert bench.get(by_hand).state is State.COMPLETED
        bench.after(30)
        assert len(bench.project.runs(task_id="busy")) == 2

    def test_due_instant_is_skipped_while_a_run_still_waits_and_that_is_told(self, bench: Bench) -> None:
        gate, working = threading.Event(), threading.Event()

        def work() -> None:
            working.set()
            assert gate.wait(30)

        self._at_midnight(bench)
        bench.add("slow", work, executor="thread", every="1m")
        bench.work()
        bench.clock.advance(60)
        bench.work_until(working.is_set)
        for _ in range(3):
            bench.after(60)
        assert [run.state for run in bench.project.runs()] == [State.PENDING, State.IN_PROGRESS]
        assert len(_told(bench, "missed")) == 2
        gate.set()
        bench.work_until(lambda: not bench.project.runs(state="PENDING") and bench.runtime.worker.idle)
        assert len(bench.project.runs(state="COMPLETED")) == 2

    def test_cron_line_fires_in_the_zone_of_the_task(self, bench: Bench) -> None:
        self._at_midnight(bench)  # 00:00 UTC in summer is 02:00 in Berlin
        bench.add("berlin", schedule="30 3 * * *", timezone="Europe/Berlin")
        bench.work()
        bench.after(1.5 * HOUR_S - 1)
        assert bench.calls == []
        bench.after(1)
        assert bench.calls == ["berlin"]

    @pytest.mark.parametrize("once", ["2026-05-29T12:00:00+00:00", "2020-01-01"])
    def test_single_instant_fires_once_even_if_it_has_passed(self, bench: Bench, once: str) -> None:
        bench.add("once", once=once)
        bench.work()
        bench.after(DAY_S)
        bench.crash()
        bench.after(DAY_S)
        assert bench.calls == ["once"]

    def test_disabled_or_removed_task_does_not_fire_and_a_changed_one_by_its_new_line(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("off", every="1m", enabled=False)
        bench.add("gone", every="1m")
        bench.add("changed", every="1h")
        bench.work()
        bench.crash()
        del bench.project._tasks["gone"]
        bench.add("changed", every="2m")
        bench.work()
        bench.after(120)
        assert bench.calls == ["changed"]

    def test_dependants_run_once_per_cycle_in_order(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("a", every="1m")
        bench.add("b", after=("a",))
        bench.add("c", after=("a",))
        bench.add("d", after=("b", "c"))
        bench.work()
        for _ in range(2):
            bench.after(60)
            assert sorted(bench.calls[:-1]) == ["a", "b", "c"]
            assert (bench.calls[0], bench.calls[-1]) == ("a", "d")
            bench.calls.clear()
        assert len({run.cycle for run in bench.project.runs()}) == 2

    def test_parent_that_fails_for_good_blocks_this_cycle_and_not_the_next(self, bench: Bench) -> None:
        broken = [True]

        def work() -> None:
            if broken[0]:
                raise PermanentError("broken")

        self._at_midnight(bench)
        bench.add("a", work, every="1m")
        bench.add("b", after=("a",))
        bench.add("c", after=("b",))
        bench.work()
        bench.after(60)
        reasons = {str(run.task_id): run.error and run.error.message for run in bench.project.runs()}
        assert reasons["b"] == "blocked: task 'a', which it comes after, ended FAILED"
        assert reasons["c"] == "blocked: task 'b', which it comes after, ended CANCELLED"
        assert _newest(bench, "b").state is _newest(bench, "c").state is State.CANCELLED
        assert sorted(event["task"] for event in _told(bench, "blocked")) == ["b", "c"]
        broken.clear()
        broken.append(False)
        bench.after(60)
        assert bench.calls == ["b", "c"]

    def test_parent_that_will_be_tried_again_blocks_nothing(self, bench: Bench) -> None:
        def work() -> None:
            bench.calls.append("a")
            if len(bench.calls) == 1:
                raise ValueError("once")

        self._at_midnight(bench)
        bench.add("a", work, every="1h")
        bench.add("b", after=("a",))
        bench.work()
        bench.after(HOUR_S)
        assert bench.project.runs(task_id="b") == []
        bench.after(60)
        assert bench.calls == ["a", "a", "b"]

    def test_cancelled_parent_blocks_its_dependants(self, bench: Bench) -> None:
        bench.add("a")
        bench.add("b", after=("a",))
        run_id = bench.project.submit("a", with_dependants=True)
        bench.project.cancel(run_id)
        assert _newest(bench, "b").state is State.CANCELLED

    def test_run_by_hand_takes_dependants_along_only_if_asked(self, bench: Bench) -> None:
        bench.add("root")
        bench.add("a", after=("root",))
        bench.add("b", after=("a",))
        bench.add("c", after=("b", "elsewhere"))
        bench.add("elsewhere")
        bench.project.submit("a")
        bench.work()
        assert bench.calls == ["a"]
        bench.project.submit("a", with_dependants=True)
        bench.work()
        # Of c's parents only b is in the cycle that the run by hand has opened.
        assert bench.calls == ["a", "a", "b", "c"]

    def test_disabled_dependant_does_not_follow(self, bench: Bench) -> None:
        bench.add("a")
        bench.add("b", after=("a",), enabled=False)
        bench.project.submit("a", with_dependants=True)
        bench.work()
        assert bench.calls == ["a"]

    def _scheduled_pair(self, bench: Bench, action: Callable[[], None] | None = None) -> None:
        self._at_midnight(bench)
        bench.add("hourly", action, every="1h")
        bench.add("daily", schedule="0 6 * * *", after=("hourly",))
        bench.work()

    def test_task_with_schedule_and_parents_waits_for_its_time_and_their_latest_due_run(self, bench: Bench) -> None:
        def work() -> None:
            bench.calls.append("hourly")
            if len(bench.calls) == 6:
                raise ValueError("at six")

        self._scheduled_pair(bench, work)
        for _ in range(5):
            bench.after(HOUR_S)
        assert bench.calls == ["hourly"] * 5
        bench.after(HOUR_S)  # both are due now, and the parent has to be tried again
        daily = _newest(bench, "daily")
        assert (daily.state, daily.queue, daily.waiting_for) == (State.PENDING, 2, {"after": ["hourly"]})
        bench.after(60)
        assert bench.calls == ["hourly"] * 7 + ["daily"]

    def test_task_with_schedule_is_blocked_by_a_parent_that_failed_for_good(self, bench: Bench) -> None:
        def work() -> None:
            raise PermanentError("broken")

        self._scheduled_pair(bench, work)
        bench.after(6 * HOUR_S)
        daily = _newest(bench, "daily")
        assert daily.state is State.CANCELLED
        assert daily.error is not None
        assert "task 'hourly'" in daily.error.message

    def test_task_with_schedule_waits_for_a_parent_that_has_not_run_yet(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("late", schedule="0 7 * * *")
        bench.add("early", schedule="0 6 * * *", after=("late",))
        bench.work()
        bench.after(6 * HOUR_S)
        assert _newest(bench, "early").state is State.PENDING
        assert bench.project.cancel(_newest(bench, "early").run_id).state is State.CANCELLED

    def _waiting(self, bench: Bench) -> None:
        """Have a run of `child` wait for one of `parent` that is tried again in an hour."""
        self._at_midnight(bench)

        def parent(ctx: Any) -> None:  # Any: see base.ports.RunContext
            if ctx.attempt == 1:
                raise OSError("not yet")
            bench.note("parent")

        bench.add("parent", parent, every="1d", retry=Backoff(base_s=HOUR_S))
        bench.add("child", every="1d", after=("parent",))
        bench.work()
        bench.after(DAY_S)
        assert (bench.calls, _newest(bench, "child").state) == ([], State.PENDING)

    def test_run_that_waits_for_parents_starts_also_when_its_schedule_was_taken_away(self, bench: Bench) -> None:
        self._waiting(bench)
        bench.add("child", after=("parent",))
        bench.runtime.resync()
        bench.work()
        assert bench.calls == []
        bench.after(HOUR_S)
        bench.work()
        assert bench.calls == ["parent", "child"]

    def test_run_that_waits_for_parents_starts_when_it_comes_after_nothing_any_more(self, bench: Bench) -> None:
        self._waiting(bench)
        bench.add("child", every="1d")
        bench.runtime.resync()
        bench.work()
        assert bench.calls == ["child"]
