"""The parts that questions in SQL are put together from: each says the same in SQL and in English."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from overnight.campaigns.generators.sql_rows import Cell, Filled
from overnight.campaigns.generators.sql_schemas import Column, Table

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


@dataclass(frozen=True)
class Part:
    """A piece of a query, and the same in words."""

    sql: str
    said: str


@dataclass(frozen=True)
class Question:
    """A query and the question that it answers; `ordered` where the order of the rows was asked for."""

    sql: str
    said: str
    ordered: bool = False


@dataclass(frozen=True)
class Seat:
    """A table's place in a query: its columns are written with the alias where there is one."""

    table: Table
    alias: str = ""

    def at(self, column: str) -> str:
        """Return the column as the query writes it."""
        return f"{self.alias}.{column}" if self.alias else column

    @property
    def source(self) -> str:
        """What stands after FROM or JOIN."""
        return f"{self.table.name} AS {self.alias}" if self.alias else self.table.name


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Return "a, b and c"."""
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}" if len(parts) > 1 else parts[0]


def narrowed(where: str, more: str) -> str:
    """Return a WHERE clause that holds one more condition."""
    return f" WHERE ({where.removeprefix(' WHERE ')}) AND {more}" if where else f" WHERE {more}"


def _about(table: Table, part: Part) -> str:
    """Return which column a condition is about first."""
    named = re.findall(r"[a-z_]+", re.sub(r"'[^']*'", "", part.sql))
    return next((name for name in named if any(name == column.name for column in table.columns)), part.sql)


class Parts:
    """Draws parts for one question from the rows of a schema."""

    def __init__(self, filled: Filled, random: Random) -> None:
        self.filled = filled
        self.schema = filled.schema
        self.random = random

    # -- tables and columns

    def table(self, fits: Callable[[Table], object]) -> Table:
        """Return one of the tables that fit; every schema has one for each question that is asked."""
        return self.random.choice([table for table in self.schema.tables.values() if fits(table)])

    def parent(self, table: Table) -> tuple[str, Table]:
        """Return one of its links, and the table that it leads to."""
        link = self.random.choice(list(table.links))
        return link, self.schema.tables[table.links[link]]

    def child(self, table: Table) -> tuple[Table, str]:
        """Return a table that links to this one, and its link."""
        return self.random.choice(self.schema.children(table))

    def chance(self, share: float) -> bool:
        """Return True in this share of the cases."""
        return self.random.random() < share

    def name_of(self, seat: Seat) -> Part:
        """Return what a row is called by: its label, and where it has none its id."""
        labels = seat.table.of("label")
        name = labels[0].name if labels else "id"
        return Part(seat.at(name), labels[0].said if labels else "id")

    def shown(self, seat: Seat, count: int) -> list[Part]:
        """Return what a row is called by, and some more of its columns."""
        others = [column for column in seat.table.columns if column.kind != "label"]
        some = self.random.sample(others, min(count - 1, len(others)))
        return [self.name_of(seat), *(Part(seat.at(column.name), column.said) for column in some)]

    def value(self, table: Table, column: Column, low: float = 0.1, high: float = 0.9) -> Cell:
        """Return one of the values of a column, from between two shares of them."""
        known = self.filled.known[table.name, column.name]
        return known[int(len(known) * self.random.uniform(low, high))]

    # -- conditions

    def condition(self, seat: Seat, depth: int = 1) -> Part:
        """Return a condition on the rows of a table; `depth` is how many tables further it may look."""
        kinds: list[Callable[[Seat], Part]] = []
        for kind, made in (("choice", self._choice), ("number", self._number), ("date", self._date)):
            if seat.table.of(kind):  # type: ignore[arg-type]  # each is a kind
                kinds += [made, made]
        if seat.table.of("label"):
            kinds.append(self._label)
        if any(column.missing for column in seat.table.columns):
            kinds.append(self._missing)
        if depth and self.schema.children(seat.table):
            kinds.append(self._children)
        if depth and seat.table.links:
            kinds.append(self._parent)
        return self.random.choice(kinds)(seat)

    def conditions(self, seat: Seat, depth: int = 1) -> Part:
        """Return one to three conditions, joined."""
        some: dict[str, Part] = {}
        for place in range(self.random.choice((1, 1, 2, 2, 3))):
            part = self.condition(seat, depth if place == 0 else 0)
            # Two conditions on one column mostly contradict or repeat each other.
            some.setdefault(_about(seat.table, part), part)
        one, *others = some.values()
        if not others:
            return one
        if len(others) == 2:
            two, three = others
            return Part(
                f"{one.sql} AND ({two.sql} OR {three.sql})", f"{one.said} and, moreover, {two.said} or {three.said}"
            )
        word = "OR" if self.chance(0.35) else "AND"
        return Part(f"{one.sql} {word} {others[0].sql}", f"{one.said} {word.lower()} {others[0].said}")

    def where(self, seat: Seat, share: float = 0.7) -> Part:
        """Return a WHERE clause in this share of the cases, with what it says after the name of the rows."""
        if not self.chance(share):
            return Part("", "")
        found = self.conditions(seat)
        return Part(f" WHERE {found.sql}", f" {found.said}")

    def _choice(self, seat: Seat) -> Part:
        column = self.random.choice(seat.table.of("choice"))
        at, words = seat.at(column.name), list(column.words[0])
        one, two = self.random.sample(words, 2)
        forms = [
            Part(f"{at} = '{one}'", f"whose {column.said} is '{one}'"),
            Part(f"{at} IN ('{one}', '{two}')", f"whose {column.said} is '{one}' or '{two}'"),
        ]
        if not column.missing:
            forms += [
                Part(f"{at} <> '{one}'", f"whose {column.said} is not '{one}'"),
                Part(f"{at} NOT IN ('{one}', '{two}')", f"whose {column.said} is neither '{one}' nor '{two}'"),
            ]
        return self.random.choice(forms)

    def _number(self, seat: Seat) -> Part:
        column = self.random.choice(seat.table.of("number"))
        at, said = seat.at(column.name), column.said
        value = self.value(seat.table, column)
        low, high = self.value(seat.table, column, 0.1, 0.4), self.value(seat.table, column, 0.6, 0.9)
        table = seat.table
        mean = f"(SELECT AVG({column.name}) FROM {table.name})"
        forms = [
            Part(f"{at} > {value}", f"whose {said} is above {value}"),
            Part(f"{at} >= {value}", f"whose {said} is at least {value}"),
            Part(f"{at} < {value}", f"whose {said} is below {value}"),
            Part(f"{at} <= {value}", f"whose {said} is at most {value}"),
            Part(f"{at} BETWEEN {low} AND {high}", f"whose {said} is from {low} to {high}"),
            Part(f"{at} > {mean}", f"whose {said} is above the average of all {table.many}"),
            Part(f"{at} < {mean}", f"whose {said} is below the average of all {table.many}"),
        ]
        return self.random.choice(forms)

    def _date(self, seat: Seat) -> Part:
        column = self.random.choice(seat.table.of("date"))
        at, said = seat.at(column.name), column.said
        day = str(self.value(seat.table, column))
        low, high = self.value(seat.table, column, 0.1, 0.4), self.value(seat.table, column, 0.6, 0.9)
        forms = [
            Part(f"{at} >= '{day}'", f"whose {said} is {day} or later"),
            Part(f"{at} < '{day}'", f"whose {said} is before {day}"),
            Part(f"{at} BETWEEN '{low}' AND '{high}'", f"whose {said} is from {low} to {high}"),
            Part(f"strftime('%Y', {at}) = '{day[:4]}'", f"whose {said} is in {day[:4]}"),
            Part(
                f"strftime('%m', {at}) = '{day[5:7]}'",
                f"whose {said} is in {MONTHS[int(day[5:7]) - 1]} of any year",
            ),
        ]
        return self.random.choice(forms)

    def _label(self, seat: Seat) -> Part:
        column = seat.table.of("label")[0]
        at, said = seat.at(column.name), column.said
        text = str(self.value(seat.table, column))
        start = self.random.randrange(1, len(text) - 2)
        inside = text[start : start + 2].strip() or text[-2:]
        forms = [
            Part(f"{at} LIKE '{text[:1]}%'", f"whose {said} begins with '{text[:1]}'"),
            Part(f"{at} LIKE '%{text[-1:]}'", f"whose {said} ends with '{text[-1:]}'"),
            Part(f"{at} LIKE '%{inside}%'", f"whose {said} contains '{inside}'"),
            Part(f"length({at}) > {len(text)}", f"whose {said} has more than {len(text)} characters"),
        ]
        return self.random.choice(forms)

    def _missing(self, seat: Seat) -> Part:
        column = self.random.choice([column for column in seat.table.columns if column.missing])
        at = seat.at(column.name)
        if self.chance(0.5):
            return Part(f"{at} IS NULL", f"that have no {column.said}")
        return Part(f"{at} IS NOT NULL", f"that have a known {column.said}")

    def _children(self, seat: Seat) -> Part:
        child, link = self.child(seat.table)
        inner = Seat(child, "k")
        key = seat.at("id") if seat.alias else f"{seat.table.name}.id"
        rows = f"FROM {inner.source} WHERE k.{link} = {key}"
        more = self.condition(inner, 0)
        count = self.random.randrange(1, 5)
        forms = [
            Part(f"EXISTS (SELECT 1 {rows})", f"that have at least one {child.one}"),
            Part(f"NOT EXISTS (SELECT 1 {rows})", f"that have no {child.one}"),
            Part(f"EXISTS (SELECT 1 {rows} AND {more.sql})", f"that have {child.many} {more.said}"),
            Part(f"NOT EXISTS (SELECT 1 {rows} AND {more.sql})", f"that have no {child.many} {more.said}"),
            Part(f"(SELECT COUNT(*) {rows}) > {count}", f"that have more than {count} {child.many}"),
            Part(
                f"{key} IN (SELECT k.{link} FROM {inner.source} WHERE {more.sql})",
                f"that have {child.many} {more.said}",
            ),
            Part(
                f"{key} NOT IN (SELECT k.{link} FROM {inner.source} WHERE {more.sql})",
                f"that have no {child.many} {more.said}",
            ),
        ]
        return self.random.choice(forms)

    def _parent(self, seat: Seat) -> Part:
        link, parent = self.parent(seat.table)
        more = self.condition(Seat(parent), 0)
        sql = f"{seat.at(link)} IN (SELECT id FROM {parent.name} WHERE {more.sql})"
        return Part(sql, f"that belong to {parent.many} {more.said}")

    # -- measures and orders

    def measure(self, seat: Seat) -> Part:
        """Return a figure over many rows."""
        forms = [Part("COUNT(*)", f"the number of {seat.table.many}")]
        for column in seat.table.of("choice"):
            at = seat.at(column.name)
            forms.append(Part(f"COUNT(DISTINCT {at})", f"the number of different values of {column.said}"))
        for column in seat.table.of("date"):
            at = seat.at(column.name)
            forms.append(Part(f"MIN({at})", f"the earliest {column.said}"))
            forms.append(Part(f"MAX({at})", f"the latest {column.said}"))
        for column in seat.table.of("number"):
            forms += self.figures(seat, column)
        return self.random.choice(forms)

    def figures(self, seat: Seat, column: Column) -> list[Part]:
        """Return what can be computed from a column of numbers."""
        at, said = seat.at(column.name), column.said
        forms = [
            Part(f"SUM({at})", f"the sum of {said}"),
            Part(f"AVG({at})", f"the average {said}"),
            Part(f"ROUND(AVG({at}), 2)", f"the average {said} rounded to 2 decimals"),
            Part(f"MIN({at})", f"the lowest {said}"),
            Part(f"MAX({at})", f"the highest {said}"),
            Part(f"MAX({at}) - MIN({at})", f"the difference between the highest and the lowest {said}"),
        ]
        if column.missing:
            forms.append(Part(f"COUNT({at})", f"the number of {seat.table.many} with a known {said}"))
            forms.append(Part(f"AVG(COALESCE({at}, 0))", f"the average {said}, a missing one counted as 0"))
        return forms

    def measures(self, seat: Seat, most: int) -> list[Part]:
        """Return one to `most` different figures."""
        drawn = [self.measure(seat) for _ in range(self.random.randrange(1, most + 1))]
        return list({part.sql: part for part in drawn}.values())

    def order(self, seat: Seat) -> Part:
        """Return by what rows are sorted: nothing is left open."""
        column = self.random.choice(seat.table.of("number", "date", "label"))
        down = self.chance(0.5)
        at = seat.at(column.name)
        way = "descending" if down else "ascending"
        if column.kind == "label":
            return Part(f"{at}{' DESC' * down}", f"sorted by {column.said} in {way} order")
        return Part(f"{at}{' DESC' * down}, {seat.at('id')}", f"sorted by {column.said} in {way} order, ties by id")

    def cut(self) -> Part:
        """Return how many of the sorted rows are wanted; often all."""
        count = self.random.randrange(3, 9)
        if self.chance(0.45):
            return Part("", "")
        if self.chance(0.7):
            return Part(f" LIMIT {count}", f", only the first {count}")
        skip = self.random.randrange(2, 6)
        return Part(f" LIMIT {count} OFFSET {skip}", f", leaving out the first {skip} and showing the next {count}")
