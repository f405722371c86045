"""The loop that works the queue off: hands out what was claimed, watches it, records how it ended.

`step` is one look at the inbox and at most one turn of the engine; the thread only calls it, and so does the
simulation. Level-based: a message is a hint to look, what counts is in the database. Nothing here is lost with the
process.
"""

import contextlib
import json
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy, NotJson
from overnight.base.files import to_json
from overnight.base.ids import RunId, WorkerId
from overnight.base.instants import US
from overnight.base.points import Hook, Point, no_hook
from overnight.base.ports import Executor, StopReason
from overnight.base.refs import ExecutorName, Outcome, WorkOrder
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import recovery, store
from overnight.engine.book import Book, Entry
from overnight.engine.claim import Claimant, busy_with
from overnight.engine.model import Run
from overnight.engine.queue import Busy, Capacity, limit_us
from overnight.engine.settle import Report, Turn, settle

PROGRESS_EVERY_S = 0.5
RENEW_EVERY_S = 5.0
RETRY_AFTER_S = 1.0
"""Pause after a turn that the database refused."""
LONGEST_SLEEP_S = 5.0
"""Bounds the harm of a ring that was lost, as when a program dies between commit and ring, and of a civil clock that
jumps while a due time is awaited."""
STOP_GRACE_S = 5.0
"""Between the request to end and the SIGKILL, for a run that is cancelled or past its time."""


class _Hint(Enum):
    """What the inbox holds beside outcomes."""

    LOOK = auto()
    FIGURES = auto()
    GIVE_BACK = auto()


@dataclass(slots=True)
class _Running:
    run: Run
    order: WorkOrder
    busy: Busy
    deadline: float | None
    outcome: Outcome | None = None
    stopping: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What the worker is told about its place."""

    worker_id: WorkerId
    capacity: Capacity
    project_dir: str
    logs_dir: str


class Worker:
    """One worker of one project. It is the `Channel` of its executors."""

    def __init__(
        self,
        database: Database,
        book: Callable[[], Book],
        executors: Mapping[ExecutorName, Executor],
        looks: Looks,
        *,
        recover: Callable[[], object] = lambda: None,
        child_lives: Callable[[recovery.Child], bool] = recovery.child_lives,
        hook: Hook = no_hook,
    ) -> None:
        """`recover` takes over from workers that are gone; it is called now and then where there are several."""
        self._database = database
        self._clock = database.clock
        self._book = book
        self._executors = executors
        self._looks = looks
        self._recover = recover
        self._child_lives = child_lives
        self._hook = hook
        self._inbox: queue.SimpleQueue[tuple[WorkOrder, Outcome] | _Hint] = queue.SimpleQueue()
        self._running: dict[RunId, _Running] = {}
        self._progress: dict[RunId, tuple[WorkOrder, str]] = {}
        self._look = True
        self._reconcile = False
        self._giving_back = False
        self._next_us: int | None = None
        self._look_at = 0.0
        self._progress_at = 0.0
        self._renew_at = self._clock.monotonic() + RENEW_EVERY_S
        self.closing = threading.Event()
        self.fenced = False
        """True once others have declared this worker dead and taken its runs."""

    # What others tell the worker, from any thread.

    def wake(self) -> None:
        """Hint that there is news in the database."""
        self._inbox.put(_Hint.LOOK)

    def child_started(self, order: WorkOrder, pid: int, started: float) -> None:
        """Record a child; returns when that is on disk."""
        self._hook(Point.CHILD_SPAWNED)
        worker_id = self._looks.worker_id
        self._database.writer.do(lambda tx: recovery.record_child(tx, worker_id, (pid, started), self._child_lives))
        self._hook(Point.CHILD_RECORDED)

    def progress(self, order: WorkOrder, figures: dict[str, Any]) -> None:
        """Keep the newest figures of a run; they are written twice a second. Figures that are not JSON are dropped."""
        with contextlib.suppress(NotJson):
            text = to_json(figures)
            first = not self._progress
            self._progress[order.run_id] = (order, text)
            if first:
                # The loop may be asleep until something ends.
                self._inbox.put(_Hint.FIGURES)

    def done(self, order: WorkOrder, outcome: Outcome) -> None:
        """Take the outcome of an attempt."""
        self._inbox.put((order, outcome))

    def give_back(self) -> None:
        """Stop what is still being worked on, for good: it goes back into the queue. Set `closing` before."""
        self._inbox.put(_Hint.GIVE_BACK)

    # The loop.

    @property
    def idle(self) -> bool:
        """True while nothing is being worked on."""
        return not self._running

    def run(self) -> None:
        """Work until `closing` is set and everything that was being worked on has ended."""
        while not (self.closing.is_set() and self.idle):
            self.step(self.sleep_s())

    def sleep_s(self) -> float:
        """Return how long the loop may wait for a message."""
        if self._look:
            return 0.0
        instants = [entry.deadline for entry in self._running.values() if entry.deadline is not None]
        instants.append(self._look_at)
        if self._database.dialect.shared:
            instants.append(self._renew_at)
        if self._progress:
            instants.append(self._progress_at)
        waits = [min(instants) - self._clock.monotonic()]
        if self._next_us is not None:
            waits.append((self._next_us - self._clock.now_us()) / US)
        return min(max(0.0, min(waits)), LONGEST_SLEEP_S)

    def step(self, wait_s: float = 0.0) -> bool:
        """Look at the messages, then take a turn if there is reason to; return whether one was taken."""
        self._read(wait_s)
        now = self._clock.monotonic()
        self._stop_late(now)
        self._write_progress(now)
        self._renew(now)
        if self._giving_back:
            self._stop_all()
        # Due times are civil times: a civil clock that was set forward makes them come at once.
        due = now >= self._look_at or (self._next_us is not None and self._clock.now_us() >= self._next_us)
        ended = any(entry.outcome is not None for entry in self._running.values())
        if not (ended or self._look or due or self._reconcile):
            return False
        self._turn()
        return True

    def _read(self, wait_s: float) -> None:
        try:
            message = self._inbox.get(timeout=wait_s) if wait_s != 0.0 else self._inbox.get_nowait()
            while True:
                if not isinstance(message, _Hint):
                    self._ended(*message)
                elif message is _Hint.LOOK:
                    self._look = True
                elif message is _Hint.GIVE_BACK:
                    self._giving_back = True
                message = self._inbox.get_nowait()
        except queue.Empty:
            pass

    def _ended(self, order: WorkOrder, outcome: Outcome) -> None:
        entry = self._running.get(order.run_id)
        if entry is not None and entry.order.token == order.token:
            self._hook(Point.ENGINE_OUTCOME)
            entry.outcome = outcome

    def _turn(self) -> None:
        self._look = False
        if self._reconcile and not self._take_up_unknown():
            return
        ended = [entry for entry in self._running.values() if entry.outcome is not None]
        turn = Turn(
            ended=[(entry.run, entry.outcome) for entry in ended if entry.outcome is not None],
            claimant=None if self.closing.is_set() or self.fenced else self._claimant(),
        )
        book = self._book()
        worker_id = self._looks.worker_id
        try:
            report = self._database.writer.do(lambda tx: settle(tx, book, turn, worker_id))
        except CommitInDoubt:
            self._reconcile = self._look = True
            return
        except (DatabaseBusy, DatabaseBroken):
            self._look_later(RETRY_AFTER_S)
            return
        for entry in ended:
            self._forget(entry)
        self._hook(Point.ENGINE_SETTLED)
        self._follow(report, book)

    def _look_later(self, seconds: float, next_us: int | None = None) -> None:
        """Plan the next turn: after so many seconds, or when it is `next_us`."""
        self._look_at = self._clock.monotonic() + seconds
        self._next_us = next_us

    def _claimant(self) -> Claimant:
        busy = [entry.busy for entry in self._running.values() if entry.outcome is None]
        return Claimant(worker_id=self._looks.worker_id, capacity=self._looks.capacity, busy=busy)

    def _take_up_unknown(self) -> bool:
        """After a commit in doubt: forget what it has recorded, work on what it has claimed; False means not now."""
        try:
            with self._database.read() as connection:
                mine = {(run.run_id, run.token): run for run in store.of_worker(connection, self._looks.worker_id)}
        except (DatabaseBusy, DatabaseBroken):
            self._look_later(RETRY_AFTER_S)
            return False
        self._reconcile = False
        for entry in list(self._running.values()):
            if entry.outcome is not None and (entry.run.run_id, entry.run.token) not in mine:
                self._forget(entry)
        known = {(entry.run.run_id, entry.run.token) for entry in self._running.values()}
        for key, run in mine.items():
            if key not in known:
                self._hand_out(run, self._book())
        return True

    def _forget(self, entry: _Running) -> None:
        del self._running[entry.run.run_id]
        self._progress.pop(entry.run.run_id, None)

    def _follow(self, report: Report, book: Book) -> None:
        self._look_later(LONGEST_SLEEP_S, report.next_us)
        if report.claimed:
            self._hook(Point.ENGINE_CLAIMED)
        for run in report.claimed:
            self._hand_out(run, book)
        for run_id in report.to_stop:
            self._cancel(run_id)

    def _cancel(self, run_id: RunId) -> None:
        entry = self._running.get(run_id)
        if entry is not None:
            entry.run = entry.run._replace(cancel=True)
            self._stop(entry, "cancelled", STOP_GRACE_S)

    def _hand_out(self, run: Run, book: Book) -> None:
        entry = book.find(run.task_id)
        assert entry is not None, "only runs of known tasks are claimed"
        order = self._order(run, entry)
        limit = limit_us(entry.timeout_s, run.active_us)
        deadline = None if limit is None else self._clock.monotonic() + limit / US
        self._running[run.run_id] = _Running(run, order, busy_with(run, entry), deadline)
        self._executors[entry.executor].start(order, self)
        self._hook(Point.ENGINE_HANDED_OUT)

    def _order(self, run: Run, entry: Entry) -> WorkOrder:
        given = json.loads(run.args) if run.args else {}
        return WorkOrder(
            run_id=run.run_id,
            token=run.token,
            task_id=run.task_id,
            attempt=run.attempt,
            executor=entry.executor,
            args={**entry.task.args, **given},
            target=entry.target,
            argv=entry.task.action if isinstance(entry.task.action, tuple) else (),
            project_dir=self._looks.project_dir,
            log_path=f"{self._looks.logs_dir}{os.sep}{run.run_id}.log",
            timeout_s=entry.timeout_s,
        )

    def _stop_late(self, now: float) -> None:
        for entry in self._running.values():
            if entry.deadline is not None and now >= entry.deadline and entry.outcome is None:
                entry.deadline = None
                self._stop(entry, "timed_out", STOP_GRACE_S)

    def _stop(self, entry: _Running, reason: StopReason, grace_s: float) -> None:
        if entry.stopping is None and entry.outcome is None:
            entry.stopping = reason
            self._executors[entry.order.executor].stop(entry.order, reason, grace_s)

    def _stop_all(self) -> None:
        for entry in list(self._running.values()):
            self._stop(entry, "cancelled", STOP_GRACE_S)

    def _write_progress(self, now: float) -> None:
        if not self._progress or now < self._progress_at:
            return
        self._progress_at = now + PROGRESS_EVERY_S
        pending, self._progress = self._progress, {}

        def change(tx: Tx) -> None:
            store.save_progress(tx, [(order.run_id, order.token, text) for order, text in pending.values()])
            for order, text in pending.values():
                figures = json.loads(text)
                tx.emit({"run": order.run_id, "task": order.task_id, "event": "progress", "figures": figures})

        self._database.writer.submit(change)

    def _renew(self, now: float) -> None:
        """Extend the lease where other workers could take over; stop everything when they have."""
        if not self._database.dialect.shared or now < self._renew_at:
            return
        self._renew_at = now + RENEW_EVERY_S
        # A commit in doubt may take effect after a look at it, where the database is another machine's.
        self._look = self._reconcile = True
        worker_id = self._looks.worker_id
        try:
            held = self._database.writer.do(lambda tx: recovery.renew(tx, worker_id))
            if held:
                self._recover()
        except (DatabaseBusy, CommitInDoubt, DatabaseBroken):
            return
        if not held:
            self.fenced = True
            self.closing.set()
            self._giving_back = True
