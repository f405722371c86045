"""Rows of an SQL query on an SQLite file or on a database by its URL: read, never written, a batch at a time.

An SQLite file is read under a guard that knows SELECT only. On PostgreSQL the query runs in a read-only transaction;
on any other database nothing is ever committed, and what it lets a query do is its own matter: give the source a user
who may only read.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from overnight.base.config import SourceSettings, shown
from overnight.base.deadline import interrupted_after
from overnight.base.errors import ConfigError, DatabaseBusy, MissingExtra, TransientError, one_line
from overnight.base.hiding import HIDDEN
from overnight.data.sources.cells import decoded, found
from overnight.data.sources.place import locate
from overnight.data.sources.reading import Found
from overnight.data.templates import expand

if TYPE_CHECKING:
    import sqlalchemy as sa

BATCH = 1000
BUSY_S = 5.0
"""Seconds for which a file that another program holds is waited for; never more than half of the source's time."""

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_VARIABLE = re.compile(r"\$\{\w+\}")


def read(name: str, settings: SourceSettings, project_dir: Path, *, variables: Mapping[str, str]) -> Iterator[Found]:
    """Yield the rows of the source's query in its order; "${NAME}" in the URL stands for one of `variables`.

    The query, and each further batch of rows, may take `timeout_s` seconds.

    Raises:
        ConfigError: no such file or database, a query that fails or would write, a column twice, or no column `id`
            where `fields` does not say what else names a record.
        MissingExtra: the database's driver is not installed.
        DatabaseBusy: another program holds the SQLite file.
        TransientError: the database cannot be reached, or took too long.
    """
    if settings.path is not None:
        yield from _from_file(name, settings, locate(name, settings.path, project_dir))
        return
    url = _url(name, settings, variables)
    if url.get_backend_name() != "sqlite":
        yield from _from_server(name, settings, url)
        return
    if url.database in (None, "", ":memory:"):
        raise ConfigError(f"sources.{name}.url: {place_of(settings)!r} names no file")
    yield from _from_file(name, settings, locate(name, str(url.database), project_dir, key="url"))


def place_of(settings: SourceSettings) -> str:
    """Return the source's path or address as it may be shown."""
    return str(shown("url", settings.path or settings.url or ""))


def _from_file(name: str, settings: SourceSettings, file: Path) -> Iterator[Found]:
    where = f"sources.{name}.query"
    try:
        with closing(_open(file, min(BUSY_S, settings.timeout_s / 2))) as connection:
            with interrupted_after(settings.timeout_s, connection.interrupt):
                cursor = connection.execute(settings.query or "")
            columns = _columns(where, settings, cursor.description or ())
            number = 0
            while True:
                with interrupted_after(settings.timeout_s, connection.interrupt):
                    batch = cursor.fetchmany(BATCH)
                if not batch:
                    return
                for cells in batch:
                    number += 1
                    yield found(f"row {number}", columns, cells)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _from_sqlite(f"{where}: {place_of(settings)}", error, settings.timeout_s) from error


def _open(file: Path, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=busy_s)
    # One text that is none costs its row, where sqlite3 itself would end the query.
    connection.text_factory = decoded
    connection.execute("PRAGMA query_only = 1")
    # Without this, ATTACH in the query could still create a file elsewhere.
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)
    return connection


def _from_sqlite(where: str, error: Exception, timeout_s: float) -> Exception:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DatabaseBusy(f"{where}: {one_line(error)}")
        case sqlite3.SQLITE_INTERRUPT:
            return TransientError(f"{where}: took longer than timeout_s = {timeout_s:g}")
    return ConfigError(f"{where}: {one_line(error)}")


def _url(name: str, settings: SourceSettings, variables: Mapping[str, str]) -> "sa.URL":
    import sqlalchemy as sa

    key, template = f"sources.{name}.url", settings.url or ""
    if not _VARIABLE.fullmatch(template):
        # A password may hold what would mean something in a URL.
        variables = {variable: quote(value, safe="") for variable, value in variables.items()}
    address = expand(template, variables, None, key)
    try:
        url = sa.make_url(address)
        url.get_dialect()
    except sa.exc.NoSuchModuleError:
        raise ConfigError(f"{key}: {place_of(settings)!r} is of no kind that SQLAlchemy knows") from None
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError(
            f"{key}: {place_of(settings)!r} is no database URL, such as postgresql://user@host/name"
        ) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _from_server(name: str, settings: SourceSettings, url: "sa.URL") -> Iterator[Found]:
    import sqlalchemy as sa

    engine = _engine(name, settings, url)
    where = f"sources.{name}.query"
    try:
        with engine.connect() as connection:
            if url.get_backend_name() == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(settings.timeout_s * 1000))}")
            # The query goes to the driver as it is: a colon or a percent sign in it means what the database says.
            as_it_is = {"no_parameters": True, "yield_per": BATCH}
            with connection.exec_driver_sql(settings.query or "", execution_options=as_it_is) as result:
                if not result.returns_rows:
                    raise ConfigError(f"{where}: is no query: it gives no rows")
                columns = _columns(where, settings, result.cursor.description)
                for number, cells in enumerate(result, 1):
                    yield found(f"row {number}", columns, cells)
    except sa.exc.DBAPIError as error:
        transient = error.connection_invalidated or isinstance(error, sa.exc.OperationalError)
        kind = TransientError if transient else ConfigError
        raise kind(f"{where}: {place_of(settings)}: {one_line(_without_password(url, str(error.orig)))}") from None
    finally:
        engine.dispose()


def _engine(name: str, settings: SourceSettings, url: "sa.URL") -> "sa.Engine":
    import sqlalchemy as sa

    try:
        connect = {"connect_timeout": max(2, round(settings.timeout_s))} if url.get_driver_name() == "psycopg" else {}
        return sa.create_engine(url, poolclass=sa.NullPool, connect_args=connect)
    except ImportError as error:
        extra = "the extra 'postgres': pip install 'overnight[postgres]'"
        needs = extra if url.get_driver_name() == "psycopg" else f"the Python package {error.name!r}"
        raise MissingExtra(f"sources.{name}.url: {url.drivername} needs {needs}") from error


def _columns(where: str, settings: SourceSettings, description: Iterable[Sequence[object]]) -> list[str]:
    columns = [str(column[0]) for column in description]
    if "id" not in columns and "id" not in settings.fields:
        raise ConfigError(
            f'{where} has no column "id", which names a record; it has {", ".join(columns) or "no columns"}: '
            "write SELECT ... AS id, or say under `fields` what names it"
        )
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ConfigError(f"{where} has the column {twice[0]!r} more than once; name them apart with AS")
    return columns


def _without_password(url: "sa.URL", text: str) -> str:
    return str(shown("url", text.replace(str(url.password), HIDDEN) if url.password else text))
