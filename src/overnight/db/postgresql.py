"""PostgreSQL through psycopg 3."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy, MissingExtra
from overnight.db.dialect import ColumnSpec

CONNECT_TIMEOUT_S = 10
"""How long a server may take to answer a new connection, unless the URL says otherwise."""

_BUSY = {"40001", "40P01", "55P03", "57014"}  # serialization, deadlock, lock not available, statement time-out
_BROKEN = {"53100": "the database's disk is full", "25006": "the database is read-only", "53200": "out of memory"}
_LOST = ("08", "57P", "25P03")  # connection exception, operator intervention, a transaction that stood still
FROZEN_S = 10
"""How long a writer may do nothing within its transaction. A process that is stopped or cut off there would keep its
locks, and nobody could take over from it; this is less than a lease."""


class Postgresql:
    """The dialect of several machines."""

    name = "postgresql"
    shared = True

    def create_engine(self, url: str) -> sa.Engine:
        """Return an engine whose commits wait for the disk, whatever the server's default is."""
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise MissingExtra("PostgreSQL needs the extra 'postgres': pip install 'overnight[postgres]'") from error
        parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
        arguments: dict[str, object] = {"prepare_threshold": 1}
        if "connect_timeout" not in parsed.query:
            arguments["connect_timeout"] = CONNECT_TIMEOUT_S
        engine = sa.create_engine(parsed, pool_size=4, max_overflow=64, pool_pre_ping=False, connect_args=arguments)
        sa.event.listen(engine, "connect", _configure)
        return engine

    def prepare_writer(self, connection: sa.Connection) -> None:
        """Let the writer's statements find their rows by index only, and a writer that stands still lose its locks.

        Their plans are kept, and the first ones are made while the tables are small, when reading all of a table looks
        cheapest; a million finished runs later that would take a hundred times as long.
        """
        for way in ("seqscan", "hashjoin", "mergejoin"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        connection.exec_driver_sql(f"SET idle_in_transaction_session_timeout = '{FROZEN_S}s'")
        connection.commit()

    def begin_write(self, connection: sa.Connection) -> None:
        """Open a transaction (read committed)."""
        connection.begin()

    def rows(self, parameter: str, columns: Sequence[ColumnSpec]) -> sa.Subquery:
        """Return the JSON array of arrays in `parameter` as a table with these columns."""
        given = sa.cast(sa.bindparam(parameter, type_=sa.Text), postgresql.JSONB)
        each = sa.func.jsonb_array_elements(given).table_valued(sa.column("value", postgresql.JSONB), name="each_row")
        picked = [
            sa.cast(each.c.value.op("->>", return_type=sa.Text)(sa.literal_column(str(index))), kind).label(name)
            for index, (name, kind) in enumerate(columns)
        ]
        return sa.select(*picked).select_from(each).subquery("given")

    def insert_new(self, table: sa.Table) -> sa.Executable:
        """Return the insert of a row, a parameter for each column; it leaves a row with the same primary key alone."""
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=[*table.primary_key])

    def allocate(self, connection: sa.Connection, table: sa.Table, count: int) -> range | list[int]:
        """Return the next numbers of the table's sequence."""
        name = f"{table.name}_{next(iter(table.primary_key)).name}_seq"
        rows = connection.exec_driver_sql(
            "SELECT nextval(%(name)s::regclass) FROM generate_series(1, %(count)s)", {"name": name, "count": count}
        )
        return sorted(row[0] for row in rows)

    def serialize(self, connection: sa.Connection, number: int) -> None:
        """Take an advisory lock that ends with the transaction."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%(number)s)", {"number": number})

    def stream_cursor(self, connection: sa.Connection) -> int | None:
        """Return the id of this transaction: see `stream_horizon`."""
        return int(connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar_one())

    def stream_horizon(self) -> sa.ColumnElement[int] | None:
        """Return the oldest transaction that may still be running.

        Ids of rows do not commit in order here, but every transaction below this one has ended: a reader that stays
        below it never passes over a batch that commits later.
        """
        return sa.literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", sa.BigInteger)

    def translate(self, error: sa.exc.DBAPIError, *, committing: bool) -> Exception:
        """Return the error of our tree for this PostgreSQL error; one that a statement made is returned as it is."""
        import psycopg

        state = getattr(error.orig, "sqlstate", None)
        if state in _BUSY:
            return DatabaseBusy(f"another program holds what was needed ({state}); try again")
        if state in _BROKEN:
            return DatabaseBroken(f"{_BROKEN[state]} ({state})")
        if committing and (state is None or state.startswith(_LOST)):
            return CommitInDoubt(f"the connection broke during the commit: {error.orig}")
        # The driver refuses some values by itself, without a code: that says nothing about the connection.
        silent = state is None and isinstance(error.orig, psycopg.OperationalError | psycopg.InterfaceError)
        if silent or (state is not None and state.startswith(_LOST)):
            return DatabaseBusy(f"the database cannot be reached: {error.orig}")
        return error


def _configure(connection: object, record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the driver's own connection type
    cursor.execute("SET synchronous_commit = on")
    cursor.execute("SET timezone = 'UTC'")
    cursor.close()
    connection.commit()  # type: ignore[attr-defined]  # the same
