"""Settings that do not fit the kind of a source are refused when the project starts."""

import pytest

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError
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
        {"kind": "sql", "path": "a.db", "query": "SELECT 1"},
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
            "allowed are path, max_mb, category, fields, platform, as_of",
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
        ({"kind": "sql", "query": "SELECT 1", "path": "a", "regions": ("DE",)}, "sources.films.regions: not used"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(ConfigError) as refused:
        check("films", SourceSettings(**settings))
    assert says in str(refused.value)
