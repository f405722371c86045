"""Files are read row by row: what is wrong with a row costs that row, and what is wrong with a file is one line."""

import csv
import gzip
import io
import json
import os
import tracemalloc
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from uuid import UUID

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError, MissingExtra
from overnight.data.sources import delimited, jsonl
from overnight.data.sources.cells import plain
from overnight.data.sources.kinds import check
from overnight.data.sources.lines import Line, Malformed, lines
from overnight.data.sources.local import read_local

MIB = 2**20


def read(project, kind, path, **more):
    source = SourceSettings(kind=kind, path=path, **more)
    check("films", source)
    return list(read_local("films", source, project, variables={}))


def refusal(project, kind, path, **more):
    with pytest.raises((ConfigError, MissingExtra)) as refused:
        read(project, kind, path, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def csv_of(project, content, name="films.csv", **more):
    (project / name).write_bytes(content)
    return read(project, "csv", name, **more)


def rows_of(found):
    return [item.row for item in found if item.row is not None]


def reasons_of(found):
    return {item.where: item.reason for item in found if item.row is None}


# -- lines


@given(st.binary(max_size=60), st.integers(1, 12))
def test_lines_are_those_of_the_file_and_none_is_longer_than_the_limit(content, limit):
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    got = list(lines(io.BytesIO(content), limit))
    assert [line.number for line in got] == list(range(1, len(expected) + 1))
    for line, whole in zip(got, expected, strict=True):
        text = whole.removesuffix(b"\r")
        if line.number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        too_long = Line(line.number, None, f"longer than {limit} bytes")
        assert line == (Line(line.number, text) if len(text) <= limit else too_long)


class Endless(io.RawIOBase):
    """One line of so many bytes, and a short one behind it; no byte is kept."""

    def __init__(self, size):
        self.left, self.tail = size, b"\nshort\n"

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(len(buffer), self.left)
        buffer[:count] = b"x" * count
        self.left -= count
        if not count:
            count = len(self.tail)
            buffer[:count], self.tail = self.tail, b""
        return count


def test_a_line_of_2_gb_costs_no_more_memory_than_a_chunk(long_form):
    size = 2_000_000_000 if long_form else 200_000_000
    tracemalloc.start()
    found = list(lines(io.BufferedReader(Endless(size), 2**16), MIB))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [Line(1, None, "longer than 1,048,576 bytes"), Line(2, b"short")]
    assert peak < 4 * MIB


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_line_of_200_mb_is_set_aside_and_the_next_one_is_read(tmp_path, kind, long_form):
    size = 2_000_000_000 if long_form else 200_000_000
    head, tail = {"csv": (b"id,title\n1,a\n", b"\n3,c\n"), "jsonl": (b'{"id": 1}\n', b'\n{"id": 3}\n')}[kind]
    with (tmp_path / "films").open("wb") as file:
        file.write(head)
        file.seek(size, os.SEEK_CUR)  # a hole: NUL bytes that take no space
        file.write(tail)
    tracemalloc.start()
    found = read(tmp_path, kind, "films", max_mb=3000.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [item.reason for item in found] == [None, "longer than 16,777,216 bytes", None]
    assert [int(row["id"]) for row in rows_of(found)] == [1, 3]
    assert peak < 40 * MIB


# -- CSV


def test_every_cell_is_text_and_an_empty_one_is_none(tmp_path):
    found = csv_of(tmp_path, b'id,title\n007,1984\n+1,Infinity\n1_000,nan\n1.50,""\n,x\n')
    assert [tuple(row.values()) for row in rows_of(found)] == [
        ("007", "1984"),
        ("+1", "Infinity"),
        ("1_000", "nan"),
        ("1.50", None),
        (None, "x"),
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_no_content(tmp_path):
    found = csv_of(tmp_path, b'\xef\xbb\xbfid,title\r\n1,"a\r\nb"\r\n\r\n2,c\r\n')
    assert [(item.where, item.row) for item in found] == [
        ("line 2", {"id": "1", "title": "a\nb"}),
        ("line 5", {"id": "2", "title": "c"}),
    ]


def test_a_tsv_file_is_told_by_its_name(tmp_path):
    assert rows_of(csv_of(tmp_path, b"id\ttitle\n1\ta,b\n", "films.tsv")) == [{"id": "1", "title": "a,b"}]
    packed = gzip.compress(b"id\ttitle\n1\ta,b\n")
    assert rows_of(csv_of(tmp_path, packed, "films.TSV.gz")) == [{"id": "1", "title": "a,b"}]


def test_a_malformed_line_is_set_aside_with_its_number(tmp_path):
    content = b"\n".join(
        [
            b"id,title",
            b"1",
            b"2,a,b",
            b'3,5" wide',
            b'4,"a"b',
            b"5,caf\xe9",
            b"6,a\0b",
            b"7,a\rb",
            b'8,"x\n',
            b'y",z',
            b'9,"caf\xe9\n"',
            b"10,good",
        ]
    )
    found = csv_of(tmp_path, content)
    assert reasons_of(found) == {
        "line 2": "1 columns where the header has 2",
        "line 3": "3 columns where the header has 2",
        "line 4": "a quote out of place",
        "line 5": "a quote out of place",
        "line 6": "not UTF-8: 0xe9 at byte 6",
        "line 7": "holds a NUL at byte 4",
        "line 8": "a carriage return outside of quotes; lines end with LF or CR LF",
        "line 9": "3 columns where the header has 2",
        "line 12": "not UTF-8: 0xe9 at byte 7",
    }
    assert rows_of(found) == [{"id": "10", "title": "good"}]


@pytest.mark.parametrize("title", ["Title", '"Title, ""quoted"""'])
def test_an_unclosed_quote_costs_one_line(tmp_path, title):
    content = ["id,title", *(f"{n},{title} {n}" if title[0] != '"' else f"{n},{title}" for n in range(2, 10_001))]
    content[4] = '5,"Title'
    found = csv_of(tmp_path, "\n".join(content).encode())
    assert reasons_of(found) == {"line 5": "unclosed quote"}
    assert [row["id"] for row in rows_of(found)] == [str(n) for n in range(2, 10_001) if n != 5]


def test_an_unclosed_quote_in_every_line_takes_no_longer_than_the_file(tmp_path):
    found = csv_of(tmp_path, b"id,title\n" + b'1,"a\n' * 20_000)
    assert len(found) == 20_000
    assert set(reasons_of(found).values()) == {"unclosed quote"}


def test_a_cell_may_hold_as_many_lines_as_the_bound_allows(tmp_path):
    for count, reason in ((delimited.MOST_LINES, None), (delimited.MOST_LINES + 1, "unclosed quote")):
        found = csv_of(tmp_path, b'id,title\n1,"' + b"\n" * (count - 1) + b'"\n2,b\n')
        assert found[0].reason == reason
        assert rows_of(found)[-1] == {"id": "2", "title": "b"}


def test_a_record_of_many_long_lines_is_bounded_in_bytes(tmp_path):
    line = b"x" * 1000 + b"\n"
    found = csv_of(tmp_path, b'id,title\n1,"' + line * (delimited.MOST_BYTES // len(line) + 1) + b'"\n2,b\n')
    assert found[0].reason == "unclosed quote"
    assert rows_of(found) == [{"id": "2", "title": "b"}]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(CELLS | st.sampled_from(['"', ",", "\n", '",', '"\n']), min_size=width, max_size=width)
    )
)


@settings(max_examples=50)
@given(TABLES)
def test_what_pythons_writer_wrote_comes_back(tmp_path_factory, table):
    width = len(table[0]) if table else 1
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([f"c{n}" for n in range(width)])
    writer.writerows(table)
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    file.write_text(stream.getvalue(), newline="")
    expected = [{f"c{n}": cell or None for n, cell in enumerate(row)} for row in table]
    assert [item.row for item in delimited.rows(file, 1)] == expected


@given(st.binary(max_size=80) | st.text('",\na', max_size=40).map(str.encode))
def test_whatever_a_file_holds_each_place_gives_a_row_or_a_reason(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    file.write_bytes(b"a,b\n" + content)
    for item in delimited.rows(file, 1):
        assert (item.row is None) != (item.reason is None)
        assert item.row is None or list(item.row) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "films.csv: the file is empty; the first line has to name the columns"),
        (b"id,,title\n1,2,3\n", "line 1, which has to name the columns: column 2 has no name"),
        (b"id,title, id \n1,2,3\n", "line 1, which has to name the columns: 'id' stands there twice"),
        (b"id,ti\xfftle\n", "line 1, which has to name the columns: not UTF-8"),
        (b"id,title\r1,a\r2,b\r", "line 1, which has to name the columns: a carriage return outside of quotes"),
        ("id,title\n1,a\n".encode("utf-16"), "line 1, which has to name the columns: holds a NUL"),
        (b'id,"title\n1,a\n', "line 1, which has to name the columns: unclosed quote"),
        (b"id,title\n", "sources.films.path found no records in films.csv"),
    ],
)
def test_a_table_without_a_usable_header_is_refused(tmp_path, content, says):
    (tmp_path / "films.csv").write_bytes(content)
    assert says in refusal(tmp_path, "csv", "films.csv")


# -- packed files


def test_packed_files_are_read_as_they_unpack(tmp_path):
    packed = gzip.compress(b"id\n1\n") + gzip.compress(b"2\n")
    assert rows_of(csv_of(tmp_path, packed, "films.csv.gz")) == [{"id": "1"}, {"id": "2"}]


def test_a_gzip_bomb_ends_the_source(tmp_path):
    with gzip.open(tmp_path / "films.jsonl.gz", "wb") as file:
        for _ in range(30):
            file.write(bytes(MIB))
    tracemalloc.start()
    says = refusal(tmp_path, "jsonl", "films.jsonl.gz", max_mb=20.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert says == (
        "sources.films.path: films.jsonl.gz: has more than 20 MB, unpacked, which is the most that max_mb allows"
    )
    assert peak < 40 * MIB


def test_rows_in_front_of_the_bound_are_given(tmp_path):
    (tmp_path / "films.csv.gz").write_bytes(gzip.compress(b"id\n" + b"1\n" * 20_000 + bytes(MIB)))
    source = SourceSettings(kind="csv", path="films.csv.gz", max_mb=0.3)
    found = read_local("films", source, tmp_path, variables={})
    assert len(list(islice(found, 20_000))) == 20_000
    with pytest.raises(ConfigError, match=r"more than 0\.3 MB"):
        list(found)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda packed: packed[:-9], "the gzip file is cut off: its end is missing"),
        (lambda packed: packed[:20], "the gzip file is cut off: its end is missing"),
        (lambda packed: packed[:-8] + bytes(8), "the gzip file is damaged: CRC check failed"),
        (lambda packed: packed[:30] + b"\xff" * 30 + packed[60:], "the gzip file is damaged"),
        (lambda packed: b"id\n1\n", "the gzip file is damaged: Not a gzipped file"),
    ],
)
def test_a_damaged_gzip_file_is_named(tmp_path, damage, says):
    packed = gzip.compress("\n".join(["id", *(str(n * n) for n in range(1000))]).encode())
    (tmp_path / "films.csv.gz").write_bytes(damage(packed))
    assert f"sources.films.path: films.csv.gz: {says}" in refusal(tmp_path, "csv", "films.csv.gz")


# -- JSON lines


def test_json_lines_are_read_as_they_are(tmp_path):
    content = '\ufeff{"id": 1, "rating": NaN}\n\n  \n{"id": 2, "rating": -Infinity, "tags": ["ü"]}\r\n'
    (tmp_path / "films.jsonl").write_bytes(content.encode())
    found = read(tmp_path, "jsonl", "films.jsonl")
    assert [item.where for item in found] == ["line 1", "line 4"]
    assert repr(rows_of(found)) == "[{'id': 1, 'rating': nan}, {'id': 2, 'rating': -inf, 'tags': ['ü']}]"


def test_a_line_that_is_no_object_is_set_aside_with_its_number(tmp_path):
    content = [
        b'{"id": 1}',
        b'{"id": 2',
        b"[1]",
        b'"a"',
        b"null",
        b"7",
        b'{"title": "caf\xe9"}',
        b'{"title": "\\ud83d"}',
        b'{"title": "\\ud83d\\ude00"}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"id": 3}{"id": 4}',
    ]
    (tmp_path / "films.jsonl").write_bytes(b"\n".join(content))
    found = read(tmp_path, "jsonl", "films.jsonl")
    assert rows_of(found) == [{"id": 1}, {"title": "😀"}]
    reasons = reasons_of(found)
    assert reasons.pop("line 10").startswith("too much for one value: maximum recursion depth exceeded")
    assert reasons.pop("line 11").startswith("too much for one value: Exceeds the limit (4300 digits)")
    assert reasons == {
        "line 2": "not JSON: Expecting ',' delimiter at character 9",
        "line 3": "a JSON list, not an object",
        "line 4": "a JSON text, not an object",
        "line 5": "a JSON null, not an object",
        "line 6": "a JSON number, not an object",
        "line 7": "not UTF-8: 0xe9 at byte 15",
        "line 8": "not text: it holds half of a surrogate pair",
        "line 12": "not JSON: Extra data at character 10",
    }


@pytest.mark.parametrize("content", ['[{"id": 1}, {"id": 2}]', '\n[\n{"id": 1}\n]\n'])
def test_a_file_that_is_one_list_is_refused(tmp_path, content):
    (tmp_path / "films.jsonl").write_text(content)
    assert "starts a JSON list; allowed is one JSON object on each line" in refusal(tmp_path, "jsonl", "films.jsonl")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=3), max_size=4), st.booleans())
def test_what_python_wrote_as_json_comes_back(tmp_path_factory, rows, ascii_only):
    file = tmp_path_factory.mktemp("jsonl") / "t.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows), "utf-8", newline="")
    assert [item.row for item in jsonl.rows(file, 1)] == [row or None for row in rows]


# -- Parquet


def parquet(path, query):
    copy = path.with_name("new")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{copy}' (FORMAT parquet)")
    copy.rename(path)


def test_parquet_rows_become_what_json_knows(tmp_path):
    parquet(
        tmp_path / "films.parquet",
        """SELECT 1 AS id, 'a' AS title, 1.50::decimal(9, 2) AS price, 'nan'::double AS nan, true AS yes,
        12345678901234567890::decimal(38, 0) AS exact, DATE '2026-01-02' AS day, TIMESTAMP '2026-01-02 03:04:05' AS at,
        TIMESTAMPTZ '2026-01-02 03:04:05+02' AS zoned, [1, NULL] AS list, {'a': DATE '2026-01-02'} AS struct,
        MAP {1: 'x'} AS map, NULL::int AS none""",
    )
    (found,) = read(tmp_path, "parquet", "films.parquet")
    assert found.where == "row 1"
    assert repr(found.row.pop("nan")) == "nan"
    assert found.row == {
        "id": 1,
        "title": "a",
        "price": 1.5,
        "yes": True,
        "exact": 12345678901234567890,
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:05+00:00",
        "zoned": "2026-01-02T01:04:05+00:00",
        "list": [1, None],
        "struct": {"a": "2026-01-02"},
        "map": {"1": "x"},
        "none": None,
    }


def test_a_binary_cell_of_a_parquet_file_costs_its_row(tmp_path):
    parquet(tmp_path / "a.parquet", "SELECT 1 AS id, NULL::blob AS poster UNION ALL SELECT 2, 'x'::blob")
    found = read(tmp_path, "parquet", "a.parquet")
    assert rows_of(found) == [{"id": 1, "poster": None}]
    assert reasons_of(found) == {"row 2": "'poster' is binary; allowed are text and numbers"}


def test_the_rows_of_a_parquet_file_are_numbered_through(tmp_path):
    parquet(tmp_path / "a.parquet", "SELECT i AS id FROM range(1, 2502) t(i)")
    found = read(tmp_path, "parquet", "a.parquet")
    assert [(item.where, item.row["id"]) for item in found] == [(f"row {n}", n) for n in range(1, 2502)]


def test_only_the_one_parquet_file_is_read_whatever_it_is_called(tmp_path):
    place = tmp_path / "year=2020"
    place.mkdir()
    for name, number in (("a*.parquet", 1), ("ab.parquet", 2), ("[a]'?.parquet", 3), ("a'x.parquet", 4)):
        parquet(place / name, f"SELECT {number} AS id")
    for name, number in (("a*.parquet", 1), ("[a]'?.parquet", 3)):
        assert rows_of(read(tmp_path, "parquet", f"year=2020/{name}")) == [{"id": number}]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: b"no parquet file at all",
        lambda whole: whole[:-10],
        lambda whole: whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[len(whole) // 3 * 2 :],
    ],
)
def test_a_damaged_parquet_file_is_one_line(tmp_path, damage):
    parquet(tmp_path / "a.parquet", "SELECT i AS id, md5(i::varchar) AS title FROM range(5000) t(i)")
    (tmp_path / "a.parquet").write_bytes(damage((tmp_path / "a.parquet").read_bytes()))
    assert refusal(tmp_path, "parquet", "a.parquet").startswith("sources.films.path: a.parquet: ")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (Decimal("10"), 10),
        (Decimal("1E+3"), 1000),
        (Decimal("-0.10"), -0.1),
        (Decimal("1E+1000000"), float("inf")),
        (Decimal("-Infinity"), float("-inf")),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1, microseconds=500_000), 60.5),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({1: (date(2026, 1, 2),)}, {"1": ["2026-01-02"]}),
    ],
)
def test_a_cell_has_one_plain_value(cell, value):
    assert plain(cell) == value
    assert type(plain(cell)) is type(value)


@pytest.mark.parametrize("cell", [b"", [bytearray(b"x")], {"a": memoryview(b"x")}, {1}, object()])
def test_a_cell_that_json_has_no_word_for_is_refused(cell):
    with pytest.raises(Malformed):
        plain(cell)


# -- real data


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("name", "records", "not_utf8", "filled"),
    [
        ("538_classic_rock_song_list", 2229, 0, {"Song Clean": 2229, "Release Year": 1653, "PlayCount": 2229}),
        ("538_hip_hop_lyrics", 377, 10, {"id": 367, "line": 367, "theme": 367}),
        ("538_bechdel_movies", 1794, 0, {"title": 1794, "budget": 1794, "decade code": 1615}),
        ("metaflow_movies", 3751, 0, {"movie_title": 3751, "genres": 3751, "gross": 3751}),
        ("prompts_cc0", 424, 0, {"act": 424, "prompt": 424, "contributor": 424}),
    ],
)
def test_every_record_of_the_real_files_is_found(test_data, name, records, not_utf8, filled):
    found = read(test_data / "media", "csv", f"{name}.csv")
    assert len(found) == records
    assert [item.reason.partition(":")[0] for item in found if item.row is None] == ["not UTF-8"] * not_utf8
    rows = rows_of(found)
    assert {column: sum(row[column] is not None for row in rows) for column in filled} == filled
