"""Versions in the database. A training run gives one version, however often it is registered."""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import InvalidTransition
from overnight.base.files import to_json
from overnight.base.ids import RunId
from overnight.base.refs import Bump
from overnight.db.writer import Tx
from overnight.registry.tables import OPEN, deployments, served, tags, versions
from overnight.registry.versions import Version, next_number, parts_of

GATE = "gate"
"""Who lets a version serve as its verdict says."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a training run hands to the registry; see `Version` for the fields. `bump` None: as the signatures say."""

    model: str
    run_id: int
    snapshot_id: str
    manifest: Mapping[str, Mapping[str, Any]]
    signature: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    code: Mapping[str, Any] = field(default_factory=dict)
    bump: Bump | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """A version that began to serve: when, by whom (None: nobody wrote it down) and why."""

    version_id: int
    number: str
    since_us: int
    by: str | None
    why: str


def register(tx: Tx, candidate: Candidate, *, serve: bool, why: str, by: str = GATE) -> Version:
    """Add the version and, with `serve`, let it serve from now on; a run that is registered already changes nothing."""
    serialize(tx, candidate.model)
    known = of_run(tx.connection, candidate.run_id)
    if known is not None:
        return known
    before = highest(tx.connection, candidate.model)
    number = next_number(
        None if before is None else before.number,
        {} if before is None else before.signature,
        json.loads(to_json(candidate.signature)),
        candidate.bump,
    )
    champion = serving(tx.connection, candidate.model)
    values = {
        "model": candidate.model,
        "number": number,
        "run_id": candidate.run_id,
        "parent_id": None if champion is None else champion.version_id,
        "snapshot_id": candidate.snapshot_id,
        "created_us": tx.now_us,
        **{name: getattr(candidate, name) for name in _JSON if name != "origin"},
    }
    made = insert(tx, values)
    tx.emit({"event": "model_ready", "model": candidate.model, "version": number, "serves": serve})
    if serve:
        let_serve(tx, made, by=by, why=why)
    return made


def serialize(tx: Tx, model: str) -> None:
    """Let nobody else add a version of the model, or change which one serves, until this transaction ends."""
    tx.dialect.serialize(tx.connection, _number_of(model))


def insert(tx: Tx, values: Mapping[str, Any]) -> Version:
    """Add a row of a version; `values` are the fields of `Version`, without its id."""
    [version_id] = tx.dialect.allocate(tx.connection, versions, 1)
    row = {name: to_json(value) if name in _JSON and value is not None else value for name, value in values.items()}
    tx.connection.execute(sa.insert(versions).values(version_id=version_id, **row))
    made = of_id(tx.connection, version_id)
    assert made is not None
    return made


def check_kept(tx: Tx, version: Version) -> None:
    """Refuse to go on with a version whose artifact was removed meanwhile.

    Raises:
        InvalidTransition: it was.
    """
    now = of_id(tx.connection, version.version_id)
    if now is None or now.removed_us is not None:
        raise InvalidTransition(f"the artifact of {version.model} {version.number} was removed; train the model again")


def let_serve(tx: Tx, version: Version, *, by: str, why: str) -> None:
    """Let the version serve from now on.

    Raises:
        InvalidTransition: its artifact was removed.
    """
    check_kept(tx, version)
    row = {"model": version.model, "version_id": version.version_id, "since_us": tx.now_us, "by": by, "why": why}
    tx.connection.execute(sa.insert(served).values(row))


def _number_of(model: str) -> int:
    """Return a number of the lock on the model's versions, above all numbers that are used for cycles."""
    return zlib.crc32(model.encode()) + (1 << 62)


def models(connection: sa.Connection) -> list[str]:
    """Return the models that have versions, by name."""
    query = sa.select(versions.c.model).distinct().order_by(versions.c.model)
    return [model for (model,) in connection.execute(query)]


def of_id(connection: sa.Connection, version_id: int) -> Version | None:
    """Return the version of that id."""
    return _one(connection, sa.select(versions).where(versions.c.version_id == version_id))


def of_run(connection: sa.Connection, run_id: int) -> Version | None:
    """Return the version that a training run gave."""
    return _one(connection, sa.select(versions).where(versions.c.run_id == run_id))


def champions(connection: sa.Connection) -> dict[str, str]:
    """Return the number of the version that serves, by model."""
    last = sa.select(sa.func.max(served.c.served_id)).group_by(served.c.model)
    query = sa.select(versions.c.model, versions.c.number).join(served, served.c.version_id == versions.c.version_id)
    return {row.model: row.number for row in connection.execute(query.where(served.c.served_id.in_(last)))}


def of_number(connection: sa.Connection, model: str, number: str) -> Version | None:
    """Return the version of that number."""
    return _one(connection, sa.select(versions).where(versions.c.model == model, versions.c.number == number))


def runs_of_versions(connection: sa.Connection) -> set[int]:
    """Return the training runs that gave a version: its figures are traced to them."""
    query = sa.select(versions.c.run_id).where(versions.c.run_id.is_not(None))
    return {run_id for (run_id,) in connection.execute(query)}


def runs_by_number(connection: sa.Connection, models: Iterable[str]) -> dict[tuple[str, str], RunId]:
    """Return the training runs that gave the versions of these models, by model and number; imported ones have none."""
    query = sa.select(versions.c.model, versions.c.number, versions.c.run_id).where(
        versions.c.model.in_(list(models)), versions.c.run_id.is_not(None)
    )
    return {(row.model, row.number): RunId(row.run_id) for row in connection.execute(query)}


def newest(connection: sa.Connection, model: str) -> Version | None:
    """Return the version that came last, whether it serves or not."""
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.version_id.desc()).limit(1)
    return _one(connection, query)


def highest(connection: sa.Connection, model: str) -> Version | None:
    """Return the version of the highest number; an imported one may have come later with a lower number."""
    query = sa.select(versions.c.number).where(versions.c.model == model)
    numbers = [number for (number,) in connection.execute(query)]
    return of_number(connection, model, max(numbers, key=parts_of)) if numbers else None


def serving(connection: sa.Connection, model: str) -> Version | None:
    """Return the champion: the version that serves."""
    last = sa.select(served.c.version_id).where(served.c.model == model).order_by(served.c.served_id.desc()).limit(1)
    return _one(connection, sa.select(versions).where(versions.c.version_id == last.scalar_subquery()))


def served_before(connection: sa.Connection, model: str) -> Version | None:
    """Return the version that served before the champion did."""
    ids = [service.version_id for service in services(connection, model)]
    before = next((one for one in ids if one != ids[0]), None)
    return None if before is None else of_id(connection, before)


def services(connection: sa.Connection, model: str) -> list[Service]:
    """Return what has served when, by whom and why, newest first."""
    query = (
        sa.select(served.c.version_id, versions.c.number, served.c.since_us, served.c.by, served.c.why)
        .join(versions, versions.c.version_id == served.c.version_id)
        .where(served.c.model == model)
        .order_by(served.c.served_id.desc())
    )
    return [Service(**row._mapping) for row in connection.execute(query)]


def is_rolled_out(connection: sa.Connection, model: str) -> bool:
    """Tell whether a rollout of the model has not ended."""
    query = sa.select(deployments.c.deployment_id).where(deployments.c.model == model, OPEN)
    return connection.execute(query).first() is not None


def deployed(connection: sa.Connection) -> int:
    """Return of how many models a version serves."""
    return int(connection.execute(sa.select(sa.func.count(sa.distinct(served.c.model)))).scalar_one())


def history(connection: sa.Connection, model: str) -> list[Version]:
    """Return all versions of the model, newest first."""
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.version_id.desc())
    return [_version(row) for row in connection.execute(query)]


def tags_of(connection: sa.Connection, model: str) -> dict[str, int]:
    """Return the tags of a model: name to the id of the version."""
    query = sa.select(tags.c.name, tags.c.version_id).where(tags.c.model == model).order_by(tags.c.name)
    return {row.name: row.version_id for row in connection.execute(query)}


def put_tag(tx: Tx, version: Version, name: str, *, by: str) -> None:
    """Give the version the tag, and take it from the one that had it."""
    drop_tag(tx, version.model, name)
    row = {"model": version.model, "name": name, "version_id": version.version_id, "since_us": tx.now_us, "by": by}
    tx.connection.execute(sa.insert(tags).values(row))


def drop_tag(tx: Tx, model: str, name: str) -> None:
    """Take the tag away."""
    tx.connection.execute(sa.delete(tags).where(tags.c.model == model, tags.c.name == name))


def forget_artifact(tx: Tx, version_id: int) -> None:
    """Note that the version's artifact is gone; what is known of the version stays."""
    change = sa.update(versions).where(versions.c.version_id == version_id, versions.c.removed_us.is_(None))
    tx.connection.execute(change.values(removed_us=tx.now_us))


def regain_artifact(tx: Tx, version_id: int) -> None:
    """Note that the version's artifact is there again."""
    tx.connection.execute(sa.update(versions).where(versions.c.version_id == version_id).values(removed_us=None))


def _one(connection: sa.Connection, query: sa.Select[Any]) -> Version | None:
    row = connection.execute(query).fetchone()
    return None if row is None else _version(row)


_JSON = ("manifest", "signature", "metrics", "verdict", "code", "origin")


def _version(row: sa.Row[Any]) -> Version:
    values = dict(row._mapping)
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Version(**values)
