"""The schemas that questions in SQL are asked about; they are written in `sql_schemas.txt` beside this file.

A table is written there as its name, what one row and many rows are called, and how many there are; below it, a column
a line: name, kind, what it holds, and what it is called where that is not its name. A question mark after the kind
means that some rows have none. Words that several columns hold are written once, at the beginning.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["label", "choice", "number", "date"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: `words` are the choices of one, or the two lists whose pairs are labels; `low` to `high` are numbers
    with `decimals`, or the first and the last year of dates."""

    name: str
    said: str
    kind: Kind
    missing: bool = False
    words: Sequence[Sequence[str]] = ()
    low: float = 0
    high: float = 0
    decimals: int = 0


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with the key `id`; `links` are its foreign keys, each with the table that it leads to."""

    name: str
    one: str
    many: str
    rows: int
    columns: Sequence[Column]
    links: Mapping[str, str] = field(default_factory=dict)

    def of(self, *kinds: Kind) -> list[Column]:
        """Return its columns of these kinds."""
        return [column for column in self.columns if column.kind in kinds]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Some tables, each after those that it has links to."""

    name: str
    about: str
    tables: Mapping[str, Table]

    def children(self, table: Table) -> list[tuple[Table, str]]:
        """Return the tables with a link to this one, and the name of the link."""
        return [(other, link) for other in self.tables.values() for link, to in other.links.items() if to == table.name]


@cache
def schemas() -> Mapping[str, Schema]:
    """Return all schemas by name, always in the same order."""
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    words, *blocks = text.strip().split("\n\n")
    for line in words.splitlines()[1:]:
        name, _, held = line.strip().partition("  ")
        blocks = [re.sub(rf"@{name}\b", held, block) for block in blocks]
    found = [_schema(block) for block in blocks]
    return {schema.name: schema for schema in found}


def ddl(table: Table) -> str:
    """Return the statement that creates the table."""
    types = {"label": "TEXT", "choice": "TEXT", "date": "TEXT"}
    lines = ["id INTEGER PRIMARY KEY"]
    lines += [f"{link} INTEGER NOT NULL REFERENCES {to} (id)" for link, to in table.links.items()]
    for column in table.columns:
        kind = types.get(column.kind) or ("REAL" if column.decimals else "INTEGER")
        lines.append(f"{column.name} {kind}{'' if column.missing else ' NOT NULL'}")
    return f"CREATE TABLE {table.name} (\n  " + ",\n  ".join(lines) + "\n);"


def _schema(text: str) -> Schema:
    head, *lines = text.splitlines()
    name, _, about = head.partition(": ")
    tables: dict[str, Table] = {}
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("    "):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    for block in blocks:
        table = _table(*block)
        tables[table.name] = table
    return Schema(name=name, about=about, tables=tables)


def _table(head: str, *lines: str) -> Table:
    name, one, many, rows = (part.strip() for part in head.split(","))
    parts = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return Table(
        name=name,
        one=one,
        many=many,
        rows=int(rows),
        columns=[_column(*part) for part in parts if part[1] != "link"],
        links={part[0]: part[2] for part in parts if part[1] == "link"},
    )


def _column(name: str, kind: str, holds: str, said: str | None = None) -> Column:
    bare: Kind = next(known for known in get_args(Kind) if known == kind.removesuffix("?"))
    words: list[list[str]] = []
    low = high = decimals = 0.0
    if bare in ("label", "choice"):
        words = [part.strip().split(", ") for part in holds.split("/")]
    else:
        low, high, decimals = (float(part) for part in [*holds.split(), "0"][:3])
    return Column(
        name=name,
        said=said or name.removesuffix("_id").replace("_", " "),
        kind=bare,
        missing=kind != bare,
        words=words,
        low=low,
        high=high,
        decimals=int(decimals),
    )
