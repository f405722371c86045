"""A database that is in an odd folder, refuses a value, or goes away: nobody gets another one's data, nobody hangs."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import overnight
from daemons import wait_for
from overnight.app.backup import database_file
from overnight.base.config import Config, EngineSettings
from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy
from overnight.base.settings import load_config
from overnight.db import postgresql
from overnight.db.database import Database, dialect_of
from overnight.db.doorbell import NotifyDoorbell
from overnight.db.writer import Tx
from overnight.testing.clock import FakeClock
from overnight.testing.postgres import create_database, drop_database

LIMIT_S = 20
STATE = Path(".overnight") / "overnight.db"
metadata = sa.MetaData()
notes = sa.Table("notes", metadata, sa.Column("note", sa.Text, primary_key=True))


# -- folders whose names mean something in a URL

ODD_NAMES = (
    "q?1",
    "a%41",
    "50%",
    "%3F",
    "a#b",
    "a b",
    "a+b",
    "été 夜",
    "it's",
    'say "x"',
    "a@b:c",
    "a;b&c=d",
    "x\\y",
    ":memory:",
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_project_in_an_oddly_named_folder_has_its_database_inside(tmp_path, name):
    folder = tmp_path / "all" / name
    folder.mkdir(parents=True)
    (folder / "overnight.toml").touch()
    overnight.Project.open(folder).close()
    config = load_config(folder)
    assert database_file(config) == folder.resolve() / STATE
    assert (folder / STATE).is_file()
    assert [path.name for path in (tmp_path / "all").iterdir()] == [name]


def test_projects_whose_names_differ_after_a_question_mark_share_nothing(tmp_path):
    counts = []
    for name in ("q?1", "q?2"):
        with overnight.Project.create(tmp_path / name) as project:
            project.add_task(overnight.Task(task_id="one", action=print, executor="inline"))
            project.submit("one")
            counts.append(len(project.runs()))
    assert counts == [1, 1]


def test_a_folder_whose_name_is_not_utf_8_has_its_database_inside(tmp_path):
    folder = tmp_path / os.fsdecode(b"night\xff %41?")
    (folder / STATE).parent.mkdir(parents=True)
    database = Database(Config(project_dir=folder).database_url, FakeClock(), tmp_path / "state")
    assert database.check() == []
    database.close()
    assert (folder / STATE).is_file()


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_every_folder_name_survives_the_way_through_the_url(name):
    folder = Path("/projects") / name
    assert sa.make_url(Config(project_dir=folder).database_url).database == str(folder / STATE)


def test_options_after_the_file_stay_options(tmp_path):
    config = Config(project_dir=tmp_path / "q?1", engine=EngineSettings(database="sqlite:///mine.db?timeout=3"))
    url = sa.make_url(config.database_url)
    assert (url.database, dict(url.query)) == (str(tmp_path / "q?1" / "mine.db"), {"timeout": "3"})


# -- SQLite


@pytest.mark.parametrize(
    ("name", "meaning", "at_commit"),
    [
        ("SQLITE_IOERR_FSYNC", DatabaseBroken, CommitInDoubt),
        ("SQLITE_IOERR_WRITE", DatabaseBroken, CommitInDoubt),
        ("SQLITE_FULL", DatabaseBroken, DatabaseBroken),
        ("SQLITE_BUSY", DatabaseBusy, DatabaseBusy),
        ("SQLITE_MISUSE", sa.exc.DBAPIError, CommitInDoubt),
    ],
)
def test_a_commit_that_could_not_be_written_is_in_doubt(name, meaning, at_commit):
    error = sqlite3.OperationalError("no")
    error.sqlite_errorname = name
    for committing, expected in ((False, meaning), (True, at_commit)):
        found = dialect_of("sqlite://").translate(sa.exc.DBAPIError("COMMIT", None, error), committing=committing)
        assert type(found) is expected
        assert "\n" not in str(found) or found.__class__ is sa.exc.DBAPIError


# -- PostgreSQL


@pytest.fixture
def database(tmp_path: Path, postgres_database: str) -> Iterator[Database]:
    database = Database(postgres_database, FakeClock(), tmp_path)
    with database.engine.begin() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


def adding(note: str) -> Callable[[Tx], str]:
    def change(tx: Tx) -> str:
        tx.connection.execute(sa.insert(notes).values(note=note))
        return note

    return change


def found(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.select(notes.c.note).order_by(notes.c.note)).scalars())


@pytest.mark.postgres
def test_a_value_that_the_driver_refuses_fails_its_own_caller_at_once(database):
    good, bad = database.writer.submit(adding("good")), database.writer.submit(adding("nul \0 inside"))
    assert database.writer.step() == 2
    assert good.result(0) == "good"
    assert isinstance(bad.exception(0), sa.exc.DataError)
    assert database.writer.waiting == 0
    assert found(database) == ["good"]


@pytest.mark.postgres
def test_a_connection_that_is_cut_is_waited_for_and_made_anew(database):
    database.writer.do(adding("first"))
    with database.engine.connect() as other:
        statement = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        cut = other.exec_driver_sql(f"{statement} AND datname = current_database()").scalars().all()
        assert cut and all(cut)
    future = database.writer.submit(adding("second"))
    database.writer.step()
    assert (future.done(), database.writer.waiting) == (False, 1)
    database.writer.pause = lambda: None
    assert database.writer.wait(future) == "second"
    assert found(database) == ["first", "second"]


FROZEN = """
import os, signal, sys
from overnight.base.clock import SystemClock
from overnight.db import postgresql
from overnight.db.database import Database
from pathlib import Path
postgresql.FROZEN_S = 1
database = Database(sys.argv[1], SystemClock(), Path(sys.argv[2]))
def freeze(tx):
    tx.dialect.serialize(tx.connection, 77)
    tx.connection.exec_driver_sql("INSERT INTO notes VALUES ('of the frozen')")
    os.kill(os.getpid(), signal.SIGSTOP)
future = database.writer.submit(freeze)
database.writer.step()
print(type(future.exception(0)).__name__ if future.done() else "waits")
"""


@pytest.mark.postgres
def test_a_writer_that_is_stopped_within_its_transaction_keeps_no_lock(database, postgres_database, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", FROZEN, postgres_database, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")

        def change(tx: Tx) -> None:
            tx.dialect.serialize(tx.connection, 77)
            tx.connection.execute(sa.insert(notes).values(note="of the other"))

        began = time.monotonic()
        database.writer.do(change)
        assert time.monotonic() - began < 15
        child.send_signal(signal.SIGCONT)
        said, _ = child.communicate(timeout=60)
        assert said.strip() in ("waits", "DatabaseBusy", "CommitInDoubt")
        assert found(database) == ["of the other"]
    finally:
        child.kill()
        child.wait()


def refused(error: Exception, sqlstate: str | None = None) -> sa.exc.DBAPIError:
    error.sqlstate = sqlstate
    return sa.exc.DBAPIError("SELECT 1", None, error)


@pytest.mark.parametrize(
    ("kind", "sqlstate", "meaning", "at_commit"),
    [
        ("OperationalError", None, DatabaseBusy, CommitInDoubt),
        ("InterfaceError", None, DatabaseBusy, CommitInDoubt),
        ("OperationalError", "57P01", DatabaseBusy, CommitInDoubt),
        ("OperationalError", "08006", DatabaseBusy, CommitInDoubt),
        ("OperationalError", "25P03", DatabaseBusy, CommitInDoubt),
        ("InternalError", None, sa.exc.DBAPIError, CommitInDoubt),
        ("DataError", None, sa.exc.DBAPIError, CommitInDoubt),
        ("DataError", "22P05", sa.exc.DBAPIError, sa.exc.DBAPIError),
        ("OperationalError", "40001", DatabaseBusy, DatabaseBusy),
    ],
)
def test_only_a_broken_connection_counts_as_lost(kind, sqlstate, meaning, at_commit):
    psycopg = pytest.importorskip("psycopg")
    dialect = dialect_of("postgresql://")
    for committing, expected in ((False, meaning), (True, at_commit)):
        error = refused(getattr(psycopg, kind)("no"), sqlstate)
        assert isinstance(dialect.translate(error, committing=committing), expected)


@pytest.mark.parametrize(("query", "timeout"), [("", postgresql.CONNECT_TIMEOUT_S), ("?connect_timeout=3", "3")])
def test_a_server_has_a_limited_time_to_answer_a_new_connection(query, timeout):
    class Seen(Exception):
        pass

    seen = {}

    def look(dialect: object, record: object, arguments: object, options: dict[str, object]) -> None:
        seen.update(options)
        raise Seen

    engine = dialect_of("postgresql://").create_engine(f"postgresql://nobody@localhost/none{query}")
    sa.event.listen(engine, "do_connect", look)
    with pytest.raises(Seen):
        engine.connect()
    engine.dispose()
    assert seen["connect_timeout"] == timeout


@pytest.mark.postgres
def test_a_listener_ends_while_its_database_is_gone(postgres_url, monkeypatch):
    url = create_database(postgres_url)
    engine = dialect_of(url).create_engine(url)
    attempts = threading.Semaphore(0)
    sa.event.listen(engine, "do_connect", lambda *_: attempts.release())
    end = NotifyDoorbell(engine).listen(lambda: None)
    drop_database(postgres_url, url)
    for _ in range(2):
        assert attempts.acquire(timeout=LIMIT_S), "the first connection, then the try to make it anew"
    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    ending.join(LIMIT_S)
    assert not ending.is_alive()
    engine.dispose()
