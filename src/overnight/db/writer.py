"""The group-commit writer: one thread joins what many callers want to change into one transaction.

A caller hands in a function of the transaction and gets a future, which is released only after the commit is on disk.
While one commit waits for the disk the next group gathers, so the group is as large as the load asks for, and a lone
caller waits for nothing. `step` does all the work; the thread only calls it, and the simulation calls it too.

A function may be called again when another function of its group fails, so it must have no effect but on the
transaction and on what it returns.

What others make of a commit cannot undo it: an error of a callback or a listener is logged and goes no further.
"""

import contextlib
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

import sqlalchemy as sa

from overnight.base.clock import Clock
from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy
from overnight.base.points import Hook, Point, no_hook
from overnight.db import stream
from overnight.db.dialect import Dialect
from overnight.telemetry.measures import Measures

T = TypeVar("T")

_log = logging.getLogger("overnight.db")

MAX_GROUP = 512
"""Most changes in one transaction: bounds how long a caller waits for the callers before it."""
TRIM_EVERY = 500
"""Transactions between two looks at the size of the event stream."""
PATIENCE_S = 60.0
"""How long changes wait for a busy or unreachable database before their callers get the error."""
MEANWHILE_EVERY_S = 0.25
"""How often a caller who waits can see to something else."""


class Tx:
    """A transaction as a part sees it: a connection, the instant, and events to send with the commit."""

    def __init__(self, connection: sa.Connection, dialect: Dialect, now_us: int) -> None:
        self.connection = connection
        self.dialect = dialect
        self.now_us = now_us
        self.events: list[stream.Event] = []
        self.news = False
        """Set it when the engine of this process has something new to look at."""
        self.callbacks: list[Callable[[], None]] = []

    def emit(self, event: stream.Event) -> None:
        """Add an event to the stream; it becomes visible with the commit."""
        self.events.append(event)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, in the writer's thread, when the commit is on disk; its errors are logged."""
        self.callbacks.append(callback)


class _Change:
    """One caller's wish. With `joined`, the items of neighbours that call the same function go to it together."""

    __slots__ = ("call", "future", "item", "joined")

    def __init__(self, call: Callable[..., Any], item: Any, joined: bool) -> None:  # Any: each caller's own types
        self.call = call
        self.item = item
        self.joined = joined
        self.future: Future[Any] = Future()


class Writer:
    """Owns the only connection of this process that writes. Every method but `step` may be called from any thread."""

    def __init__(
        self,
        engine: sa.Engine,
        dialect: Dialect,
        clock: Clock,
        *,
        ring: Callable[[], None] = lambda: None,
        ring_inside: Callable[[sa.Connection], None] = lambda _: None,
        hook: Hook = no_hook,
        measures: Measures | None = None,
    ) -> None:
        self._measures = measures or Measures()
        self._engine = engine
        self._dialect = dialect
        self._clock = clock
        self._ring = ring
        self._ring_inside = ring_inside
        self.told: Callable[[Sequence[stream.Event], bool], None] = lambda events, news: None
        """Called in the writer's thread after each commit with its events, and whether the engine should look.

        Its errors are logged.
        """
        self.pause: Callable[[], None] = _pause
        """Waits a little before the next try at a busy database; a simulation has its own."""
        self._hook = hook
        self._queue: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._held: list[_Change] = []
        self._writing: list[_Change] = []
        """The group of the step that is under way."""
        self._failure: BaseException | None = None
        """What ended the thread against its will."""
        self._held_since = 0.0
        self._moved_at = clock.monotonic()
        """When the last group was done with, or the first change came into the empty queue."""
        self._connection: sa.Connection | None = None
        self._commits = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._stepping = threading.Lock()
        """Held by the caller that does the work where there is no thread for it."""

    def submit(self, change: Callable[[Tx], T]) -> "Future[T]":
        """Ask for `change` and return at once; the future is released after the commit.

        The future's errors: what `change` raised (its own effects are undone, those of its group are not), or
        DatabaseBusy, DatabaseBroken, CommitInDoubt.
        """
        return self._ask(_Change(change, None, False))

    def join(self, change: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any) -> "Future[T]":  # Any: see _Change
        """Ask for `change(tx, items)` with this item among the items; the future gets its place in the answer.

        `change` must be the same object for items that may go together, and answer in the order of the items.
        """
        return self._ask(_Change(change, item, True))

    def _ask(self, wish: _Change) -> "Future[Any]":  # Any: see _Change
        if not self.waiting:
            self._moved_at = self._clock.monotonic()
        self._queue.put(wish)
        if self._failure is not None:
            # The thread looked through the queue when it ended; nobody else will.
            self._refuse(self._failure)
        return wish.future

    def do(self, change: Callable[[Tx], T]) -> T:
        """Ask for `change` and wait until it is on disk."""
        return self.wait(self.submit(change))

    def wait(self, future: "Future[T]", meanwhile: Callable[[], object] = lambda: None) -> T:
        """Wait for a future of this writer; without a thread the waiting caller does the work itself.

        While that takes long, `meanwhile` is called several times a second.
        """
        while self._thread is None and not future.done():
            with self._stepping:
                if self._thread is None and not future.done():
                    self.step(block=False)
            if self._held:
                self.pause()
                meanwhile()
        while not future.done():
            with contextlib.suppress(TimeoutError):  # the change's own errors come out below
                return future.result(MEANWHILE_EVERY_S)
            meanwhile()
        return future.result()

    @property
    def waiting(self) -> int:
        """How many changes wait for a transaction, or are in the one that is under way."""
        return self._queue.qsize() + len(self._held) + len(self._writing)

    @property
    def stalled_s(self) -> float:
        """How long changes have waited without any group being written; 0 while none waits."""
        return self._clock.monotonic() - self._moved_at if self.waiting else 0.0

    def start(self) -> None:
        """Begin to work in a thread of its own."""
        with self._stepping:
            if self._thread is not None:
                return
            self._closing = False
            self._failure = None
            self._thread = threading.Thread(target=self._loop, name="overnight-writer", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what was asked for, then stop and give the connection back."""
        if self._thread is not None:
            self._closing = True
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        with self._stepping:
            self._closing = True
            while self.waiting:
                self.step(block=False)
            self._closing = False
            self.drop_connection()

    def _loop(self) -> None:
        try:
            while not (self._closing and not self.waiting):
                self.step(block=not self._held)
                if self._held:
                    self.pause()
        except BaseException as error:  # noqa: BLE001  # whatever it was, nobody may wait for a thread that is gone
            _log.critical("the thread that writes to the database has ended", exc_info=True)
            self._failure = error
            self._refuse(error)

    def _refuse(self, failure: BaseException) -> None:
        """Fail every change that waits for the thread that `failure` has ended."""
        group, self._writing = self._writing, []
        doubt = CommitInDoubt(f"the writer ended within a transaction: {failure!r}")
        doubt.__cause__ = failure
        _fail(group, doubt)
        refusal = DatabaseBroken(f"the writer has ended, start the program again: {failure!r}")
        refusal.__cause__ = failure
        while group := self._gather(block=False):
            _fail(group, refusal)

    def step(self, *, block: bool = False) -> int:
        """Write one group in one transaction and return how many changes it held; at rest return 0."""
        group = self._gather(block)
        if not group:
            return 0
        self._writing = group
        self._write(group)
        self._writing = []
        return len(group)

    def _gather(self, block: bool) -> list[_Change]:
        group, self._held = self._held, []
        try:
            if block and not group:
                first = self._queue.get()
                if first is not None:
                    group.append(first)
            while len(group) < MAX_GROUP:
                wish = self._queue.get_nowait()
                if wish is not None:
                    group.append(wish)
        except queue.Empty:
            pass
        return group

    def _hold(self, group: list[_Change], error: DatabaseBusy | CommitInDoubt) -> None:
        """Keep the group for the next step where nothing was written; give up when patience ends."""
        now = self._clock.monotonic()
        self._held_since = self._held_since or now
        # A commit in doubt may have taken effect: only the caller can know whether doing it again is right.
        if isinstance(error, DatabaseBusy) and now - self._held_since <= PATIENCE_S and not self._closing:
            self._held = group
            return
        self._held_since = 0.0
        _fail(group, error)

    def _write(self, group: list[_Change]) -> None:
        """Commit the group; a change that fails takes only itself down."""
        try:
            tx, answers = self._transact(group, _together)
        except (DatabaseBusy, CommitInDoubt) as error:
            return self._hold(group, error)
        except DatabaseBroken as error:
            return _fail(group, error)
        except Exception as error:  # noqa: BLE001  # it belongs to the caller whose change raised it
            if len(group) == 1:
                return _fail(group, error)
            return self._write_apart(group)
        return self._finish(group, tx, answers)

    def _write_apart(self, group: list[_Change]) -> None:
        try:
            tx, answers = self._transact(group, _apart)
        except (DatabaseBusy, CommitInDoubt) as error:
            return self._hold(group, error)
        except Exception as error:  # noqa: BLE001  # the database's own trouble: every caller gets it
            return _fail(group, error)
        return self._finish(group, tx, answers)

    def _transact(self, group: list[_Change], run: "_Run") -> tuple[Tx, list[Any]]:  # Any: each caller's own type
        committing = False
        begun = self._clock.monotonic()
        try:
            connection = self._connect()
            tx = Tx(connection, self._dialect, self._clock.now_us())
            self._dialect.begin_write(connection)
            self._hook(Point.WRITER_BEGUN)
            answers = run(tx, group)
            if tx.events or tx.news:
                self._ring_inside(connection)
            if tx.events:
                stream.append(connection, self._dialect, tx.now_us, tx.events)
            self._hook(Point.WRITER_BEFORE_COMMIT)
            committing = True
            connection.commit()
            self._measures.commit_s.observe(self._clock.monotonic() - begun)
            self._measures.commit_changes.observe(len(group))
        except sa.exc.DBAPIError as error:
            self.drop_connection()
            failure = self._dialect.translate(error, committing=committing)
            if isinstance(failure, CommitInDoubt):
                # It may have taken effect, and then nobody else will tell.
                self._tell(tx)
            raise failure from error
        except BaseException:
            self.drop_connection()
            raise
        return tx, answers

    def _finish(self, group: list[_Change], tx: Tx, answers: list[Any]) -> None:  # Any: each caller's own type
        self._held_since = 0.0
        self._moved_at = self._clock.monotonic()
        self._hook(Point.WRITER_AFTER_COMMIT)
        for callback in tx.callbacks:
            _pass_on(callback)
        for wish, answer in zip(group, answers, strict=True):
            # A caller may have cancelled its future: that must not harm the others of its group.
            with contextlib.suppress(InvalidStateError):
                if isinstance(answer, _Failure):
                    wish.future.set_exception(answer.error)
                else:
                    wish.future.set_result(answer)
        self._hook(Point.WRITER_RELEASED)
        if tx.events or tx.news:
            self._tell(tx)
        self._commits += 1
        if self._commits % TRIM_EVERY == 0:
            self.submit(lambda tx: stream.trim(tx.connection))

    def _tell(self, tx: Tx) -> None:
        self._measures.events.update(event["event"] for event in tx.events)
        _pass_on(lambda: self.told(tx.events, tx.news))
        _pass_on(self._ring)

    def _connect(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._dialect.prepare_writer(self._connection)
        return self._connection

    def drop_connection(self) -> None:
        """Give up the connection; an open transaction on it is rolled back."""
        if self._connection is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                # After a commit that failed SQLAlchemy would put the connection back with its transaction still open.
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


class _Failure:
    """Stands in the place of an answer whose change failed."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


_Run = Callable[[Tx, list[_Change]], list[Any]]


def _together(tx: Tx, group: list[_Change]) -> list[Any]:  # Any: each caller's own type
    """Run the changes one after another, joining neighbours that call the same function."""
    answers: list[Any] = []
    for call, run in itertools.groupby(group, key=lambda wish: (wish.call, wish.joined)):
        wishes = list(run)
        if call[1]:
            given = call[0](tx, [wish.item for wish in wishes])
            # An answer too few or too many is found here, while nothing is committed yet.
            answers.extend(answer for answer, _ in zip(given, wishes, strict=True))
        else:
            answers.extend(wish.call(tx) for wish in wishes)
    return answers


def _apart(tx: Tx, group: list[_Change]) -> list[Any]:  # Any: each caller's own type
    """Run each change in a savepoint of its own; the answer of one that fails is its failure."""
    return [_one(tx, wish) for wish in group]


def _one(tx: Tx, wish: _Change) -> Any:  # Any: the caller's own type
    events, callbacks = len(tx.events), len(tx.callbacks)
    savepoint = tx.connection.begin_nested()
    try:
        [answer] = wish.call(tx, [wish.item]) if wish.joined else [wish.call(tx)]
    except Exception as error:
        if _infrastructure(tx, error):
            raise
        savepoint.rollback()
        del tx.events[events:], tx.callbacks[callbacks:]
        return _Failure(error)
    savepoint.commit()
    return answer


def _infrastructure(tx: Tx, error: Exception) -> bool:
    """Tell whether the database as such is in trouble, so that the whole group has to wait or fail."""
    if isinstance(error, sa.exc.DBAPIError):
        error = tx.dialect.translate(error, committing=False)
    return isinstance(error, DatabaseBusy | DatabaseBroken)


def _pause() -> None:
    """Wait a little before the next try at a busy database."""
    threading.Event().wait(0.05)


def _pass_on(tiding: Callable[[], None]) -> None:
    """Tell somebody of a commit. It stands whatever they make of it, and so must the writer."""
    try:
        tiding()
    except Exception:  # noqa: BLE001  # it is the hearer's own
        _log.exception("what was to be done after a commit failed; the commit itself stands")


def _fail(group: list[_Change], error: Exception) -> None:
    for wish in group:
        with contextlib.suppress(InvalidStateError):
            wish.future.set_exception(error)
