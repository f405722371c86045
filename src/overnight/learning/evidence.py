"""What a project has measured of its strategies, for another one, where it is a discounted prior. Pure."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from overnight.base.errors import UserMistake
from overnight.learning.checks import table, text
from overnight.learning.profiles import Execution

VERSION = 1
DISCOUNT = 0.25
"""What an execution elsewhere weighs beside one here."""
MOST = 10.0
"""Executions here that all executions elsewhere of a strategy and type weigh at the most."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Scores (0 to 100) of a strategy with certain parameters (a hash) at a type of task: how many, mean, spread."""

    strategy: str
    parameters: str
    type: str
    uses: int
    score: float
    spread: float

    @property
    def weight(self) -> float:
        """How many executions here it counts for."""
        return min(MOST, DISCOUNT * self.uses)


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


def to_file(project: str, evidence: Iterable[Evidence]) -> dict[str, Any]:  # Any: JSON
    """Return the file's content."""
    return {"version": VERSION, "project": project, "evidence": [asdict(one) for one in evidence]}


def from_file(told: str) -> tuple[str, list[tuple[str, Evidence]]]:
    """Return the project that a file is from, and its evidence, each with a key that is the same when it comes again.

    Raises:
        UserMistake: it is no such file; the message names the place.
    """
    try:
        found = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise UserMistake(f"it is no JSON: {error}") from None
    values = table(found, "it", ("version", "project", "evidence"))
    if values["version"] != VERSION:
        raise UserMistake(f"version: {values['version']!r} is not {VERSION}; a newer program has written it")
    text(values["project"], "project")
    if not isinstance(values["evidence"], list):
        raise UserMistake(f"evidence: {values['evidence']!r} is not a list")
    made = [_evidence(one, f"evidence[{place}]") for place, one in enumerate(values["evidence"])]
    return values["project"], [(_key(values["project"], one), one) for one in made]


def _evidence(found: object, where: str) -> Evidence:
    values = table(found, where, tuple(Evidence.__dataclass_fields__))
    for name in ("strategy", "parameters", "type"):
        text(values[name], f"{where}.{name}")
    if not isinstance(values["uses"], int) or isinstance(values["uses"], bool) or values["uses"] < 1:
        raise UserMistake(f"{where}.uses: {values['uses']!r} is not a whole number from 1 on")
    for name in ("score", "spread"):
        value = values[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 100:
            raise UserMistake(f"{where}.{name}: {value!r} is not a number from 0 to 100")
    return Evidence(**values)


def _key(project: str, one: Evidence) -> str:
    told: Mapping[str, Any] = {"project": project, **asdict(one)}
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()
