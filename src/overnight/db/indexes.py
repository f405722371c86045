"""Indexes of some rows only, on both databases."""

from typing import Any

import sqlalchemy as sa


def partial(
    name: str,
    *columns: sa.Column[Any],  # Any: of whatever type
    where: sa.ColumnElement[bool],
    unique: bool = False,
) -> None:
    """Add to the columns' table an index of the rows that fulfil `where`."""
    index = sa.Index(name, *columns, unique=unique, sqlite_where=where)

    # Said when the tables are made there: to say it at once would load SQLAlchemy's PostgreSQL part on SQLite too.
    def for_postgresql(target: sa.MetaData, connection: sa.Connection, **_: Any) -> None:  # Any: SQLAlchemy's own
        if connection.dialect.name == "postgresql":
            index.dialect_options["postgresql"]["where"] = where

    sa.event.listen(columns[0].table.metadata, "before_create", for_postgresql)
