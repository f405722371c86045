"""Settings that do not fit the kind of a source are refused when the project starts."""

import sys
from pathlib import Path

import pytest

from overnight.base.config import Config, SourceSettings
from overnight.base.errors import ConfigError
from overnight.base.hiding import HIDDEN
from overnight.base.settings import load_config
from overnight.data.sources import kinds
from overnight.data.sources.kinds import check


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "csv", "path": "a", "max_mb": 5.0, "category": "trend", "platform": "x", "as_of": "2026-01-01"},
        {"kind": "folder", "path": "a", "pattern": "*.md"},
        {"kind": "json", "url": "http://h/{region}", "regions": ("DE", "US"), "headers": {"a": "b"}, "records": "x"},
        {"kind": "json", "url": "http://h", "next": "next", "next_parameter": "page", "max_pages": 3},
        {"kind": "json", "url": "http://h", "page_parameter": "page", "first_page": 0},
        {"kind": "feed", "url": "http://h", "timeout_s": 3.0},
        {"kind": "feed", "path": "a.xml"},
        {"kind": "sql", "path": "a.db", "query": "SELECT 1", "max_rows": 5},
        {"kind": "sql", "url": "postgresql://u:${PASSWORD}@h/db", "query": "SELECT 1", "as_of": "2026-01-31T06:00:00Z"},
        {"kind": "json", "url": "http://h/${A_1}", "headers": {"X-Key": "Bearer ${B}"}, "next": "a[0].b || c"},
        {"kind": "csv", "path": "a", "fields": {"a": "Release Year", "b": "Price ($)", "c": "a.ü", "d": '"f[x]"'}},
        {"kind": "csv", "path": "a", "fields": {"a": "length(tags)", "b": "tags[0] | [0]", "c": "R&B, top 10 %"}},
        {"kind": "sql", "url": "postgresql://h/db", "query": "SELECT 1", "fields": {"id": "a"}},
    ],
)
def test_settings_that_fit_their_kind_are_let_through(settings):
    check("films", SourceSettings(**settings))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "csv"}, "sources.films.path: missing; a source of kind 'csv' needs it"),
        ({"kind": "parquet", "path": ""}, "sources.films.path: missing"),
        (
            {"kind": "csv", "path": "a", "headers": {"a": "b"}},
            "sources.films.headers: not used by a source of kind 'csv'; "
            "allowed are path, max_mb, max_rows, category, fields, platform, as_of",
        ),
        ({"kind": "csv", "path": "a", "url": "http://h"}, "sources.films.url: not used"),
        ({"kind": "parquet", "path": "a", "max_mb": 5.0}, "sources.films.max_mb: not used"),
        ({"kind": "jsonl", "path": "a", "pattern": "*.md"}, "sources.films.pattern: not used"),
        ({"kind": "json"}, "sources.films.url: missing"),
        ({"kind": "json", "url": "http://h", "path": "a"}, "sources.films.path: not used"),
        ({"kind": "json", "url": "http://h", "next_parameter": "p"}, "next_parameter: means nothing without next"),
        ({"kind": "json", "url": "http://h", "first_page": 0}, "first_page: means nothing without page_parameter"),
        ({"kind": "json", "url": "http://h", "next": "n", "page_parameter": "p"}, "two ways to the next page"),
        ({"kind": "json", "url": "http://h", "regions": ("DE",)}, 'sources.films.url: has no "{region}"'),
        ({"kind": "json", "url": "http://{region}"}, "sources.films.regions: missing"),
        ({"kind": "feed", "url": "http://{region}", "regions": ("DE", "DE")}, "'DE' stands there twice"),
        ({"kind": "feed"}, "sources.films: a source of kind 'feed' needs path or url, and only one"),
        ({"kind": "feed", "path": "a", "url": "http://h"}, "needs path or url, and only one"),
        ({"kind": "feed", "path": "a", "headers": {"a": "b"}}, "headers: not used by a source of kind 'feed' from a"),
        ({"kind": "feed", "url": "http://h", "records": "x"}, "sources.films.records: not used"),
        ({"kind": "sql", "path": "a"}, "sources.films.query: missing"),
        ({"kind": "sql", "query": "SELECT 1"}, "needs path or url, and only one"),
        ({"kind": "csv", "path": "a", "as_of": "someday"}, "sources.films.as_of: 'someday' is no instant in ISO 8601"),
        ({"kind": "json", "url": "http://h", "records": "items["}, "sources.films.records: 'items[' is no JMESPath"),
        ({"kind": "json", "url": "http://h", "records": "ü"}, "sources.films.records: 'ü' is no JMESPath"),
        ({"kind": "json", "url": "http://h", "next": "a b"}, "sources.films.next: 'a b' is no JMESPath"),
        ({"kind": "csv", "path": "a", "fields": {"id": "a[x"}}, "sources.films.fields.id: 'a[x' is no JMESPath"),
        ({"kind": "feed", "url": "http://h", "headers": {"A key": "b"}}, "headers: 'A key' is no name of a header"),
        ({"kind": "feed", "url": "http://h", "headers": {"Host": "b"}}, "films.headers: 'Host' cannot be set"),
        ({"kind": "feed", "url": "http://h", "headers": {"K": "s3cret\n${A}"}}, "headers: the value of 'K' cannot"),
        ({"kind": "feed", "url": "http://h", "headers": {"K": "s3cret${A"}}, 'headers.K: has a "${" that names no'),
        ({"kind": "feed", "url": "http://h/s3cret${A/b"}, 'sources.films.url: has a "${" that names no variable'),
        ({"kind": "feed", "url": "http://h/${}"}, 'sources.films.url: has a "${" that names no variable'),
        ({"kind": "feed", "url": "http://h/${A-B}"}, 'sources.films.url: has a "${" that names no variable'),
        ({"kind": "sql", "query": "x", "url": "postgresql://${A B}"}, 'sources.films.url: has a "${" that names no'),
        ({"kind": "sql", "query": "SELECT 1", "path": "a", "regions": ("DE",)}, "sources.films.regions: not used"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(ConfigError) as refused:
        check("films", SourceSettings(**settings))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_only_what_is_an_expression_asks_for_the_library(monkeypatch):
    monkeypatch.setattr(kinds, "Expression", lambda key, text: pytest.fail(f"{key} was compiled"))
    plain = {"records": "a.b", "next": "meta.next", "fields": {"id": "Release Year", "b": "a.b"}}
    check("films", SourceSettings(kind="json", url="http://h", **plain))


def test_a_project_starts_where_the_library_for_expressions_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "jmespath", None)
    check("films", SourceSettings(kind="json", url="http://h", records="a[0]"))


def test_many_regions_are_checked_at_once():
    regions = tuple(map(str, range(50_000)))
    check("films", SourceSettings(kind="json", url="http://h/{region}", regions=regions))


def test_a_first_page_below_0_is_refused_with_its_key(tmp_path):
    (tmp_path / "overnight.toml").write_text(
        '[sources.films]\nkind = "json"\nurl = "http://h"\npage_parameter = "p"\nfirst_page = -1\n'
    )
    with pytest.raises(ConfigError, match=r"sources\.films\.first_page: -1 "):
        load_config(tmp_path)


def test_no_value_of_a_header_is_shown_but_the_name_of_a_variable():
    headers = {
        "Ocp-Apim-Subscription-Key": "s3cret",
        "Authorization": "Bearer ${KEY}",
        "X": "s3cret${KEY}",
        "Y": "${A}",
    }
    source = SourceSettings(kind="json", url="http://h", headers=headers)
    listed = Config(project_dir=Path(), sources={"films": source}).origins()
    (setting,) = [setting for setting in listed if setting.key == "sources.films.headers"]
    assert setting.value == {
        "Ocp-Apim-Subscription-Key": HIDDEN,
        "Authorization": "Bearer ${KEY}",
        "X": HIDDEN,
        "Y": "${A}",
    }
