"""A month of a project with 200 tasks, in minutes: the real engine on a clock that jumps from event to event.

Chance, from a seed, decides how long runs work and how they end, when somebody submits, cancels, pauses or resumes,
when the worker dies, when the machine sleeps for hours and when its clock is set. Afterwards the database is compared
with the triggers: each instant has one run or is recorded as missed.
"""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from overnight.base.instants import US
from overnight.base.ports import Channel, StopReason
from overnight.base.refs import ErrorRef, Outcome, WorkOrder
from overnight.engine import gaps, store
from overnight.engine.cron import next_after
from overnight.engine.model import FINAL, Run
from overnight.engine.ticks import Missed
from overnight.testing.bench import Bench

HOUR_S, DAY_S = 3600, 86400
SLOTS = 12
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
LONGEST_WAIT_S = 6 * HOUR_S
"""A ready run of this project may wait so long for its start: nobody starves."""


class Hands:
    """An executor whose runs end when their time has come, or when they are told to."""

    def __init__(self, month: "Month") -> None:
        self.month = month
        self.working: dict[tuple[int, int], tuple[float, WorkOrder, Channel]] = {}

    def start(self, order: WorkOrder, channel: Channel) -> None:
        assert not any(run_id == order.run_id for run_id, _ in self.working), f"run {order.run_id} works twice"
        seconds = self.month.random.choice((0.5, 5, 60, 60, 600))
        ends = self.month.bench.clock.monotonic() + seconds
        self.working[order.run_id, order.token] = (ends, order, channel)

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        found = self.working.pop((order.run_id, order.token), None)
        if found is not None:
            found[2].done(order, Outcome(kind=reason))

    def close(self, grace_s: float) -> None:
        for _, order, channel in self.working.values():
            channel.done(order, Outcome(kind="cancelled"))
        self.working.clear()

    def end_what_is_over(self) -> None:
        now = self.month.bench.clock.monotonic()
        for key in [key for key, (ends, _, _) in self.working.items() if ends <= now]:
            _, order, channel = self.working.pop(key)
            kind = self.month.random.choices(("ok", "transient", "permanent"), (94, 4, 2))[0]
            error = None if kind == "ok" else ErrorRef(family=kind, type="Drawn", message="drawn")
            channel.done(order, Outcome(kind="succeeded" if kind == "ok" else "failed", result="1", error=error))


class Month:
    """The project, its tasks and what happens to it."""

    def __init__(self, folder: Path, seed: int, tasks: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(folder / "p", f"sqlite:///{folder / 'month.db'}", slots=SLOTS)
        self.hands = Hands(self)
        self.acknowledged: list[int] = []
        self.ready_since: dict[int, float] = {}
        self.longest_wait_s = 0.0
        self.started_us = self.bench.clock.now_us()
        self.names = [f"task{number}" for number in range(tasks)]
        for number, name in enumerate(self.names):
            self.bench.add(name, executor="thread", **self._rules(number))
        self._first = {
            entry.task.task_id: next_after(entry.trigger, self.started_us)
            for entry in self.bench.project.book
            if entry.trigger is not None
        }

    def _rules(self, number: int) -> dict[str, object]:
        choose = self.random.choice
        after = (f"task{self.random.randrange(number)}",) if number > 10 and self.random.random() < 0.15 else ()
        minute, hour = self.random.randrange(60), self.random.randrange(24)
        trigger = choose(
            (
                {"schedule": f"{minute} {hour} * * *"},
                {"schedule": f"{minute} {hour} * * {choose('0123456')}"},
                {"schedule": f"{minute} */{choose((2, 4, 6))} * * *"},
                {"every": choose(("2h", "5h", "1d"))},
                {} if after else {"every": "6h"},
            )
        )
        catch_up, overlap = choose(
            (("latest", "queue_one"), ("latest", "skip"), ("none", "queue_all"), ("all", "queue_all"),
             ("latest", "cancel_other"))
        )  # fmt: skip
        return {
            **trigger,
            "after": after,
            "timezone": choose(ZONES),
            "overlap": overlap,
            "catch_up": catch_up,
            "catch_up_window_s": choose((None, 4 * HOUR_S)),
            "jitter_s": choose((0, 0, 300)),
            "rate_limit": choose((None, None, None, "12/h")),
            "pause_on_failure": self.random.random() < 0.1,
            "priority": choose(("LOW", "NORMAL", "HIGH", "CRITICAL")),
            "max_retries": choose((0, 1, 3)),
        }

    def close(self) -> None:
        self.hands.close(0)
        self.bench.close()

    def live(self, days: float) -> None:
        until_us = self.started_us + int(days * DAY_S * US)
        self._work()
        while self.bench.clock.now_us() < until_us:
            self._happen()
            self._advance(min(1800.0, self._until_next_s()))

    def _until_next_s(self) -> float:
        with self.bench.project.database.read() as connection:
            next_us = [
                value
                for query in ("SELECT min(next_us) FROM tasks", "SELECT min(due_us) FROM runs WHERE queue = 0")
                if (value := connection.exec_driver_sql(query).scalar()) is not None
            ]
        waits = [(value - self.bench.clock.now_us()) / US for value in next_us]
        waits += [ends - self.bench.clock.monotonic() for ends, _, _ in self.hands.working.values()]
        return max(0.001, min(waits, default=60.0))

    def _advance(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)
        self._watch_the_queue()
        self.hands.end_what_is_over()
        self._work()

    def _watch_the_queue(self) -> None:
        """Note how long runs have been ready; those of a task with a rate limit wait because they are told to."""
        now = self.bench.clock.monotonic()
        with self.bench.project.database.read() as connection:
            ready = connection.exec_driver_sql("SELECT run_id, task_id FROM runs WHERE queue = 1").fetchall()
        free = [run_id for run_id, name in ready if name not in self.bench.project.book.rated]
        self.ready_since = {run_id: self.ready_since.get(run_id, now) for run_id in free}
        self.longest_wait_s = max([self.longest_wait_s, *(now - since for since in self.ready_since.values())])

    def _work(self) -> None:
        self.bench.runtime._executors["thread"] = self.hands  # type: ignore[assignment]  # a dict for this test
        self.bench.work()

    def _happen(self) -> None:
        chance = self.random.random()
        if chance < 0.02:
            self.acknowledged.append(self.bench.project.submit(self.random.choice(self.names)))
        elif chance < 0.024:
            self._cancel_one()
        elif chance < 0.03:
            self.bench.project.pause(self.random.choice(self.names), "drawn")
        elif chance < 0.05:
            self.bench.project.resume(self.random.choice(self.names))
        elif chance < 0.056:
            self._crash()
        elif chance < 0.062:
            self._sleep()
        elif chance < 0.066:
            self.bench.clock.jump(self.random.choice((-7200, -30, 30, 7200)))

    def _cancel_one(self) -> None:
        with self.bench.project.database.read() as connection:
            found = store.unfinished(connection, limit=20)
        if found:
            self.bench.project.cancel(self.random.choice(found).run_id)

    def _crash(self) -> None:
        """The process dies, and with it all that it worked on; another one begins."""
        self.hands.working.clear()
        self.bench.crash()

    def _sleep(self) -> None:
        """The machine sleeps for up to nine hours: the civil clock goes on, the other one does not."""
        self.bench.clock.jump(self.random.uniform(1, 9) * HOUR_S)

    def come_to_rest(self) -> None:
        for name in self.names:
            self.bench.project.resume(name)
        self.planned = self._planned()
        for name in self.names:
            task = self.bench.project.book.get(name).task
            self.bench.add(name, executor="thread", after=task.after, enabled=False, max_retries=0)
        self.bench.runtime.resync()
        for _ in range(20_000):
            self._work()
            with self.bench.project.database.read() as connection:
                unfinished = store.unfinished(connection)
            if all(self._has_nobody_to_wait_for(run) for run in unfinished):
                return
            self._advance(max(1.0, self._until_next_s()))
        raise AssertionError("some runs never end")

    def _has_nobody_to_wait_for(self, run: Run) -> bool:
        """Whether it waits for a parent that never had a scheduled run, and gets none: nothing fires any more."""
        parents = (run.waiting_for or {}).get("after", ())
        with self.bench.project.database.read() as connection:
            query = "SELECT count(*) FROM runs WHERE task_id = ? AND cycle > 0"
            return any(connection.exec_driver_sql(query, (name,)).scalar() == 0 for name in parents)

    def _planned(self) -> dict[str, int]:
        with self.bench.project.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT task_id, next_us FROM tasks WHERE next_us IS NOT NULL")
            return dict(map(tuple, rows))

    def check(self, triggers: dict[str, object]) -> int:
        """Compare the database with the triggers and return how many instants there were."""
        with self.bench.project.database.read() as connection:
            runs = store.newest(connection, limit=10_000_000)
            missed = gaps.spans(connection, limit=10_000_000)
        assert all(run.state in FINAL or self._has_nobody_to_wait_for(run) for run in runs)
        by_id = {run.run_id: run for run in runs}
        assert set(self.acknowledged) <= set(by_id), "an acknowledged run is lost"
        cycles: dict[str, list[int]] = defaultdict(list)
        for run in runs:
            if run.cycle is not None and run.cycle > 0:
                cycles[run.task_id].append(run.cycle)
        total = 0
        for name, trigger in triggers.items():
            assert len(set(cycles[name])) == len(cycles[name]), f"{name} ran twice for one instant"
            spans = [(span.first_us, span.last_us) for span in missed if span.task_id == name]
            at_us = self._first[name]
            while at_us is not None and at_us < self.planned[name]:
                covered = at_us in cycles[name] or any(first <= at_us <= last for first, last in spans)
                assert covered, f"{name}: instant {at_us} neither ran nor is recorded as missed"
                total += 1
                at_us = next_after(trigger, at_us)  # type: ignore[arg-type]  # a Schedule
        assert {span.reason for span in missed} == set(Missed), "nothing of one kind was missed: the check is too weak"
        assert self.longest_wait_s < LONGEST_WAIT_S
        return total


@pytest.mark.no_cover
@pytest.mark.timeout(1800)
def test_each_due_instant_of_a_month_runs_once_or_is_recorded_as_missed(tmp_path, long_form):
    tasks, days, seeds = (200, 30.0, 1) if long_form else (40, 3.0, 2)
    for seed in range(seeds):
        folder = tmp_path / str(seed)
        folder.mkdir()
        month = Month(folder, seed, tasks)
        try:
            triggers = {e.task.task_id: e.trigger for e in month.bench.project.book if e.trigger is not None}
            month.live(days)
            month.come_to_rest()
            total = month.check(triggers)
            number = len(month.bench.project.runs(limit=10_000_000))
            print(f"seed {seed}: {total} instants, {number} runs, longest wait {month.longest_wait_s:.0f} s")
            assert total > tasks * days / 2
        finally:
            month.close()
