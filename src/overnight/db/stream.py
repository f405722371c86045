"""The event stream: what happened, in an order in which a reader can go on after any point.

One row holds all events of one transaction. The row's cursor is the row id on SQLite, where one writer at a time makes
ids commit in order, and the transaction id on PostgreSQL, where a reader stays below the oldest running transaction.
The table is trimmed: it serves followers, history lives with the things themselves.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.db.dialect import Dialect
from overnight.db.prepared import Prepared

metadata = sa.MetaData()

stream = sa.Table(
    "stream",
    metadata,
    # SQLite numbers rows only where the type reads INTEGER.
    sa.Column("cursor", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

KEEP_BYTES = 4_000_000
"""How much of the stream is kept for followers that were away."""

Event = dict[str, Any]  # Any: events are JSON objects, their keys depend on the kind


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The events of one transaction; a follower goes on after `cursor`."""

    cursor: int
    at_us: int
    events: list[Event]


_APPEND = Prepared(
    lambda dialect: sa.insert(stream).values(
        cursor=sa.bindparam("cursor"), at_us=sa.bindparam("at_us"), body=sa.bindparam("body")
    )
)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def append(connection: sa.Connection, dialect: Dialect, at_us: int, events: Sequence[Event]) -> None:
    """Write the events of this transaction as one batch."""
    body = _encode(events)
    _APPEND(connection, dialect, cursor=dialect.stream_cursor(connection), at_us=at_us, body=body)


def read(connection: sa.Connection, dialect: Dialect, after: int, limit: int = 1000) -> Iterator[Batch]:
    """Yield up to `limit` batches behind the cursor `after`, oldest first; none is ever passed over."""
    query = sa.select(stream.c.cursor, stream.c.at_us, stream.c.body).where(stream.c.cursor > after)
    horizon = dialect.stream_horizon()
    if horizon is not None:
        query = query.where(stream.c.cursor < horizon)
    for cursor, at_us, body in connection.execute(query.order_by(stream.c.cursor).limit(limit)):
        yield Batch(cursor=cursor, at_us=at_us, events=json.loads(body))


def newest(connection: sa.Connection) -> int:
    """Return the cursor of the newest batch, 0 where there is none."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(stream.c.cursor), 0))).scalar_one())


def trim(connection: sa.Connection, keep_bytes: int = KEEP_BYTES) -> int:
    """Delete the oldest batches beyond `keep_bytes` of text and return how many there were."""
    kept = sa.func.sum(sa.func.length(stream.c.body)).over(order_by=stream.c.cursor.desc()).label("kept")
    sizes = sa.select(stream.c.cursor, kept).subquery()
    last = sa.select(sa.func.max(sizes.c.cursor)).where(sizes.c.kept > keep_bytes)
    return connection.execute(sa.delete(stream).where(stream.c.cursor <= last.scalar_subquery())).rowcount
