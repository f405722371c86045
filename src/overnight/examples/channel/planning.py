"""The calendar of the next 90 days: which topic is told when, from which side, and why. Pure.

Each slot gets the candidate with the highest score: how little it was told so far (coverage), how much people ask for
it (demand), and for how long its document has been left alone (recency). The same document does not come up again
within a few slots, nor the same side of it within weeks, as far as there are enough documents.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

Json = dict[str, Any]  # Any: an entry of the calendar

DAYS, SLOTS_A_DAY = 90, 6
HOURS = range(0, 24, 24 // SLOTS_A_DAY)
LAST_HOUR = f"T{HOURS[-1]:02}:00"
WEIGHTS: Mapping[str, float] = {"coverage": 0.5, "demand": 0.3, "recency": 0.2}
"""Without harvested trends, the weight of the demand is shared out among the others."""
APART = 12
"""Slots between two videos on one document, if there are as many documents."""
SAME_APART = 120
"""Slots between two videos on one side of a document, if there are as many pairs: 20 days."""
RESTED = 42
"""Slots after which a document counts as fully rested: 7 days."""
_NEVER = 10**6


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A side of a document that can be told. `demand` from 0 to 1; None where no trends were harvested.

    `change` is what the analytics committee recommends, from -1 to 1, with its reason.
    """

    topic: str
    document: str
    angle: str
    demand: float | None = None
    change: float = 0.0
    why: str = ""


@dataclass(kw_only=True)
class Past:
    """What was told up to now: how often each side of each document, and in which slot last (see `number_of`)."""

    times: Counter[tuple[str, str]] = field(default_factory=Counter)
    documents: dict[str, int] = field(default_factory=dict)
    sides: dict[tuple[str, str], int] = field(default_factory=dict)

    def tell(self, document: str, angle: str, slot: int) -> None:
        """Take note of a video."""
        self.times[document, angle] += 1
        self.documents[document] = max(slot, self.documents.get(document, -_NEVER))
        self.sides[document, angle] = max(slot, self.sides.get((document, angle), -_NEVER))


def slots_from(day: datetime, days: int = DAYS) -> list[str]:
    """Return the slots of days from the one of an instant (UTC) on, as ISO 8601 without seconds."""
    first = day.replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        (first + timedelta(days=number, hours=hour)).strftime("%Y-%m-%dT%H:%M")
        for number in range(days)
        for hour in HOURS
    ]


def number_of(slot: str) -> int:
    """Return which slot it is, counted from the first one of the year 1; slots of one day differ by 1 each."""
    at = datetime.fromisoformat(slot)
    return at.toordinal() * SLOTS_A_DAY + at.hour // (24 // SLOTS_A_DAY)


def plan(candidates: Sequence[Candidate], slots: Sequence[str], past: Past) -> list[Json]:
    """Return an entry for each slot; none where there is no candidate. `past` is carried on."""
    entries = []
    documents = len({one.document for one in candidates})
    apart, same_apart = min(APART, documents - 1), min(SAME_APART, len(candidates) - 1)
    for slot in slots if candidates else ():
        number = number_of(slot)
        best = _best(candidates, slot, past, (apart, same_apart))
        entries.append(_entry(best, slot, number, past))
        past.tell(best.document, best.angle, number)
    return entries


def _best(candidates: Sequence[Candidate], slot: str, past: Past, apart: tuple[int, int]) -> Candidate:
    """Return the candidate that a slot is for; which one of equals follows from the slot, as if by lot."""
    number = number_of(slot)
    ranks = [_rank(one, number, past, apart) for one in candidates]
    first = max(ranks)
    equals = [one for one, rank in zip(candidates, ranks, strict=True) if rank == first]
    return max(equals, key=lambda one: sha256(f"{slot} {one.document} {one.angle}".encode()).digest())


def _rank(one: Candidate, number: int, past: Past, apart: tuple[int, int]) -> tuple[bool, bool, float]:
    document = number - past.documents.get(one.document, -_NEVER)
    side = number - past.sides.get((one.document, one.angle), -_NEVER)
    return document > apart[0], side > apart[1], _wanted(one, _parts(one, number, past))


def score(one: Candidate, number: int, past: Past) -> tuple[float, dict[str, float]]:
    """Return how much a candidate is wanted in a slot, and the parts of it, each from 0 to 1."""
    parts = _parts(one, number, past)
    return _wanted(one, parts), {name: round(value, 3) for name, value in parts.items()}


def _parts(one: Candidate, number: int, past: Past) -> dict[str, float]:
    rested = number - past.documents.get(one.document, -_NEVER)
    parts = {
        "coverage": 1 / (1 + past.times[one.document, one.angle]),
        "recency": min(1.0, max(0, rested) / RESTED),
    }
    return parts if one.demand is None else {**parts, "demand": one.demand}


def _wanted(one: Candidate, parts: Mapping[str, float]) -> float:
    total = sum(WEIGHTS[name] for name in parts)
    return sum(WEIGHTS[name] * value for name, value in parts.items()) / total + one.change


def _entry(one: Candidate, slot: str, number: int, past: Past) -> Json:
    wanted, parts = score(one, number, past)
    times, last = past.times[one.document, one.angle], past.documents.get(one.document)
    told = "this side of it was never told" if not times else f"this side of it was told {_times(times)}"
    since = (
        "nor was anything about it"
        if last is None
        else f"its last video is {(number - last) / SLOTS_A_DAY:.1f} days older"
    )
    asked = "no trends were harvested" if one.demand is None else f"{100 * one.demand:.0f} % of the strongest demand"
    reason = f"{told}, {since}; {asked}"
    if one.why:
        reason += f"; {one.change:+.2f} as recommended: {one.why}"
    return {
        "slot": slot,
        "topic": one.topic,
        "document": one.document,
        "angle": one.angle,
        "state": "planned",
        "score": round(wanted, 3),
        "parts": parts,
        "reason": reason,
    }


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def with_gaps(entries: Sequence[Json], gaps: Sequence[Json], kept: Mapping[str, str]) -> list[Json]:
    """Return the calendar with missing topics in it: one a day, the most urgent first, from the second day on.

    Each waits in the last slot of its day for sources; `instead` is what the slot is for, should none come. `kept` are
    the slots, with their topics, in which missing topics wait already.
    """
    missing = {gap["topic"]: gap for gap in gaps}
    waiting = {slot: topic for slot, topic in kept.items() if topic in missing}
    left = [topic for topic in missing if topic not in waiting.values()]
    first = entries[0]["slot"][:10] if entries else ""
    found = []
    for entry in entries:
        topic = waiting.get(entry["slot"])
        if topic is None and left and entry["slot"].endswith(LAST_HOUR) and entry["slot"][:10] > first:
            topic = left.pop(0)
        found.append(entry if topic is None else _gap_entry(missing[topic], entry))
    return found


def _gap_entry(gap: Json, entry: Json) -> Json:
    return {
        "slot": entry["slot"],
        "topic": gap["topic"],
        "document": None,
        "angle": entry["angle"],
        "state": "needs sources",
        "priority": gap["priority"],
        "reason": gap["reason"],
        "instead": entry,
    }
