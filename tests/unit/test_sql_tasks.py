"""Questions in SQL: the same ones every time, in many forms, and only right answers to them are accepted."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import MissingExtra
from overnight.campaigns.generators import sql_engines
from overnight.campaigns.generators.sql_engines import CannotRun, Databases, DuckDb, same, trivial
from overnight.campaigns.generators.sql_rows import filled
from overnight.campaigns.generators.sql_schemas import ddl, schemas
from overnight.campaigns.generators.sql_tasks import FAMILIES, SqlTasks
from overnight.campaigns.generators.sql_text import skeleton, slips
from overnight.campaigns.planted import KINDS, planted
from overnight.campaigns.ports import DRAWN, TERMS, Checked, Draft, Message

duckdb = pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def tasks() -> SqlTasks:
    return SqlTasks()


def answered(draft: Draft, answer: str) -> Draft:
    return replace(draft, messages=[*draft.messages[:-1], Message(role="assistant", content=answer)])


def drafts(tasks: SqlTasks, count: int, *, schema: str = "shop") -> list[Draft]:
    cells = [cell for cell in tasks.cells() if cell.startswith(f"{schema}/")]
    return [tasks.draft(cells[number % len(cells)], number // len(cells)) for number in range(count)]


# -- what is drawn


def test_cells_are_every_schema_with_every_family_in_one_order(tasks):
    assert tasks.cells() == SqlTasks().cells()
    assert len(set(tasks.cells())) == len(tasks.cells()) == len(schemas()) * len(FAMILIES)
    assert len(schemas()) >= 10


def test_the_same_cell_and_number_give_the_same_draft_in_another_process(tasks):
    program = """
import json
from overnight.campaigns.generators.sql_tasks import SqlTasks
tasks = SqlTasks()
drafts = [tasks.draft(cell, number) for cell in tasks.cells()[::7] for number in (0, 5)]
print(json.dumps([[message.content for message in draft.messages] for draft in drafts]))
"""
    there = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                check=True,
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            ).stdout
        )
        for seed in ("1", "2")
    ]
    drafts = [tasks.draft(cell, number) for cell in tasks.cells()[::7] for number in (0, 5)]
    assert there == [[[message.content for message in draft.messages] for draft in drafts]] * 2


def test_other_numbers_are_other_questions(tasks):
    assert len({draft.messages[0].content for draft in drafts(tasks, 180)}) > 175


def test_a_draft_is_a_conversation_of_json_that_names_its_source(tasks):
    for draft in drafts(tasks, 18):
        assert [message.role for message in draft.messages] == ["user", "assistant"]
        assert draft.source["name"] == "overnight sql_tasks, schema shop"
        assert draft.source["licence"] == "Apache-2.0" and DRAWN in draft.source
        assert json.loads(json.dumps(draft.facts)) == draft.facts


def test_the_task_shows_every_table_that_the_query_names(tasks):
    for schema in schemas().values():
        for draft in drafts(tasks, 18, schema=schema.name):
            used = {
                name for name in schema.tables if name in draft.facts["sql"].replace(".", " ").replace(")", " ").split()
            }
            assert all(ddl(schema.tables[name]) in draft.messages[0].content for name in used)


def test_most_questions_are_accepted_and_few_share_a_skeleton(tasks):
    made = [tasks.draft(cell, number) for cell in tasks.cells()[9:45] for number in range(4)]
    accepted = [draft for draft in made if tasks.check(draft).fault is None]
    assert len(accepted) > 0.85 * len(made)
    assert len({draft.skeleton for draft in accepted}) > 0.85 * len(accepted)
    assert max(Counter(draft.skeleton for draft in accepted).values()) <= 5


def test_a_skeleton_is_the_query_without_its_names_and_values():
    one = skeleton("SELECT a, b FROM t WHERE c > 5 AND d IN ('x', 'it''s') ORDER BY a DESC LIMIT 3")
    other = skeleton("SELECT z FROM u WHERE y > 1.5 AND w IN ('q') ORDER BY z DESC LIMIT 9")
    assert one == other == "SELECT x FROM x WHERE x > 0 AND x IN ( s ) ORDER BY x DESC LIMIT 0"
    assert skeleton("SELECT a FROM t WHERE c >= 5") != skeleton("SELECT a FROM t WHERE c > 5")


# -- what is accepted


def accepted(tasks: SqlTasks, count: int = 45) -> list[tuple[Draft, Checked]]:
    judged = [(draft, tasks.check(draft)) for draft in drafts(tasks, count)]
    return [(draft, checked) for draft, checked in judged if checked.fault is None]


def test_terms_are_shares_and_one_that_cannot_vary_is_left_out(tasks):
    told = [checked.terms for _, checked in accepted(tasks)]
    assert all(set(terms) <= set(TERMS) and all(0 <= term <= 1 for term in terms.values()) for terms in told)
    assert all("groundedness" not in terms for terms in told)
    for name in ("consistency", "coherence"):
        assert len({terms[name] for terms in told if name in terms}) > 2, name


@pytest.mark.parametrize("answer", ["", "   \n", ";", "; ;\n"])
def test_an_empty_answer_is_refused(tasks, answer):
    assert tasks.check(answered(drafts(tasks, 1)[0], answer)).fault == "no answer"


def test_an_answer_that_is_cut_off_is_refused_wherever_that_is(tasks):
    for draft, _ in accepted(tasks, 9):
        answer = draft.messages[-1].content
        assert all(tasks.check(answered(draft, answer[:end])).fault for end in range(len(answer)))


def test_an_answer_that_is_copied_from_the_task_is_refused(tasks):
    for draft in drafts(tasks, 9):
        task = draft.messages[0].content
        for copied in (task, task.partition("\n\n")[2], task.rpartition("Question: ")[2], f"{task};"):
            assert tasks.check(answered(draft, copied)).fault == "the answer is copied from the task"


def test_the_answer_to_another_question_is_refused(tasks):
    made = [draft for draft, _ in accepted(tasks, 36)]
    wrong = Counter(tasks.check(answered(one, other.messages[-1].content)).fault for one, other in pairwise(made))
    assert wrong["the wrong answer"] >= len(made) - 4
    assert None not in wrong


def test_every_bad_sample_that_a_pilot_plants_is_refused(tasks):
    good = [draft for draft, _ in accepted(tasks, 18)]
    bad = list(planted(good))
    assert {one.kind for one in bad} == set(KINDS)
    assert [one.kind for one in bad if tasks.check(one.draft).fault is None] == []


def test_a_slip_that_the_rows_tell_apart_is_refused_and_another_way_to_ask_the_same_is_not(tasks):
    draft = next(
        draft
        for draft, checked in accepted(tasks, 90)
        if " WHERE " in draft.facts["sql"] and checked.terms.get("consistency") == 1
    )
    sql = draft.facts["sql"]
    assert tasks.check(answered(draft, f"{next(slips(sql))};")).fault == "the wrong answer"
    assert tasks.check(answered(draft, f"SELECT * FROM ({sql}) AS again;")).fault is None


def test_a_query_that_is_right_on_these_rows_by_accident_is_found_out_on_others(tasks):
    draft = Draft(
        messages=[
            Message(role="user", content="Question: How many orders are open?"),
            Message(role="assistant", content=""),
        ],
        skeleton="",
        source={},
        facts={"schema": "shop", "sql": "SELECT COUNT(*) FROM orders WHERE status = 'open'", "ordered": False},
    )
    [[count]] = Databases(filled(schemas()["shop"], 0), DuckDb()).sqlite(draft.facts["sql"])
    assert tasks.check(answered(draft, f"SELECT {count};")).fault == "the wrong answer"
    assert tasks.check(answered(draft, "SELECT SUM(status = 'open') FROM orders;")).fault is None


@pytest.mark.parametrize(
    "answer",
    [
        "DROP TABLE orders;",
        "ATTACH 'here.db' AS here;",
        "SELECT 1; SELECT 2;",
        "PRAGMA journal_mode;",
        "SELECT load_extension('x');",
        "SELECT * FROM read_csv('/etc/passwd');",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT MAX(x) FROM n;",
        "SELECT COUNT(*) FROM order_items a, order_items b, order_items c, order_items d;",
        "SELECT length(randomblob(1000000000));",
        "SELECT a.id FROM order_items a, order_items b;",
        "SELEKT 1;",
        "SELECT nothing FROM orders;",
        "\x00;",
        "SELECT '\ud800';",
    ],
)
def test_what_does_more_than_read_a_little_does_not_run(tasks, answer):
    assert tasks.check(answered(drafts(tasks, 1)[0], answer)).fault == "the query does not run"


def test_engines_that_disagree_refuse_the_draft(tasks):
    draft = drafts(tasks, 1)[0]
    # SQLite divides whole numbers without a rest, and compares texts with LIKE whatever their case.
    for sql in ("SELECT 7 / 2", "SELECT COUNT(*) FROM orders WHERE status LIKE 'OPEN'", "SELECT iif(1, 2, 3)"):
        facts = {"schema": "shop", "sql": sql, "ordered": False}
        assert tasks.check(replace(answered(draft, f"{sql};"), facts=facts)).fault == "the two engines disagree"


def test_an_answer_that_says_nothing_is_refused(tasks):
    for sql in ("SELECT id FROM orders WHERE id < 0", "SELECT COUNT(*) FROM orders WHERE id < 0", "SELECT NULL"):
        draft = replace(
            answered(drafts(tasks, 1)[0], f"{sql};"), facts={"schema": "shop", "sql": sql, "ordered": False}
        )
        assert tasks.check(draft).fault == "the answer says nothing"


@pytest.mark.parametrize(
    "facts",
    [{}, {"schema": "nowhere", "sql": "SELECT 1"}, {"schema": "shop", "sql": 3}, {"schema": ["shop"], "sql": "x"}],
)
def test_damaged_facts_are_a_fault_and_no_error(tasks, facts):
    assert tasks.check(replace(drafts(tasks, 1)[0], facts=facts)).fault == "not a question of this generator"
    assert tasks.check(replace(drafts(tasks, 1)[0], messages=[])).fault == "not a question of this generator"


# -- engines


def test_rows_are_the_same_up_to_rounding_and_order():
    assert same([(1, "a"), (2, None)], [(2.0, None), (1.0000000001, "a")], ordered=False)
    assert not same([(1, "a"), (2, None)], [(2, None), (1, "a")], ordered=True)
    assert not same([(1,)], [(1,), (1,)], ordered=False)
    assert not same([(1, 2)], [(1,)], ordered=True)
    assert not same([("1",)], [(1,)], ordered=True)
    assert trivial([(0, None)]) and trivial([]) and not trivial([(0, 1)])


def test_rows_begin_before_they_end_and_some_are_missing():
    for schema in schemas().values():
        for table in schema.tables.values():
            cells = filled(schema, 3).cells[table.name]
            days = table.of("date")
            if len(days) > 1 and days[1].missing:
                pairs = [pair for pair in zip(cells[days[0].name], cells[days[1].name], strict=True) if pair[1]]
                assert pairs and all(begin < end for begin, end in pairs)
            for column in table.columns:
                assert (None in cells[column.name]) <= column.missing


def test_both_engines_hold_the_same_rows():
    shared = DuckDb()
    for schema in schemas().values():
        databases = Databases(filled(schema, 0), shared)
        for name in schema.tables:
            assert same(
                databases.sqlite(f"SELECT * FROM {name}"), databases.duckdb(f"SELECT * FROM {name}"), ordered=True
            )


def test_duckdb_reaches_no_file(tmp_path):
    with pytest.raises(CannotRun, match="disabled"):
        Databases(filled(schemas()["shop"], 0), DuckDb()).duckdb(f"COPY orders TO '{tmp_path}/orders.csv'")


def test_tables_joined_by_a_condition_are_not_joined_row_by_row():
    databases = Databases(filled(schemas()["shop"], 0), DuckDb())
    sql = """SELECT COUNT(*) FROM order_items i, orders o, customers c, products p
    WHERE i.order_id = o.id AND o.customer_id = c.id AND i.product_id = p.id"""
    began = time.process_time()
    assert databases.duckdb(sql) == databases.sqlite(sql) == [(300,)]
    assert time.process_time() - began < 5


def test_a_duckdb_that_broke_down_is_begun_anew(monkeypatch):
    rows, shared = filled(schemas()["shop"], 0), DuckDb()
    databases = Databases(rows, shared)
    others = Databases(filled(schemas()["shop"], 1), shared)
    assert others.duckdb("SELECT COUNT(*) FROM orders") == others.sqlite("SELECT COUNT(*) FROM orders")

    class Broken:
        def execute(self, sql):
            raise duckdb.FatalException("the database has been invalidated")

    databases.duckdb("SELECT 1")
    monkeypatch.setitem(shared._cursors, rows, Broken())
    with pytest.raises(CannotRun, match="invalidated"):
        databases.duckdb("SELECT 1")
    for one in (databases, others):
        assert one.duckdb("SELECT * FROM orders ORDER BY id") == one.sqlite("SELECT * FROM orders ORDER BY id")


@given(answer=st.one_of(st.text(), st.text(alphabet="SELECT *FROMorders();'0,=-/\x00").map("SELECT {};".format)))
@settings(deadline=None, max_examples=25)
def test_no_answer_makes_the_check_fail(tasks, answer):
    assert tasks.check(answered(tasks.draft("shop/figures", 1), answer)).fault


def test_without_duckdb_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtra, match=r"questions in SQL need the extra `data`: pip install 'overnight\[data\]'"):
        SqlTasks().check(SqlTasks().draft("shop/figures", 0))
    assert sql_engines.MOST_ROWS == 1000
