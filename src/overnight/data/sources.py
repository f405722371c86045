"""Records from an SQL query on an SQLite file: read, never written, in batches.

A record is a dict of the query's columns; the column `id` names it, as text. A source that cannot say what it was asked
for says why in one line: an empty answer is an error, not success.
"""

import importlib.util
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from overnight.base.errors import ConfigError, DatabaseBusy, MissingExtra

Record = dict[str, Any]  # Any: a cell holds text, a number or None

PACKAGE = "package:"
BATCH = 1000
BUSY_S = 5.0

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


@dataclass(frozen=True, kw_only=True)
class SqlSource:
    """A query on an SQLite file.

    `path` is relative to the project folder, or `package:NAME/FILE` for a data file of an installed Python package.
    """

    name: str
    path: str
    query: str


def locate(source: SqlSource, project_dir: Path) -> Path:
    """Return the source's file.

    Raises:
        ConfigError: there is no such file, or it lies outside of the project.
        MissingExtra: the package is not installed.
    """
    key = f"sources.{source.name}.path"
    if source.path.startswith(PACKAGE):
        file = _package_file(key, source.path)
    else:
        file = (project_dir / source.path).resolve()
        if not file.is_relative_to(project_dir.resolve()):
            raise ConfigError(
                f"{key}: {source.path!r} lies outside of the project; allowed are files of the project folder "
                f'and "{PACKAGE}NAME/FILE"'
            )
    if not file.is_file():
        raise ConfigError(f"{key}: there is no file {source.path!r}")
    return file


def read(source: SqlSource, project_dir: Path, *, batch: int = BATCH, busy_s: float = BUSY_S) -> Iterator[list[Record]]:
    """Yield the source's records, at most `batch` at a time, in the order of the query.

    A file that another program holds is waited for `busy_s` seconds.

    Raises:
        ConfigError: no such file, a query that fails or would write, no column `id`, a column or an id twice, a binary
            cell, or no record at all.
        DatabaseBusy: another program holds the file.
    """
    file = locate(source, project_dir)
    with closing(_open(file, busy_s)) as connection:
        try:
            yield from _records(source, connection.execute(source.query), batch)
        except (sqlite3.Error, sqlite3.Warning) as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            kind = DatabaseBusy if busy else ConfigError
            raise kind(f"sources.{source.name}.query: {source.path}: {_one_line(error)}") from error


def _open(file: Path, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=busy_s)
    connection.execute("PRAGMA query_only = 1")
    # Without this, ATTACH in the query could still create a file elsewhere.
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)
    return connection


def _records(source: SqlSource, cursor: sqlite3.Cursor, batch: int) -> Iterator[list[Record]]:
    """Yield batches of checked records."""
    where = f"sources.{source.name}.query"
    columns = _columns(where, cursor)
    seen: set[str] = set()
    while rows := cursor.fetchmany(batch):
        yield [_record(where, columns, row, seen) for row in rows]
    if not seen:
        raise ConfigError(f"{where} found no records in {source.path}")


def _columns(where: str, cursor: sqlite3.Cursor) -> list[str]:
    columns = [column[0] for column in cursor.description or ()]
    if "id" not in columns:
        raise ConfigError(
            f'{where} has no column "id", which names a record; it has {", ".join(columns) or "no columns"}: '
            "write SELECT ... AS id"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ConfigError(f"{where} has the column {twice[0]!r} more than once; name them apart with AS")
    return columns


def _record(where: str, columns: list[str], row: tuple[Any, ...], seen: set[str]) -> Record:
    record = dict(zip(columns, row, strict=True))
    name = record["id"]
    if isinstance(name, float | bytes) or name in (None, ""):
        raise ConfigError(f"{where} gives a record the id {name!r}; allowed are whole numbers and text")
    record["id"] = name = str(name)
    if name in seen:
        raise ConfigError(f"{where} gives two records the id {name!r}")
    seen.add(name)
    for column, value in record.items():
        if isinstance(value, bytes):
            raise ConfigError(f"{where}: {column!r} of record {name!r} is binary; allowed are text and numbers")
    return record


def _package_file(key: str, path: str) -> Path:
    """Return a data file of an installed package; the package's code is not run."""
    package, _, inside = path.removeprefix(PACKAGE).partition("/")
    if not package.isidentifier() or not inside or ".." in PurePosixPath(inside).parts or inside.startswith("/"):
        raise ConfigError(f'{key}: {path!r} is not "{PACKAGE}NAME/FILE" with a file inside of the package')
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(f"{key}: the package {package!r} is not installed here; run `pip install {package}`")
    return Path(spec.submodule_search_locations[0]) / inside


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
