"""Campaigns in the database: every candidate that was judged, once, and what a pilot is asked for.

A sample's id follows from where it comes from, so that a batch that comes again after a crash adds nothing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.campaigns.gate import Specification
from overnight.campaigns.intake import Judged, body_of
from overnight.campaigns.tables import ACCEPTED, campaigns, gates, samples
from overnight.db.dialect import Dialect
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx

COLUMNS = tuple(column.name for column in samples.columns if column.name not in ("campaign_id", "at_us"))
_AT_ONCE = 2000
"""Rows that are read at once."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many candidates of a cell were judged, and how many of them accepted; the next number that none has."""

    domain: str
    cell: str
    judged: int
    accepted: int
    next_number: int


def campaign_of(tx: Tx, name: str) -> int:
    """Return the id of the campaign of that name, which is made if there is none."""
    query = sa.select(campaigns.c.campaign_id).where(campaigns.c.name == name)
    found: int | None = tx.connection.execute(query).scalar()
    if found is not None:
        return found
    [campaign_id] = tx.dialect.allocate(tx.connection, campaigns, 1)
    made = {"campaign_id": campaign_id, "name": name, "created_us": tx.now_us}
    tx.connection.execute(sa.insert(campaigns).values(made))
    return campaign_id


def register_gate(tx: Tx, campaign_id: int, specification: Specification, by: str) -> str:
    """Fix what a pilot is asked for; what holds already is not written again. Returns its version."""
    if gate_of(tx.connection, campaign_id) != specification:
        [gate_id] = tx.dialect.allocate(tx.connection, gates, 1)
        row = {
            "gate_id": gate_id,
            "campaign_id": campaign_id,
            "version": specification.version,
            "specification": to_json(specification.to_dict()),
            "by": by,
            "at_us": tx.now_us,
        }
        tx.connection.execute(sa.insert(gates).values(row))
    return specification.version


def gate_of(connection: sa.Connection, campaign_id: int) -> Specification | None:
    """Return what the pilot is asked for now; None where nothing was fixed."""
    query = sa.select(gates.c.specification).where(gates.c.campaign_id == campaign_id)
    found = connection.execute(query.order_by(gates.c.gate_id.desc()).limit(1)).scalar()
    return None if found is None else Specification(**json.loads(found))


def _build_insert(dialect: Dialect) -> sa.Executable:
    given = dialect.rows("rows", [(name, samples.c[name].type) for name in COLUMNS])
    campaign = sa.bindparam("campaign_id", type_=sa.BigInteger)
    known = sa.exists().where(samples.c.campaign_id == campaign, samples.c.sample_id == given.c.sample_id)
    new = sa.select(given, campaign.label("campaign_id"), sa.bindparam("at_us", type_=sa.BigInteger)).where(~known)
    return sa.insert(samples).from_select([*COLUMNS, "campaign_id", "at_us"], new)


_INSERT = Prepared(_build_insert)
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def take(tx: Tx, campaign_id: int, judged: Sequence[Judged], *, pilot: bool) -> int:
    """Add what is not there yet, and return how many that are.

    Raises:
        DBAPIError: a text is accepted that is there already; whoever judged did not know it.
    """
    rows = _text([_row(one, pilot) for one in judged])
    return _INSERT(tx.connection, tx.dialect, rows=rows, campaign_id=campaign_id, at_us=tx.now_us).rowcount


def _row(one: Judged, pilot: bool) -> list[object]:
    origin = one.candidate.origin
    values = {
        **vars(origin),
        "sample_id": origin.sample_id,
        "pilot": int(pilot),
        "reason": one.reason,
        "detail": one.detail,
        "quality": one.quality,
        "terms": _text(dict(one.terms)),
        "skeleton": one.skeleton,
        "digest": one.digest,
        "body": body_of(one),
    }
    return [values[name] for name in COLUMNS]


def counts(connection: sa.Connection, campaign_id: int) -> list[Count]:
    """Return what there is of each cell, by domain and cell."""
    query = (
        sa.select(
            samples.c.domain,
            samples.c.cell,
            sa.func.count().label("judged"),
            sa.func.sum(sa.case((ACCEPTED, 1), else_=0)).label("accepted"),
            (sa.func.max(samples.c.number) + 1).label("next_number"),
        )
        .where(samples.c.campaign_id == campaign_id)
        .group_by(samples.c.domain, samples.c.cell)
        .order_by(samples.c.domain, samples.c.cell)
    )
    return [Count(**row._mapping) for row in connection.execute(query)]


def accepted(connection: sa.Connection, campaign_id: int, domain: str) -> Iterator[tuple[str, str]]:
    """Yield body and skeleton of each accepted sample of a domain, by their ids."""
    last = ""
    query = (
        sa.select(samples.c.sample_id, samples.c.body, samples.c.skeleton)
        .where(samples.c.campaign_id == campaign_id, samples.c.domain == domain, ACCEPTED)
        .order_by(samples.c.sample_id)
        .limit(_AT_ONCE)
    )
    while rows := connection.execute(query.where(samples.c.sample_id > last)).fetchall():
        yield from ((row.body, row.skeleton) for row in rows)
        last = rows[-1].sample_id
