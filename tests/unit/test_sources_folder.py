"""A folder is read file by file, nothing outside of the project is read, and a stamp says whether it has changed."""

import gzip
import os

import duckdb
import pytest

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError, MissingExtra
from overnight.data.sources.kinds import check
from overnight.data.sources.local import read_local, stamp

MIB = 2**20


def read(project, kind, path, **more):
    settings = SourceSettings(kind=kind, path=path, **more)
    check("films", settings)
    return list(read_local("films", settings, project, variables={}))


def refusal(project, kind, path, **more):
    with pytest.raises((ConfigError, MissingExtra)) as refused:
        read(project, kind, path, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def rows_of(found):
    return [item.row for item in found if item.row is not None]


def reasons_of(found):
    return {item.where: item.reason for item in found if item.row is None}


@pytest.fixture
def library(tmp_path):
    project = tmp_path / "project"
    (project / "in" / "b" / ".git").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    for name, content in {
        "in/a.csv": b"id,title\n1,x\n2\n",
        "in/b/c.ndjson.gz": gzip.compress(b'{"id": 3, "file": "own"}\n'),
        "in/b/notes.md": b"\xef\xbb\xbf\xc3\x9cber",
        "in/b/.git/config": b"x",
        "in/b/.git/head": b"x",
        "in/b/.hidden": b"x",
        "in/cover.png": b"\x89PNG\0\xff",
        "in/empty.csv": b"",
        "in/long.txt": b"x" * (MIB + 1),
        "in/table.tsv": b"id\ttitle\n4\ty\n",
        "there.txt": b"inside of the project",
    }.items():
        (project / name).write_bytes(content)
        os.utime(project / name, (1_700_000_000, 1_700_000_000))
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 5 AS id) TO '{project}/in/p.parquet' (FORMAT parquet)")
    (project / "in" / "link.txt").symlink_to("../there.txt")
    (project / "in" / "outside.txt").symlink_to("../../secret.txt")
    (project / "in" / "outside").symlink_to("../..")
    (project / "in" / "round").symlink_to("round")
    (project / "in" / "back").symlink_to(".")
    (project / "in" / "nowhere").symlink_to("none")
    os.mkfifo(project / "in" / "pipe")
    return project


def test_a_folder_gives_tables_as_rows_and_other_files_as_one_row_each(library):
    rows = rows_of(read(library, "folder", "in"))
    whole = {"published_at": "2023-11-14T22:13:20.000+00:00", "text": None}
    inside = "inside of the project"
    assert rows == [
        {"file": "a.csv", "id": "1", "title": "x"},
        {"file": "own", "id": 3},
        {**whole, "id": "b/notes.md", "title": "notes", "file": "b/notes.md", "bytes": 8, "text": "Über"},
        {**whole, "id": "cover.png", "title": "cover", "file": "cover.png", "bytes": 6},
        {**whole, "id": "link.txt", "title": "link", "file": "link.txt", "bytes": len(inside), "text": inside},
        {**whole, "id": "long.txt", "title": "long", "file": "long.txt", "bytes": MIB + 1},
        {"file": "p.parquet", "id": 5},
        {"file": "table.tsv", "id": "4", "title": "y"},
    ]


def test_what_a_folder_does_not_give_has_a_reason(library):
    found = read(library, "folder", "in")
    assert [item.where for item in found if item.row is None] == list(reasons_of(found)), "each is named once"
    assert reasons_of(found) == {
        "a.csv, line 3": "1 columns where the header has 2",
        "b/.git": "hidden",
        "b/.hidden": "hidden",
        "back": "a link to a folder; these are not followed",
        "empty.csv": "the file is empty; the first line has to name the columns",
        "nowhere": "no file that can be read",
        "outside": "a link that leads outside of the project",
        "outside.txt": "a link that leads outside of the project",
        "pipe": "no file that can be read",
        "round": "a link that leads round in a circle",
    }


def test_a_pattern_picks_the_files_of_a_folder(library):
    assert [row["id"] for row in rows_of(read(library, "folder", "in", pattern="*.tsv"))] == ["4"]
    assert "found no records in in" in refusal(library, "folder", "in", pattern="*.mp3")
    for pattern in ("../*", "/etc/*"):
        assert f"sources.films.pattern: {pattern!r}" in refusal(library, "folder", "in", pattern=pattern)


def test_a_name_that_is_no_text_is_set_aside(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    (found,) = read(tmp_path, "folder", "in")
    assert found.reason == "its name is not UTF-8"
    found.where.encode()


# -- places


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "folder"])
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none", "there is no {} 'none'"),
        ("..", "'..' lies outside of the project"),
        ("../elsewhere", "'../elsewhere' lies outside of the project"),
        ("/etc", "'/etc' lies outside of the project"),
        ("/etc/passwd", "'/etc/passwd' lies outside of the project"),
        ("link", "'link' lies outside of the project"),
        ("package:none_such/a", "the package 'none_such' is not installed"),
        ("package:pytest/../a", 'is not "package:NAME/FILE"'),
        ("a\0b", "cannot be looked up"),
        ("a" * 5000, "cannot be looked up"),
        ("round", "cannot be looked up"),
    ],
)
def test_a_place_elsewhere_or_nowhere_is_refused(tmp_path, kind, path, says):
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "round").symlink_to("round")
    assert says.format("folder" if kind == "folder" else "file") in refusal(tmp_path, kind, path)


def test_a_stamp_changes_with_any_file_and_names_the_newest(library):
    settings = SourceSettings(kind="folder", path="in", pattern="b/*.md")
    before = stamp("films", settings, library)
    assert before.last_modified == "2023-11-14T22:13:20.000+00:00"
    assert stamp("films", settings, library) == before
    (library / "in/b/new.md").write_text("new")
    os.utime(library / "in/b/new.md", (1_600_000_000, 1_600_000_000))
    after = stamp("films", settings, library)
    assert after.etag != before.etag
    assert after.last_modified == before.last_modified
    os.utime(library / "in/b/new.md", (1_800_000_000, 1_800_000_000))
    assert stamp("films", settings, library).last_modified == "2027-01-15T08:00:00.000+00:00"


def test_a_file_has_a_stamp_and_a_database_has_none(library):
    one = stamp("films", SourceSettings(kind="csv", path="in/a.csv"), library)
    assert one.etag and one.last_modified == "2023-11-14T22:13:20.000+00:00"
    assert stamp("films", SourceSettings(kind="sql", path="in/a.csv", query="x"), library) is None
    assert stamp("films", SourceSettings(kind="json", url="http://localhost"), library) is None
