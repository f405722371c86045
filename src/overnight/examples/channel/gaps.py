"""Which topics are missing in a knowledge base: asked for by trends, or named in several documents. Pure."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from angles import ANGLES, listed, role_of
from knowledge import Knowledge, Passage
from prose import stem, terms, words

Json = dict[str, Any]  # Any: a gap, or a record
FEWEST_PASSAGES = 2
"""That must name a thing before it counts as missing."""
_NAMED = re.compile(
    r"\b([A-Z][a-z]+(?:'s| and [A-Z][a-z]+)? (?:[a-z]+ )?(?:algorithm|method|law|theorem|test|sieve|rule))\b"
)


def engagement_of(record: Mapping[str, Any]) -> float:
    """Return how much attention a record has got: its views, or else all that is counted; at least 1."""
    counted = {name: value for name, value in record["engagement"].items() if value is not None}
    return max(1.0, float(counted.get("views", sum(counted.values()))))


def demand_of(knowledge: Knowledge, trends: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Return how much trends ask for each document, as a share of the most wanted one; None without trends."""
    if not trends:
        return None
    wanted = dict.fromkeys(knowledge.titles, 0.0)
    for record in trends:
        said = set(terms(record["title"]))
        for document, title in knowledge.titles.items():
            if set(terms(title)) <= said:
                wanted[document] += engagement_of(record)
    most = max(wanted.values(), default=0.0)
    return {document: value / most if most else 0.0 for document, value in wanted.items()}


def missing(knowledge: Knowledge, trends: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Return what is missing, the most urgent first: {topic, priority (0 to 1), reason}."""
    found = [*_asked(knowledge, trends), *_named(knowledge), *_sides(knowledge)]
    return sorted(found, key=lambda gap: (-gap["priority"], gap["topic"]))


def _asked(knowledge: Knowledge, trends: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Return trends that no document is about."""
    total = sum(map(engagement_of, trends))
    wanted: defaultdict[str, float] = defaultdict(float)
    for record in trends:
        if not any(set(terms(title)) <= set(terms(record["title"])) for title in knowledge.titles.values()):
            wanted[" ".join(record["title"].split())] += engagement_of(record)
    return [
        {
            "topic": topic,
            "priority": round(0.5 + 0.5 * value / total, 3),
            "reason": f"{100 * value / total:.0f} % of the attention of harvested trends, and no document is about it",
        }
        for topic, value in wanted.items()
        if not knowledge.sources(topic)
    ]


def _named(knowledge: Knowledge) -> list[Json]:
    """Return things that several documents name and none is about.

    A thing is a kind of what documents are about ("counting sort" beside "merge sort"), or somebody's method. A word
    that goes with several kinds ("sorted list", "sorted array") describes and does not name.
    """
    heads = {stem(words(title)[-1]) for title in knowledge.titles.values() if " of " not in title and words(title)}
    beside: defaultdict[str, set[str]] = defaultdict(set)
    holders: defaultdict[str, list[Passage]] = defaultdict(list)
    for passage in knowledge.passages:
        for first, second in _pairs(passage.text):
            if stem(second) in heads:
                beside[first].add(stem(second))
                holders[f"{first} {second}"].append(passage)
        for name in set(_NAMED.findall(passage.text)):
            holders[name].append(passage)
    found = []
    for thing, passages in holders.items():
        documents = sorted({passage.document for passage in passages})
        describes = len(beside.get(thing.split()[0], ())) > 1
        if len(passages) < FEWEST_PASSAGES or describes or knowledge.sources(thing):
            continue
        found.append(
            {
                "topic": thing,
                "priority": round(min(0.5, 0.1 * len(documents) + 0.05 * len(passages)), 3),
                "reason": f"named in {len(passages)} sections of {listed(documents[:3])}, and no document is about it",
            }
        )
    return found


def _sides(knowledge: Knowledge) -> list[Json]:
    """Return documents that have several known sides, and lack one."""
    found = []
    for document, title in knowledge.titles.items():
        roles = {role_of(passage.heading, passage.title) for passage in knowledge.of(document)}
        lacking = [angle.label for angle in ANGLES.values() if angle.focus not in roles]
        if lacking and len(lacking) <= len(ANGLES) // 2:
            found.append(
                {
                    "topic": f"{title}: {lacking[0]}",
                    "priority": 0.2,
                    "reason": f"the document {document!r} has no section on {', '.join(lacking)}",
                }
            )
    return found


def _pairs(text: str) -> set[tuple[str, str]]:
    """Return two words that carry meaning and follow each other, if the second is no plural (nor a verb with an s)."""
    kept = pairwise(words(text))
    whole = {
        (a if a.isupper() else a.lower(), b.lower())
        for a, b in kept
        if len(terms(a)) == 1 and len(terms(b)) == 1 and a.isalpha()
    }
    return {(a, b) for a, b in whole if not b.endswith("s")}
