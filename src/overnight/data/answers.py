"""From the pages of a source to what is judged: its mapping applied, numbers as numbers, the instant it stands for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from overnight.base.config import SourceSettings
from overnight.base.instants import to_datetime
from overnight.data.fields import picker
from overnight.data.judge import Answer
from overnight.data.records import FIELDS, Origin, Unusable, number_of, numeric_columns
from overnight.data.sources.reading import Found
from overnight.data.store import CachedPage

TEXT_ONLY = ("csv", "folder")
"""Kinds of source whose tables may know no numbers."""

Cells = Mapping[str, Any]  # Any: a cell holds whatever JSON holds
Table = list[tuple[str, Cells]]
"""Rows with their places."""


def answers_of(
    name: str, source: SourceSettings, region: str, pages: Sequence[tuple[CachedPage, Sequence[Found]]]
) -> list[Answer]:
    """Return what each page of a source gives for a region ("" for none).

    Raises:
        ConfigError: an expression of `fields` cannot be used.
    """
    pick = picker(name, source.fields)
    picked = [_picked(pick, found) for _, found in pages]
    tables = [table for table, _ in picked]
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
            as_of=as_of(source, page),
            rows=table,
            unreadable=unreadable,
        )
        for (page, _), table, (_, unreadable) in zip(pages, tables, picked, strict=True)
    ]


def _picked(pick: Callable[[Cells], Cells], found: Iterable[Found]) -> tuple[Table, list[tuple[str, str]]]:
    """Return the cells of the rows, and places where there are none, with the reason."""
    table: Table = []
    unreadable: list[tuple[str, str]] = []
    for one in found:
        if one.row is None:
            unreadable.append((one.where, str(one.reason)))
            continue
        try:
            table.append((one.where, pick(one.row)))
        except Unusable as error:
            unreadable.append((one.where, str(error)))
    return table, unreadable


def as_of(source: SourceSettings, page: CachedPage) -> datetime:
    """Return the instant that recency counts from: as set, or when the file was changed, or when the page came."""
    if source.as_of is not None:
        set_to = datetime.fromisoformat(source.as_of)
        return set_to.replace(tzinfo=UTC) if set_to.tzinfo is None else set_to
    if source.url is None and page.validators.last_modified is not None:
        return datetime.fromisoformat(page.validators.last_modified)
    return to_datetime(page.fetched_us)


def _with_numbers(tables: Sequence[Table]) -> list[Table]:
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
