"""What differs between SQLite and PostgreSQL, as one interface.

The rest of the code builds SQLAlchemy Core statements that hold on both. Rows travel to the database in bulk as one
JSON text: one statement and one round trip for a whole group, however many rows it has.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa

ColumnSpec = tuple[str, sa.types.TypeEngine[Any]]


class Dialect(Protocol):
    """One kind of database. Stateless; safe to use from any thread."""

    name: str
    shared: bool
    """True where several workers may work on one project."""

    def create_engine(self, url: str) -> sa.Engine:
        """Return the engine: a pool of connections that commit durably."""

    def prepare_writer(self, connection: sa.Connection) -> None:
        """Set up the writer's connection, once."""

    def begin_write(self, connection: sa.Connection) -> None:
        """Open the transaction of a writer.

        Raises:
            DatabaseBusy: another program holds the database for longer than the busy time-out.
        """

    def rows(self, parameter: str, columns: Sequence[ColumnSpec]) -> sa.Subquery:
        """Return the JSON array of arrays in `parameter` as a table with these columns."""

    def insert_new(self, table: sa.Table) -> sa.Executable:
        """Return the insert of a row, a parameter for each column; it leaves a row with the same primary key alone."""

    def allocate(self, connection: sa.Connection, table: sa.Table, count: int) -> range | list[int]:
        """Return `count` new ids of `table`, ascending, that nobody else gets."""

    def serialize(self, connection: sa.Connection, number: int) -> None:
        """Let only one open transaction at a time go past this call with this number."""

    def stream_cursor(self, connection: sa.Connection) -> int | None:
        """Return the cursor for the event batch of this transaction; None where the database numbers it itself."""

    def stream_horizon(self) -> sa.ColumnElement[int] | None:
        """Return the first cursor that a reader may not see yet; None where commit order is id order."""

    def translate(self, error: sa.exc.DBAPIError, *, committing: bool) -> Exception:
        """Return the error of our tree that says what this database error means to the caller."""
