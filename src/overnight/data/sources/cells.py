"""What a database gives, as values that JSON knows: one rule for Parquet files and for SQL. And what is text at all.

Dates and times become ISO 8601; an instant is given in UTC, and one without a zone counts as UTC. A decimal number
becomes a whole number where it is written without decimal places, so that long ids stay exact, and the nearest float
otherwise. A span of time becomes seconds. Lists and objects stay what they are. Binary cells have no such value.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from overnight.data.sources.lines import Malformed
from overnight.data.sources.reading import Found, Row

MOST_DIGITS = 40
"""Digits of the longest whole number that a decimal becomes."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Undecoded(NamedTuple):
    """Stands in a row for a text that is none."""

    reason: str


def decoded(content: bytes) -> str | Undecoded:
    """Return the bytes of a text as text, or why they are none."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        return Undecoded(f"is not UTF-8: 0x{content[error.start]:02x} at byte {error.start + 1}")


def checked(where: str, row: Row) -> Found:
    """Return the row; there is none where it is empty, or where something in it is no text. Every reader asks here."""
    reason = fault_of(row) if row else "empty"
    return Found(where, row) if reason is None else Found(where, None, reason)


def fault_of(value: Any) -> str | None:  # Any: whatever JSON holds
    """Return why a text in the value, the names of objects included, is none, or None.

    Half of a surrogate pair can be written nowhere, and not every database can store a NUL.
    """
    left = [value]
    while left:
        match left.pop():
            case str(text):
                if "\0" in text:
                    return "not text: it holds a NUL"
                if not text.isascii() and _SURROGATE.search(text):
                    return "not text: it holds half of a surrogate pair"
            case dict(cells):
                left += cells.keys()
                left += cells.values()
            case list(items):
                left += items
    return None


def found(where: str, columns: Sequence[str], cells: Iterable[object]) -> Found:
    """Return the row that the cells make, or the first cell that cannot be part of one as the reason."""
    row = {}
    for column, cell in zip(columns, cells, strict=True):
        try:
            row[column] = plain(cell)
        except Malformed as error:
            return Found(where, None, f"{column!r} {error}")
    return checked(where, row)


def plain(cell: Any) -> Any:  # Any: from whatever a driver gives to whatever JSON holds
    """Return the cell as JSON's own kind of value; NaN and infinity stay as they are.

    Raises:
        Malformed: it is binary, a text that could not be decoded, or of a type that has no place in JSON.
    """
    match cell:
        case None | str() | int() | float():
            return cell
        case Undecoded():
            raise Malformed(cell.reason)
        case list() | tuple():
            return [plain(item) for item in cell]
        case dict():
            return {str(key): plain(item) for key, item in cell.items()}
        case Decimal():
            return _number(cell)
        case date() | time() | timedelta():
            return _when(cell)
        case UUID():
            return str(cell)
        case bytes() | bytearray() | memoryview():
            raise Malformed("is binary; allowed are text and numbers")
        case _:
            raise Malformed(f"is of type {type(cell).__name__}; allowed are text and numbers")


def _number(number: Decimal) -> int | float:
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0 and number.adjusted() < MOST_DIGITS:
        return int(number)
    return float(number)


def _when(at: date | time | timedelta) -> str | float:
    if isinstance(at, timedelta):
        return at.total_seconds()
    if not isinstance(at, datetime):
        return at.isoformat()
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC).isoformat()
    try:
        return at.astimezone(UTC).isoformat()
    except OverflowError:  # the last hours of the year 9999
        return at.isoformat()
