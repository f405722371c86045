"""Schedules, dependencies, pauses, crashes and clocks in any order: each instant runs once or is recorded as missed."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overnight.base.errors import PermanentError
from overnight.base.instants import US
from overnight.engine import gaps, pausing
from overnight.engine.model import Run, State
from overnight.testing.bench import Bench
from stateful import check, emptied, sqlite_in

PERIOD_S = {"minutely": 60, "all": 60, "none": 120, "slow": 300}
CHILDREN = {"child": ("minutely",), "grandchild": ("child",), "join": ("minutely", "slow")}
RULES: dict[str, dict[str, object]] = {
    "minutely": {},
    "all": {"catch_up": "all", "overlap": "queue_all", "catch_up_window_s": 1800},
    "none": {"catch_up": "none", "overlap": "skip"},
    "slow": {"pause_on_failure": True},
}
NAMES = [*PERIOD_S, *CHILDREN]


class Schedules(RuleBasedStateMachine):
    new_url: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="overnight-schedules-"))
        self.bench = Bench(self.folder / "p", type(self).new_url(self.folder))
        self.fails: set[str] = set()
        self.period_s = dict(PERIOD_S)
        for name in NAMES:
            self.add(name)
        self.bench.work()
        self.since_us = {name: self.bench.clock.now_us() for name in PERIOD_S}
        self.paused: dict[str, int] = {}
        """Paused tasks, with the number of runs that had started by then."""

    def add(self, name: str) -> None:
        def work() -> None:
            if name in self.fails:
                raise PermanentError("drawn")

        trigger = {"every": f"{self.period_s[name]}s"} if name in self.period_s else {"after": CHILDREN[name]}
        self.bench.add(name, work, max_concurrent=None, **trigger, **RULES.get(name, {}))  # type: ignore[arg-type]

    def teardown(self) -> None:
        self.bench.close()
        shutil.rmtree(self.folder)

    def runs(self, name: str | None = None) -> list[Run]:
        return self.bench.project.runs(limit=100_000, task_id=name)

    def started(self, name: str) -> int:
        return sum(run.token for run in self.runs(name))

    @rule(seconds=st.sampled_from([1, 30, 60, 61, 600, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.bench.after(seconds)

    @rule(seconds=st.sampled_from([-3600, -70, -3, 3, 70, 3600]))
    def the_clock_is_set(self, seconds: int) -> None:
        self.bench.clock.jump(seconds)
        self.bench.work()

    @rule(name=st.sampled_from(NAMES))
    def it_fails_from_now_on(self, name: str) -> None:
        self.fails.add(name)

    @precondition(lambda self: self.fails)
    @rule()
    def all_is_mended(self) -> None:
        self.fails.clear()

    @rule(name=st.sampled_from(NAMES))
    def pause(self, name: str) -> None:
        if self.bench.project.pause(name, "drawn"):
            self.paused[name] = self.started(name)

    @precondition(lambda self: self.paused)
    @rule(pick=st.integers(0, 9))
    def resume(self, pick: int) -> None:
        name = list(self.paused)[pick % len(self.paused)]
        del self.paused[name]
        assert self.bench.project.resume(name)
        self.bench.work()

    @rule()
    def crash(self) -> None:
        self.bench.crash()
        self.bench.work()

    @rule()
    def workers_are_away(self) -> None:
        """Nobody works for a while."""
        self.bench.crash()
        self.bench.clock.advance(2000)

    @rule(name=st.sampled_from(sorted(PERIOD_S)), seconds=st.sampled_from([60, 120, 300]))
    def a_trigger_changes(self, name: str, seconds: int) -> None:
        if self.period_s[name] == seconds:
            return
        self.bench.work()
        self.period_s[name] = seconds
        self.add(name)
        self.bench.runtime.resync()
        self.since_us[name] = self.bench.clock.now_us()
        self.bench.work()

    @rule(name=st.sampled_from(sorted(PERIOD_S)), back_s=st.sampled_from([100, 700]))
    def backfill(self, name: str, back_s: int) -> None:
        if name in self.paused:
            return
        now_us = self.bench.clock.now_us()
        made = self.bench.project.backfill(name, now_us - back_s * US, now_us)
        assert len(made.run_ids) + made.known == len(made.instants)
        self.bench.work()

    @invariant()
    def pauses_are_as_they_were_told(self) -> None:
        with self.bench.project.database.read() as connection:
            found = {pause.task_id: pause.why for pause in pausing.pauses(connection)}
        for name in set(found) - set(self.paused):
            assert name == "slow" and "failed: drawn" in found[name], "only a failure pauses by itself"
            self.paused[name] = self.started(name)
        assert set(found) == set(self.paused)
        for name, number in self.paused.items():
            assert self.started(name) == number, f"{name} started a run while it was paused"

    @invariant()
    def each_instant_runs_once_or_is_recorded(self) -> None:
        if self.bench._runtime is None:
            return
        with self.bench.project.database.read() as connection:
            missed = gaps.spans(connection, limit=100_000)
            rows = connection.exec_driver_sql("SELECT task_id, coalesce(next_us, held_us) FROM tasks").fetchall()
        next_us = dict(map(tuple, rows))
        cycles: dict[str, list[int]] = defaultdict(list)
        for run in self.runs():
            if run.cycle is not None and run.cycle > 0:
                cycles[run.task_id].append(run.cycle)
        for name, seconds in self.period_s.items():
            assert len(set(cycles[name])) == len(cycles[name]), f"{name} has two runs for one instant"
            spans = [(span.first_us, span.last_us) for span in missed if span.task_id == name]
            period_us = seconds * US
            first_us = (self.since_us[name] // period_us + 1) * period_us
            for at_us in range(first_us, next_us[name] or 0, period_us):
                told = at_us in cycles[name] or any(first <= at_us <= last for first, last in spans)
                assert told, f"{name}: instant {at_us} neither ran nor is recorded as missed"

    @invariant()
    def dependants_follow_their_parents_once(self) -> None:
        found: dict[str, dict[int, Run]] = defaultdict(dict)
        for run in self.runs():
            if run.cycle is not None and run.cycle > 0:
                assert run.cycle not in found[run.task_id], f"{run.task_id} ran twice in a cycle"
                found[run.task_id][run.cycle] = run
        for name, parents in CHILDREN.items():
            for cycle, run in found[name].items():
                states = [found[parent][cycle].state for parent in parents if cycle in found[parent]]
                if run.state is State.COMPLETED:
                    assert states == [State.COMPLETED] * len(parents), f"{name} ran before its parents had completed"
        self._each_has_its_dependant(found)

    def _each_has_its_dependant(self, found: dict[str, dict[int, Run]]) -> None:
        with self.bench.project.database.read() as connection:
            missed = gaps.spans(connection, limit=100_000)
        for cycle, parent in found["minutely"].items():
            if parent.state is not State.COMPLETED or cycle in found["child"]:
                continue
            spans = [(span.first_us, span.last_us) for span in missed if span.task_id == "child"]
            assert any(first <= cycle <= last for first, last in spans), f"cycle {cycle} has no child and no record"


# The short form tries the same orders each time, the long one new ones.


@pytest.mark.no_cover
def test_schedules_on_sqlite_keep_their_promises_in_any_order(long_form: bool) -> None:
    check(Schedules, sqlite_in, examples=300 if long_form else 8, steps=25, derandomize=not long_form)


@pytest.mark.no_cover
@pytest.mark.postgres
def test_schedules_on_postgresql_keep_their_promises_in_any_order(postgres_database: str, long_form: bool) -> None:
    new_url = emptied(postgres_database)
    check(Schedules, new_url, examples=200 if long_form else 4, steps=25, derandomize=not long_form)
