"""Statements that are built and compiled once, for the paths where every microsecond counts."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from overnight.db.dialect import Dialect


class Prepared:
    """A SQLAlchemy Core statement that is compiled to text at its first use on each dialect.

    SQLAlchemy's own statement cache saves the compilation but still walks the whole statement at every call; for the
    wide statements of the queue that walk costs more than the database's work on them.
    """

    def __init__(self, build: Callable[[Dialect], sa.Executable]) -> None:
        self._build = build
        self._texts: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def __call__(self, connection: sa.Connection, dialect: Dialect, **parameters: object) -> sa.CursorResult[Any]:
        """Execute the statement; rows come back as the driver gives them, without type conversion."""
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = self._compile(connection, dialect)
        sql, order, constants = text
        values = {**constants, **parameters} if constants else parameters
        if order is None:
            return connection.exec_driver_sql(sql, values)
        return connection.exec_driver_sql(sql, tuple(values[name] for name in order))

    def _compile(
        self, connection: sa.Connection, dialect: Dialect
    ) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        compiled = self._build(dialect).compile(dialect=connection.dialect)  # type: ignore[attr-defined]  # all of them have it
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        order = tuple(compiled.positiontup) if compiled.positional else None
        return str(compiled), order, constants
