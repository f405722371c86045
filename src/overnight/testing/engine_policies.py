"""The conformance suite of a task's own rules (overlap, catch-up, rate, pause, counts); see `testing.engine`."""

# ruff: noqa: D102 - the name of a test says it

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from overnight.base.errors import PermanentError
from overnight.base.instants import US, to_datetime
from overnight.base.points import Point
from overnight.base.ports import RunContext
from overnight.engine import counters, gaps, pausing
from overnight.engine.flow import Flow
from overnight.engine.gaps import MissedSpan
from overnight.engine.model import State
from overnight.engine.scheduler import sync
from overnight.engine.ticks import MOST_AT_ONCE, Missed
from overnight.testing.bench import Bench
from overnight.testing.engine import Suite

MINUTE_US = 60 * US


def _missed(bench: Bench, task_id: str) -> list[MissedSpan]:
    with bench.project.database.read() as connection:
        return gaps.spans(connection, task_id=task_id, limit=100)[::-1]


def _figures(bench: Bench, timezone: str = "UTC") -> dict[str, float]:
    with bench.project.database.read() as connection:
        return counters.figures(connection, bench.clock.now_us(), timezone)


def _fail() -> None:
    raise PermanentError("broken")


class PolicyConformance(Suite):
    """What a trigger does while a run is there, after a sleep, and while its task is paused."""

    def _at_midnight(self, bench: Bench) -> None:
        bench.clock.advance((-bench.clock.now_us() % (24 * 3600 * US)) / US)

    def _busy(self, bench: Bench, **values: Any) -> threading.Event:
        """Let a task that fires each minute be busy with its first run until the event is set."""
        gate, working = threading.Event(), threading.Event()

        def work(ctx: RunContext) -> None:
            working.set()
            while not ctx.cancelled and not gate.wait(0.01):
                pass

        self._at_midnight(bench)
        bench.add("busy", work, executor="thread", every="1m", **values)
        bench.work()
        bench.clock.advance(60)
        bench.work_until(working.is_set)
        return gate

    def _end(self, bench: Bench, gate: threading.Event) -> list[State]:
        gate.set()
        bench.work_until(lambda: not bench.project.runs(state="PENDING") and bench.runtime.worker.idle)
        return [run.state for run in bench.project.runs(limit=100)]

    @pytest.mark.parametrize(("overlap", "runs", "skipped"), [("skip", 1, 3), ("queue_one", 2, 2), ("queue_all", 4, 0)])
    def test_overlap_decides_how_many_runs_wait(self, bench: Bench, overlap: str, runs: int, skipped: int) -> None:
        gate = self._busy(bench, overlap=overlap)
        for _ in range(3):
            bench.after(60)
        assert self._end(bench, gate) == [State.COMPLETED] * runs
        spans = _missed(bench, "busy")
        assert sum(span.count or 0 for span in spans) == skipped
        assert {span.reason for span in spans} <= {Missed.OVERLAP}
        assert len(spans) <= 1, "instants one behind another are one record"

    def test_cancel_other_lets_the_newest_instant_run(self, bench: Bench) -> None:
        gate = self._busy(bench, overlap="cancel_other")

        def cancelled(number: int) -> Callable[[], bool]:
            return lambda: len(bench.project.runs(state="CANCELLED")) == number

        for number in (1, 2):
            bench.clock.advance(60)
            bench.work_until(cancelled(number))
        assert self._end(bench, gate)[0] is State.COMPLETED
        newest, *others = bench.project.runs()
        assert newest.cycle == bench.clock.now_us()
        assert [run.state for run in others] == [State.CANCELLED] * 2
        assert all(run.error is not None and "overlap" in run.error.message for run in others)

    @pytest.mark.parametrize(
        ("values", "ran", "told"),
        [
            ({}, 1, 539),
            ({"catch_up": "none"}, 1, 539),
            ({"catch_up": "all", "overlap": "queue_all"}, 540, 0),
            ({"catch_up": "all", "overlap": "queue_all", "catch_up_window_s": 3600}, 61, 479),
        ],
    )
    def test_nine_hours_of_sleep_are_caught_up_as_the_task_says_and_nothing_is_silent(
        self, bench: Bench, values: dict[str, Any], ran: int, told: int
    ) -> None:
        self._at_midnight(bench)
        bench.add("tick", every="1m", **values)
        bench.work()
        bench.after(9 * 3600)
        assert len(bench.calls) == ran
        assert sum(span.count or 0 for span in _missed(bench, "tick")) == told
        runs = bench.project.runs(limit=1000)
        assert runs[0].cycle == bench.clock.now_us()
        assert len({run.cycle for run in runs}) == len(runs) == ran

    def test_a_late_instant_does_not_run_where_none_is_made_up_for(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("daily", schedule="0 3 * * *", catch_up="none")
        bench.work()
        bench.after(9 * 3600)
        assert bench.calls == []
        [span] = _missed(bench, "daily")
        assert (span.count, span.reason, span.last_us % (24 * 3600 * US)) == (1, Missed.LATE, 3 * 3600 * US)
        bench.after(18 * 3600)
        assert bench.calls == ["daily"]

    def test_a_long_catch_up_never_blocks_the_scheduler_for_long(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("tick", every="1s", catch_up="all", overlap="queue_all", max_concurrent=None)
        bench.work()
        bench.clock.advance(8 * MOST_AT_ONCE)
        bench.step()
        assert len(bench.project.runs(limit=10_000)) <= MOST_AT_ONCE
        bench.work()
        assert len(bench.calls) == 8 * MOST_AT_ONCE

    def test_a_clock_that_was_ahead_and_is_set_right_does_not_silence_a_task(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("hourly", every="1h")
        bench.work()
        ten_years_s = 10 * 365 * 24 * 3600
        bench.clock.jump(ten_years_s)
        bench.work()
        assert bench.calls == ["hourly"]
        bench.clock.jump(-ten_years_s)
        bench.work()
        bench.after(3600)
        assert bench.calls == ["hourly", "hourly"]

    def test_a_plan_that_lies_too_far_ahead_is_mended_at_the_start_too(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("hourly", every="1h")
        bench.work()
        bench.clock.jump(30 * 24 * 3600)
        bench.work()
        bench.clock.jump(-30 * 24 * 3600)
        bench.crash()
        bench.work()
        bench.after(3600)
        assert bench.calls == ["hourly", "hourly"]

    def test_jitter_delays_each_instant_by_a_time_of_its_own(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("tick", every="1h", jitter_s=600, overlap="queue_all")
        bench.work()
        for _ in range(5):
            bench.after(3600)
        bench.after(600)
        runs = bench.project.runs()
        delays = {run.due_us - run.cycle for run in runs if run.cycle is not None}
        assert len(delays) == len(runs) == len(bench.calls) == 5
        assert all(0 <= delay < 600 * US for delay in delays)

    def test_a_rate_limit_spaces_the_starts(self, bench: Bench) -> None:
        bench.add("mail", rate_limit="6/m", max_concurrent=None)
        bench.add("other")
        for _ in range(4):
            bench.project.submit("mail")
        bench.project.submit("other")
        bench.work()
        assert sorted(bench.calls) == ["mail", "other"]
        assert bench.runtime.worker.sleep_s() <= 10
        bench.after(9.9)
        assert bench.calls.count("mail") == 1
        bench.after(0.1)
        assert bench.calls.count("mail") == 2
        with bench.crashing(Point.ENGINE_CLAIMED):
            bench.after(10)
        bench.work()
        assert bench.calls.count("mail") == 2, "the start before the crash counts"
        bench.after(10)
        bench.after(10)
        assert bench.calls.count("mail") == 4

    def test_a_failure_pauses_a_task_that_says_so_and_nothing_of_it_starts(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("bad", _fail, every="1m", pause_on_failure=True)
        bench.add("after", after=("bad",))
        bench.work()
        bench.after(60)
        with bench.project.database.read() as connection:
            [pause] = pausing.pauses(connection)
        assert pause.task_id == "bad"
        assert pause.why.endswith("failed: broken")
        bench.after(600)
        assert len(bench.project.runs(task_id="bad")) == 1
        bench.crash()
        bench.after(600)
        assert len(bench.project.runs(task_id="bad")) == 1, "a pause outlives the process"
        by_hand = bench.project.submit("bad")
        bench.work()
        assert bench.state(by_hand) is State.FAILED, "a run by hand works"
        bench.add("bad", every="1m")
        assert bench.project.resume("bad")
        bench.work()
        bench.after(60)
        assert bench.calls == ["bad", "after"]
        [span] = [span for span in _missed(bench, "bad") if span.reason is Missed.PAUSED]
        assert span.count == 20
        assert not bench.project.resume("bad")

    def test_runs_that_wait_are_held_while_their_task_is_paused(self, bench: Bench) -> None:
        gate = self._busy(bench, overlap="queue_all")
        for _ in range(3):
            bench.after(60)
        by_hand = bench.project.submit("busy")
        assert bench.project.pause("busy", "maintenance")
        assert not bench.project.pause("busy", "again")
        gate.set()
        bench.work_until(lambda: bench.state(by_hand) is State.COMPLETED)
        assert len(bench.project.runs(state="PENDING")) == 3
        bench.crash()
        bench.after(1)
        assert len(bench.project.runs(state="PENDING")) == 3
        held = bench.project.runs(state="PENDING")[0]
        bench.project.cancel(held.run_id)
        bench.project.resume("busy")
        bench.work_until(lambda: not bench.project.runs(state="PENDING") and bench.runtime.worker.idle)
        assert [run.state for run in bench.project.runs(limit=10)].count(State.COMPLETED) == 4
        assert bench.state(held.run_id) is State.CANCELLED

    def test_a_paused_dependant_misses_its_cycles_and_a_waiting_one_goes_on(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("first", every="1m")
        bench.add("then", after=("first",))
        bench.add("timed", every="1m", after=("first",))
        bench.work()
        bench.project.pause("then", "")
        bench.after(60)
        bench.after(60)
        assert bench.calls.count("then") == 0
        assert [span.count for span in _missed(bench, "then")] == [2]
        assert bench.project.resume("then")
        bench.after(60)
        assert bench.calls.count("then") == 1
        assert bench.calls.count("timed") == 3

    def test_a_task_that_no_worker_has_seen_can_be_paused(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("new", every="1m")
        bench.project.pause("new", "not yet")
        bench.after(300)
        assert bench.calls == []
        bench.project.resume("new")
        bench.work()
        bench.after(60)
        assert bench.calls == ["new"]

    def test_a_changed_trigger_of_a_paused_task_waits_for_its_resumption(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("task", every="1m")
        bench.work()
        bench.project.pause("task", "")
        bench.add("task", every="5m")
        bench.runtime.resync()
        bench.after(600)
        assert bench.calls == []
        bench.project.resume("task")
        bench.after(300)
        assert bench.calls == ["task"]

    def test_what_a_run_counts_is_added_once_when_it_completes_by_civil_day(self, bench: Bench) -> None:
        tries: list[int] = []

        def make(ctx: RunContext) -> None:
            tries.append(1)
            ctx.count("videos_produced")
            ctx.count("videos_produced", 2)
            if len(tries) == 1:
                raise RuntimeError("half way")

        def flow(flow: Flow) -> None:
            flow.sleep(1)

        self._at_midnight(bench)
        bench.add("make", make)
        bench.add("flow", flow)
        bench.project.submit("make")
        bench.project.submit("flow")
        bench.work()
        assert _figures(bench) == {}
        with bench.crashing(Point.ENGINE_OUTCOME):
            bench.after(61)
        bench.work()
        assert len(tries) == 3
        assert _figures(bench) == {"videos_produced_today": 3, "videos_produced_total": 3}
        bench.after(24 * 3600)
        bench.project.submit("make")
        bench.work()
        assert _figures(bench) == {"videos_produced_today": 3, "videos_produced_total": 6}
        assert _figures(bench, "Pacific/Kiritimati")["videos_produced_today"] == 3

    @pytest.mark.parametrize("name", ["", "a b", "ä", 3])
    def test_a_count_that_is_none_is_refused(self, bench: Bench, name: Any) -> None:
        bench.add("bad", lambda ctx: ctx.count(name), max_retries=0)
        run_id = bench.project.submit("bad")
        bench.work()
        error = bench.get(run_id).error
        assert error is not None
        assert "ctx.count" in error.message

    def test_a_run_knows_the_instant_that_it_is_for(self, bench: Bench) -> None:
        seen: list[datetime | None] = []

        def note(ctx: RunContext) -> None:
            seen.append(ctx.scheduled)

        self._at_midnight(bench)
        bench.add("tick", note, every="1m")
        bench.work()
        bench.after(60)
        bench.project.submit("tick")
        bench.work()
        assert seen == [to_datetime(bench.clock.now_us()), None]

    def test_a_backfill_runs_each_instant_once_and_dependants_follow(self, bench: Bench) -> None:
        self._at_midnight(bench)
        start_us = bench.clock.now_us()
        bench.add("daily", schedule="0 3 * * *", max_concurrent=2)
        bench.add("after", after=("daily",))
        bench.work()
        week_us = 7 * 24 * 3600 * US
        made = bench.project.backfill("daily", start_us - week_us, start_us)
        assert (len(made.run_ids), made.known) == (7, 0)
        bench.work()
        assert (bench.calls.count("daily"), bench.calls.count("after")) == (7, 7)
        again = bench.project.backfill("daily", start_us - week_us, start_us)
        assert (len(again.run_ids), again.known) == (0, 7)
        bench.after(4 * 3600)
        assert bench.calls.count("daily") == 8

    def test_two_workers_that_plan_at_the_same_time_agree(self, bench: Bench) -> None:
        self._at_midnight(bench)
        bench.add("tick", every="1m")
        bench.work()
        bench.project.database.writer.do(lambda tx: sync(tx, bench.project.book))
        bench.after(60)
        assert bench.calls == ["tick"]
