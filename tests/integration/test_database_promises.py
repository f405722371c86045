"""What the databases are relied on for: commits that wait for the disk, one ring each, claims side by side."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.db.database import Database
from overnight.db.doorbell import CHANNEL
from overnight.db.writer import Tx
from overnight.engine import store
from overnight.engine.model import Priority
from overnight.engine.submit import Request, submit

LIMIT_S = 20


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[Database]:
    if not database_url.startswith("sqlite"):
        # What we rely on must not hang on the server's own setting.
        with closing(connected(database_url)) as connection:
            connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET synchronous_commit = off')
    with closing(opened(database_url, tmp_path)) as database:
        schema.prepare(database)
        yield database


def opened(url: str, folder: Path) -> Database:
    return Database(url, SystemClock(), folder)


def connected(url):
    import psycopg

    return psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:"), autocommit=True)


def settings(connection: sa.Connection) -> list[object]:
    asking = ("PRAGMA journal_mode", "PRAGMA synchronous")
    if connection.dialect.name == "postgresql":
        asking = ("SHOW synchronous_commit",)
    return [connection.exec_driver_sql(question).scalar() for question in asking]


def test_commits_wait_for_the_disk_on_every_connection(database):
    wanted = {"sqlite": ["wal", 2], "postgresql": ["on"]}[database.dialect.name]
    assert database.writer.do(lambda tx: settings(tx.connection)) == wanted
    with database.read() as connection:
        assert settings(connection) == wanted


def asking_for(task_id: str) -> Callable[[Tx], object]:
    def change(tx: Tx) -> object:
        tx.news = True
        return submit(tx, [Request(task_id=task_id, priority=Priority.NORMAL)])

    return change


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_commit_with_news_notifies_once_and_one_without_does_not(database):
    with closing(connected(database.url)) as listener:
        listener.execute(f"LISTEN {CHANNEL}")

        def rings() -> int:
            """Count the notifications until our own, which comes behind all that was committed before."""
            listener.execute(f"NOTIFY {CHANNEL}, 'end'")
            heard = []
            for note in listener.notifies(timeout=LIMIT_S):
                if note.payload == "end":
                    return len(heard)
                heard.append(note)
            raise AssertionError("the last notification does not come")

        futures = [database.writer.submit(asking_for("task")) for _ in range(5)]
        assert database.writer.step() == len(futures)
        assert rings() == 1
        for _ in range(3):
            database.writer.do(asking_for("task"))
        assert rings() == 3
        database.writer.do(lambda tx: tx.connection.execute(sa.text("CREATE TABLE quiet (id integer)")))
        assert rings() == 0


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(lambda tx: store.ready(tx, 3), id="of the queue"),
        pytest.param(lambda tx: store.ready_of(tx, ["task"], each=3, limit=3), id="of tasks"),
    ],
)
def test_two_open_claims_hold_disjoint_batches(database, tmp_path, claim):
    for _ in range(6):
        database.writer.do(asking_for("task"))

    def batch(tx: Tx) -> list[int]:
        tx.connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LIMIT_S}s'")
        return [run.run_id for run in claim(tx)]

    with closing(opened(database.url, tmp_path)) as other:
        batches = database.writer.do(lambda tx: (batch(tx), other.writer.do(batch)))
    assert batches == ([1, 2, 3], [4, 5, 6])
