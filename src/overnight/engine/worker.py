"""The loop that works the queue off: hands out what was claimed, watches it, records how it ended.

`step` is one look at the inbox and at most one turn of the engine; the thread only calls it, and so does the
simulation. Level-based: a message is a hint to look, what counts is in the database. Nothing here is lost with the
process. Everything here belongs to the loop's thread; others put messages into the inbox.
"""

import contextlib
import json
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy, NotJson, family_of
from overnight.base.files import to_json
from overnight.base.ids import RunId, Token, WorkerId
from overnight.base.instants import US, iso
from overnight.base.points import Hook, Point, no_hook
from overnight.base.ports import CHECKPOINT, Executor, StopReason
from overnight.base.refs import ErrorRef, ExecutorName, Outcome, WorkOrder
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import recovery, store
from overnight.engine.admission import Admission, Held, want_of
from overnight.engine.book import Book, Entry
from overnight.engine.claim import Claimant, busy_with
from overnight.engine.model import Run
from overnight.engine.queue import Busy, Capacity, limit_us
from overnight.engine.settle import Report, Turn, settle, yielded

T = TypeVar("T")

PROGRESS_EVERY_S = 0.5
HEARD_EVERY_S = 5.0
"""Between two notes that the child of a run lives; a run that ends before costs none."""
RENEW_EVERY_S = 5.0
NEIGHBOURS_EVERY_S = 0.25
"""Between two looks at whether other workers of this host live, which ask the kernel and not the database."""
RETRY_AFTER_S = 1.0
"""Pause after a turn that the database refused."""
LONGEST_SLEEP_S = 5.0
"""Bounds the harm of a ring that was lost, as when a program dies between commit and ring, and of a civil clock that
jumps while a due time is awaited."""
CLOCK_BACK_US = 5 * US
"""A civil clock that was set back by more than this has the schedule planned anew."""
STOP_GRACE_S = 5.0
"""Between the request to end and the SIGKILL, for a run that is cancelled or past its time."""
YIELD_GRACE_S = 80.0
"""The same for a run that keeps its place itself when the worker closes: writing that down takes time."""


@dataclass(slots=True)
class _Running:
    run: Run
    order: WorkOrder
    busy: Busy
    deadline: float | None
    """When it is to be asked to end; None once it has been."""
    ends_at: float | None
    """When its time is over."""
    heard_at: float
    """When it is next worth a note that the child lives."""
    yields: bool = False
    outcome: Outcome | None = None
    stopping: StopReason | None = None
    why: str | None = None
    """Why it was told to yield."""
    kept: bool = False
    """Whether it has written a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What the worker is told about its place."""

    worker_id: WorkerId
    capacity: Capacity
    project_dir: str
    logs_dir: str
    timezone: str = "UTC"


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
        neighbour_gone: Callable[[], bool] = lambda: False,
        child_lives: Callable[[recovery.Child], bool] = recovery.child_lives,
        admission: Admission | None = None,
        hook: Hook = no_hook,
    ) -> None:
        """`recover` takes over from workers that are gone; it is called now and then where there are several.

        It is called at once when `neighbour_gone`, which is asked several times a second, says that one of this host
        has died. Without `admission`, memory is not negotiated.
        """
        self._database = database
        self._clock = database.clock
        self._book = book
        self._executors = executors
        self._looks = looks
        self._recover = recover
        self._neighbour_gone = neighbour_gone
        self._child_lives = child_lives
        self._admission = admission
        self._hook = hook
        self._granted: Mapping[int, tuple[str, ...]] | None = None
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._running: dict[RunId, _Running] = {}
        self._figures: dict[RunId, tuple[WorkOrder, str]] = {}
        self._heard: dict[RunId, tuple[Token, int]] = {}
        self._look = True
        self._reconcile = False
        self._giving_back = False
        self._next_us: int | None = None
        self._look_at = 0.0
        self._progress_at = 0.0
        self._renew_at = self._clock.monotonic() + RENEW_EVERY_S
        self._neighbours_at = 0.0
        self._civil_ahead_us = self._ahead_us()
        self._replan = False
        self._decided_at = self._clock.monotonic()
        self.closing = threading.Event()
        self.fenced = False
        """True once others have declared this worker dead and taken its runs."""

    # What others tell the worker, from any thread.

    def wake(self) -> None:
        """Hint that there is news in the database."""
        self._inbox.put(self._want_look)

    def child_started(self, order: WorkOrder, pid: int, started: float) -> None:
        """Record a child; returns when that is on disk."""
        self._hook(Point.CHILD_SPAWNED)
        worker_id = self._looks.worker_id
        self._database.writer.do(lambda tx: recovery.record_child(tx, worker_id, (pid, started), self._child_lives))
        self._hook(Point.CHILD_RECORDED)

    def progress(self, order: WorkOrder, figures: dict[str, Any]) -> None:
        """Keep the newest figures of a run; they are written twice a second. Figures that are not JSON are dropped."""
        with contextlib.suppress(NotJson):
            self._inbox.put(partial(self._take_figures, order, to_json(figures), CHECKPOINT in figures))

    def heartbeat(self, order: WorkOrder) -> None:
        """Note that the child lives; that is written every few seconds."""
        self._inbox.put(partial(self._take_heartbeat, order, self._clock.now_us()))

    def done(self, order: WorkOrder, outcome: Outcome) -> None:
        """Take the outcome of an attempt."""
        self._inbox.put(partial(self._ended, order, outcome))

    def stop_run(self, run_id: int, why: str) -> None:
        """Have a run that keeps its place itself go back into the queue."""
        self._inbox.put(partial(self._yield, RunId(run_id), why))

    def give_back(self) -> None:
        """Stop what is still being worked on, for good: it goes back into the queue. Set `closing` before."""
        self._inbox.put(self._want_all_back)

    # The loop.

    @property
    def idle(self) -> bool:
        """True while nothing is being worked on."""
        return not self._running

    @property
    def decided_s_ago(self) -> float:
        """How long ago the worker last looked at schedule and queue and wrote what follows; from any thread."""
        return self._clock.monotonic() - self._decided_at

    def overdue(self, slack_s: float) -> list[tuple[Run, float]]:
        """Return the runs whose time limit passed more than `slack_s` ago, and by how much; from any thread."""
        now = self._clock.monotonic()
        # One that has ended stands here until that is written.
        on = [entry for entry in list(self._running.values()) if entry.outcome is None and entry.ends_at is not None]
        late = ((entry.run, now - entry.ends_at) for entry in on if entry.ends_at is not None)
        return [(run, by_s) for run, by_s in late if by_s > slack_s]

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
            instants += (self._renew_at, self._neighbours_at)
        if self._figures or self._heard:
            instants.append(self._progress_at)
        waits = [min(instants) - self._clock.monotonic()]
        if self._next_us is not None:
            waits.append((self._next_us - self._clock.now_us()) / US)
        return min(max(0.0, min(waits)), LONGEST_SLEEP_S)

    def step(self, wait_s: float = 0.0) -> bool:
        """Look at the messages, then take a turn if there is reason to; return whether one was taken."""
        self._read(wait_s)
        now = self._clock.monotonic()
        self._mind_the_clock()
        self._stop_late(now)
        self._write_progress(now)
        self._renew(now)
        self._stop_all_if_asked()
        # Due times are civil times: a civil clock that was set forward makes them come at once.
        due = now >= self._look_at or (self._next_us is not None and self._clock.now_us() >= self._next_us)
        ended = any(entry.outcome is not None for entry in self._running.values())
        if not (ended or self._look or due or self._reconcile):
            return False
        self._turn()
        return True

    def _ahead_us(self) -> int:
        """Return by how much the civil clock is ahead of the one that only moves forward."""
        return self._clock.now_us() - int(self._clock.monotonic() * US)

    def _mind_the_clock(self) -> None:
        """Notice that the civil clock was set back: what is planned may then lie much too far ahead."""
        ahead_us = self._ahead_us()
        if ahead_us < self._civil_ahead_us - CLOCK_BACK_US:
            self._replan = self._look = True
        self._civil_ahead_us = ahead_us

    def _read(self, wait_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get(timeout=wait_s) if wait_s != 0.0 else self._inbox.get_nowait()
            while True:
                message()
                message = self._inbox.get_nowait()

    def _do(self, change: Callable[[Tx], T]) -> T:
        """Have the writer make the change; who has to stop meanwhile stops, however long the database is busy."""
        writer = self._database.writer
        return writer.wait(writer.submit(change), self._tend)

    def _tend(self) -> None:
        self._read(0.0)
        self._stop_late(self._clock.monotonic())
        self._stop_all_if_asked()

    # What the messages do.

    def _want_look(self) -> None:
        self._look = True

    def _want_all_back(self) -> None:
        self._giving_back = True

    def _ended(self, order: WorkOrder, outcome: Outcome) -> None:
        entry = self._entry_of(order)
        if entry is not None:
            self._hook(Point.ENGINE_OUTCOME)
            entry.outcome = outcome

    def _yield(self, run_id: RunId, why: str) -> None:
        entry = self._running.get(run_id)
        if entry is not None and entry.yields and entry.stopping is None:
            entry.why = why
            self._stop(entry, "cancelled", YIELD_GRACE_S)

    def _take_figures(self, order: WorkOrder, text: str, kept: bool) -> None:
        entry = self._entry_of(order)
        if entry is not None:
            entry.kept = entry.kept or kept
            self._figures[order.run_id] = (order, text)

    def _take_heartbeat(self, order: WorkOrder, at_us: int) -> None:
        entry, now = self._entry_of(order), self._clock.monotonic()
        if entry is not None and now >= entry.heard_at:
            entry.heard_at = now + HEARD_EVERY_S
            self._heard[order.run_id] = (order.token, at_us)

    def _entry_of(self, order: WorkOrder) -> _Running | None:
        entry = self._running.get(order.run_id)
        return entry if entry is not None and entry.order.token == order.token else None

    # Turns.

    def _turn(self) -> None:
        self._look, doubted = False, self._reconcile
        if self._reconcile and not self._take_up_unknown():
            return
        ended = [entry for entry in self._running.values() if entry.outcome is not None]
        turn = Turn(
            ended=[(one.run, yielded(one.outcome, one.why, kept=one.kept)) for one in ended if one.outcome is not None],
            claimant=None if self.closing.is_set() or self.fenced else self._claimant(),
            replan=self._replan,
            timezone=self._looks.timezone,
        )
        book = self._book()
        worker_id = self._looks.worker_id
        try:
            report = self._do(lambda tx: settle(tx, book, turn, worker_id))
        except CommitInDoubt:
            self._reconcile = True
            # Soon, but not at once again and again where every commit is in doubt.
            self._look_later(RETRY_AFTER_S if doubted else 0.0)
            return
        except (DatabaseBusy, DatabaseBroken):
            self._look_later(RETRY_AFTER_S)
            return
        self._replan = False
        self._decided_at = self._clock.monotonic()
        for entry in ended:
            self._forget(entry)
        self._hook(Point.ENGINE_SETTLED)
        self._follow(report, book)
        if self._admission is not None:
            self._tell(self._admission, report.wanting, book)

    def _look_later(self, seconds: float, next_us: int | None = None) -> None:
        """Plan the next turn: after so many seconds, or when it is `next_us`."""
        self._look_at = self._clock.monotonic() + seconds
        self._next_us = next_us

    def _claimant(self) -> Claimant:
        busy = [entry.busy for entry in self._running.values() if entry.outcome is None]
        # Kept until it is handed out: what is granted may change meanwhile.
        granted = self._granted = None if self._admission is None else self._admission.granted
        return Claimant(worker_id=self._looks.worker_id, capacity=self._looks.capacity, busy=busy, granted=granted)

    def _tell(self, admission: Admission, wanting: Sequence[Run], book: Book) -> None:
        """Say what has memory and what waits for some."""
        now_us, held = self._clock.now_us(), []
        for entry in self._running.values():
            if entry.busy.needs.negotiated:
                want = want_of(entry.run, entry.busy.needs, admission, yields=entry.yields, now_us=None)
                pids = partial(self._executors[entry.order.executor].pids, entry.order)
                held.append(Held(want=want, pids=pids, devices=entry.order.devices))
        tasks = [(run, book.get(run.task_id)) for run in wanting]
        wanted = [
            want_of(run, entry.needs_of(run), admission, yields=entry.task.yields, now_us=now_us)
            for run, entry in tasks
        ]
        places = -1 if self.closing.is_set() else max(0, self._looks.capacity.slots - len(self._running))
        admission.tell(held, wanted, places)

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
        self._figures.pop(entry.run.run_id, None)
        self._heard.pop(entry.run.run_id, None)

    def _follow(self, report: Report, book: Book) -> None:
        self._look_later(LONGEST_SLEEP_S, report.next_us)
        if report.claimed:
            self._hook(Point.ENGINE_CLAIMED)
        for run in report.claimed:
            if run.token == 1 and run.started_us is not None:
                self._database.measures.start_lag_s.observe((run.started_us - run.due_us) / US)
            self._hand_out(run, book)
        for run in report.to_stop:
            self._cancel(run)

    def _cancel(self, run: Run) -> None:
        entry = self._running.get(run.run_id)
        if entry is not None:
            entry.run = entry.run._replace(cancel=run.cancel)
            self._stop(entry, "cancelled", STOP_GRACE_S)

    def _hand_out(self, run: Run, book: Book) -> None:
        entry = book.find(run.task_id)
        assert entry is not None, "only runs of known tasks are claimed"
        order = self._order(run, entry)
        limit = limit_us(entry.timeout_s, run.active_us)
        now = self._clock.monotonic()
        deadline = None if limit is None else now + limit / US
        self._running[run.run_id] = _Running(
            run, order, busy_with(run, entry), deadline, deadline, now + HEARD_EVERY_S, entry.task.yields
        )
        try:
            self._executors[entry.executor].start(order, self)
        except Exception as error:  # noqa: BLE001  # an executor that breaks its promise must not end all other runs
            self.done(order, _not_started(order, error))
        self._hook(Point.ENGINE_HANDED_OUT)

    def _order(self, run: Run, entry: Entry) -> WorkOrder:
        given, needs = json.loads(run.args) if run.args else {}, entry.needs_of(run)
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
            memory_gb=needs.memory_limit_gb,
            devices=(self._granted or {}).get(run.run_id, ()),
            gpu_memory_gb=needs.gpu_memory_gb,
            scheduled=iso(run.cycle) if run.cycle is not None and run.cycle > 0 else None,
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

    def _stop_all_if_asked(self) -> None:
        for entry in list(self._running.values()) if self.closing.is_set() else ():
            if self._giving_back:
                self._stop(entry, "cancelled", STOP_GRACE_S)
            elif entry.yields:
                self._stop(entry, "cancelled", YIELD_GRACE_S)

    def _write_progress(self, now: float) -> None:
        if not (self._figures or self._heard) or now < self._progress_at:
            return
        self._progress_at = now + PROGRESS_EVERY_S
        figures_of, self._figures = self._figures, {}
        heard, self._heard = self._heard, {}

        def change(tx: Tx) -> None:
            store.save_progress(tx, [(order.run_id, order.token, text) for order, text in figures_of.values()])
            store.save_heard(tx, [(run_id, *told) for run_id, told in heard.items()])
            for order, text in figures_of.values():
                figures = json.loads(text)
                tx.emit({"run": order.run_id, "task": order.task_id, "event": "progress", "figures": figures})

        self._database.writer.submit(change)

    def _renew(self, now: float) -> None:
        """Extend the lease where other workers could take over; stop everything when they have.

        Take over from those that are gone, from those of this host as soon as they are.
        """
        if not self._database.dialect.shared:
            return
        if now >= self._neighbours_at:
            self._neighbours_at = now + NEIGHBOURS_EVERY_S
            if self._neighbour_gone():
                self._renew_at = now
        if now < self._renew_at:
            return
        self._renew_at = now + RENEW_EVERY_S
        # A commit in doubt may take effect after a look at it, where the database is another machine's.
        self._look = self._reconcile = True
        worker_id = self._looks.worker_id
        try:
            held = self._do(lambda tx: recovery.renew(tx, worker_id))
            if held:
                self._recover()
        except (DatabaseBusy, CommitInDoubt, DatabaseBroken):
            self._renew_at = self._clock.monotonic() + RETRY_AFTER_S
            return
        if not held:
            self.fenced = True
            self.closing.set()
            self._giving_back = True


def _not_started(order: WorkOrder, error: Exception) -> Outcome:
    message = " ".join(f"executor {order.executor!r} could not start it: {error}".split())
    return Outcome(kind="failed", error=ErrorRef(family=family_of(error), type=type(error).__name__, message=message))
