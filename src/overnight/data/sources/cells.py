"""What a database gives, as values that JSON knows: one rule for Parquet files and for SQL.

Dates and times become ISO 8601; an instant is given in UTC, and one without a zone counts as UTC. A decimal number
becomes a whole number where it is written without decimal places, so that long ids stay exact, and the nearest float
otherwise. A span of time becomes seconds. Lists and objects stay what they are. Binary cells have no such value.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from overnight.data.sources.lines import Malformed
from overnight.data.sources.reading import Found

MOST_DIGITS = 40
"""Digits of the longest whole number that a decimal becomes."""


def found(where: str, columns: Sequence[str], cells: Iterable[object]) -> Found:
    """Return the row that the cells make, or the first cell that cannot be part of one as the reason."""
    row = {}
    for column, cell in zip(columns, cells, strict=True):
        try:
            row[column] = plain(cell)
        except Malformed as error:
            return Found(where, None, f"{column!r} {error}")
    return Found(where, row)


def plain(cell: Any) -> Any:  # Any: from whatever a driver gives to whatever JSON holds
    """Return the cell as JSON's own kind of value; NaN and infinity stay as they are.

    Raises:
        Malformed: it is binary, or of a type that has no place in JSON.
    """
    match cell:
        case None | str() | int() | float():
            return cell
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
