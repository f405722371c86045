"""What was asked, answered and spent, in one SQLite file of its own: nothing that was answered is paid again.

A request is written down as sent, with the most that it can cost, before it is sent, and its answer and what it really
cost in one transaction. So a process may die at any instant: what had no answer then counts as spent in full, and is
sent again; all else is read from here. Keys of endpoints are not among what is kept.

Threads that write at the same time share a transaction, so that fifty requests in flight do not wait for fifty times
the disk. Several processes may use one file; each sees what the others have spent.
"""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from overnight.base.clock import Clock, SystemClock
from overnight.base.errors import DatabaseBroken, NewerDatabase
from overnight.llm.budget import Amount, Budget, Purse

VERSION = 2
_BUSY_S = 30.0
_TABLES = """
CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE calls (
    call_id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'answered', 'refused', 'lost')),
    held_tokens INTEGER NOT NULL,
    held_nano_usd INTEGER NOT NULL,
    used_tokens INTEGER,
    used_nano_usd INTEGER,
    sent_us INTEGER
);
CREATE TABLE purse (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    spent_tokens INTEGER NOT NULL, spent_nano_usd INTEGER NOT NULL,
    held_tokens INTEGER NOT NULL, held_nano_usd INTEGER NOT NULL
);
INSERT INTO purse VALUES (1, 0, 0, 0, 0);
"""
_SINCE_1 = "ALTER TABLE calls ADD COLUMN sent_us INTEGER"
"""Of what was sent before, nobody knows when."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an endpoint answered: the text, why it ends, and its tokens, where it tells them."""

    content: str
    finish: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that is about to be sent, as it is written down."""

    call_id: int
    key: str
    most: Amount


@dataclass(kw_only=True)
class _Wish(Generic[T]):
    """Something to do in a transaction, and what came of it."""

    work: Callable[[sqlite3.Connection], T]
    done: bool = False
    result: list[T] = field(default_factory=list)
    error: BaseException | None = None


class Replay:
    """The file. Safe to use from any thread; close it."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open the file, or make it; `clock` tells when requests are sent.

        Raises:
            NewerDatabase: a newer Overnight has written it.
            DatabaseBroken: it cannot be used.
        """
        self._path = path
        self._now_us = (clock or SystemClock()).now_us
        self._turn = threading.Lock()
        self._queue = threading.Lock()
        self._wishes: list[_Wish[Any]] = []  # Any: each has its own result
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._broken(error) from error
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            raise (self._broken(error) if isinstance(error, sqlite3.Error) else error) from error

    def __enter__(self) -> "Replay":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._connection.close()

    def answer(self, key: str) -> Answer | None:
        """Return what was answered to the request of this key; None where nothing was."""
        with self._turn:
            try:
                found = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            except sqlite3.Error as error:
                raise self._broken(error) from error
        return None if found is None else Answer(**json.loads(found[0]))

    def purse(self) -> Purse:
        """Return what is spent and held back now."""
        with self._turn:
            try:
                return _purse(self._connection)
            except sqlite3.Error as error:
                raise self._broken(error) from error

    def sent_between(self, begin_us: int, end_us: int) -> Amount:
        """Return what the requests of a span of time have cost; those without an answer, the most they could."""
        query = (
            "SELECT coalesce(sum(coalesce(used_tokens, held_tokens)), 0),"
            " coalesce(sum(coalesce(used_nano_usd, held_nano_usd)), 0) FROM calls WHERE sent_us >= ? AND sent_us < ?"
        )
        with self._turn:
            try:
                tokens, nano_usd = self._connection.execute(query, (begin_us, end_us)).fetchone()
            except sqlite3.Error as error:
                raise self._broken(error) from error
        return Amount(tokens=tokens, nano_usd=nano_usd)

    def begin(self, key: str, most: Amount, budget: Budget) -> Call:
        """Write down that a request is sent, and what it costs at the most.

        Raises:
            BudgetSpent: that does not fit into the budget; nothing was written.
        """

        def work(connection: sqlite3.Connection) -> Call:
            _keep(connection, _purse(connection).reserve(most, budget))
            made = connection.execute(
                "INSERT INTO calls (key, state, held_tokens, held_nano_usd, sent_us) VALUES (?, 'sent', ?, ?, ?)",
                (key, most.tokens, most.nano_usd, self._now_us()),
            )
            assert made.lastrowid is not None, "a row was written"
            return Call(call_id=made.lastrowid, key=key, most=most)

        return self._write(work)

    def answered(self, call: Call, answer: Answer | None, used: Amount) -> None:
        """Write down an answer and what it cost; None is one that cannot be read, and is asked for again."""

        def work(connection: sqlite3.Connection) -> None:
            _end(connection, call, "answered" if answer else "lost", used)
            _keep(connection, _purse(connection).settle(call.most, used))
            if answer is not None:
                told = json.dumps(vars(answer), separators=(",", ":"))
                connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (call.key, told))

        self._write(work)

    def lost(self, call: Call) -> None:
        """Write down that nobody knows what became of a request: it counts as spent in full."""
        self.answered(call, None, call.most)

    def refused(self, call: Call) -> None:
        """Write down that a request was not taken: nobody charges for it."""

        def work(connection: sqlite3.Connection) -> None:
            _end(connection, call, "refused", Amount())
            _keep(connection, _purse(connection).release(call.most))

        self._write(work)

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("BEGIN IMMEDIATE")
        [version] = self._connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise NewerDatabase(
                f"{self._path} was written by a newer Overnight (version {version}); upgrade the program"
            )
        if version == 0:
            for statement in _TABLES.split(";"):
                self._connection.execute(statement)
        elif version == 1:
            self._connection.execute(_SINCE_1)
        self._connection.execute(f"PRAGMA user_version = {VERSION}")
        self._connection.execute("COMMIT")

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do it in a transaction, with what other threads want at this time; return its result once it is on disk."""
        wish = _Wish(work=work)
        with self._queue:
            self._wishes.append(wish)
        with self._turn:
            if not wish.done:
                with self._queue:
                    wishes, self._wishes = self._wishes, []
                self._commit(wishes)
        if wish.error is not None:
            raise wish.error
        return wish.result[0]

    def _commit(self, wishes: list[_Wish[Any]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for wish in wishes:
                _do(wish, self._connection)
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            for wish in wishes:
                wish.error = self._broken(error)
            if not isinstance(error, sqlite3.Error):
                raise
        finally:
            for wish in wishes:
                wish.done = True

    def _broken(self, error: BaseException) -> DatabaseBroken:
        return DatabaseBroken(f"{self._path} cannot be used: {error}; make room, or move it away to begin anew")


def _do(wish: _Wish[Any], connection: sqlite3.Connection) -> None:
    """Do one wish. What it raises, other than the database does, is its own: it has written nothing by then."""
    try:
        wish.result.append(wish.work(connection))
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - raised again in the thread whose wish it is
        wish.error = error


def _purse(connection: sqlite3.Connection) -> Purse:
    row = connection.execute("SELECT spent_tokens, spent_nano_usd, held_tokens, held_nano_usd FROM purse").fetchone()
    return Purse(spent=Amount(tokens=row[0], nano_usd=row[1]), held=Amount(tokens=row[2], nano_usd=row[3]))


def _keep(connection: sqlite3.Connection, purse: Purse) -> None:
    connection.execute(
        "UPDATE purse SET spent_tokens = ?, spent_nano_usd = ?, held_tokens = ?, held_nano_usd = ?",
        (purse.spent.tokens, purse.spent.nano_usd, purse.held.tokens, purse.held.nano_usd),
    )


def _end(connection: sqlite3.Connection, call: Call, state: str, used: Amount) -> None:
    connection.execute(
        "UPDATE calls SET state = ?, used_tokens = ?, used_nano_usd = ? WHERE call_id = ?",
        (state, used.tokens, used.nano_usd, call.call_id),
    )
