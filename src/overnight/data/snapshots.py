"""Which records can be learnt from, and the immutable set that they make. Pure.

A snapshot is its content: canonical JSON lines, named by their SHA-256. The same records give the same name, whatever
their order.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from overnight.base.errors import NotJson, PermanentError
from overnight.data.records import number_in

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds


class Reason(StrEnum):
    """Why a record cannot be learnt from."""

    NO_TARGET = "no target"
    NOT_A_NUMBER = "target is not a number"
    NOT_FINITE = "target is not finite"
    OUT_OF_SCALE = "target is out of the scale"


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Records that can be learnt from, and the ids of the others with the reason."""

    kept: tuple[Record, ...]
    set_aside: tuple[tuple[str, Reason], ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many records were set aside, by reason."""
        return dict(Counter(str(reason) for _, reason in self.set_aside))


def validate(records: Iterable[Record], *, target: str | None, scale: tuple[float, float] | None) -> Validated:
    """Set aside the records whose target is missing or not finite; with a scale, also what is no number on it.

    The lowest and highest value of the scale are included. Without a target every record is kept.
    """
    kept: list[Record] = []
    set_aside: list[tuple[str, Reason]] = []
    for record in records:
        if target is None:
            kept.append(record)
            continue
        value = record.get(target)
        if scale is not None and isinstance(value, str):
            # A column of a text file stays text where one cell of it is no number.
            number = number_in(value)
            value = value if number is None else number
        reason = _why_not(value, scale)
        if reason is None:
            kept.append({**record, target: value} if value is not record.get(target) else record)
        else:
            set_aside.append((record["id"], reason))
    return Validated(kept=tuple(kept), set_aside=tuple(set_aside))


def _why_not(value: Any, scale: tuple[float, float] | None) -> Reason | None:
    if value is None or value == "":
        return Reason.NO_TARGET
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None if scale is None else Reason.NOT_A_NUMBER
    if not math.isfinite(value):
        return Reason.NOT_FINITE
    return None if scale is None or scale[0] <= value <= scale[1] else Reason.OUT_OF_SCALE


def canonical(records: Iterable[Record]) -> bytes:
    """Return the records as JSON lines in ASCII, keys sorted, records sorted by id.

    Raises:
        NotJson: a record holds something else than JSON, NaN and infinity included; the message names it.
        PermanentError: two records have one id.
    """
    lines: dict[str, str] = {}
    for record in records:
        name = record["id"]
        if name in lines:
            raise PermanentError(f"two records have the id {name!r}")
        try:
            lines[name] = json.dumps(record, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise NotJson(f"record {name!r} is not JSON: {error}") from error
    return "".join(f"{lines[name]}\n" for name in sorted(lines)).encode("ascii")


def snapshot_id(content: bytes) -> str:
    """Return the snapshot's name: the SHA-256 of its content in hexadecimal digits."""
    return sha256(content).hexdigest()


def records_of(content: bytes) -> list[dict[str, Any]]:
    """Return the records that `canonical` wrote, sorted by id."""
    return [json.loads(line) for line in content.splitlines()]
