"""What a record is, and how a source's row becomes one. Pure.

A record is JSON: `id`, `title`, `platform`, `engagement` (views, likes, comments, shares: numbers from 0 on, None where
the source says nothing), `metadata` (whatever else the source says), `source_url`, `published_at` and `harvested_at`
(ISO 8601, UTC), `quality_score` (0 to 10, None until it is measured), `region` and `source`.

A row that cannot become a record says why in one line; nothing in it is guessed.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

Record = dict[str, Any]  # Any: a cell holds whatever JSON holds
Row = Mapping[str, Any]  # Any: as above, and NaN or infinity

ENGAGEMENT = ("views", "likes", "comments", "shares")
TEXTS = ("title", "platform", "source_url", "published_at", "region")
FIELDS = ("id", *TEXTS, *ENGAGEMENT)
"""What a record has beside its metadata, as sources and mappings name it."""
BODIES = ("text", "summary", "description")
"""The metadata that hold what a record says at length."""

_YEARS = range(1000, 10_000)
_DATES = range(1000_01_01, 3000_00_00)
"""Dates as numbers: 20140101."""
_SECONDS_FROM = 100_000_000
"""Seconds since the epoch from here on are taken for such: March 1973. Less may be anything."""
_DIGITS = (4, 8, 9, 10, 13)
"""Digits of a year, a date, seconds and milliseconds as text."""
_MILLISECONDS_FROM = 100_000_000_000
"""Seconds since the epoch beyond this are the year 5138; such numbers are milliseconds."""
_HALF = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?|nan|-?inf(inity)?", re.IGNORECASE)


class Unusable(ValueError):
    """The row cannot become a record; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What all records of one answer of a source share."""

    source: str
    platform: str
    harvested_at: str
    region: str | None = None
    titled: bool = True
    """False where none of the source's rows has a title: then a record is called by its id."""


OWN = ("engagement", "metadata", "harvested_at", "quality_score", "source")
"""What a record has beside FIELDS."""
LARGEST = 2**63
"""Whole numbers from here on are refused: databases, and programs in other languages, cannot hold them."""


def record_of(cells: Row, origin: Origin) -> Record:
    """Return the record that the cells make; names that are no field of a record become metadata.

    Raises:
        Unusable: the title is missing, or a cell is not what its field needs.
    """
    metadata = {_json_name(name): value for name, value in cells.items() if name not in FIELDS and value is not None}
    name = _id(cells.get("id"))
    title = _text("title", cells.get("title"))
    if not title and origin.titled:
        raise Unusable("title is missing")
    record: Record = {
        "id": name,
        "title": title or name,
        "platform": _text("platform", cells.get("platform")) or origin.platform,
        "engagement": {name: _count(name, cells.get(name)) for name in ENGAGEMENT},
        "metadata": metadata,
        "source_url": _address(cells.get("source_url")),
        "published_at": _published(cells.get("published_at")),
        "harvested_at": origin.harvested_at,
        "quality_score": None,
        "region": _text("region", cells.get("region")) or origin.region,
        "source": origin.source,
    }
    _check_json(record)
    record["id"] = name or content_id(record)
    record["title"] = title or record["id"]
    return record


def content_id(record: Record) -> str:
    """Return an id made of the source and all that it says, for sources that give none: equal rows have an equal id."""
    said = json.dumps([record["source"], record["engagement"], _content(record)], sort_keys=True)
    return f"content-{sha256(said.encode('ascii')).hexdigest()[:16]}"


def content_of(record: Record) -> bytes:
    """Return a hash of what the record says apart from its id, how it was received, and where and when it came from."""
    return sha256(_content(record).encode("ascii")).digest()


def says_more_than_a_title(record: Record) -> bool:
    """Tell whether two records with equal content must be one: two films may have one title, and nothing else."""
    return record["source_url"] is not None or any(map(_says_something, record["metadata"].values()))


def _content(record: Record) -> str:
    said = {name: value for name, value in record["metadata"].items() if _says_something(value)}
    return json.dumps(
        [record["title"], record["published_at"], record["source_url"], said], sort_keys=True, separators=(",", ":")
    )


def _says_something(value: Any) -> bool:
    return value not in ("", [], {})


def body_of(record: Mapping[str, Any]) -> str:
    """Return the record's title and what it says at length; empty where it says nothing beside its title."""
    bodies = [record["metadata"].get(name) for name in BODIES]
    said = " ".join(text for text in bodies if isinstance(text, str))
    return f"{record['title']} {said}" if said.strip() else ""


def value_of(record: Mapping[str, Any], name: str) -> Any:  # Any: see Record
    """Return the field of that name: one of FIELDS, or metadata; None where it is missing."""
    if name in ENGAGEMENT:
        return record["engagement"][name]
    return record[name] if name in FIELDS else record["metadata"].get(name)


def present(records: Iterable[Record], names: Iterable[str]) -> frozenset[str]:
    """Return those of the named fields that at least one of the records has."""
    missing = set(names)
    found: set[str] = set()
    for record in records:
        here = {name for name in missing if value_of(record, name) is not None}
        found |= here
        missing -= here
    return frozenset(found)


def flat(record: Record) -> Record:
    """Return the record as one row of columns, as trainings and tables want it.

    Metadata that are called like something that every record has become "metadata.NAME".
    """
    fields = {name: value for name, value in record.items() if name not in ("engagement", "metadata")}
    metadata = {f"metadata.{name}" if name in OWN else name: value for name, value in record["metadata"].items()}
    return {**metadata, **record["engagement"], **fields}


def numeric_columns(rows: Sequence[Row]) -> frozenset[str]:
    """Return the columns of texts that hold nothing but numbers, as plain text files write them.

    A column with one other text in it stays text as a whole; so do texts that a number would not give back ("007").
    """
    numeric, other = set[str](), set[str]()
    for row in rows:
        for name, cell in row.items():
            if cell is None or name in other:
                continue
            if isinstance(cell, str) and _NUMBER.fullmatch(cell.strip()):
                numeric.add(name)
            else:
                other.add(name)
    return frozenset(numeric - other)


def number_of(text: str) -> float | int:
    """Return the number that a text of a numeric column stands for."""
    try:
        return int(text)
    except ValueError:  # a fraction, or more digits than Python reads
        return float(text)


def number_in(value: Any) -> float | None:
    """Return the finite number that a cell holds or, as text, stands for; None where it is none."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = number_of(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unusable(f"{name} is not text: {_short(value)}")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unusable(f"{name} is not finite: {value}")
        value = int(value) if value.is_integer() else value
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise Unusable(f"{name} is too large")
    text = " ".join(str(value).split())
    if not _can_be_stored(text):
        raise Unusable(f"{name} holds a NUL or half a character: {_short(text)}")
    return text or None


def _can_be_stored(text: str) -> bool:
    """Tell whether files and databases can hold the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not _HALF.search(text)


def _id(value: Any) -> str | None:
    if isinstance(value, float) and not value.is_integer():
        raise Unusable(f"id is neither text nor a whole number: {_short(value)}")
    return _text("id", value)


def _count(name: str, value: Any) -> float | int | None:
    if isinstance(value, str):
        value = _from_text(name, value.strip())
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"{name} is not a number: {_short(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unusable(f"{name} is not finite: {value}")
    if abs(value) >= LARGEST:
        raise Unusable(f"{name} is too large")
    if value < 0:
        raise Unusable(f"{name} is below 0: {_short(value)}")
    return int(value) if value == int(value) else value


def _from_text(name: str, text: str) -> float | int | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise Unusable(f"{name} is not a number: {_short(text)}")
    return number_of(text)


def _address(value: Any) -> str | None:
    address = _text("source_url", value)
    if address is not None and not re.match(r"https?://[^/\s]", address, re.IGNORECASE):
        raise Unusable(f"source_url is no http or https address: {_short(address)}")
    return address


def _published(value: Any) -> str | None:
    """Return the instant in ISO 8601, UTC; an instant without a zone counts as UTC, a year as its first day."""
    if isinstance(value, str):
        value = value.strip()
        if value.isascii() and value.isdigit() and len(value) in _DIGITS:
            value = int(value)
    if value is None or value == "":
        return None
    try:
        instant = _instant(value)
    except (ValueError, TypeError, OverflowError, OSError):
        raise Unusable(
            f"published_at is no instant: {_short(value)} (ISO 8601, RFC 2822, a year, or seconds since 1970)"
        ) from None
    return instant.isoformat(timespec="seconds")


def _instant(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    if not isinstance(value, str):
        if value in _YEARS:
            return datetime(int(value), 1, 1, tzinfo=UTC)
        if value in _DATES:
            return datetime.fromisoformat(str(int(value))).replace(tzinfo=UTC)
        if abs(value) < _SECONDS_FROM:
            raise ValueError
        return datetime.fromtimestamp(value / 1000 if abs(value) > _MILLISECONDS_FROM else value, UTC)
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = parsedate_to_datetime(value)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _check_json(record: Record) -> None:
    """Raise Unusable where the metadata hold something that JSON has no word for."""
    try:
        text = json.dumps(record["metadata"], allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        metadata = record["metadata"]
        # Where each by itself can be written, together they are nested too deeply.
        name, value = next(((name, value) for name, value in metadata.items() if not _is_json(value)), ("", metadata))
        kind = "is not finite" if isinstance(value, float) else "is not JSON"
        raise Unusable(f"{name or 'metadata'} {kind}: {_short(value)}") from None
    if _HALF.search(text):
        raise Unusable("the metadata hold half a character (a surrogate without its other half)")
    for name, value in record["metadata"].items():
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise Unusable(f"{name} is too large")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _json_name(name: str) -> str:
    if not _can_be_stored(name):
        raise Unusable(f"the name of a column holds a NUL or half a character: {_short(name)}")
    return name


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"a nested {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:79]}…"
