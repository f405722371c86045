"""Versions in the database. A training run gives one version, however often it is registered."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.registry.tables import served, versions
from overnight.registry.versions import Version, next_number


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a training run hands to the registry; see `Version` for the fields."""

    model: str
    run_id: int
    snapshot_id: str
    manifest: Mapping[str, Mapping[str, Any]]
    signature: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]


def register(tx: Tx, candidate: Candidate, *, serve: bool, why: str) -> Version:
    """Add the version and, with `serve`, let it serve from now on; a run that is registered already changes nothing."""
    # Two transactions that look at the newest version at the same time would both give the next number.
    tx.dialect.serialize(tx.connection, _number_of(candidate.model))
    known = of_run(tx.connection, candidate.run_id)
    if known is not None:
        return known
    previous = newest(tx.connection, candidate.model)
    champion = serving(tx.connection, candidate.model)
    number = next_number(
        None if previous is None else previous.number,
        {} if previous is None else previous.signature,
        json.loads(to_json(candidate.signature)),
    )
    [version_id] = tx.dialect.allocate(tx.connection, versions, 1)
    tx.connection.execute(
        sa.insert(versions).values(
            version_id=version_id,
            model=candidate.model,
            number=number,
            run_id=candidate.run_id,
            parent_id=None if champion is None else champion.version_id,
            snapshot_id=candidate.snapshot_id,
            manifest=to_json(candidate.manifest),
            signature=to_json(candidate.signature),
            metrics=to_json(candidate.metrics),
            verdict=to_json(candidate.verdict),
            created_us=tx.now_us,
        )
    )
    tx.emit({"event": "model_ready", "model": candidate.model, "version": number, "serves": serve})
    if serve:
        tx.connection.execute(
            sa.insert(served).values(model=candidate.model, version_id=version_id, since_us=tx.now_us, why=why)
        )
    made = of_run(tx.connection, candidate.run_id)
    assert made is not None
    return made


def _number_of(model: str) -> int:
    """Return a number of the lock on the model's versions, above all numbers that are used for cycles."""
    return zlib.crc32(model.encode()) + (1 << 62)


def of_run(connection: sa.Connection, run_id: int) -> Version | None:
    """Return the version that a training run gave."""
    return _one(connection, sa.select(versions).where(versions.c.run_id == run_id))


def runs_of_versions(connection: sa.Connection) -> set[int]:
    """Return the training runs that gave a version: its figures are traced to them."""
    return {run_id for (run_id,) in connection.execute(sa.select(versions.c.run_id))}


def newest(connection: sa.Connection, model: str) -> Version | None:
    """Return the version that was trained last, whether it serves or not."""
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.version_id.desc()).limit(1)
    return _one(connection, query)


def serving(connection: sa.Connection, model: str) -> Version | None:
    """Return the champion: the version that serves."""
    last = sa.select(served.c.version_id).where(served.c.model == model).order_by(served.c.served_id.desc()).limit(1)
    return _one(connection, sa.select(versions).where(versions.c.version_id == last.scalar_subquery()))


def history(connection: sa.Connection, model: str) -> list[Version]:
    """Return all versions of the model, newest first."""
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.version_id.desc())
    return [_version(row) for row in connection.execute(query)]


def _one(connection: sa.Connection, query: sa.Select[Any]) -> Version | None:
    row = connection.execute(query).fetchone()
    return None if row is None else _version(row)


def _version(row: sa.Row[Any]) -> Version:
    values = dict(row._mapping)
    for name in ("manifest", "signature", "metrics", "verdict"):
        values[name] = json.loads(values[name])
    return Version(**values)
