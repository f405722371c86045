"""One project's database: readers with connections of their own, and the writer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from overnight.base.clock import Clock
from overnight.base.errors import ConfigError, DatabaseBroken
from overnight.base.points import Hook, no_hook
from overnight.db.dialect import Dialect
from overnight.db.doorbell import Doorbell, NotifyDoorbell, SocketDoorbell
from overnight.db.sqlite import Sqlite
from overnight.db.writer import Writer
from overnight.telemetry.measures import Measures


class Database:
    """The engine, the dialect, the writer and the doorbell of one database. Close it when done."""

    def __init__(
        self, url: str, clock: Clock, state_folder: Path, *, hook: Hook = no_hook, dialect: Dialect | None = None
    ) -> None:
        self.url = url
        self.clock = clock
        self.dialect = dialect or dialect_of(url)
        self.measures = Measures()
        self.engine = self.dialect.create_engine(url)
        self.doorbell: Doorbell = (
            SocketDoorbell(state_folder / "bells") if self.dialect.name == "sqlite" else NotifyDoorbell(self.engine)
        )
        self.writer = Writer(
            self.engine,
            self.dialect,
            clock,
            ring=self.doorbell.ring,
            ring_inside=self.doorbell.ring_inside,
            hook=hook,
            measures=self.measures,
        )

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection with a consistent view; it never blocks the writer and is never blocked by it.

        Raises:
            DatabaseBroken, DatabaseBusy: the database cannot be read; the message says why.
        """
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._said_of(self.dialect.translate(error, committing=False)) from error

    def _said_of(self, error: Exception) -> Exception:
        """Return the error with the name of the file that it is about, where there is one."""
        file = self.engine.url.database if self.dialect.name == "sqlite" else None
        return DatabaseBroken(f"{file}: {error}") if file and isinstance(error, DatabaseBroken) else error

    def check(self) -> list[str]:
        """Return what the database says is wrong with itself; an empty list means nothing."""
        with self.read() as connection:
            if self.dialect.name != "sqlite":
                connection.exec_driver_sql("SELECT 1")
                return []
            try:
                rows = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            except sa.exc.DatabaseError as error:
                raise DatabaseBroken(f"the database file is damaged: {error.orig}") from error
        return [row for row in rows if row != "ok"]

    def tidy(self) -> str:
        """Let the database renew what it knows about its tables, where that is worth it, and return what was done.

        PostgreSQL does so by itself (autovacuum).
        """
        if self.dialect.name != "sqlite":
            return "left to autovacuum"
        self.writer.do(lambda tx: tx.connection.exec_driver_sql("PRAGMA optimize"))
        return "PRAGMA optimize"

    def close(self) -> None:
        """Write what is waiting and close every connection."""
        self.writer.close()
        self.doorbell.close()
        self.engine.dispose()


def dialect_of(url: str) -> Dialect:
    """Return the dialect that the database URL asks for.

    Raises:
        ConfigError: the URL names another database than SQLite or PostgreSQL.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        return Sqlite()
    if scheme in ("postgresql", "postgres"):
        # SQLAlchemy's part for it takes a third of the time that opening a project on SQLite takes.
        from overnight.db.postgresql import Postgresql

        return Postgresql()
    raise ConfigError(f"engine.database: {scheme!r} is not supported (sqlite:///PATH or postgresql://...)")
