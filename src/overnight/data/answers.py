"""From the pages of a source to what is judged: its mapping applied, numbers as numbers, the instant it stands for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError
from overnight.base.instants import to_datetime
from overnight.data.fields import picker
from overnight.data.judge import Answer
from overnight.data.records import FIELDS, Origin, number_of, numeric_columns
from overnight.data.sources.reading import Found
from overnight.data.store import CachedPage

TEXT_ONLY = ("csv", "folder")
"""Kinds of source whose tables may know no numbers."""

Cells = Mapping[str, Any]  # Any: a cell holds whatever JSON holds


def answers_of(
    name: str, source: SourceSettings, region: str, pages: Sequence[tuple[CachedPage, Sequence[Found]]]
) -> list[Answer]:
    """Return what each page of a source gives for a region ("" for none).

    Raises:
        ConfigError: `fields` or `as_of` cannot be used.
    """
    pick = picker(name, source.fields)
    tables = [[(one.where, pick(one.row)) for one in found if one.row is not None] for _, found in pages]
    if source.kind in TEXT_ONLY:
        tables = _with_numbers(tables)
    titled = any(cells.get("title") for table in tables for _, cells in table)
    return [
        Answer(
            origin=Origin(
                source=name,
                platform=source.platform or name,
                harvested_at=to_datetime(page.fetched_us).isoformat(timespec="seconds"),
                region=region or None,
                titled=titled,
            ),
            as_of=as_of(name, source, page),
            rows=table,
            unreadable=[(one.where, str(one.reason)) for one in found if one.row is None],
        )
        for (page, found), table in zip(pages, tables, strict=True)
    ]


def as_of(name: str, source: SourceSettings, page: CachedPage) -> datetime:
    """Return the instant that recency counts from: as set, or when the file was changed, or when the page came.

    Raises:
        ConfigError: what is set is no instant.
    """
    if source.as_of is not None:
        try:
            set_to = datetime.fromisoformat(source.as_of)
        except ValueError:
            raise ConfigError(f"sources.{name}.as_of: {source.as_of!r} is no instant in ISO 8601") from None
        return set_to.replace(tzinfo=UTC) if set_to.tzinfo is None else set_to
    if source.url is None and page.validators.last_modified is not None:
        return datetime.fromisoformat(page.validators.last_modified)
    return to_datetime(page.fetched_us)


def _with_numbers(tables: Sequence[Sequence[tuple[str, Cells]]]) -> list[list[tuple[str, Cells]]]:
    """Turn metadata that are numbers in every row into numbers; the fields of a record know what they are."""
    columns = numeric_columns([cells for table in tables for _, cells in table]).difference(FIELDS)
    return [
        [
            (
                where,
                {
                    name: number_of(cell.strip()) if name in columns and isinstance(cell, str) else cell
                    for name, cell in cells.items()
                },
            )
            for where, cells in table
        ]
        for table in tables
    ]
