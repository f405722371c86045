"""Statements that are built and compiled once, for the paths where every microsecond counts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from overnight.db.dialect import Dialect


class Cursor(Protocol):
    """What a statement leaves behind: the driver's own cursor."""

    rowcount: int

    def fetchall(self) -> list[Sequence[Any]]:  # Any: a database row
        """Return the rows that are left."""

    def close(self) -> None:
        """Let go of what the statement still holds."""

    def fetchone(self) -> Sequence[Any] | None:  # Any: a database row
        """Return the next row, or None."""


class Prepared:
    """A SQLAlchemy Core statement that is compiled to text at its first use on each dialect.

    Run through SQLAlchemy, a statement is walked for its cache key and its result described at every call, which for
    the wide statements of the queue costs five times what the database's own work does. So the text goes straight to
    the driver; rows come back as the driver gives them, errors as SQLAlchemy's.
    """

    def __init__(self, build: Callable[[Dialect], sa.Executable]) -> None:
        self._build = build
        self._texts: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def __call__(self, connection: sa.Connection, dialect: Dialect, **parameters: object) -> Cursor:
        """Execute the statement in the connection's transaction."""
        sql, order, constants = self._text(connection, dialect)
        values = {**constants, **parameters} if constants else parameters
        given = values if order is None else tuple(values[name] for name in order)
        return self._run(connection, "execute", sql, given)

    def each(self, connection: sa.Connection, dialect: Dialect, rows: Iterable[Mapping[str, object]]) -> int:
        """Execute the statement with the parameters of each row, all of them; return how many rows it changed."""
        sql, order, constants = self._text(connection, dialect)
        values = [{**constants, **row} for row in rows] if constants else list(rows)
        given = values if order is None else [tuple(row[name] for name in order) for row in values]
        return self._run(connection, "executemany", sql, given).rowcount

    def _text(self, connection: sa.Connection, dialect: Dialect) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = self._compile(connection, dialect)
        return text

    def _run(self, connection: sa.Connection, how: str, sql: str, given: object) -> Cursor:
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor: Cursor = driver.cursor()
        try:
            getattr(cursor, how)(sql, given)
        except connection.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # every dialect in use has a driver
            # The traceback keeps it, and SQLite would wait for it before it takes the transaction back.
            cursor.close()
            raise sa.exc.DBAPIError(sql, None, error) from error
        return cursor

    def _compile(
        self, connection: sa.Connection, dialect: Dialect
    ) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        compiled = self._build(dialect).compile(dialect=connection.dialect)  # type: ignore[attr-defined]  # all of them have it
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        order = tuple(compiled.positiontup) if compiled.positional else None
        return str(compiled), order, constants
