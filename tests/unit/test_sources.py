"""Records come from SQL as they are, or one line says why not; snapshots are named by their content."""

import json
import sqlite3
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import ConfigError, DatabaseBusy, MissingExtra, NotJson, PermanentError
from overnight.data.snapshots import Reason, canonical, records_of, snapshot_id, validate
from overnight.data.sources import SqlSource, read

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


def read_all(project, query="SELECT id, title, rating FROM film", path="films.db", **more):
    return list(read(SqlSource(name="films", path=path, query=query), project, **more))


def test_records_come_in_batches_with_text_ids(project):
    batches = read_all(project, batch=10)
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert batches[0][3] == {"id": "3", "title": "Film 3", "rating": 0.3}


def test_the_films_of_the_package_are_all_there(tmp_path):
    query = "SELECT ID AS id, Rating AS rating FROM tomatoes"
    records = [record for batch in read_all(tmp_path, query, MOVIES) for record in batch]
    assert len(records) == 17_472
    assert sum(record["rating"] is None for record in records) == 342


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT plot FROM film", "sources.films.query: films.db: no such column: plot"),
        ("SELEKT 1", 'syntax error'),
        ("SELECT title FROM film", 'has no column "id", which names a record; it has title: write SELECT ... AS id'),
        ("SELECT id, id FROM film", "has the column 'id' more than once"),
        ("SELECT 1 AS id UNION ALL SELECT 1", "gives two records the id '1'"),
        ("SELECT id, title FROM film UNION ALL SELECT '24', 'again'", "gives two records the id '24'"),
        ("SELECT NULL AS id", "the id None; allowed are whole numbers and text"),
        ("SELECT 1.5 AS id", "the id 1.5; allowed are whole numbers and text"),
        ("SELECT '' AS id", "the id ''; allowed"),
        ("SELECT id FROM film WHERE 0", "sources.films.query found no records in films.db"),
        ("SELECT 1 AS id, x'00' AS poster", "'poster' of record '1' is binary"),
        ("SELECT 1 AS id; SELECT 2 AS id", "one statement at a time"),
        ("DELETE FROM film", "not authorized"),
        ("ATTACH 'other.db' AS other", "not authorized"),
        ("PRAGMA query_only = 0", "not authorized"),
        ("CREATE TABLE more (id)", "not authorized"),
        ("SELECT 1 AS id, CAST(x'ff' AS TEXT) AS title", "Could not decode to UTF-8"),
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
            read_all(project, busy_s=0.01)
    finally:
        holder.close()


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
    assert [record["id"] for record in found.kept] == ["0", "1"]
    assert found.counts == {
        Reason.NO_TARGET: 3,
        Reason.NOT_A_NUMBER: 3,
        Reason.NOT_FINITE: 2,
        Reason.OUT_OF_SCALE: 2,
    }
    assert ("9", Reason.OUT_OF_SCALE) in found.set_aside
