"""What separates the cells of a table, what is text in it, and how much of it is read."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError
from overnight.data.sources.cells import fault_of
from overnight.data.sources.local import read_local


def read(project, kind, path, **more):
    return list(read_local("films", SourceSettings(kind=kind, path=path, **more), project, variables={}))


def refusal(project, kind, path, **more):
    with pytest.raises(ConfigError) as refused:
        read(project, kind, path, **more)
    return str(refused.value)


def csv_of(project, content):
    (project / "films.csv").write_bytes(content)
    return read(project, "csv", "films.csv")


def rows_of(found):
    return [item.row for item in found if item.row is not None]


def reasons_of(found):
    return {item.where: item.reason for item in found if item.row is None}


@pytest.mark.parametrize(
    ("content", "cells"),
    [
        (b"id;title;price\n1;a, b;1,5\n", ["1", "a, b", "1,5"]),
        (b"id\ttitle;x\tn\n1\ta\tb\n", None),
        (b"id\ttitle\tn\n1\ta;b\tc,d\n", ["1", "a;b", "c,d"]),
        (b"id|title|n\n1|a;b|c\n", ["1", "a;b", "c"]),
        (b'"id, or name";"a ""b;"";";n\n1;"x;y";2\n', ["1", "x;y", "2"]),
        (b"id,title;a|b\n1,2;3|4\n", ["1", "2;3|4"]),
        (b"\n\nid;title\n1;2\n", ["1", "2"]),
        (b"id\n1;2\n", ["1;2"]),
    ],
)
def test_the_first_of_comma_semicolon_tab_and_bar_in_the_header_separates_the_cells(tmp_path, content, cells):
    (found,) = csv_of(tmp_path, content)
    assert (found.row and list(found.row.values())) == cells


def test_quotes_mean_the_same_whatever_separates_the_cells(tmp_path):
    content = b'id;title\n1;"a;\n""b"""\n2;5" wide\n3;"open\n4;c\n5;d;e\n'
    for sign in (b";", b"|", b"\t"):
        found = csv_of(tmp_path, content.replace(b";", sign))
        assert rows_of(found) == [{"id": "1", "title": f'a{sign.decode()}\n"b"'}, {"id": "4", "title": "c"}]
        assert reasons_of(found) == {
            "line 4": "a quote out of place",
            "line 5": "unclosed quote",
            "line 7": "3 columns where the header has 2",
        }


@pytest.mark.parametrize(("kind", "line"), [("csv", b"id,title\n"), ("jsonl", b'{"id": 1}\n')])
def test_a_file_that_is_not_packed_has_the_same_bound(tmp_path, kind, line):
    (tmp_path / "films").write_bytes(line * (100_000 // len(line)))
    assert len(read(tmp_path, kind, "films", max_mb=0.1)) > 9_000
    assert "films: has more than 0.09 MB, unpacked" in refusal(tmp_path, kind, "films", max_mb=0.09)


def test_an_empty_object_is_no_row(tmp_path):
    (tmp_path / "films.jsonl").write_text('{}\n{"id": 1}\n')
    assert [(item.row, item.reason) for item in read(tmp_path, "jsonl", "films.jsonl")] == [
        (None, "empty"),
        ({"id": 1}, None),
    ]


def test_what_is_no_text_is_found_wherever_it_stands(tmp_path):
    bad = ['{"a": "%s"}', '{"%s": 1}', '{"a": [{"b": "%s"}]}', '{"a": {"b": {"%s": 1}}}']
    (tmp_path / "films.jsonl").write_text("\n".join(line % sign for line in bad for sign in ("\\u0000", "x\\udc00")))
    found = read(tmp_path, "jsonl", "films.jsonl")
    assert [item.row for item in found] == [None] * 8
    assert {item.reason for item in found[::2]} == {"not text: it holds a NUL"}
    assert {item.reason for item in found[1::2]} == {"not text: it holds half of a surrogate pair"}


ANY_TEXT = st.text(st.sampled_from("a\0\ud800\udfffü😀\\"), max_size=3)


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=6))
def test_what_is_said_to_be_text_can_be_written_and_read_again(value):
    def texts(one):
        if isinstance(one, str):
            return [one]
        inner = [*one, *one.values()] if isinstance(one, dict) else one
        return [text for item in inner for text in texts(item)]

    odd = any("\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text) for text in texts(value))
    assert (fault_of(value) is not None) == odd


def test_a_text_of_a_parquet_file_with_a_nul_costs_its_row(tmp_path):
    query = "SELECT 1 AS id, {'k': 'b'} AS s, MAP {'m': 1} AS m"
    queries = [query, query.replace("'b'", "chr(0)"), query.replace("'m'", "chr(0)")]
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({' UNION ALL '.join(queries)}) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    found = read(tmp_path, "parquet", "a.parquet")
    assert rows_of(found) == [{"id": 1, "s": {"k": "b"}, "m": {"m": 1}}]
    assert reasons_of(found) == dict.fromkeys(("row 2", "row 3"), "not text: it holds a NUL")
