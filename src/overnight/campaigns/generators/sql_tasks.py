"""Questions about SQLite databases, with the query that answers each; two engines agree on what it answers.

A cell is a schema and a family of questions (`FAMILIES`), and a number draws one question of that family: the clauses
of the query are drawn from a grammar, and each clause brings its own words for the question. The skeleton is that of
the query: how a question is worded counts for nothing.

A draft is accepted where SQLite and DuckDB give the same answer over the same rows (in order where an order was asked
for), where that answer says something, and where it is the answer of the query that the question was made with: over
these rows and, if the query is another one, over a second set of rows too, so that it is not right by accident.

Consistency is how firmly executing pins the query down: the share of up to four small slips (another comparison,
another figure, one row more) that these rows answer differently. Coherence is 1 for a question of up to 30 words and
falls to 0 at 100, as it does for a person who reads it. Groundedness is not measured: what a query names is always in
the schema that the task shows, or it does not run.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from typing import NamedTuple

from overnight.campaigns.generators.drawing import absent_or_copied, drawn, ease, source_of
from overnight.campaigns.generators.sql_deeper import cases, dates, nested, windows
from overnight.campaigns.generators.sql_engines import CannotRun, Databases, DuckDb, Row, same, trivial
from overnight.campaigns.generators.sql_parts import Parts, Question
from overnight.campaigns.generators.sql_questions import Family, figures, groups, joins, listing, sets
from overnight.campaigns.generators.sql_rows import Filled, filled
from overnight.campaigns.generators.sql_schemas import Schema, Table, ddl, schemas
from overnight.campaigns.generators.sql_text import skeleton, slips, words
from overnight.campaigns.ports import COHERENCE, CONSISTENCY, Checked, Draft, Message

FAMILIES: Mapping[str, Family] = {
    "listing": listing,
    "figures": figures,
    "groups": groups,
    "joins": joins,
    "windows": windows,
    "nested": nested,
    "sets": sets,
    "cases": cases,
    "dates": dates,
}

_ASK = "Write one SQLite query that answers the question. Answer with the query alone, ended by a semicolon."
_SEEDS = (0, 1)
"""Of the rows that a question is drawn from, and of those that another query has to agree on too."""
_SLIPS = 4
_EASY_WORDS, _HARD_WORDS = 30, 100


class SqlTasks:
    """A `Generator` of questions in SQL."""

    name = "sql_tasks"
    version = 1
    at_once = 1

    def __init__(self) -> None:
        self._filled: dict[str, Filled] = {}
        self._databases: dict[tuple[str, int], Databases] = {}
        self._duckdb = DuckDb()

    def cells(self) -> Sequence[str]:
        """Return each schema with each family of questions."""
        return [f"{schema}/{family}" for schema in schemas() for family in FAMILIES]

    def count(self, cell: str) -> None:
        """Return None: there is always one more to draw."""

    def draft(self, cell: str, number: int) -> Draft | None:
        """Return the question of that number."""
        name, _, family = cell.partition("/")
        random = drawn(self.name, self.version, cell, number)
        question = FAMILIES[family](Parts(self._rows(name), random))
        task = f"{_ASK}\n\n{_shown(schemas()[name], question, random)}\n\nQuestion: {question.said}"
        return Draft(
            messages=[Message(role="user", content=task), Message(role="assistant", content=f"{question.sql};")],
            skeleton=skeleton(question.sql),
            source=source_of(self.name, self.version, f"schema {name}"),
            facts={"schema": name, "sql": question.sql, "ordered": question.ordered},
        )

    def check(self, draft: Draft) -> Checked:
        """Run the answer on both engines, and compare.

        Raises:
            MissingExtra: DuckDB is not installed.
        """
        schema, sql, ordered = (draft.facts.get(key) for key in ("schema", "sql", "ordered"))
        known = isinstance(schema, str) and schema in schemas() and isinstance(sql, str)
        if not known or len(draft.messages) < 2:
            return Checked(fault="not a question of this generator")
        task, answer = draft.messages[-2].content, draft.messages[-1].content.strip()
        if fault := _misshapen(task, answer):
            return Checked(fault=fault)
        try:
            return self._run(_Wanted(str(schema), str(sql), bool(ordered)), task, answer)
        except CannotRun as error:
            return Checked(fault="the query does not run", detail=str(error))

    def _run(self, wanted: "_Wanted", task: str, answer: str) -> Checked:
        here = self._at(wanted.schema, _SEEDS[0])
        rows = here.sqlite(answer)
        if trivial(rows):
            return Checked(fault="the answer says nothing")
        try:
            agreed = same(rows, here.duckdb(answer), ordered=wanted.ordered)
        except CannotRun as error:
            return Checked(fault="the two engines disagree", detail=str(error))
        if not agreed:
            return Checked(fault="the two engines disagree")
        if answer != f"{wanted.sql};" and not self._equivalent(wanted, answer):
            return Checked(fault="the wrong answer")
        terms = {COHERENCE: _coherence(task)}
        if (told_apart := self._told_apart(wanted, answer, rows)) is not None:
            terms[CONSISTENCY] = told_apart
        return Checked(terms=terms)

    def _rows(self, schema: str) -> Filled:
        if schema not in self._filled:
            self._filled[schema] = filled(schemas()[schema], _SEEDS[0])
        return self._filled[schema]

    def _at(self, schema: str, seed: int) -> Databases:
        if (schema, seed) not in self._databases:
            self._databases[schema, seed] = Databases(filled(schemas()[schema], seed), self._duckdb)
        return self._databases[schema, seed]

    def _equivalent(self, wanted: "_Wanted", sql: str) -> bool:
        everywhere = [self._at(wanted.schema, seed) for seed in _SEEDS]
        return all(same(at.sqlite(sql), at.sqlite(wanted.sql), ordered=wanted.ordered) for at in everywhere)

    def _told_apart(self, wanted: "_Wanted", sql: str, rows: Sequence[Row]) -> float | None:
        """Return the share of small slips that these rows answer differently; None where no slip is known."""
        databases = self._at(wanted.schema, _SEEDS[0])
        found = list(islice(slips(sql), _SLIPS))
        seen = 0
        for slip in found:
            try:
                seen += not same(rows, databases.sqlite(slip), ordered=wanted.ordered)
            except CannotRun:
                seen += 1
        return seen / len(found) if found else None


class _Wanted(NamedTuple):
    """What a draft says about its right answer."""

    schema: str
    sql: str
    ordered: bool


def _misshapen(task: str, answer: str) -> str | None:
    fault = absent_or_copied(task, answer if answer.rstrip("; \n") else "")
    return fault or (None if answer.endswith(";") else "the answer is not whole")


def _coherence(task: str) -> float:
    return ease(task.rpartition("Question: ")[2], easy=_EASY_WORDS, hard=_HARD_WORDS)


def _shown(schema: Schema, question: Question, random: Random) -> str:
    """Return the tables that the query needs, and perhaps others, in the order of the schema."""
    named = set(words(question.sql))
    shown: list[Table] = [table for table in schema.tables.values() if table.name in named or random.random() < 0.3]
    return "\n".join(ddl(table) for table in shown)
