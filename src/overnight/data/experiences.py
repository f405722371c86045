"""Experiences in the database: taken once, whatever batch they come in, and used once.

The buffer of a model_type is a view: the newest `BUFFER` of its experiences that are good enough and that no job has
used. Older ones stay, and come into view when the newer ones are used.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from overnight.data.tables import UNUSED, experience_batches, experiences
from overnight.db.dialect import Dialect
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx

BUFFER = 10_000
"""Experiences that one job is trained on at the most."""
TAKING = 6
"""The number of the lock on new experiences; see `engine.pausing` for the others."""
_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """The experiences of one batch, all of which can be used, each once.

    A row is an experience's SHA-256, its quality in millionths and itself as JSON; `sent` counts equal ones too. What
    is compared is whole numbers, because SQLite reads decimal fractions from JSON with a last digit that may differ.
    """

    batch_id: str | None
    model_type: str
    rows: Sequence[tuple[str, int, str]]
    sent: int

    @property
    def digest(self) -> str:
        """The SHA-256 of what it holds, whatever its name."""
        return sha256("\n".join([self.model_type, *(row[0] for row in self.rows)]).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a batch: how many of its experiences are new. None: its id was another batch's."""

    batch_id: str
    accepted: int | None


@dataclass(frozen=True, kw_only=True)
class Held:
    """How many experiences of a model_type there are: not used and good enough, not used and not good enough, used."""

    model_type: str
    unused: int
    below: int
    used: int


def millionths(quality_0_1: float) -> int:
    """Return a quality as it is stored and compared."""
    return round(quality_0_1 * _MILLION)


def _build_insert(dialect: Dialect) -> sa.Executable:
    columns = [(name, experiences.c[name].type) for name in ("key", "quality_millionths", "body")]
    given = dialect.rows("rows", columns)
    model_type = sa.bindparam("model_type", type_=sa.Text)
    same = (experiences.c.key == given.c.key, experiences.c.body == given.c.body)
    known = sa.exists().where(*same, experiences.c.model_type == model_type)
    new = sa.select(given, model_type.label("model_type"), sa.bindparam("batch", type_=sa.BigInteger)).where(~known)
    return sa.insert(experiences).from_select([*(name for name, _ in columns), "model_type", "batch"], new)


_INSERT = Prepared(_build_insert)
_text = json.JSONEncoder(separators=(",", ":")).encode


def take(tx: Tx, parcel: Parcel) -> Taken:
    """Add the experiences of a batch that are not there yet; a batch that was taken before adds nothing."""
    tx.dialect.serialize(tx.connection, TAKING)
    digest = parcel.digest
    batch_id = parcel.batch_id or digest
    known = tx.connection.execute(
        sa.select(experience_batches.c.digest).where(experience_batches.c.batch_id == batch_id)
    ).scalar()
    if known is not None:
        return Taken(batch_id=batch_id, accepted=0 if known == digest else None)
    [number] = tx.dialect.allocate(tx.connection, experience_batches, 1)
    rows = _text([(_key(name), quality, body) for name, quality, body in parcel.rows])
    inserted = _INSERT(tx.connection, tx.dialect, rows=rows, model_type=parcel.model_type, batch=number).rowcount
    values = {"number": number, "batch_id": batch_id, "model_type": parcel.model_type, "digest": digest}
    values |= {"sent": parcel.sent, "accepted": inserted, "received_us": tx.now_us}
    tx.connection.execute(sa.insert(experience_batches).values(values))
    return Taken(batch_id=batch_id, accepted=inserted)


def _key(digest: str) -> int:
    """Return what an experience is found by: 60 bits, which is as much as a whole number of both databases holds."""
    return int(digest[:15], 16)


def _good(model_type: str, quality_0_1: float) -> list[sa.ColumnElement[bool]]:
    at_least = experiences.c.quality_millionths >= millionths(quality_0_1)
    return [experiences.c.model_type == model_type, UNUSED, at_least]


def size(connection: sa.Connection, model_type: str, quality_0_1: float) -> int:
    """Return how many experiences the buffer of a model_type holds: those of that quality, `BUFFER` at the most."""
    view = sa.select(experiences.c.number).where(*_good(model_type, quality_0_1)).limit(BUFFER).subquery()
    return int(connection.execute(sa.select(sa.func.count()).select_from(view)).scalar_one())


def newest(
    connection: sa.Connection, model_type: str, quality_0_1: float, most: int | None = None
) -> list[tuple[int, str]]:
    """Return what is in the buffer, or its `most` newest, the newest first: number and JSON of each experience."""
    # The numbers from the index alone first: a sort would carry the bodies along.
    view = (
        sa.select(experiences.c.number)
        .where(*_good(model_type, quality_0_1))
        .order_by(experiences.c.number.desc())
        .limit(BUFFER if most is None else min(most, BUFFER))
        .subquery()
    )
    query = sa.select(experiences.c.number, experiences.c.body).join(view, view.c.number == experiences.c.number)
    return [(row.number, row.body) for row in connection.execute(query.order_by(experiences.c.number.desc()))]


def recent(connection: sa.Connection, model_type: str, limit: int, since_us: int) -> list[str]:
    """Return the JSON of the newest experiences that came since, whatever became of them, the oldest first."""
    query = (
        sa.select(experiences.c.body)
        .join(experience_batches, experience_batches.c.number == experiences.c.batch)
        .where(experiences.c.model_type == model_type, experience_batches.c.received_us >= since_us)
    )
    rows = connection.execute(query.order_by(experiences.c.number.desc()).limit(limit))
    return [row.body for row in rows][::-1]


def _build_mark(dialect: Dialect) -> sa.Executable:
    given = dialect.rows("rows", [("number", experiences.c.number.type)])
    chosen = experiences.c.number.in_(sa.select(given.c.number))
    return sa.update(experiences).values(used_by=sa.bindparam("job_id", type_=sa.Text)).where(chosen, UNUSED)


_MARK = Prepared(_build_mark)


def mark(tx: Tx, numbers: Sequence[int], job_id: str) -> int:
    """Mark those of the experiences as used by the job that no other has used, and return how many there were."""
    return _MARK(tx.connection, tx.dialect, rows=_text([[number] for number in numbers]), job_id=job_id).rowcount


def held(connection: sa.Connection, quality_0_1: float, own: Mapping[str, float]) -> list[Held]:
    """Return what there is of each model_type, by its name; `own` are the qualities of those that have one."""
    usual: sa.ColumnElement[int] = sa.literal(millionths(quality_0_1))
    given = {model_type: millionths(quality) for model_type, quality in own.items()}
    enough = sa.case(given, value=experiences.c.model_type, else_=usual) if given else usual
    good = sa.func.sum(sa.case((experiences.c.quality_millionths >= enough, 1), else_=0))
    unused = {
        row.model_type: (int(row.good), int(row.all))
        for row in connection.execute(
            sa.select(experiences.c.model_type, good.label("good"), sa.func.count().label("all"))
            .where(UNUSED)
            .group_by(experiences.c.model_type)
        )
    }
    # Rows are never removed: what was accepted and is not unused was used.
    accepted: Any = sa.func.sum(experience_batches.c.accepted)  # Any: SQLAlchemy does not know its type
    query = sa.select(experience_batches.c.model_type, accepted.label("accepted"))
    found = []
    for row in connection.execute(
        query.group_by(experience_batches.c.model_type).order_by(experience_batches.c.model_type)
    ):
        usable, total = unused.get(row.model_type, (0, 0))
        found.append(
            Held(model_type=row.model_type, unused=usable, below=total - usable, used=int(row.accepted) - total)
        )
    return found
