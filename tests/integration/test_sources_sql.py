"""Rows from PostgreSQL: streamed, read only, within their time, and without a password in any message."""

import decimal

import pytest
import sqlalchemy as sa

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError, TransientError
from overnight.data.sources.local import read_local
from overnight.testing.postgres import create_database, drop_database

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server(postgres_url):
    url = create_database(postgres_url)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE number")
        connection.exec_driver_sql("CREATE TABLE film (id bigint, title text)")
        connection.exec_driver_sql("INSERT INTO film SELECT n, 'Film ' || n FROM generate_series(1, 2500) n")
    yield engine
    drop_database(postgres_url, url)


def read_all(engine, query, variables=(), **more):
    more.setdefault("url", engine.url.render_as_string(hide_password=False))
    settings = SourceSettings(kind="sql", query=query, **more)
    return list(read_local("films", settings, None, variables=dict(variables)))


def test_all_rows_of_a_server_come_in_order(server):
    found = read_all(server, "SELECT id, title FROM film ORDER BY id")
    assert [item.row["id"] for item in found] == list(range(1, 2501))
    assert found[2499] == ("row 2500", {"id": 2500, "title": "Film 2500"}, None)


def test_rows_stay_on_the_server_until_they_are_asked_for(server):
    endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
    settings = SourceSettings(kind="sql", url=server.url.render_as_string(hide_password=False), query=endless)
    rows = read_local("films", settings, None, variables={})
    assert [next(rows).row["id"] for _ in range(2500)] == list(range(1, 2501))
    rows.close()


def test_cells_become_what_json_knows(server):
    cells = {
        "10.50::numeric": 10.5,
        "12345678901234567890123::numeric": 12345678901234567890123,
        "'2026-01-02 03:04:05+02'::timestamptz": "2026-01-02T01:04:05+00:00",
        "'2026-01-02 03:04:05'::timestamp": "2026-01-02T03:04:05+00:00",
        "'2026-01-02'::date": "2026-01-02",
        "'12:30'::time": "12:30:00",
        "interval '90 seconds'": 90.0,
        "ARRAY[1, 2]": [1, 2],
        """'{"a": [1.5, null]}'::jsonb""": {"a": [1.5, None]},
        "'00000000-0000-0000-0000-000000000001'::uuid": "00000000-0000-0000-0000-000000000001",
        "true": True,
        "'100% of :it %s'": "100% of :it %s",
    }
    query = "SELECT 1 AS id, " + ", ".join(f"{cell} AS c{n}" for n, cell in enumerate(cells))
    (found,) = read_all(server, query)
    assert found.row == {"id": 1, **{f"c{n}": value for n, value in enumerate(cells.values())}}
    assert not any(isinstance(value, decimal.Decimal) for value in found.row.values())


def test_cells_that_json_does_not_know_cost_their_row(server):
    found = read_all(server, "SELECT 1 AS id, '\\x00'::bytea AS poster UNION ALL SELECT 2, NULL")
    assert [(item.row, item.reason) for item in found] == [
        (None, "'poster' is binary; allowed are text and numbers"),
        ({"id": 2, "poster": None}, None),
    ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("DELETE FROM film RETURNING id", "films.query"),
        ("WITH gone AS (DELETE FROM film RETURNING id) SELECT id FROM gone", "films.query"),
        ("SELECT 1 AS id; DELETE FROM film", "films.query"),
        ("SELECT 1 AS id; COMMIT; DELETE FROM film", "films.query"),
        ("COMMIT; DELETE FROM film", "films.query"),
        ("SELECT nextval('number') AS id", "cannot execute nextval() in a read-only transaction"),
        ("SELECT plot FROM film", 'column "plot" does not exist'),
        ("SELECT id, id FROM film", "has the column 'id' more than once"),
        ("SELECT title FROM film", 'has no column "id"'),
        ("SELECT id FROM film WHERE false", "found no records"),
        ("SELECT id / 0 AS id FROM film", "division by zero"),
    ],
)
def test_a_bad_query_is_refused_in_one_line_and_changes_nothing(server, query, says):
    with pytest.raises(ConfigError) as refused:
        read_all(server, query)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    with server.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM film").scalar_one() == 2500


def test_a_query_that_takes_too_long_is_stopped_by_the_server(server):
    with pytest.raises(TransientError, match="canceling statement due to statement timeout"):
        read_all(server, "SELECT pg_sleep(20)::text AS id", timeout_s=0.1)


def test_a_server_that_cannot_be_reached_is_transient_and_its_password_is_not_told(server):
    url = "postgresql://u:${PASSWORD}@127.0.0.1:1/db"
    with pytest.raises(TransientError, match=r"postgresql://u:\S+@127\.0\.0\.1:1/db") as refused:
        read_all(server, "SELECT 1 AS id", url=url, variables={"PASSWORD": "p@ss/w:rd"})
    assert "p@ss" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_password_of_any_characters_is_hidden_even_where_the_database_repeats_it(server):
    url = f"postgresql://postgres:${{PASSWORD}}@/{server.url.database}?host={server.url.query['host']}"
    variables = {"PASSWORD": "p@ss/w:rd?%41"}
    (found,) = read_all(server, "SELECT 1 AS id", url=url, variables=variables)
    assert found.row == {"id": 1}
    with pytest.raises(ConfigError, match=r'invalid input syntax for type integer: "\*+"'):
        read_all(server, "SELECT 'p@ss/w:rd?%41'::int AS id", url=url, variables=variables)
