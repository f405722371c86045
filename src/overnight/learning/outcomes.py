"""What came of work elsewhere, as a file tells it: a line of JSON for each outcome. Pure."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from overnight.base.errors import UserMistake
from overnight.base.instants import from_datetime
from overnight.learning.checks import table, text

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


def outcome_of(line: str) -> Outcome:
    """Return the outcome that a line tells.

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
            if len(values[name]) > _LONGEST or "\x00" in values[name]:
                raise UserMistake(f"{name}: at most {_LONGEST} characters, and no NUL")
    success = values["success"]
    given = values.get("id") or hashlib.blake2b(line.strip().encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return Outcome(
        key=f"fed:{given}",
        type=values["type"],
        success=float(success) if isinstance(success, bool) else _number(values, "success", 0, 1) or 0.0,
        agent=values.get("agent"),
        strategy=values.get("strategy"),
        score=_number(values, "score", 0, 100),
        time_s=_number(values, "time_s", 0, math.inf),
        cost_usd=_number(values, "cost_usd", 0, math.inf),
        propensity=_chance(values),
        features=_features(values.get("features")),
        at_us=_instant(values.get("timestamp")),
    )


def _number(values: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = values.get(name)
    if value is None and name != "success":
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        limits = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of at least {least:g}"
        raise UserMistake(f"{name}: {value!r} is not a number {limits}")
    if math.isinf(value):
        raise UserMistake(f"{name}: {value!r} is not finite")
    return float(value)


def _chance(values: Mapping[str, Any]) -> float | None:
    found = _number(values, "propensity", 0, 1)
    if found == 0:
        raise UserMistake("propensity: 0.0, but what was chosen had a chance")
    return found


def _features(found: object) -> dict[str, float] | None:
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise UserMistake(f"features: {found!r} is not a table of numbers")
    for name, value in found.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise UserMistake(f"features.{name}: {value!r} is not a number")
    return {str(name): float(value) for name, value in found.items()}


def _instant(found: object) -> int | None:
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(str(found))
        return from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise UserMistake(f"timestamp: {found!r} is no instant, such as 2026-11-26T20:00:00Z") from None
