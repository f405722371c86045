"""What came of work elsewhere, as a file tells it: a line of JSON for each outcome. Pure."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from overnight.base.errors import UserMistake
from overnight.base.instants import US, from_datetime
from overnight.learning.checks import finite, shown, storable, table, text

AHEAD_US = 5 * 60 * US
"""How far ahead of the clock here an instant may be: clocks differ, but of what is yet to come nothing has come."""
_LONGEST = 200
_KEYS = ("agent", "strategy", "score", "time_s", "cost_usd", "propensity", "features", "timestamp", "id")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a task of a type: `success` from 0 to 1, `score` from 0 to 100; None is what nobody has measured.

    `agent` is who did it, by which `strategy`; `propensity` the chance by which that was chosen, `features` numbers by
    name. `key` is the same where the same outcome comes again. `at_us` is None where no instant is given.
    """

    key: str
    type: str
    success: float
    agent: str | None = None
    strategy: str | None = None
    score: float | None = None
    time_s: float | None = None
    cost_usd: float | None = None
    propensity: float | None = None
    features: Mapping[str, float] | None = None
    at_us: int | None = None


def numbered(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield each line with which of those that are like it it is, from 1 on."""
    seen: Counter[str] = Counter()
    for line in lines:
        seen[line.strip()] += 1
        yield line, seen[line.strip()]


def outcome_of(line: str, *, now_us: int, occurrence: int = 1) -> Outcome:
    """Return the outcome that a line tells.

    It is known again by its `id`, or else by the line. A line that has no `timestamp` either tells of one more outcome
    where it stands once more in the same file: `occurrence` says which of them it is.

    Raises:
        UserMistake: it is no JSON, a key is missing or unknown, or a value cannot be.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserMistake(f"it is no JSON: {error}") from None
    values = table(found, "it", ("type", "success"), _KEYS)
    for name in ("type", "agent", "strategy", "id"):
        if values.get(name) is not None:
            text(values[name], name)
            if len(values[name]) > _LONGEST:
                raise UserMistake(f"{name}: at most {_LONGEST} characters")
    success = values["success"]
    return Outcome(
        key=f"fed:{values.get('id') or _stands_for(line, occurrence if values.get('timestamp') is None else 1)}",
        type=values["type"],
        success=float(success) if isinstance(success, bool) else _number(values, "success", 0, 1) or 0.0,
        agent=values.get("agent"),
        strategy=values.get("strategy"),
        score=_number(values, "score", 0, 100),
        time_s=_number(values, "time_s", 0, math.inf),
        cost_usd=_number(values, "cost_usd", 0, math.inf),
        propensity=_chance(values),
        features=_features(values.get("features")),
        at_us=_instant(values.get("timestamp"), now_us),
    )


def _stands_for(line: str, occurrence: int) -> str:
    told = f"{line.strip()}\n{occurrence}"
    return hashlib.blake2b(told.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _number(values: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = values.get(name)
    if value is None and name != "success":
        return None
    found = finite(value)
    if found is None or not least <= found <= most:
        limits = f"number from {least:g} to {most:g}" if math.isfinite(most) else f"finite number of at least {least:g}"
        raise UserMistake(f"{name}: {shown(value)} is not a {limits}")
    return found


def _chance(values: Mapping[str, Any]) -> float | None:
    found = _number(values, "propensity", 0, 1)
    if found == 0:
        raise UserMistake("propensity: 0.0, but what was chosen had a chance")
    return found


def _features(found: object) -> dict[str, float] | None:
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise UserMistake(f"features: {shown(found)} is not a table of numbers")
    return {name: _feature(name, value) for name, value in found.items()}


def _feature(name: str, value: object) -> float:
    storable(name, "features")
    number = finite(value)
    if number is None:
        raise UserMistake(f"features.{name}: {shown(value)} is not a finite number")
    return number


def _instant(found: object, now_us: int) -> int | None:
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(str(found))
        at_us = from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise UserMistake(f"timestamp: {shown(found)} is no instant, such as 2026-11-26T20:00:00Z") from None
    if at_us > now_us + AHEAD_US:
        raise UserMistake(f"timestamp: {shown(found)} is more than {AHEAD_US // (60 * US)} minutes ahead")
    return at_us
