"""Served requests in the database: the newest of each model, for replays and for outcomes that are told later."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.serving.replay import Recorded
from overnight.serving.tables import requests

KEPT = 10_000
"""Requests of a model that are kept, the newest ones."""
PRUNE_EVERY = 500
"""Requests, of all models, between two looks at which are too many."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that was answered."""

    request_id: str
    model: str
    version: str
    key: str
    input: Any  # Any: JSON
    output: Any  # Any: JSON
    at_us: int


def record(tx: Tx, answered: Sequence[Sequence[Request]]) -> list[None]:
    """Add requests, and forget those that are too many; joins what several callers hand over."""
    some = [request for call in answered for request in call]
    numbers = list(tx.dialect.allocate(tx.connection, requests, len(some)))
    rows = [
        {
            "number": number,
            "request_id": one.request_id,
            "model": one.model,
            "version": one.version,
            "key": one.key,
            "input": to_json(one.input),
            "output": to_json(one.output),
            "at_us": one.at_us,
        }
        for number, one in zip(numbers, some, strict=True)
    ]
    tx.connection.execute(sa.insert(requests), rows)
    if numbers[-1] // PRUNE_EVERY > (numbers[0] - 1) // PRUNE_EVERY:
        _prune(tx)
    return [None] * len(answered)


def _prune(tx: Tx) -> None:
    counts = sa.select(requests.c.model).group_by(requests.c.model).having(sa.func.count() > KEPT)
    for (model,) in tx.connection.execute(counts).fetchall():
        newest = sa.select(requests.c.number).where(requests.c.model == model).order_by(requests.c.number.desc())
        oldest = tx.connection.execute(newest.offset(KEPT - 1).limit(1)).scalar_one()
        tx.connection.execute(sa.delete(requests).where(requests.c.model == model, requests.c.number < oldest))


def newest(connection: sa.Connection, model: str, limit: int = KEPT) -> list[Recorded]:
    """Return recorded requests of a model, the newest first."""
    columns = (requests.c.request_id, requests.c.input, requests.c.expected)
    query = sa.select(*columns).where(requests.c.model == model).order_by(requests.c.number.desc()).limit(limit)
    return [
        Recorded(
            request_id=row.request_id,
            input=json.loads(row.input),
            expected=None if row.expected is None else json.loads(row.expected),
            known=row.expected is not None,
        )
        for row in connection.execute(query)
    ]


def find(connection: sa.Connection, request_ids: Collection[str]) -> dict[str, Request]:
    """Return those of the requests that are recorded, by id."""
    names = [column.name for column in requests.c if column.name not in ("number", "expected")]
    query = sa.select(*(requests.c[name] for name in names)).where(requests.c.request_id.in_(request_ids))
    found = [Request(**{**row._mapping, **_read(row._asdict())}) for row in connection.execute(query)]
    return {request.request_id: request for request in found}


def _read(row: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    return {name: json.loads(row[name]) for name in ("input", "output")}


def tell(tx: Tx, expected: Mapping[str, Any]) -> None:  # Any: JSON
    """Record what would have been right for requests, by their ids."""
    for request_id, value in expected.items():
        tx.connection.execute(
            sa.update(requests).where(requests.c.request_id == request_id).values(expected=to_json(value))
        )
