"""SQLite: WAL, full sync, one writer at a time."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy
from overnight.db.dialect import ColumnSpec

BUSY_MS = 5_000
"""How long a statement waits for another program's write before it gives up."""

_IO = "reading or writing the database file failed (disk full or faulty?)"
_LOOK = "is the folder read-only? `overnight doctor` looks"
_BROKEN = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": f"the database is read-only; {_LOOK}",
    "SQLITE_CORRUPT": "the database file is damaged; restore a backup",
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_CANTOPEN": f"the database file cannot be opened; {_LOOK}",
    "SQLITE_IOERR": _IO,
}


class Sqlite:
    """The dialect of a single machine."""

    name = "sqlite"
    shared = False

    def create_engine(self, url: str) -> sa.Engine:
        """Return an engine whose connections use WAL and force every commit to disk."""
        engine = sa.create_engine(
            url,
            poolclass=sa.pool.QueuePool,
            pool_size=4,
            max_overflow=64,
            connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000, "isolation_level": None},
        )
        sa.event.listen(engine, "connect", _configure)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def prepare_writer(self, connection: sa.Connection) -> None:
        """Do nothing: every connection is set up for writing."""

    def begin_write(self, connection: sa.Connection) -> None:
        """Take the write lock at once, so that no later statement can fail for want of it."""
        connection.execution_options(overnight_begin="BEGIN IMMEDIATE")
        connection.begin()

    def rows(self, parameter: str, columns: Sequence[ColumnSpec]) -> sa.Subquery:
        """Return the JSON array of arrays in `parameter` as a table with these columns."""
        each = sa.func.json_each(sa.bindparam(parameter, type_=sa.Text)).table_valued("value", name="each_row")
        picked = [
            sa.func.json_extract(each.c.value, sa.literal_column(f"'$[{index}]'"), type_=kind).label(name)
            for index, (name, kind) in enumerate(columns)
        ]
        return sa.select(*picked).select_from(each).subquery("given")

    def insert_new(self, table: sa.Table) -> sa.Executable:
        """Return the insert of a row, a parameter for each column; it leaves a row with the same primary key alone."""
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=[*table.primary_key])

    def allocate(self, connection: sa.Connection, table: sa.Table, count: int) -> range | list[int]:
        """Return the next ids; the write lock is held, so nobody else can take them."""
        row = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
        last = row[0] if row else 0
        return range(last + 1, last + 1 + count)

    def serialize(self, connection: sa.Connection, number: int) -> None:
        """Do nothing: there is one writing transaction at a time."""

    def stream_cursor(self, connection: sa.Connection) -> int | None:
        """Leave the numbering to SQLite: one writer at a time, so ids commit in order."""
        return None

    def stream_horizon(self) -> sa.ColumnElement[int] | None:
        """Return None: what is committed may be read."""
        return None

    def translate(self, error: sa.exc.DBAPIError, *, committing: bool) -> Exception:
        """Return the error of our tree for this SQLite error."""
        original = error.orig
        name = getattr(original, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return DatabaseBusy(f"another program holds the database ({name}); try again")
        if committing and name.startswith("SQLITE_IOERR"):
            # It may have failed behind the last page that the commit needs: nobody can tell what is on disk.
            return CommitInDoubt(f"{_IO} during the commit ({name})")
        for prefix, meaning in _BROKEN.items():
            if name.startswith(prefix):
                # A failed commit of a rollback-able transaction was not done; SQLite says so by staying in it.
                return DatabaseBroken(f"{meaning} ({name})")
        if committing and not isinstance(original, sqlite3.IntegrityError):
            return CommitInDoubt(f"the commit failed: {original}")
        return error


def _configure(connection: Any, record: object) -> None:  # Any: the driver's own connection type
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    # Asking first: setting the mode takes a lock even where nothing changes.
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA journal_size_limit=67108864")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("overnight_begin", "BEGIN"))
