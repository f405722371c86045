"""From what sources gave to what is kept: format, equal records, quality, near duplicates, rank, limit. Pure.

Nothing vanishes: what is not kept is set aside with the stage and the reason. The order matters and is fixed: equal
records go first because they are cheap to find; quality comes before near duplicates, so that of several near
duplicates the best one stays.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from statistics import fmean, median
from typing import Any

from overnight.data.quality import NEEDS, Quality, Scorer
from overnight.data.records import (
    BODIES,
    Origin,
    Record,
    Unusable,
    body_of,
    content_of,
    present,
    record_of,
    says_more_than_a_title,
)

Duplicates = Callable[[Sequence[str], float], Sequence[int]]
"""From texts and the threshold to the place of the first text of each one's cluster."""


class Stage(StrEnum):
    """Where a record was set aside."""

    READING = "reading"
    FORMAT = "format"
    DUPLICATE = "duplicate"
    QUALITY = "quality"
    NEAR_DUPLICATE = "near duplicate"
    LIMIT = "limit"


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """What was set aside: the record as far as there is one, its place in the source, and why."""

    stage: Stage
    reason: str
    source: str
    where: str
    record: Record | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one source gave: the cells of its rows with their places, and what could not be read there."""

    origin: Origin
    as_of: datetime
    rows: Sequence[tuple[str, Mapping[str, Any]]]  # Any: a cell holds whatever JSON holds
    unreadable: Sequence[tuple[str, str]] = ()
    """Places and reasons."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which records of a category are kept; see `base.config.CategorySettings`."""

    limit: int
    threshold: float
    minimum: int
    near_duplicates: float


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What quality depends on beside the record: the source's fields and the instant that it stands for."""

    fields: frozenset[str]
    as_of: Mapping[str, datetime]
    """By region; "" where there is none."""

    def as_of_for(self, record: Record) -> datetime:
        """Return the instant that recency counts from for a record of this source."""
        return self.as_of.get(record["region"] or "", max(self.as_of.values()))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The kept records, best first, with their quality; what was set aside; how many of each."""

    kept: tuple[Record, ...]
    rejected: tuple[Rejected, ...]
    statistics: Mapping[str, Any]  # Any: JSON
    facts: Mapping[str, SourceFacts]


@dataclass(frozen=True, kw_only=True)
class _Item:
    record: Record
    where: str

    def reject(self, stage: Stage, reason: str) -> Rejected:
        source = str(self.record["source"])
        return Rejected(stage=stage, reason=reason, source=source, where=self.where, record=self.record)


def judge(answers: Sequence[Answer], rules: Rules, scorer: Scorer | None, duplicates: Duplicates) -> Judged:
    """Return which records are kept, which are not and why.

    Without a `scorer` no quality is measured, the threshold does not count, and the newest records rank first.
    """
    rejected: list[Rejected] = []
    items = _formed(answers, rejected)
    original = len(items) + len(rejected)
    facts = _facts(answers, items)
    items = _without_equal(items, rejected)
    passing = None
    if scorer is not None:
        items = _good_enough(items, scorer, facts, rules.threshold, rejected)
        passing = _passing(items, rejected)
    items.sort(key=lambda item: rank(item.record))
    items = _without_near(items, rules.near_duplicates, duplicates, rejected)
    rejected += [item.reject(Stage.LIMIT, f"beyond the {rules.limit} best") for item in items[rules.limit :]]
    kept = tuple(item.record for item in items[: rules.limit])
    return Judged(
        kept=kept,
        rejected=tuple(rejected),
        statistics={**_statistics(original, kept, rejected, rules.minimum), "passing": passing},
        facts=facts,
    )


def _formed(answers: Sequence[Answer], rejected: list[Rejected]) -> list[_Item]:
    """Make records of the rows; what cannot be one is set aside."""
    items = []
    for answer in answers:
        source = answer.origin.source
        for where, reason in answer.unreadable:
            rejected.append(Rejected(stage=Stage.READING, reason=reason, source=source, where=where))
        for where, cells in answer.rows:
            try:
                items.append(_Item(record=record_of(cells, answer.origin), where=where))
            except Unusable as error:
                rejected.append(Rejected(stage=Stage.FORMAT, reason=str(error), source=source, where=where))
    return items


def _without_equal(items: Sequence[_Item], rejected: list[Rejected]) -> list[_Item]:
    """Set aside records of an id, or of a content, that was there before."""
    kept: list[_Item] = []
    by_id: dict[str, tuple[bytes, _Item]] = {}
    by_content: dict[bytes, _Item] = {}
    for item in items:
        content = content_of(item.record)
        name = item.record["id"]
        known = by_id.get(name)
        if known is not None:
            said = "same content" if known[0] == content else "other content"
            rejected.append(item.reject(Stage.DUPLICATE, f"id {name!r} was there before with {said}: {_at(known[1])}"))
            continue
        twin = by_content.get(content) if says_more_than_a_title(item.record) else None
        if twin is not None:
            reason = f"says the same as record {twin.record['id']!r}: {_at(twin)}"
            rejected.append(item.reject(Stage.DUPLICATE, reason))
            continue
        by_id[name] = (content, item)
        by_content.setdefault(content, item)
        kept.append(item)
    return kept


def _at(item: _Item) -> str:
    return f"{item.record['source']}, {item.where}"


def _facts(answers: Sequence[Answer], items: Sequence[_Item]) -> dict[str, SourceFacts]:
    by_source: dict[str, list[Record]] = {}
    for item in items:
        by_source.setdefault(item.record["source"], []).append(item.record)
    as_of: dict[str, dict[str, datetime]] = {}
    for answer in answers:
        known, region = as_of.setdefault(answer.origin.source, {}), answer.origin.region or ""
        known[region] = max(answer.as_of, known.get(region, answer.as_of))
    return {
        source: SourceFacts(fields=present(records, NEEDS), as_of=as_of[source])
        for source, records in by_source.items()
    }


def _good_enough(
    items: Sequence[_Item],
    scorer: Scorer,
    facts: Mapping[str, SourceFacts],
    threshold: float,
    rejected: list[Rejected],
) -> list[_Item]:
    kept = []
    for item in items:
        fact = facts[item.record["source"]]
        try:
            found = scorer(item.record, fact.as_of_for(item.record), fact.fields)
        except Exception as error:  # noqa: BLE001  # a project's own scorer; it costs the record that it fails on
            reason = f"the scorer failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            rejected.append(item.reject(Stage.QUALITY, reason))
            continue
        scored = _scored(item, found)
        if found.quality is None:
            reason = "its quality cannot be measured: the source has none of the fields"
            rejected.append(scored.reject(Stage.QUALITY, reason))
        elif found.quality < threshold:
            reason = f"quality {found.quality:.2f} is below {threshold:g}"
            rejected.append(scored.reject(Stage.QUALITY, reason))
        else:
            kept.append(scored)
    return kept


WANTED = 0.8
"""The share of records that `threshold_for_80_percent` would keep."""


def _passing(passed: Sequence[_Item], rejected: Sequence[Rejected]) -> dict[str, Any]:
    """Return how many of the measured records passed the threshold, and the one that four fifths would pass."""
    below = [one.record for one in rejected if one.stage is Stage.QUALITY and one.record is not None]
    records = [item.record for item in passed] + below
    measured = sorted((one["quality_score"] for one in records if one["quality_score"] is not None), reverse=True)
    place = max(0, math.ceil(WANTED * len(measured)) - 1)
    return {
        "measured": len(measured),
        "passed": len(passed),
        "threshold_for_80_percent": measured[place] if measured else None,
    }


def _scored(item: _Item, found: Quality) -> _Item:
    shown = None if found.quality is None else round(found.quality, 4)
    return replace(item, record={**item.record, "quality_score": shown})


def rank(record: Record) -> tuple[float, float, str]:
    """Return a key that sorts records best first, then newest, then by id: equal records have an equal order."""
    published = record["published_at"]
    newest = datetime.fromisoformat(published).timestamp() if published else float("-inf")
    return (-(record["quality_score"] or 0.0), -newest, record["id"])


def _without_near(
    items: Sequence[_Item], threshold: float, duplicates: Duplicates, rejected: list[Rejected]
) -> list[_Item]:
    """Of records that say nearly the same at length, keep the first; titles alone are too short to tell."""
    places = [place for place, item in enumerate(items) if any(item.record["metadata"].get(name) for name in BODIES)]
    first_of = duplicates([body_of(items[place].record) for place in places], threshold)
    twins = {place: places[first] for place, first in zip(places, first_of, strict=True)}
    kept = []
    for place, item in enumerate(items):
        first = items[twins.get(place, place)]
        if first is item:
            kept.append(item)
        else:
            reason = f"says nearly the same as record {first.record['id']!r}: {_at(first)}"
            rejected.append(item.reject(Stage.NEAR_DUPLICATE, reason))
    return kept


def _statistics(original: int, kept: Sequence[Record], rejected: Sequence[Rejected], minimum: int) -> dict[str, Any]:
    """Return the counts: `filtered` are the records that are left, `removed` those that are not."""
    stages = Counter(str(one.stage) for one in rejected)
    qualities = [record["quality_score"] for record in kept if record["quality_score"] is not None]
    return {
        "original": original,
        "filtered": len(kept),
        "removed": original - len(kept),
        "duplicates": stages[Stage.DUPLICATE] + stages[Stage.NEAR_DUPLICATE],
        "minimum": minimum,
        "meets_minimum": len(kept) >= minimum,
        "set_aside": {stage: stages[stage] for stage in Stage if stages[stage]},
        "quality": _spread(qualities),
    }


def _spread(qualities: Sequence[float]) -> dict[str, float] | None:
    if not qualities:
        return None
    return {
        "lowest": min(qualities),
        "median": median(qualities),
        "mean": fmean(qualities),
        "highest": max(qualities),
    }
