"""Reading what was harvested: records, what was set aside, how a quality came about, snapshots and what changed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from overnight.app.project import Project
from overnight.base.config import CategorySettings
from overnight.base.errors import UnknownName, UserMistake
from overnight.base.instants import US, iso
from overnight.base.vocabulary import suggestion
from overnight.data import store
from overnight.data.categories import categories, category_of
from overnight.data.freshness import Status
from overnight.data.judge import SourceFacts, rank
from overnight.data.quality import Quality
from overnight.data.remarks import remarks
from overnight.data.snapshots import records_of
from overnight.data.store import Snapshot, Visit

Json = dict[str, Any]  # Any: whatever JSON holds

SHORTEST_PREFIX = 6
"""Digits of a snapshot's id that name it."""


@dataclass(frozen=True, kw_only=True)
class CategoryStatus:
    """How a category stands: its newest snapshot, what came of its sources last, and what a person should know."""

    category: str
    snapshot: Snapshot | None
    visits: list[Visit]
    remarks: list[str]

    def to_json(self) -> Json:
        """Return it as programs read it."""
        snapshot = self.snapshot
        return {
            "category": self.category,
            "snapshot": None if snapshot is None else snapshot.snapshot_id,
            "made_at": None if snapshot is None else iso(snapshot.made_us),
            "statistics": None if snapshot is None else snapshot.statistics,
            "sources": [visit.to_json() for visit in self.visits],
            "remarks": self.remarks,
        }


@dataclass(frozen=True, kw_only=True)
class Known:
    """A record as the newest snapshot of its category has it; `reason` where it was set aside."""

    category: str
    snapshot: Snapshot
    record: Json
    stage: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What another snapshot has more, less, or says otherwise: ids, and for changed records the names of fields."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]


def known_categories(project: Project) -> list[str]:
    """Return the categories that sources give or that have a snapshot, by name."""
    with project.database.read() as connection:
        return sorted({*categories(project.config), *store.categories(connection)})


def check_category(project: Project, category: str) -> str:
    """Return the category.

    Raises:
        UnknownName: there is none of that name.
    """
    known = known_categories(project)
    if category not in known:
        raise UnknownName(f"there is no category {category!r}{suggestion(category, known) if known else ''}")
    return category


def find_snapshot(project: Project, name: str) -> Snapshot:
    """Return the snapshot that a category's name (its newest), or the first digits of an id, name.

    Raises:
        UserMistake: nothing, or more than one snapshot, is named so.
    """
    with project.database.read() as connection:
        newest = store.newest(connection, name)
        if newest is not None:
            return newest
        hexadecimal = len(name) >= SHORTEST_PREFIX and set(name) <= set("0123456789abcdef")
        found = store.by_prefix(connection, name) if hexadecimal else []
    if len(found) == 1:
        return found[0]
    if found:
        raise UserMistake(f"{name!r} begins the ids of {len(found)} snapshots; give more of its digits")
    known = categories(project.config)
    if name in known:
        raise UserMistake(f"category {name!r} was never harvested; `overnight data harvest {name}` does that")
    hint = suggestion(name, known) if known else ""
    raise UserMistake(
        f"there is no snapshot and no category {name!r}{hint}; `overnight data snapshots` lists the ids "
        f"(at least {SHORTEST_PREFIX} digits)"
    )


def records(project: Project, snapshot: Snapshot) -> list[Json]:
    """Return the records of a snapshot, best first."""
    found = records_of(project.blobs.get(snapshot.snapshot_id))
    return sorted(found, key=rank)


def rejected(project: Project, snapshot: Snapshot) -> list[Json]:
    """Return what was set aside when the snapshot was made: stage, reason, source, where, record (or None)."""
    return [json.loads(line) for line in project.blobs.get(snapshot.rejected).splitlines()]


def find_record(project: Project, record_id: str, category: str | None) -> Known:
    """Return the record of that id from the newest snapshot of a category, or of any.

    Raises:
        UnknownName: no newest snapshot has it, not even among what was set aside.
    """
    names = [check_category(project, category)] if category is not None else known_categories(project)
    with project.database.read() as connection:
        newest = [found for name in names if (found := store.newest(connection, name)) is not None]
    for snapshot in newest:
        for record in records_of(project.blobs.get(snapshot.snapshot_id)):
            if record["id"] == record_id:
                return Known(category=snapshot.category, snapshot=snapshot, record=record)
    for snapshot in newest:
        for line in rejected(project, snapshot):
            if line["record"] is not None and line["record"]["id"] == record_id:
                stage, reason = line["stage"], line["reason"]
                return Known(
                    category=snapshot.category, snapshot=snapshot, record=line["record"], stage=stage, reason=reason
                )
    looked = ", ".join(snapshot.category for snapshot in newest) or "none was harvested yet"
    raise UnknownName(f"there is no record {record_id!r} in the newest snapshots (categories: {looked})")


def explain(project: Project, known: Known) -> Quality | None:
    """Return how the record's quality comes about by today's formula; None where the category measures none."""
    rules = project.config.categories.get(known.category, CategorySettings())
    scorer = project.harvester.scorer(known.category, rules)
    if scorer is None:
        return None
    facts = facts_of(known)
    return scorer({**known.record, "quality_score": None}, facts.as_of_for(known.record), facts.fields)


def facts_of(known: Known) -> SourceFacts:
    """Return what the quality of the record depends on beside itself, as it was when the snapshot was made."""
    facts = known.snapshot.facts[known.record["source"]]
    as_of = {region: datetime.fromisoformat(at) for region, at in facts["as_of"].items()}
    return SourceFacts(fields=frozenset(facts["fields"]), as_of=as_of)


def status(project: Project) -> list[CategoryStatus]:
    """Return how each category stands."""
    names = known_categories(project)
    with project.database.read() as connection:
        return [
            _status(project, name, store.newest(connection, name), store.last_visits(connection, name))
            for name in names
        ]


def _status(project: Project, category: str, snapshot: Snapshot | None, visits: list[Visit]) -> CategoryStatus:
    # A source that is no longer in the configuration has nothing to say about today.
    sources = project.config.sources
    visits = [visit for visit in visits if visit.source in sources]
    visits = [visit for visit in visits if category_of(visit.source, sources[visit.source]) == category]
    # A visit tells how old its answer was then; it has grown older since.
    now_us = project.clock.now_us()
    visits = [replace(visit, standing=visit.standing.later((now_us - visit.at_us) / US)) for visit in visits]
    found = [] if snapshot is None else remarks(snapshot.statistics)
    fresh_h = project.config.data.fresh_h
    old = [visit for visit in visits if visit.standing.stale(fresh_h)]
    found += [f"{visit.name}: {_trouble(visit)}" for visit in old]
    return CategoryStatus(category=category, snapshot=snapshot, visits=visits, remarks=found)


def _trouble(visit: Visit) -> str:
    if visit.standing.status is Status.MISSING:
        return f"missing: {visit.error}"
    return f"what it gave is {visit.standing.age_s / 3600:.0f} h old" + (f": {visit.error}" if visit.error else "")


def difference(before: Iterable[Json], after: Iterable[Json]) -> Difference:
    """Return what changed between two sets of records; when a record was harvested is no change of it."""
    old = {record["id"]: record for record in before}
    new = {record["id"]: record for record in after}
    return Difference(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed={
            name: fields for name in sorted(old.keys() & new.keys()) if (fields := _changed(old[name], new[name]))
        },
    )


def _changed(old: Json, new: Json) -> list[str]:
    nested = ("engagement", "metadata")
    names = [name for name in new if name not in (*nested, "harvested_at") and old.get(name) != new[name]]
    for part in nested:
        keys = sorted({*old[part], *new[part]})
        names += [f"{part}.{key}" for key in keys if old[part].get(key) != new[part].get(key)]
    return names
