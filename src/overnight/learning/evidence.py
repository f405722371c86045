"""What a project has measured of its strategies, for another one, where it is a discounted prior. Pure."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from overnight.base.errors import UserMistake
from overnight.learning.checks import finite, shown, table, text
from overnight.learning.profiles import Execution

VERSION = 1
DISCOUNT = 0.25
"""What an execution elsewhere weighs beside one here."""
MOST = 10.0
"""Executions here that all executions elsewhere of a strategy and type weigh at the most, in all projects together."""
MOST_USES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Scores (0 to 100) of a strategy with certain parameters (a hash) at a type of task: how many, mean, spread."""

    strategy: str
    parameters: str
    type: str
    uses: int
    score: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class Export:
    """The evidence of a project; `origin` is the same in all exports of it, and of no other one, `project` its name."""

    origin: str
    project: str
    evidence: Sequence[Evidence]

    def key(self, one: Evidence) -> str:
        """Return what stands for evidence of this project about the same strategy, parameters and type."""
        told = [self.origin, one.strategy, one.parameters, one.type]
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def origin_of(first: Sequence[object]) -> str:
    """Return what stands for a project, by what is known of its first execution: it stays, and none is like it."""
    return hashlib.blake2b(json.dumps(first).encode(), digest_size=16).hexdigest()


def weighed(evidence: Iterable[Evidence]) -> list[tuple[Evidence, int]]:
    """Return for how many executions here each counts: those of a strategy and type for `MOST` in all, at the most."""
    groups: dict[tuple[str, str], list[Evidence]] = {}
    for one in evidence:
        groups.setdefault((one.strategy, one.type), []).append(one)
    return [pair for some in groups.values() for pair in _shared(some)]


def _shared(some: Sequence[Evidence]) -> list[tuple[Evidence, int]]:
    uses = sum(one.uses for one in some)
    each = min(DISCOUNT, MOST / uses)
    found, before = [], 0
    for one in some:
        # What is rounded off one counts for the next, so that the sum is that of all.
        found.append((one, round(each * (before + one.uses)) - round(each * before)))
        before += one.uses
    return found


def evidence_of(executions: Iterable[tuple[str, Execution]]) -> list[Evidence]:
    """Return what executions, each with the hash of its parameters, say of each strategy and type."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for parameters, one in executions:
        if one.score is not None:
            groups.setdefault((one.strategy, parameters, one.type), []).append(one.score)
    found = []
    for (strategy, parameters, type_), scores in sorted(groups.items()):
        mean = math.fsum(scores) / len(scores)
        spread = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
        found.append(
            Evidence(strategy=strategy, parameters=parameters, type=type_, uses=len(scores), score=mean, spread=spread)
        )
    return found


def to_file(export: Export) -> dict[str, Any]:  # Any: JSON
    """Return the file's content."""
    return {
        "version": VERSION,
        "origin": export.origin,
        "project": export.project,
        "evidence": [asdict(one) for one in export.evidence],
    }


def from_file(told: str) -> Export:
    """Return what a file tells.

    Raises:
        UserMistake: it is no such file; the message names the place.
    """
    try:
        found = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise UserMistake(f"it is no JSON: {error}") from None
    values = table(found, "it", ("version", "origin", "project", "evidence"))
    if values["version"] != VERSION:
        raise UserMistake(f"version: {shown(values['version'])} is not {VERSION}; a newer program has written it")
    for name in ("origin", "project"):
        text(values[name], name)
    if not isinstance(values["evidence"], list):
        raise UserMistake(f"evidence: {shown(values['evidence'])} is not a list")
    made = [_evidence(one, f"evidence[{place}]") for place, one in enumerate(values["evidence"])]
    export = Export(origin=values["origin"], project=values["project"], evidence=made)
    seen = set[str]()
    for place, key in enumerate(map(export.key, made)):
        if key in seen:
            raise UserMistake(f"evidence[{place}]: the same strategy, parameters and type are there twice")
        seen.add(key)
    return export


def _evidence(found: object, where: str) -> Evidence:
    values = table(found, where, tuple(Evidence.__dataclass_fields__))
    for name in ("strategy", "parameters", "type"):
        text(values[name], f"{where}.{name}")
    uses = values["uses"]
    if not isinstance(uses, int) or isinstance(uses, bool) or not 1 <= uses <= MOST_USES:
        raise UserMistake(f"{where}.uses: {shown(uses)} is not a whole number from 1 to {MOST_USES:,}")
    for name in ("score", "spread"):
        value = finite(values[name])
        if value is None or not 0 <= value <= 100:
            raise UserMistake(f"{where}.{name}: {shown(values[name])} is not a number from 0 to 100")
    return Evidence(**values)
