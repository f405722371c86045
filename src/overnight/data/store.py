"""The rows of harvests: pages in the cache, the harvest log, snapshots."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.instants import iso
from overnight.data.freshness import Standing, Status
from overnight.data.sources.reading import Validators
from overnight.data.tables import harvests, pages, snapshots
from overnight.db.writer import Tx

Json = dict[str, Any]  # Any: whatever JSON holds


@dataclass(frozen=True, kw_only=True)
class CachedPage:
    """A page as the cache has it. Instants are microseconds: when this content came, and when it was last confirmed."""

    key: str
    validators: Validators
    next: str | None
    blob: str
    rows: int
    """How many places it has, unusable ones counted too."""
    fingerprint: str
    """Of the settings that the page was read with: with others it would be another page."""
    fetched_us: int
    checked_us: int


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One line of the harvest log: what came of asking one source for one region."""

    source: str
    region: str
    standing: Standing
    count: int
    ms: int
    error: str | None = None
    at_us: int = 0

    @property
    def name(self) -> str:
        """What a person calls it: the source, and the region if there is one."""
        return f"{self.source} ({self.region})" if self.region else self.source

    def to_json(self) -> Json:
        """Return the line as programs read it."""
        return {
            "source": self.source,
            "region": self.region or None,
            "status": str(self.standing.status),
            "age_s": self.standing.age_s,
            "count": self.count,
            "ms": self.ms,
            "error": self.error,
            "at": iso(self.at_us) if self.at_us else None,
        }


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An immutable set of records: their blob, what was set aside, and how it came about."""

    number: int
    category: str
    snapshot_id: str
    rejected: str
    made_us: int
    statistics: Json
    facts: Json
    sources: list[Json]


def cached(connection: sa.Connection, source: str, region: str) -> list[CachedPage]:
    """Return the pages of a source in their order."""
    query = sa.select(pages).where(pages.c.source == source, pages.c.region == region).order_by(pages.c.place)
    return [
        CachedPage(
            key=row.key,
            validators=Validators(etag=row.etag, last_modified=row.last_modified),
            next=row.next,
            blob=row.blob,
            rows=row.rows,
            fingerprint=row.fingerprint,
            fetched_us=row.fetched_us,
            checked_us=row.checked_us,
        )
        for row in connection.execute(query)
    ]


def put_pages(tx: Tx, source: str, region: str, given: Sequence[CachedPage]) -> None:
    """Replace the pages of a source, unless another harvest has confirmed newer ones meanwhile."""
    tx.dialect.serialize(tx.connection, zlib.crc32(f"{source} {region}".encode()) + (1 << 61))
    there = (pages.c.source == source, pages.c.region == region)
    newest = tx.connection.execute(sa.select(sa.func.max(pages.c.checked_us)).where(*there)).scalar()
    if newest is not None and newest > max((page.checked_us for page in given), default=0):
        return
    tx.connection.execute(sa.delete(pages).where(pages.c.source == source, pages.c.region == region))
    rows = [
        {
            "source": source,
            "region": region,
            "place": place,
            "key": page.key,
            "etag": page.validators.etag,
            "last_modified": page.validators.last_modified,
            "next": page.next,
            "blob": page.blob,
            "rows": page.rows,
            "fingerprint": page.fingerprint,
            "fetched_us": page.fetched_us,
            "checked_us": page.checked_us,
        }
        for place, page in enumerate(given)
    ]
    if rows:
        tx.connection.execute(sa.insert(pages), rows)


def forget_pages(tx: Tx, before_us: int) -> None:
    """Delete the pages that were last confirmed before that instant."""
    tx.connection.execute(sa.delete(pages).where(pages.c.checked_us < before_us))


def cached_blobs(connection: sa.Connection) -> set[str]:
    """Return the blobs that the cache still needs."""
    return set(connection.execute(sa.select(pages.c.blob).distinct()).scalars())


def log(tx: Tx, category: str, visits: Sequence[Visit]) -> None:
    """Add what came of a harvest to the log."""
    rows = [
        {
            "at_us": tx.now_us,
            "category": category,
            "source": visit.source,
            "region": visit.region,
            "status": str(visit.standing.status),
            "records": visit.count,
            "ms": visit.ms,
            "age_s": visit.standing.age_s,
            "error": visit.error,
        }
        for visit in visits
    ]
    if rows:
        tx.connection.execute(sa.insert(harvests), rows)


def visits(connection: sa.Connection, category: str, *, limit: int) -> list[Visit]:
    """Return the newest lines of a category's harvest log, newest first."""
    query = sa.select(harvests).where(harvests.c.category == category).order_by(harvests.c.harvest_id.desc())
    return [_visit(row) for row in connection.execute(query.limit(limit))]


def last_visits(connection: sa.Connection, category: str) -> list[Visit]:
    """Return the newest line of each source and region of a category, by name."""
    newest = (
        sa.select(sa.func.max(harvests.c.harvest_id))
        .where(harvests.c.category == category)
        .group_by(harvests.c.source, harvests.c.region)
    )
    query = sa.select(harvests).where(harvests.c.harvest_id.in_(newest))
    return [_visit(row) for row in connection.execute(query.order_by(harvests.c.source, harvests.c.region))]


def _visit(row: sa.Row[Any]) -> Visit:
    return Visit(
        source=row.source,
        region=row.region,
        standing=Standing(status=Status(row.status), age_s=row.age_s),
        count=row.records,
        ms=row.ms,
        error=row.error,
        at_us=row.at_us,
    )


def add_snapshot(  # noqa: PLR0917  # a row
    tx: Tx,
    category: str,
    snapshot_id: str,
    rejected: str,
    statistics: Mapping[str, Any],
    facts: Mapping[str, Any],
    sources: Sequence[Json],
) -> Snapshot:
    """Make a snapshot the newest of its category and return it."""
    values = {
        "category": category,
        "snapshot_id": snapshot_id,
        "rejected": rejected,
        "made_us": tx.now_us,
        "statistics": json.dumps(statistics),
        "facts": json.dumps(facts),
        "sources": json.dumps(sources),
    }
    [number] = tx.dialect.allocate(tx.connection, snapshots, 1)
    tx.connection.execute(sa.insert(snapshots).values(number=number, **values))
    tx.emit({"event": "harvested", "category": category, "snapshot": snapshot_id})
    [made] = _snapshots(tx.connection, sa.select(snapshots).where(snapshots.c.number == number))
    return made


def newest(connection: sa.Connection, category: str) -> Snapshot | None:
    """Return the newest snapshot of a category."""
    query = sa.select(snapshots).where(snapshots.c.category == category).order_by(snapshots.c.number.desc()).limit(1)
    return next(iter(_snapshots(connection, query)), None)


def all_snapshots(connection: sa.Connection, category: str | None, *, limit: int) -> list[Snapshot]:
    """Return the newest snapshots, newest first."""
    query = sa.select(snapshots).order_by(snapshots.c.number.desc()).limit(limit)
    if category is not None:
        query = query.where(snapshots.c.category == category)
    return _snapshots(connection, query)


def by_prefix(connection: sa.Connection, prefix: str) -> list[Snapshot]:
    """Return the newest row of each snapshot whose id begins so."""
    latest = (
        sa.select(sa.func.max(snapshots.c.number))
        .where(snapshots.c.snapshot_id.startswith(prefix, autoescape=True))
        .group_by(snapshots.c.snapshot_id)
    )
    return _snapshots(connection, sa.select(snapshots).where(snapshots.c.number.in_(latest)))


def categories(connection: sa.Connection) -> list[str]:
    """Return the categories that have a snapshot, by name."""
    return list(connection.execute(sa.select(snapshots.c.category).distinct().order_by(snapshots.c.category)).scalars())


def _snapshots(connection: sa.Connection, query: sa.Select[Any]) -> list[Snapshot]:
    return [
        Snapshot(
            number=row.number,
            category=row.category,
            snapshot_id=row.snapshot_id,
            rejected=row.rejected,
            made_us=row.made_us,
            statistics=json.loads(row.statistics),
            facts=json.loads(row.facts),
            sources=json.loads(row.sources),
        )
        for row in connection.execute(query)
    ]
