"""A seeded simulation of the engine: everything that can go wrong goes wrong, in one thread, again and again.

The machine, the queue's SQL, scheduler, settle, claim, worker loop, writer, flows and recovery are the real ones, on a
real SQLite file. Replaced are the clock, the children and chance. One `random.Random` decides what happens next: a
submit, a cancel, an answer, a step of a worker, the begin or end of a child, time that passes or jumps, a process that
dies at any of the points of `base.points` or between two steps, a commit that fails before or after it took effect, a
busy or full database, a worker that sleeps past its lease. The same seed gives the same trace.

Half of the seeds simulate one worker with its children, half several workers on two hosts that share the database.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from overnight.base.errors import UserMistake
from overnight.base.ids import RunId
from overnight.base.instants import US
from overnight.base.points import Point
from overnight.db import stream
from overnight.db.writer import Tx
from overnight.engine import approvals, moves
from overnight.engine.book import Book
from overnight.engine.model import Priority
from overnight.engine.submit import Request, submit
from overnight.testing.simulation_crew import Crew
from overnight.testing.simulation_stage import RETRY, Violated, tasks, without_trigger
from overnight.testing.simulation_world import ORPHAN_S, SEALED, Arena, Rates

__all__ = ["Simulated", "Simulation", "Violated", "simulate"]

ACTIONS = 320
"""Things that happen before the faults stop."""
PATIENCE = 600
"""Rounds after that in which everything has to come to its end."""
SUBMITTED = ["free"] * 4 + ["single", "pair", "locked", "wide", "impossible", "flow", "flow", "flow", "flow"]


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What a simulation came to: a hash of all that happened, the number of runs, the points passed and crashed at."""

    seed: int
    trace: str
    runs: int
    passed: Counter[Point]
    crashed: Counter[Point]
    faults: Counter[str]


class Simulation(Crew):
    """One simulation. `run` does all of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._client = self._process()

    def run(self) -> Simulated:
        """Let everything happen, then let everything end, and compare.

        Raises:
            Violated: the engine broke a promise.
        """
        try:
            for _ in range(ACTIONS):
                self._one_action()
                self._check()
            self._come_to_rest()
        finally:
            self._close()
        counts = (self._passed, self._crashed, self._faults)
        self._note("counts", *(sorted(count.items()) for count in counts))
        return Simulated(
            seed=self.seed,
            trace=self._trace.hexdigest(),
            runs=self._total,
            passed=self._passed,
            crashed=self._crashed,
            faults=self._faults,
        )

    # What happens.

    def _one_action(self) -> None:
        chances = _ALONE if self._depth == 0 else _NESTED
        [action] = self._random.choices(list(chances), list(chances.values()))
        self._note(action, self._clock.now_us())
        getattr(self, f"_do_{action}")()

    def _do_submit(self) -> None:
        task_id = self._random.choice(SUBMITTED)
        key = f"key-{self._random.randrange(12)}" if self._random.random() < 0.2 else None
        if key is not None:
            task_id = "free"
        delay = self._random.choice((None, None, None, 5, 40))
        request = Request(
            task_id=task_id,
            key=key,
            args=json.dumps({"program": self._program()}) if task_id == "flow" else None,
            due_us=None if delay is None else self._clock.now_us() + delay * US,
            priority=self._random.choice(list(Priority)),
        )
        self._submit(request)

    def _do_open_cycle(self) -> None:
        self._submit(Request(task_id="nightly", own_cycle=True))

    def _submit(self, request: Request) -> None:
        def change(tx: Tx) -> RunId:
            tx.news = True
            return submit(tx, [request])[0]

        def ask() -> None:
            run_id = self._client.writer.do(change)
            self._note("acknowledged", run_id)
            self._oracle.submitted(run_id, request.task_id, request.key)

        self._as_client(ask)

    def _program(self) -> list[list[Any]]:
        steps = [["step"], ["step"], ["step"], ["start"], ["start"], ["wait"], ["ask"], ["sleep"], ["now"], ["random"]]
        return [
            [*self._random.choice(steps), self._random.randrange(1, 20)] for _ in range(self._random.randrange(1, 7))
        ]

    def _do_cancel(self) -> None:
        rows = self._rows.execute("SELECT run_id FROM runs WHERE finished_us IS NULL ORDER BY run_id").fetchall()
        if not rows:
            return
        run_id = self._random.choice(rows)[0]

        def change(tx: Tx) -> None:
            tx.news = True
            moves.cancel(tx, self._book, run_id)

        def ask() -> None:
            self._client.writer.do(change)
            self._oracle.cancelled(run_id, self._row(run_id))

        self._as_client(ask)

    def _do_answer(self) -> None:
        rows = self._rows.execute("SELECT question_id FROM questions WHERE answer IS NULL ORDER BY 1").fetchall()
        if not rows:
            return
        question_id = self._random.choice(rows)[0]
        choice = self._random.choice(("yes", "no"))

        def change(tx: Tx) -> None:
            tx.news = True
            approvals.answer(tx, self._book, question_id, choice, "somebody")

        def ask() -> None:
            self._client.writer.do(change)
            self._oracle.answers[question_id] = choice

        self._as_client(ask)

    def _as_client(self, ask: Callable[[], None]) -> None:
        """Let the client ask for something; where it gets an error, or dies, nothing was acknowledged."""
        if self._depth and self._client.paused:
            return
        if not self._client.alive:
            self._client = self._process()

        def carefully() -> None:
            try:
                ask()
            except (*SEALED, UserMistake) as error:
                self._note("refused", type(error).__name__)

        self.act(self._client, carefully)

    def _row(self, run_id: int) -> sqlite3.Row:
        row: sqlite3.Row = self._rows.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return row

    def _do_follow(self) -> None:
        """A follower goes on after the last cursor that it saw."""

        def follow() -> None:
            with self._client.database.read() as connection:
                for batch in stream.read(connection, self._client.database.dialect, self._cursor, 50):
                    self._cursor = batch.cursor
                    self._followed.extend(batch.events)

        self._as_client(follow)

    # Time.

    def _do_pass_time(self) -> None:
        self._clock.advance(self._random.choice((0.01, 0.3, 1.0, 3.0)))
        self._end_orphans()

    def _do_leap(self) -> None:
        self._clock.advance(self._random.choice((15.0, 45.0, 130.0)))
        self._end_orphans()

    def _do_jump(self) -> None:
        self._clock.jump(self._random.choice((-600.0, -40.0, 40.0, 600.0)))

    def _end_orphans(self) -> None:
        now = self._clock.monotonic()
        for child in self._children:
            if child.orphaned_at is not None and now - child.orphaned_at > ORPHAN_S:
                child.gone = True
        self._children[:] = [child for child in self._children if not child.gone]

    # The end.

    def _come_to_rest(self) -> None:
        """Stop all faults and schedules, and wait until nothing is left to do."""
        self._calm = True
        self._rows.execute("CREATE TEMP TABLE planned AS SELECT task_id, next_us FROM tasks")
        before = self._book
        self._book = Book(map(without_trigger, tasks()), RETRY)
        for work in list(self._living()):
            self._kill(work.process)
        self._do_start_worker()
        for _ in range(PATIENCE):
            if not self._rows.execute("SELECT 1 FROM runs WHERE finished_us IS NULL LIMIT 1").fetchone():
                break
            self._calm_round()
        while self._followed_less():
            self._do_follow()
        self._total = self._rows.execute("SELECT count(*) FROM runs").fetchone()[0]
        self._oracle.book = before
        self._oracle.finally_(self._rows, self._followed)
        self._note([tuple(row) for row in self._rows.execute("SELECT * FROM runs ORDER BY run_id")])
        self._note(self._followed)
        self._check()

    def _followed_less(self) -> bool:
        newest = self._rows.execute("SELECT coalesce(max(cursor), 0) FROM stream").fetchone()[0]
        return bool(self._cursor < newest)

    def _calm_round(self) -> None:
        if not self._living():
            self._do_start_worker()
        for work in self._living():
            work.worker.wake()
            self._step(work)
        for child in [child for child in self._children if not child.gone]:
            if not child.working:
                self._begin(child)
            elif child.orphaned_at is None:
                self._end(child, "succeeded")
        self._do_answer()
        self._check()
        # With nothing to watch only leases and due times are waited for.
        self._clock.advance(1.0 if self._children else 10.0)
        if not self._children:
            self._skip_to_next_due()
        self._end_orphans()

    def _skip_to_next_due(self) -> None:
        [due_us] = self._rows.execute("SELECT min(due_us) FROM runs WHERE queue = 0").fetchone()
        if due_us is not None and due_us > self._clock.now_us():
            self._clock.advance((due_us - self._clock.now_us()) / US)

    def _close(self) -> None:
        for process in self._processes:
            process.release()
        self._rows.close()


_ALONE = {
    "submit": 12,
    "open_cycle": 0.7,
    "cancel": 2,
    "answer": 5,
    "follow": 2,
    "start_worker": 5,
    "step": 30,
    "stop_worker": 0.4,
    "kill": 0.6,
    "begin": 16,
    "end": 16,
    "pass_time": 14,
    "leap": 1,
    "jump": 0.6,
}
_NESTED = {**_ALONE, "submit": 4, "step": 50, "begin": 10, "leap": 0.2}


def simulate(arena: Arena, seed: int, *, rates: Rates | None = None) -> Simulated:
    """Run the simulation of one seed; odd seeds have several workers.

    Raises:
        Violated: the engine broke a promise.
    """
    return Simulation(arena=arena, seed=seed, rates=rates or Rates(), shared=seed % 2 == 1).run()
