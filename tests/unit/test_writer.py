"""The group-commit writer: groups, failures that stay alone, a busy, full or doubtful database."""

import logging
import os
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy, UserMistake
from overnight.base.points import Point
from overnight.db import sqlite, stream, writer
from overnight.db.database import Database
from overnight.db.doorbell import SocketDoorbell
from overnight.db.writer import Tx
from overnight.testing.clock import FakeClock

LIMIT_S = 20
metadata = sa.MetaData()
notes = sa.Table("notes", metadata, sa.Column("note", sa.Text, primary_key=True))


class Hooks:
    def __init__(self) -> None:
        self.at: dict[Point, Callable[[], None]] = {}
        self.commits = 0

    def __call__(self, point: Point) -> None:
        self.commits += point is Point.WRITER_AFTER_COMMIT
        self.at.get(point, lambda: None)()


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def database(tmp_path: Path, database_url: str, hooks: Hooks) -> Iterator[Database]:
    database = Database(database_url, FakeClock(), tmp_path / "state", hook=hooks)
    with database.engine.begin() as connection:
        metadata.create_all(connection)
        stream.metadata.create_all(connection)
    yield database
    database.close()


@pytest.fixture
def only_sqlite(tmp_path: Path, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(sqlite, "BUSY_MS", 1)
    database = Database(f"sqlite:///{tmp_path / 'overnight.db'}", FakeClock(), tmp_path / "state", hook=hooks)
    with database.engine.begin() as connection:
        metadata.create_all(connection)
        stream.metadata.create_all(connection)
    yield database
    database.close()


def adding(note: str) -> Callable[[Tx], str]:
    def change(tx: Tx) -> str:
        tx.connection.execute(sa.insert(notes).values(note=note))
        tx.emit({"event": "noted", "note": note})
        return note

    return change


def add_all(tx: Tx, texts: Sequence[str]) -> list[str]:
    tx.connection.execute(sa.insert(notes), [{"note": text} for text in texts])
    return [f"{text} of {len(texts)}" for text in texts]


def found(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.select(notes.c.note).order_by(notes.c.note)).scalars())


def told(database: Database) -> list[Any]:
    with database.read() as connection:
        return [event["note"] for batch in stream.read(connection, database.dialect, 0) for event in batch.events]


def test_changes_of_many_callers_share_one_commit_and_get_their_own_answers(database: Database, hooks: Hooks) -> None:
    futures = [database.writer.submit(adding(f"n{number}")) for number in range(5)]
    assert database.writer.waiting == 5
    assert database.writer.step() == 5
    assert [future.result(0) for future in futures] == ["n0", "n1", "n2", "n3", "n4"]
    assert hooks.commits == 1
    assert found(database) == told(database) == ["n0", "n1", "n2", "n3", "n4"]
    assert database.writer.step() == 0


def test_no_future_is_released_before_its_commit(database: Database, hooks: Hooks) -> None:
    futures: list[Future[str]] = []
    seen: list[bool] = []
    hooks.at[Point.WRITER_BEFORE_COMMIT] = lambda: seen.extend(future.done() for future in futures)
    futures += [database.writer.submit(adding("a")), database.writer.submit(adding("b"))]
    database.writer.step()
    assert seen == [False, False]
    assert all(future.done() for future in futures)


def test_neighbours_with_one_function_are_joined_and_keep_their_order(database: Database) -> None:
    first, second = database.writer.join(add_all, "a"), database.writer.join(add_all, "b")
    between = database.writer.submit(adding("c"))
    third = database.writer.join(add_all, "d")
    database.writer.step()
    assert [future.result(0) for future in (first, second, between, third)] == ["a of 2", "b of 2", "c", "d of 1"]


def test_change_that_fails_takes_only_itself_down(database: Database) -> None:
    def wrong(tx: Tx) -> None:
        adding("wrong")(tx)
        tx.after_commit(lambda: pytest.fail("its commit never comes"))
        raise UserMistake("no")

    good = database.writer.submit(adding("good"))
    bad = database.writer.submit(wrong)
    twice = database.writer.submit(adding("good"))
    joined, again = database.writer.join(add_all, "joined"), database.writer.join(add_all, "joined")
    last = database.writer.submit(adding("last"))
    database.writer.step()
    assert (good.result(0), joined.result(0), last.result(0)) == ("good", "joined of 1", "last")
    assert isinstance(bad.exception(0), UserMistake)
    assert isinstance(twice.exception(0), sa.exc.IntegrityError)
    assert isinstance(again.exception(0), sa.exc.IntegrityError)
    assert found(database) == ["good", "joined", "last"]
    assert told(database) == ["good", "last"]


def test_lone_change_that_fails_leaves_nothing_behind(database: Database) -> None:
    def wrong(tx: Tx) -> None:
        adding("wrong")(tx)
        raise UserMistake("no")

    with pytest.raises(UserMistake):
        database.writer.do(wrong)
    assert found(database) == []
    assert database.writer.do(adding("next")) == "next"


def test_callbacks_and_tidings_come_after_the_commit_once(database: Database) -> None:
    heard: list[object] = []
    database.writer.told = lambda events, news: heard.append((len(events), news))

    def change(tx: Tx) -> None:
        tx.after_commit(lambda: heard.append(found(database)))
        tx.news = True
        adding("a")(tx)

    database.writer.do(change)
    assert heard == [["a"], (1, True)]
    database.writer.do(lambda tx: None)
    assert len(heard) == 2


def fail(*_: object) -> None:
    raise OSError("too many open files")


def test_tiding_that_fails_stops_neither_the_others_nor_the_writer(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    rung = threading.Event()
    database.writer.told = fail
    monkeypatch.setattr(database.writer, "_ring", rung.set)

    def change(tx: Tx) -> str:
        tx.after_commit(fail)
        tx.after_commit(lambda: heard.append("second"))
        return adding("a")(tx)

    database.writer.start()
    assert database.writer.submit(change).result(LIMIT_S) == "a"
    assert heard == ["second"]
    assert rung.wait(LIMIT_S)
    monkeypatch.setattr(database.writer, "_ring", fail)
    assert database.writer.submit(adding("b")).result(LIMIT_S) == "b"
    assert database.writer.submit(adding("c")).result(LIMIT_S) == "c"
    database.writer.close()
    # The callback once; the listener after each of three commits, the doorbell after two.
    assert [record.levelno for record in caplog.records if record.name == "overnight.db"] == [logging.ERROR] * 6
    assert "too many open files" in caplog.text


def test_doorbell_that_finds_no_free_file_stays_silent(tmp_path: Path) -> None:
    bell = SocketDoorbell(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.listdir(tmp_path)  # noqa: PTH208  # what the doorbell does
        bell.ring()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    bell.close()


def test_thread_that_ends_against_its_will_leaves_nobody_waiting(
    database: Database, hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def end() -> None:
        reached.set()
        go_on.wait(LIMIT_S)
        raise SystemExit("the end")

    hooks.at[Point.WRITER_AFTER_COMMIT] = end
    database.writer.start()
    written = database.writer.submit(adding("written"))
    assert reached.wait(LIMIT_S)
    queued = [database.writer.submit(adding("queued")), database.writer.join(add_all, "queued too")]
    go_on.set()
    assert isinstance(written.exception(LIMIT_S), CommitInDoubt), "it is on disk, but nobody could say so"
    for future in queued:
        assert isinstance(future.exception(LIMIT_S), DatabaseBroken)
    later = [database.writer.submit(adding("later")), database.writer.join(add_all, "later too")]
    for future in later:
        with pytest.raises(DatabaseBroken, match="the end") as told:
            future.result(LIMIT_S)
        assert isinstance(told.value.__cause__, SystemExit)
    with pytest.raises(DatabaseBroken):
        database.writer.do(adding("last"))
    assert "has ended" in caplog.text
    database.writer.close()
    assert found(database) == ["written"]


def test_writer_works_again_when_it_is_started_after_an_unexpected_end(database: Database, hooks: Hooks) -> None:
    def end() -> None:
        raise SystemExit

    hooks.at[Point.WRITER_BEGUN] = end
    database.writer.start()
    assert isinstance(database.writer.submit(adding("a")).exception(LIMIT_S), CommitInDoubt)
    database.writer.close()
    hooks.at.clear()
    database.writer.start()
    assert database.writer.submit(adding("b")).result(LIMIT_S) == "b"
    assert found(database) == ["b"]


def test_joined_function_with_too_few_answers_changes_nothing(database: Database) -> None:
    def forgetful(tx: Tx, texts: Sequence[str]) -> list[str]:
        return add_all(tx, texts)[1:]

    futures = [database.writer.join(forgetful, "a"), database.writer.join(forgetful, "b")]
    good = database.writer.submit(adding("good"))
    database.writer.step()
    assert all(isinstance(future.exception(0), ValueError) for future in futures)
    assert good.result(0) == "good"
    assert found(database) == ["good"]


def test_cancelled_future_harms_nobody(database: Database) -> None:
    first, second = database.writer.submit(adding("a")), database.writer.submit(adding("b"))
    assert first.cancel()
    database.writer.step()
    assert second.result(0) == "b"


def test_commit_that_is_in_doubt_is_told_and_not_done_again(
    database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def change(tx: Tx) -> None:
        calls.append(1)
        adding("a")(tx)

    doubt = CommitInDoubt("who knows")
    monkeypatch.setattr(type(database.dialect), "translate", lambda self, error, *, committing: doubt)

    def break_off() -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"))

    hooks.at[Point.WRITER_BEFORE_COMMIT] = break_off
    heard: list[str] = []
    database.writer.told = lambda events, news: heard.extend(event["note"] for event in events)
    with pytest.raises(CommitInDoubt):
        database.writer.do(change)
    assert calls == [1]
    assert heard == ["a"], "it may have taken effect, so whoever waits has to look"


def test_tiding_that_fails_after_a_commit_in_doubt_does_not_do_it_again(
    database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def calling(note: str) -> Callable[[Tx], str]:
        def change(tx: Tx) -> str:
            calls.append(note)
            return adding(note)(tx)

        return change

    monkeypatch.setattr(type(database.dialect), "translate", lambda self, error, *, committing: CommitInDoubt("?"))

    def break_off() -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"))

    hooks.at[Point.WRITER_BEFORE_COMMIT] = break_off
    rings: list[int] = []
    database.writer.told = fail
    monkeypatch.setattr(database.writer, "_ring", lambda: rings.append(1))
    futures = [database.writer.submit(calling("a")), database.writer.submit(calling("b"))]
    database.writer.step()
    assert all(isinstance(future.exception(0), CommitInDoubt) for future in futures)
    assert (calls, rings) == (["a", "b"], [1])


def test_crash_in_a_transaction_leaves_nothing_behind(database: Database, hooks: Hooks) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    hooks.at[Point.WRITER_BEFORE_COMMIT] = die
    with pytest.raises(KeyboardInterrupt):
        database.writer.do(adding("a"))
    hooks.at.clear()
    assert found(database) == []
    assert database.writer.do(adding("b")) == "b"


def test_callers_in_many_threads_share_a_writer_with_and_without_a_thread(database: Database) -> None:
    answers: list[str] = []

    def caller(name: str) -> None:
        answers.extend(database.writer.do(adding(f"{name} {number}")) for number in range(10))

    def together(names: str) -> None:
        threads = [threading.Thread(target=caller, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together("abcd")
    database.writer.start()
    database.writer.start()
    together("efgh")
    database.writer.close()
    assert found(database) == sorted(answers)
    assert len(answers) == 80


def test_close_writes_what_was_asked_for(database: Database) -> None:
    futures = [database.writer.submit(adding(f"n{number}")) for number in range(3)]
    database.writer.close()
    assert [future.result(0) for future in futures] == found(database) == ["n0", "n1", "n2"]


def test_trimmed_stream_keeps_the_newest(database: Database) -> None:
    for number in range(10):
        database.writer.do(adding(f"{number}"))
    with database.read() as connection:
        size = connection.execute(sa.select(sa.func.length(stream.stream.c.body))).scalars().all()[0]
    assert database.writer.do(lambda tx: stream.trim(tx.connection, 3 * size)) == 7
    assert told(database) == ["7", "8", "9"]
    assert database.writer.do(lambda tx: stream.trim(tx.connection, 3 * size)) == 0
    with database.read() as connection:
        newest = stream.newest(connection)
        assert list(stream.read(connection, database.dialect, newest)) == []


def test_stream_is_trimmed_every_so_often(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "TRIM_EVERY", 3)
    for number in range(3):
        database.writer.do(adding(f"{number}"))
    assert database.writer.waiting == 1
    assert database.writer.step() == 1


def test_busy_database_is_waited_for_and_then_written(only_sqlite: Database) -> None:
    other = only_sqlite.engine.raw_connection()
    other.cursor().execute("BEGIN IMMEDIATE")
    future = only_sqlite.writer.submit(adding("a"))
    for _ in range(3):
        assert only_sqlite.writer.step() == 1
        assert (future.done(), only_sqlite.writer.waiting) == (False, 1)
    second = only_sqlite.writer.submit(adding("b"))
    other.cursor().execute("COMMIT")
    assert only_sqlite.writer.step() == 2
    assert (future.result(0), second.result(0)) == ("a", "b")
    other.close()


def test_waiting_caller_pauses_while_the_database_is_busy(only_sqlite: Database) -> None:
    other = only_sqlite.engine.raw_connection()
    other.cursor().execute("BEGIN IMMEDIATE")
    pauses: list[int] = []

    def pause() -> None:
        pauses.append(1)
        if len(pauses) == 2:
            other.cursor().execute("COMMIT")

    only_sqlite.writer.pause = pause
    assert only_sqlite.writer.do(adding("a")) == "a"
    assert len(pauses) == 2
    other.close()


def test_patience_with_a_busy_database_ends_in_one_clear_line(only_sqlite: Database) -> None:
    other = only_sqlite.engine.raw_connection()
    other.cursor().execute("BEGIN IMMEDIATE")
    clock = only_sqlite.clock
    assert isinstance(clock, FakeClock)
    clock.advance(1)
    future = only_sqlite.writer.submit(adding("a"))
    only_sqlite.writer.step()
    clock.advance(writer.PATIENCE_S)
    only_sqlite.writer.step()
    assert not future.done()
    clock.advance(0.1)
    only_sqlite.writer.step()
    with pytest.raises(DatabaseBusy, match=r"^another program holds the database \(SQLITE_BUSY\); try again$"):
        future.result(0)
    other.cursor().execute("COMMIT")
    other.close()
    assert found(only_sqlite) == []


def test_full_disk_is_one_line_and_loses_nothing_acknowledged(only_sqlite: Database) -> None:
    acknowledged = [only_sqlite.writer.do(adding("first"))]
    assert only_sqlite.writer._connection is not None
    pages = only_sqlite.writer._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    only_sqlite.writer._connection.commit()
    only_sqlite.writer.close()
    sa.event.listen(
        only_sqlite.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages + 2}").close()
    )
    only_sqlite.engine.dispose()
    with pytest.raises(DatabaseBroken, match=r"^the disk is full \(SQLITE_FULL\)$"):
        for number in range(1000):
            note = only_sqlite.writer.do(adding(f"{number} {'x' * 500}"))
            acknowledged.append(note)
    group = [only_sqlite.writer.submit(adding(f"more {number} {'x' * 5000}")) for number in range(3)]
    only_sqlite.writer.step()
    assert all(isinstance(future.exception(0), DatabaseBroken) for future in group)
    assert found(only_sqlite) == sorted(acknowledged)
    assert only_sqlite.check() == []
