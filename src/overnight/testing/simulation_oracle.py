"""What the simulation knows by itself, and how it compares that with the database.

It believes what a client was told and what a flow's function saw; from the engine it takes nothing but SQL rows.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from overnight.base.instants import US
from overnight.engine.book import Book
from overnight.testing.simulation_world import SimulatedChild

FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
LATE = {"progress", "answered"}
"""Events that may follow the end of their run."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """A cancel that was acknowledged: the token then, and whether somebody worked on the run."""

    token: int
    worked_on: bool


@dataclass(kw_only=True)
class Oracle:
    """Collects what was acknowledged, and the violations of what that promises."""

    book: Book
    slots: int
    cpus: float
    shared: bool
    acknowledged: dict[int, str] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    cancels: dict[int, Cancel] = field(default_factory=dict)
    answers: dict[int, str] = field(default_factory=dict)
    seen: dict[tuple[int, int], str] = field(default_factory=dict)
    """What a flow's function got at each place, as JSON."""
    first_us: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def claim_that(self, holds: bool, what: str) -> None:
        """Note a violation where something does not hold."""
        if not holds:
            self.violations.append(what)

    # What a client was told.

    def submitted(self, run_id: int, task_id: str, key: str | None) -> None:
        """A submit was acknowledged."""
        if key is not None:
            self.claim_that(self.keys.setdefault(key, run_id) == run_id, f"key {key} gave two runs")
        else:
            self.claim_that(run_id not in self.acknowledged, f"run id {run_id} was given twice")
        self.acknowledged[run_id] = task_id

    def cancelled(self, run_id: int, row: sqlite3.Row) -> None:
        """A cancel was acknowledged; `row` is the run right after it."""
        if row["state"] not in FINAL:
            self.cancels[run_id] = Cancel(token=row["token"], worked_on=row["worker_id"] is not None)

    # What flows saw.

    def saw(self, run_id: int, place: int, value: Any) -> None:  # Any: JSON
        """The function of a flow got a value at a place; whenever it comes there again it must get the same."""
        text = json.dumps(value)
        known = self.seen.setdefault((run_id, place), text)
        self.claim_that(known == text, f"run {run_id} saw {known} at place {place}, and later {text}")

    def runs_step(self, rows: sqlite3.Connection, run_id: int, name: str) -> None:
        """The function of a step is called."""
        found = rows.execute("SELECT 1 FROM steps WHERE run_id = ? AND name = ?", (run_id, name)).fetchone()
        self.claim_that(found is None, f"step {name} of run {run_id} is recorded and runs again")

    # What holds at every instant.

    def begins(self, child: SimulatedChild, children: list[SimulatedChild]) -> None:
        """A child begins to work: on one host nobody else may work on its run, and limits hold."""
        others = [other for other in children if other.working and not other.gone and other is not child]
        near = [other for other in others if other.owner is child.owner or not self.shared]
        for other in near:
            same = other.order.run_id == child.order.run_id
            self.claim_that(not same, f"run {child.order.run_id} is worked on under two tokens at once")
        if not self.shared:
            self._fits(child, others)

    def _fits(self, child: SimulatedChild, others: list[SimulatedChild]) -> None:
        task = self.book.get(child.order.task_id).task
        held = [self.book.get(other.order.task_id).task for other in others]
        limit = task.max_concurrent
        same = sum(other.task_id == task.task_id for other in held)
        self.claim_that(limit is None or same < limit, f"more than {limit} children of {task.task_id} at once")
        taken = {lock for other in held for lock in other.needs.locks}
        self.claim_that(taken.isdisjoint(task.needs.locks), f"a lock of {task.task_id} is held twice")
        self.claim_that(len(held) < self.slots, "more children at once than slots")

    def always(self, rows: sqlite3.Connection) -> None:
        """Check the runs that are worked on, as the database has them."""
        live = rows.execute("SELECT task_id, worker_id FROM runs WHERE worker_id IS NOT NULL").fetchall()
        locks: Counter[str] = Counter()
        cpus: Counter[str] = Counter()
        for task_id, worker_id in live:
            needs = self.book.get(task_id).task.needs
            locks.update(needs.locks)
            cpus[worker_id] += needs.cpus  # type: ignore[assignment]  # a Counter of floats
        for task_id, count in Counter(row["task_id"] for row in live).items():
            limit = self.book.get(task_id).task.max_concurrent
            self.claim_that(limit is None or count <= limit, f"{count} runs of {task_id} at once, {limit} allowed")
        for worker_id, count in Counter(row["worker_id"] for row in live).items():
            self.claim_that(count <= self.slots, f"worker {worker_id} works on {count} runs, {self.slots} allowed")
            self.claim_that(cpus[worker_id] <= self.cpus, f"worker {worker_id} uses {cpus[worker_id]} cores")
        self.claim_that(all(count <= 1 for count in locks.values()), f"a lock is held twice: {locks}")

    # What holds in the end.

    def finally_(self, rows: sqlite3.Connection, followed: list[dict[str, Any]]) -> None:
        """Compare everything, once nothing is left to do; `followed` are the events that a follower got."""
        runs = {row["run_id"]: row for row in rows.execute("SELECT * FROM runs")}
        for run_id, task_id in self.acknowledged.items():
            there = run_id in runs and runs[run_id]["task_id"] == task_id
            self.claim_that(there, f"run {run_id} of {task_id} was acknowledged and is lost")
        for run_id, row in runs.items():
            self.claim_that(row["state"] in FINAL, f"run {run_id} of {row['task_id']} is {row['state']} for ever")
        self._results(runs, rows)
        self._cancels(runs)
        self._answers(rows)
        self._stream(runs, rows, followed)
        self._schedules(runs, rows, followed)
        self._cycles(runs, followed)
        held = rows.execute("SELECT name FROM locks").fetchall()
        self.claim_that(not held, f"locks are held for ever: {[name for (name,) in held]}")

    def _results(self, runs: dict[int, sqlite3.Row], rows: sqlite3.Connection) -> None:
        for run_id, row in runs.items():
            if row["state"] != "COMPLETED":
                continue
            result = json.loads(row["result"])
            if "token" in result:
                told = result["token"]
                self.claim_that(told == row["token"], f"run {run_id} took the result of token {told}, not the newest")
            else:
                wanted = [json.loads(self.seen[run_id, place]) for place in range(len(result["log"]))]
                self.claim_that(result["log"] == wanted, f"flow {run_id} ended with {result['log']}, saw {wanted}")
        written = rows.execute("SELECT run_id, result, ordinal FROM steps WHERE kind = 'step'").fetchall()
        values = Counter(row["result"] for row in written)
        self.claim_that(all(count == 1 for count in values.values()), "one execution of a step is recorded twice")

    def _cancels(self, runs: dict[int, sqlite3.Row]) -> None:
        for run_id, cancel in self.cancels.items():
            row = runs[run_id]
            self.claim_that(row["token"] == cancel.token, f"run {run_id} was started after its cancel")
            ended = row["state"] == "CANCELLED" or cancel.worked_on
            self.claim_that(ended, f"run {run_id} is {row['state']}, and its cancel was acknowledged while it waited")

    def _answers(self, rows: sqlite3.Connection) -> None:
        kept = dict(rows.execute("SELECT question_id, answer FROM questions").fetchall())
        for question_id, answer in self.answers.items():
            self.claim_that(kept.get(question_id) == answer, f"answer {answer} to question {question_id} is lost")

    def _stream(self, runs: dict[int, sqlite3.Row], rows: sqlite3.Connection, followed: list[dict[str, Any]]) -> None:
        bodies = rows.execute("SELECT body FROM stream ORDER BY cursor")
        written = [event for (body,) in bodies for event in json.loads(body)]
        self.claim_that(written == followed, f"a follower got {len(followed)} of {len(written)} events")
        told: dict[int, list[str]] = defaultdict(list)
        for event in followed:
            if "run" in event:
                told[event["run"]].append(event["event"])
        finals = {state.lower() for state in FINAL} | {"blocked"}
        for run_id, row in runs.items():
            events = [name for name in told[run_id] if name not in LATE]
            first = events[:1] in (["submitted"], ["blocked"])
            self.claim_that(first, f"run {run_id} was not told as submitted: {events}")
            ends = [name for name in events if name in finals]
            self.claim_that(len(ends) == 1 and events[-1] in finals, f"run {run_id} did not end once: {events}")
            started = events.count("started")
            self.claim_that(started == row["token"], f"run {run_id}: {started} starts told, token {row['token']}")
        steps = rows.execute("SELECT count(*) FROM steps").fetchone()[0]
        told_steps = sum(event["event"] == "step" for event in followed)
        self.claim_that(steps == told_steps, f"{steps} steps recorded, {told_steps} told")

    def _schedules(
        self, runs: dict[int, sqlite3.Row], rows: sqlite3.Connection, followed: list[dict[str, Any]]
    ) -> None:
        next_us = dict(rows.execute("SELECT task_id, next_us FROM planned").fetchall())
        for task_id, period_us in PERIODS_US.items():
            if not self.book.get(task_id).task.enabled:
                continue
            fired = [row["cycle"] for row in runs.values() if row["task_id"] == task_id and (row["cycle"] or 0) > 0]
            instants = range(self.first_us[task_id], next_us[task_id], period_us)
            missed = rows.execute(
                "SELECT first_us, last_us, instants FROM missed WHERE task_id = ?", (task_id,)
            ).fetchall()
            for first_us, last_us, count in missed:
                right = count == (last_us - first_us) // period_us + 1
                self.claim_that(right, f"{task_id}: {count} instants told as missed from {first_us} to {last_us}")
            covered = {*fired, *(at for first, last, _ in missed for at in range(first, last + 1, period_us))}
            # Where the clock was set back, instants ahead of it are there already.
            silent = sorted(set(instants) - covered)
            self.claim_that(not silent, f"{task_id}: instants neither ran nor are recorded as missed: {silent}")
            strange = sorted(at for at in covered if at % period_us)
            self.claim_that(not strange, f"{task_id}: no instants of its trigger: {strange}")

    def _cycles(self, runs: dict[int, sqlite3.Row], followed: list[dict[str, Any]]) -> None:
        by_cycle: dict[tuple[str, int], list[sqlite3.Row]] = defaultdict(list)
        for row in runs.values():
            if row["cycle"] is not None:
                by_cycle[row["task_id"], row["cycle"]].append(row)
        for (task_id, cycle), found in by_cycle.items():
            self.claim_that(len(found) == 1, f"{task_id} ran {len(found)} times in cycle {cycle}")
            for name in self.book.get(task_id).dependants:
                if self.book.get(name).trigger is None:
                    self._dependant(name, by_cycle.get((name, cycle), []), cycle)
        self._joined(by_cycle, [(event.get("run"), event["event"]) for event in followed])

    def _dependant(self, name: str, found: list[sqlite3.Row], cycle: int) -> None:
        self.claim_that(len(found) == 1, f"{name} ran {len(found)} times in cycle {cycle}")

    def _joined(self, by_cycle: dict[tuple[str, int], list[sqlite3.Row]], told: list[tuple[int | None, str]]) -> None:
        """A task with a schedule and a parent waits for the parent's run of the same instant."""
        for (task_id, cycle), found in by_cycle.items():
            parents = by_cycle.get(("nightly", cycle), [])
            started = (found[0]["run_id"], "started")
            if task_id == "joined" and parents and started in told:
                ended = (parents[0]["run_id"], "completed")
                right = ended in told and told.index(ended) < told.index(started)
                self.claim_that(right, f"joined started in cycle {cycle} before nightly had completed in it")


PERIODS_US = {"nightly": 30 * US, "joined": 60 * US, "minutely": 120 * US}
"""The scheduled tasks of the simulation, with the periods that their triggers mean."""
