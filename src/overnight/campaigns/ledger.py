"""Campaigns in the database: every candidate that was judged, once, and what a pilot is asked for.

A sample's id follows from where it comes from, so that a batch that comes again after a crash adds nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.campaigns.gate import Specification
from overnight.campaigns.intake import REPLACED, Judged, body_of
from overnight.campaigns.planning import WINDOW, Known
from overnight.campaigns.spool import CellLine, TextLine
from overnight.campaigns.tables import ACCEPTED, campaigns, gates, samples
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx

COLUMNS = tuple(column.name for column in samples.columns if column.name not in ("campaign_id", "at_us"))
_AT_ONCE = 2000
"""Rows that are read at once."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many candidates of a cell were judged, and how many of them accepted."""

    domain: str
    cell: str
    judged: int
    accepted: int


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


# Not as one JSON text: bodies are large, and the database took as long to read them from it as to store them.
_INSERT = Prepared(lambda dialect: dialect.insert_new(samples))
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def take(tx: Tx, campaign_id: int, rows: Sequence[Sequence[object]]) -> int:
    """Add the rows (see `row_of`) that are not there yet, and return how many that are.

    Raises:
        DBAPIError: a text is accepted that is there already; whoever judged did not know it.
    """
    given = {"campaign_id": campaign_id, "at_us": tx.now_us}
    return _INSERT.each(tx.connection, tx.dialect, [{**given, **dict(zip(COLUMNS, row, strict=True))} for row in rows])


def row_of(one: Judged, *, pilot: bool) -> list[object]:
    """Return a judged candidate as a row: JSON-able values in the order of `COLUMNS`."""
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


PILOT = samples.c.pilot == 1


def counts(connection: sa.Connection, campaign_id: int, *which: sa.ColumnElement[bool]) -> list[Count]:
    """Return what there is of each cell, by domain and cell; `which` rows are counted, such as those of the PILOT."""
    of_cell = (samples.c.domain, samples.c.cell)
    mine = [samples.c.campaign_id == campaign_id, *which]
    judged, accepted = sa.func.count(), sa.func.sum(sa.case((ACCEPTED, 1), else_=0))
    query = sa.select(*of_cell, judged, accepted).where(*mine)
    return [
        Count(domain=domain, cell=cell, judged=count, accepted=good)
        for domain, cell, count, good in connection.execute(query.group_by(*of_cell).order_by(*of_cell))
    ]


def _accepted(connection: sa.Connection, campaign_id: int, *names: str) -> Iterator[sa.Row[Any]]:
    """Yield these columns of the accepted samples, by their ids, a few at a time: their texts are large."""
    last = ""
    columns = [samples.c[name] for name in ("sample_id", *names)]
    query = sa.select(*columns).where(samples.c.campaign_id == campaign_id, ACCEPTED)
    query = query.order_by(samples.c.sample_id).limit(_AT_ONCE)
    while rows := connection.execute(query.where(samples.c.sample_id > last)).fetchall():
        yield from rows
        last = rows[-1].sample_id


def known(connection: sa.Connection, campaign_id: int, generators: Mapping[str, str]) -> Iterator[CellLine | TextLine]:
    """Yield all that whoever makes further samples has to know: the cells first, then the accepted samples.

    Numbers of a cell are those of the version that makes it now (`generators`, by domain): another begins at 0.
    """
    newest = _newest(connection, campaign_id, generators)
    pilot = {(one.domain, one.cell): one.judged for one in counts(connection, campaign_id, PILOT)}
    for (domain, cell), one in _dry(connection, campaign_id, generators).items():
        count, dry = one
        yield CellLine(
            domain=domain,
            cell=cell,
            known=Known(
                judged=count.judged,
                accepted=count.accepted,
                pilot=pilot.get((count.domain, count.cell), 0),
                dry=dry,
                next_number=max(newest.get((domain, cell), [-1])) + 1,
                newest=newest.get((domain, cell), ()),
            ),
        )
    for row in _accepted(connection, campaign_id, "domain", "cell", "number", "pilot", "body", "skeleton"):
        yield TextLine.from_json(list(row[1:]))


def _dry(
    connection: sa.Connection, campaign_id: int, generators: Mapping[str, str]
) -> dict[tuple[str, str], tuple[Count, int]]:
    """Return the count of each cell, and how many candidates were refused since the newest accepted one."""
    of_cell = (samples.c.domain, samples.c.cell)
    mine = _made_now(campaign_id, generators)
    newest = sa.select(*of_cell, sa.func.max(samples.c.number).label("number")).where(mine, ACCEPTED)
    best = newest.group_by(*of_cell).subquery()
    refused = (
        sa.select(*of_cell, sa.func.count().label("dry"))
        .select_from(samples.outerjoin(best, sa.and_(best.c.domain == samples.c.domain, best.c.cell == samples.c.cell)))
        .where(mine, samples.c.number > sa.func.coalesce(best.c.number, -1))
        .group_by(*of_cell)
    )
    dry = {(domain, cell): count for domain, cell, count in connection.execute(refused)}
    found = counts(connection, campaign_id, samples.c.reason.is_distinct_from(REPLACED))
    return {(one.domain, one.cell): (one, dry.get((one.domain, one.cell), 0)) for one in found}


def _made_now(campaign_id: int, generators: Mapping[str, str]) -> sa.ColumnElement[bool]:
    pairs = sa.tuple_(samples.c.domain, samples.c.generator).in_(list(generators.items()))
    return sa.and_(samples.c.campaign_id == campaign_id, pairs)


def _newest(
    connection: sa.Connection, campaign_id: int, generators: Mapping[str, str]
) -> dict[tuple[str, str], list[int]]:
    """Return the numbers that were judged among the newest `WINDOW` of each cell of these generators."""
    of_cell = (samples.c.domain, samples.c.cell)
    mine = _made_now(campaign_id, generators)
    last = sa.select(*of_cell, sa.func.max(samples.c.number).label("number")).where(mine).group_by(*of_cell).subquery()
    query = (
        sa.select(*of_cell, samples.c.number)
        .join(last, sa.and_(last.c.domain == samples.c.domain, last.c.cell == samples.c.cell))
        .where(mine, samples.c.number > last.c.number - WINDOW)
    )
    found: dict[tuple[str, str], list[int]] = {}
    for domain, cell, number in connection.execute(query):
        found.setdefault((domain, cell), []).append(number)
    return found


def pilot_terms(connection: sa.Connection, campaign_id: int) -> dict[str, list[tuple[dict[str, float], float | None]]]:
    """Return what was measured of each candidate of the pilot, and what it was worth then, by domain."""
    query = sa.select(samples.c.domain, samples.c.terms, samples.c.quality).where(
        samples.c.campaign_id == campaign_id, samples.c.pilot == 1
    )
    found: dict[str, list[tuple[dict[str, float], float | None]]] = {}
    for domain, terms, quality in connection.execute(query):
        found.setdefault(domain, []).append((json.loads(terms), quality))
    return found


def skeletons(connection: sa.Connection, campaign_id: int) -> int:
    """Return how many skeletons the accepted samples have."""
    query = sa.select(sa.func.count(sa.distinct(samples.c.skeleton)))
    found: int = connection.execute(query.where(samples.c.campaign_id == campaign_id, ACCEPTED)).scalar_one()
    return found


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An accepted sample as it is exported."""

    sample_id: str
    domain: str
    generator: str
    quality: float | None
    skeleton: str
    body: str


def exported(connection: sa.Connection, campaign_id: int) -> Iterator[Exported]:
    """Yield the accepted samples, by their ids."""
    names = ("domain", "generator", "quality", "skeleton", "body")
    yield from (Exported(**row._mapping) for row in _accepted(connection, campaign_id, *names))
