"""Running a query on SQLite and on DuckDB, over the same rows, without letting it do more than read.

SQLite runs it first: its authoriser lets nothing but reading pass, and it stops after a fixed amount of work. Only what
SQLite has answered goes to DuckDB, which may reach no file and has a bound of memory.
"""

import re
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from math import isclose
from typing import Any, Literal

from overnight.base.errors import MissingExtra
from overnight.campaigns.generators.sql_rows import Cell, Filled
from overnight.campaigns.generators.sql_schemas import ddl

Row = tuple[Cell, ...]
Engine = Literal["SQLite", "DuckDB"]
MOST_ROWS = 1000
_STEPS, _LOOKS = 1000, 3000
"""Instructions of SQLite's machine between two looks, and looks until it is stopped: some tens of milliseconds."""
_LONGEST_BYTES = 100_000
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})
# Without these, tables that are joined by a condition are joined row by row.
_WORTH_WHILE = {"filter_pushdown", "join_order"}
# Of keys, DuckDB keeps an index of some megabytes each; SQLite has looked after them already.
_KEY = re.compile(r" PRIMARY KEY| REFERENCES \w+ \(\w+\)")
# What SQLite calls by these names; DuckDB has dates of a type of its own, and the columns are texts on both.
_MACROS = (
    "CREATE MACRO strftime(form, day) AS system.main.strftime(CAST(day AS DATE), form)",
    "CREATE MACRO julianday(day) AS epoch(CAST(day AS TIMESTAMP)) / 86400.0 + 2440587.5",
)


class CannotRun(Exception):
    """An engine does not run the query; the message says why, in the words of the engine."""


class DuckDb:
    """One DuckDB in memory for all rows, each set of them in a schema of its own; loaded when it is needed.

    An instance takes some megabytes, whatever is in it.
    """

    def __init__(self) -> None:
        self._instance: Any = None  # Any: duckdb has types only where it is installed
        self._cursors: dict[Filled, Any] = {}

    def ask(self, filled: Filled, sql: str) -> list[Row]:
        """Return what a query answers, asked of these rows.

        Raises:
            CannotRun: DuckDB does not take it.
            MissingExtra: DuckDB is not installed.
        """
        try:
            import duckdb
        except ImportError:
            raise MissingExtra("questions in SQL need the extra `data`: pip install 'overnight[data]'") from None
        if self._instance is None:
            self._instance = duckdb.connect(
                config={"threads": 1, "memory_limit": "256MB", "enable_external_access": False}
            )
            _configure(self._instance)
        try:
            rows: list[Row] = self._cursor(filled).execute(sql).fetchall()
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException | duckdb.InternalException):
                self._instance, self._cursors = None, {}  # it answers nothing from then on: the next one begins anew
            raise CannotRun(str(error)) from error
        return rows

    def _cursor(self, filled: Filled) -> Any:
        if filled not in self._cursors:
            schema = f"rows_{len(self._cursors)}"
            self._instance.execute(f"CREATE SCHEMA {schema}")
            cursor = self._instance.cursor()
            cursor.execute(f"USE memory.{schema}")
            _fill(cursor, filled)
            self._cursors[filled] = cursor
        return self._cursors[filled]


class Databases:
    """The same rows in SQLite, in memory, and in a DuckDB that may hold others too."""

    def __init__(self, filled: Filled, duckdb: DuckDb) -> None:
        self._filled = filled
        self._duckdb = duckdb
        self._sqlite = _in_sqlite(filled)
        self._looks = 0
        self._sqlite.set_progress_handler(self._look, _STEPS)

    def sqlite(self, sql: str) -> list[Row]:
        """Return the rows that SQLite answers.

        Raises:
            CannotRun: it is no query that reads, is wrong, takes too long, or answers more than 1,000 rows.
        """
        self._looks = 0
        try:
            rows = self._sqlite.execute(sql).fetchmany(MOST_ROWS + 1)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise CannotRun(str(error)) from error
        if len(rows) > MOST_ROWS:
            raise CannotRun(f"more than {MOST_ROWS} rows")
        return rows

    def duckdb(self, sql: str) -> list[Row]:
        """Return the rows that DuckDB answers. Ask SQLite first: it is the one that bounds what a query does.

        Raises:
            CannotRun, MissingExtra: see `DuckDb.ask`.
        """
        return self._duckdb.ask(self._filled, sql)

    def _look(self) -> int:
        self._looks += 1
        return int(self._looks > _LOOKS)


def same(left: Sequence[Row], right: Sequence[Row], *, ordered: bool) -> bool:
    """Return whether two answers are the same, up to rounding, and up to the order of rows where none was asked for."""
    if len(left) != len(right):
        return False
    if left == right:
        return True
    ones, others = [_plain(row) for row in left], [_plain(row) for row in right]
    if not ordered:
        ones, others = sorted(ones, key=_key), sorted(others, key=_key)
    return all(len(one) == len(other) and all(map(_equal, one, other)) for one, other in zip(ones, others, strict=True))


def trivial(rows: Sequence[Row]) -> bool:
    """Return whether an answer says nothing: no row, or nothing but missing values and zeros."""
    return not any(cell not in (None, 0, "") for row in rows for cell in row)


def _plain(row: Row) -> tuple[str | float | None, ...]:
    return tuple(float(cell) if isinstance(cell, int | float | Decimal) else cell for cell in row)


def _key(row: tuple[str | float | None, ...]) -> list[tuple[int, str]]:
    return [(1, f"{cell:.6g}") if isinstance(cell, float) else (2, cell) if cell else (0, "") for cell in row]


def _equal(one: str | float | None, other: str | float | None) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    return one == other


def _allowed(action: int, one: str | None, two: str | None, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READING and two != "load_extension" else sqlite3.SQLITE_DENY


def _in_sqlite(filled: Filled) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    for table in filled.schema.tables.values():
        connection.execute(ddl(table))
        rows = filled.rows(table)
        connection.executemany(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_BYTES)
    connection.set_authorizer(_allowed)
    return connection


def _fill(connection: Any, filled: Filled) -> None:  # Any: duckdb has types only where it is installed
    for table in filled.schema.tables.values():
        connection.execute(_KEY.sub("", ddl(table)).replace(" REAL", " DOUBLE"))
        rows = filled.rows(table)
        marks = f"({', '.join('?' * len(rows[0]))})"
        connection.execute(
            f"INSERT INTO {table.name} VALUES {', '.join([marks] * len(rows))}",
            [cell for row in rows for cell in row],
        )
    for macro in _MACROS:
        connection.execute(macro)


def _configure(connection: Any) -> None:  # Any: as above
    optimizers = {name for (name,) in connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()}
    for statement in (
        # As SQLite orders them.
        "SET default_null_order = 'nulls_first_on_asc_last_on_desc'",
        # The tables are small: planning well takes longer than answering.
        f"SET disabled_optimizers = '{','.join(sorted(optimizers - _WORTH_WHILE))}'",
    ):
        connection.execute(statement)
