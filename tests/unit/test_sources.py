"""Records come from SQL as they are, or one line says why not; snapshots are named by their content."""

import json
import sqlite3
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError, DatabaseBusy, MissingExtra, NotJson, PermanentError, TransientError
from overnight.data.snapshots import Reason, canonical, records_of, snapshot_id, validate
from overnight.data.sources.local import read_local

MOVIES = "package:bokeh_sampledata/_data/movies.db"


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project #1"
    folder.mkdir()
    with sqlite3.connect(folder / "films.db") as connection:
        connection.execute("CREATE TABLE film (id INTEGER, title TEXT, rating REAL, poster BLOB)")
        rows = [(n, f"Film {n}", n / 10, None) for n in range(25)]
        connection.executemany("INSERT INTO film VALUES (?, ?, ?, ?)", rows)
    connection.close()
    return folder


def read_all(project, query="SELECT id, title, rating FROM film", path="films.db", variables=(), **more):
    settings = SourceSettings(kind="sql", path=path, query=query, **more)
    return list(read_local("films", settings, project, variables=dict(variables)))


def test_rows_come_with_their_place_as_they_are(project):
    found = read_all(project)
    assert len(found) == 25
    assert found[3] == ("row 4", {"id": 3, "title": "Film 3", "rating": 0.3}, None)


def test_the_films_of_the_package_are_all_there(tmp_path):
    query = "SELECT ID AS id, Rating AS rating FROM tomatoes"
    rows = [found.row for found in read_all(tmp_path, query, MOVIES)]
    assert len(rows) == 17_472
    assert sum(row["rating"] is None for row in rows) == 342


def test_rows_are_read_while_they_are_asked_for(project):
    endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
    rows = read_local("films", SourceSettings(kind="sql", path="films.db", query=endless), project, variables={})
    assert [next(rows).row["id"] for _ in range(2500)] == list(range(1, 2501))
    rows.close()


def test_what_names_a_record_is_for_validation_to_judge(project):
    query = "SELECT 1 AS id UNION ALL SELECT 1 UNION ALL SELECT NULL UNION ALL SELECT 1.5 UNION ALL SELECT ''"
    assert [found.row["id"] for found in read_all(project, query)] == [1, 1, None, 1.5, ""]


def test_a_column_id_is_not_needed_where_the_fields_name_another_one(project):
    found = read_all(project, "SELECT title FROM film", fields={"id": "title"})
    assert found[0].row == {"title": "Film 0"}


def test_a_binary_cell_costs_its_row_only(project):
    found = read_all(project, "SELECT 1 AS id, 'a' AS poster UNION ALL SELECT 2, x'00' UNION ALL SELECT 3, 'c'")
    assert [item.row and item.row["id"] for item in found] == [1, None, 3]
    assert found[1] == ("row 2", None, "'poster' is binary; allowed are text and numbers")


def test_a_cell_that_is_no_text_costs_its_row_only(project):
    cells = ["'a'", "CAST(x'41ff' AS TEXT)", "'a' || char(0)", "CAST(x'eda080' AS TEXT)", "'\U0001f600'"]
    found = read_all(project, " UNION ALL ".join(f"SELECT {n} AS id, {cell} AS title" for n, cell in enumerate(cells)))
    assert [item.row and item.row["title"] for item in found] == ["a", None, None, None, "\U0001f600"]
    assert [item.reason for item in found[1:4]] == [
        "'title' is not UTF-8: 0xff at byte 2",
        "not text: it holds a NUL",
        "'title' is not UTF-8: 0xed at byte 1",
    ]


def test_a_query_that_never_ends_is_interrupted(project):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS id FROM n"
    with pytest.raises(TransientError, match=r"films\.db: took longer than timeout_s = 0\.05"):
        read_all(project, endless, timeout_s=0.05)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT plot FROM film", "sources.films.query: films.db: no such column: plot"),
        ("SELEKT 1", 'syntax error'),
        ("SELECT title FROM film", 'has no column "id", which names a record; it has title: write SELECT ... AS id'),
        ("SELECT id, id FROM film", "has the column 'id' more than once"),
        ("SELECT id FROM film WHERE 0", "sources.films.query found no records in films.db"),
        ("SELECT 1 AS id; SELECT 2 AS id", "one statement at a time"),
        ("DELETE FROM film", "not authorized"),
        ("ATTACH 'other.db' AS other", "not authorized"),
        ("PRAGMA query_only = 0", "not authorized"),
        ("CREATE TABLE more (id)", "not authorized"),
    ],
)  # fmt: skip
def test_a_bad_query_is_refused_in_one_line(project, query, says):
    before = (project / "films.db").read_bytes()
    with pytest.raises(ConfigError) as refused:
        read_all(project, query)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (project / "films.db").read_bytes() == before
    assert [path.name for path in project.iterdir()] == ["films.db"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none.db", "sources.films.path: there is no file 'none.db'"),
        ("..", "lies outside of the project"),
        ("../films.db", "lies outside of the project"),
        ("/etc/passwd", "lies outside of the project"),
        ("link.db", "lies outside of the project"),
        (".", "there is no file '.'"),
        ("package:bokeh_sampledata/_data/none.db", "there is no file"),
        ("package:bokeh_sampledata/../../x", "with a file inside of the package"),
        ("package:bokeh_sampledata//etc/passwd", "with a file inside of the package"),
        ("package:bokeh_sampledata", "with a file inside of the package"),
        ("package:../x/y", "with a file inside of the package"),
    ],
)
def test_a_path_elsewhere_is_refused(project, path, says):
    (project / "link.db").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError) as refused:
        read_all(project, path=path)
    assert says in str(refused.value)


def test_a_package_that_is_missing_is_named(project):
    with pytest.raises(MissingExtra, match="the package 'no_such_films' is not installed here; run `pip install"):
        read_all(project, path="package:no_such_films/movies.db")


def test_a_file_that_is_no_database_is_refused(project):
    (project / "films.csv").write_text("id,title\n1,A film\n" * 100)
    with pytest.raises(ConfigError, match=r"films\.csv: file is not a database"):
        read_all(project, path="films.csv")


def test_a_file_that_another_program_holds_is_transient(project):
    holder = sqlite3.connect(project / "films.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(DatabaseBusy, match="database is locked"):
            read_all(project, timeout_s=0.2)
    finally:
        holder.close()


@pytest.mark.parametrize("url", ["sqlite:///films.db", "sqlite+pysqlite:///films.db", "${WHERE}", "sqlite:///${FILE}"])
def test_an_sqlite_file_may_be_named_by_a_url(project, url):
    variables = {"WHERE": "sqlite:///films.db", "FILE": "films.db"}
    assert len(read_all(project, path=None, url=url, variables=variables)) == 25


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:////etc/passwd", "sources.films.url: '/etc/passwd' lies outside of the project"),
        ("sqlite://", "sources.films.url: 'sqlite://' names no file"),
        ("sqlite:///none.db", "sources.films.url: there is no file 'none.db'"),
        ("films.db", "sources.films.url: 'films.db' is no database URL, such as postgresql://user@host/name"),
        ("quill://u:secret@h/db", "sources.films.url: 'quill://u:********@h/db' is of no kind that SQLAlchemy knows"),
        ("postgresql://u:secret@h:port/db", "sources.films.url: 'postgresql://u:********@h:port/db' is no database"),
        ("postgresql://u:${PASSWORD}@h/db", "no variable 'PASSWORD'"),
        ("mysql+pymysql://u:secret@h/db", "sources.films.url: mysql+pymysql needs the Python package 'pymysql'"),
    ],
)
def test_a_url_that_cannot_be_read_says_why_without_its_password(project, url, says):
    with pytest.raises((ConfigError, MissingExtra)) as refused:
        read_all(project, path=None, url=url)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


RECORDS = [{"id": "10", "title": "Ü"}, {"title": "A", "id": "9"}, {"id": "1", "rating": 7.5}]


def test_a_snapshot_does_not_depend_on_the_order_of_records_or_keys():
    contents = {canonical(order) for order in permutations(RECORDS)}
    assert contents == {b'{"id":"1","rating":7.5}\n{"id":"10","title":"\\u00dc"}\n{"id":"9","title":"A"}\n'}


def test_a_snapshot_is_named_by_its_sha256():
    assert snapshot_id(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert snapshot_id(canonical(RECORDS)) != snapshot_id(canonical(RECORDS[1:]))


CELLS = st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))


@given(st.dictionaries(st.text(min_size=1), CELLS))
def test_a_snapshot_gives_its_records_back(cells):
    records = [{"id": name, "value": value} for name, value in cells.items()]
    content = canonical(records)
    assert records_of(content) == sorted(records, key=lambda record: record["id"])
    assert canonical(records_of(content)) == content
    assert all(json.loads(line) for line in content.decode("ascii").split("\n")[:-1])


def test_what_is_not_json_is_named():
    with pytest.raises(NotJson, match="record '7' is not JSON"):
        canonical([{"id": "7", "rating": float("nan")}])
    with pytest.raises(PermanentError, match="two records have the id '7'"):
        canonical([{"id": "7"}, {"id": "7", "title": "other"}])


def test_records_without_a_usable_target_are_set_aside_with_the_reason():
    targets = [0, 10.0, None, "", "7", True, float("nan"), float("inf"), -0.1, 10.1, [7]]
    records = [{"id": str(n), "rating": target} for n, target in enumerate(targets)]
    found = validate([*records, {"id": "none"}], target="rating", scale=(0, 10))
    assert [(record["id"], record["rating"]) for record in found.kept] == [("0", 0), ("1", 10.0), ("4", 7)]
    assert found.counts == {
        Reason.NO_TARGET: 3,
        Reason.NOT_A_NUMBER: 2,
        Reason.NOT_FINITE: 2,
        Reason.OUT_OF_SCALE: 2,
    }
    assert ("9", Reason.OUT_OF_SCALE) in found.set_aside
