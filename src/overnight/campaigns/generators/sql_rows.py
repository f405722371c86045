"""The rows of a schema, made from a seed, and both databases that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from random import Random

from overnight.campaigns.generators.sql_schemas import Column, Schema, Table

Cell = str | float | int | None
MISSING = 0.15
"""Share of the rows that have nothing in a column that may be empty."""
_CHILDLESS = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Filled:
    """A schema with rows: for each table, a list of cells for each column, by name. Equal to itself alone."""

    schema: Schema
    cells: Mapping[str, Mapping[str, Sequence[Cell]]]
    known: Mapping[tuple[str, str], Sequence[Cell]]
    """What stands in a column of a table, less what is missing, from the lowest to the highest."""

    def rows(self, table: Table) -> list[tuple[Cell, ...]]:
        """Return the rows in the order of the columns of the table."""
        return list(zip(*self.cells[table.name].values(), strict=True))


def filled(schema: Schema, seed: int) -> Filled:
    """Return the schema with rows; the same seed gives the same rows."""
    random = Random(f"{schema.name}/{seed}")  # noqa: S311 -- no secret: the same seed must give the same rows
    cells = {table.name: _cells(random, schema, table) for table in schema.tables.values()}
    known = {
        (table, name): sorted(cell for cell in column if cell is not None)
        for table, columns in cells.items()
        for name, column in columns.items()
    }
    return Filled(schema=schema, cells=cells, known=known)


def _cells(random: Random, schema: Schema, table: Table) -> dict[str, list[Cell]]:
    count = table.rows
    cells: dict[str, list[Cell]] = {"id": list(range(1, count + 1))}
    for link, to in table.links.items():
        # Some rows have nothing that links to them, and some much: questions about both have answers.
        last = int(schema.tables[to].rows * (1 - _CHILDLESS))
        cells[link] = [1 + int(last * random.random() ** 1.5) for _ in range(count)]
    for column in table.columns:
        cells[column.name] = _column(random, column, count)
    for early, late in pairwise(table.of("date")):
        if late.missing:
            cells[late.name] = _later(random, cells[early.name], cells[late.name])
    return cells


def _column(random: Random, column: Column, count: int) -> list[Cell]:
    values: list[Cell]
    if column.kind == "label":
        first, last = column.words
        joint = "" if first[0].endswith("-") else " "
        values = list(random.sample([f"{one}{joint}{two}" for one in first for two in last], count))
    elif column.kind == "choice":
        values = list(random.choices(column.words[0], weights=range(len(column.words[0]) + 1, 1, -1), k=count))
    elif column.kind == "date":
        begin, end = date(int(column.low), 1, 1), date(int(column.high), 12, 31)
        values = [(begin + timedelta(random.randrange((end - begin).days))).isoformat() for _ in range(count)]
    else:
        values = [_number(random, column) for _ in range(count)]
    return [None if column.missing and random.random() < MISSING else value for value in values]


def _number(random: Random, column: Column) -> float | int:
    value: float = column.low + (column.high - column.low) * random.random() ** 1.7
    return round(value, column.decimals) if column.decimals else round(value)


def _later(random: Random, early: Sequence[Cell], late: Sequence[Cell]) -> list[Cell]:
    """Return dates some days after the early ones, missing where the late ones are: nothing ends before it began."""
    return [
        None if end is None else (date.fromisoformat(str(begin)) + timedelta(random.randrange(1, 60))).isoformat()
        for begin, end in zip(early, late, strict=True)
    ]
