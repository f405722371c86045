"""A row becomes a record, or says in one line why not; nothing in it is guessed."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.data.records import (
    ENGAGEMENT,
    Origin,
    Unusable,
    body_of,
    content_of,
    flat,
    number_of,
    numeric_columns,
    present,
    record_of,
    says_more_than_a_title,
)

ORIGIN = Origin(source="charts", platform="radio", harvested_at="2026-11-26T00:00:00+00:00", region="DE")


def made(origin=ORIGIN, **cells):
    return record_of({"title": "A song", **cells}, origin)


def test_a_record_has_the_documented_fields_and_no_others():
    record = made(id=7, views="1200", likes=3, bpm=120, source_url="https://example.org/7", published_at="2026-11-01")
    assert record == {
        "id": "7",
        "title": "A song",
        "platform": "radio",
        "engagement": {"views": 1200, "likes": 3, "comments": None, "shares": None},
        "metadata": {"bpm": 120},
        "source_url": "https://example.org/7",
        "published_at": "2026-11-01T00:00:00+00:00",
        "harvested_at": "2026-11-26T00:00:00+00:00",
        "quality_score": None,
        "region": "DE",
        "source": "charts",
    }


def test_what_the_row_says_goes_before_what_the_source_is_called():
    record = made(platform="tv", region="FR")
    assert (record["platform"], record["region"]) == ("tv", "FR")


def test_a_title_is_kept_to_the_letter_but_for_white_space():
    assert made(title="007")["title"] == "007"
    assert made(title="  A \n long   title ")["title"] == "A long title"
    assert made(title=1984)["title"] == made(title=1984.0)["title"] == "1984"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"title": None}, "title is missing"),
        ({"title": "  "}, "title is missing"),
        ({"title": ["a"]}, "title is not text: ['a']"),
        ({"title": True}, "title is not text: True"),
        ({"id": 1.5}, "id is neither text nor a whole number: 1.5"),
        ({"views": "many"}, "views is not a number: 'many'"),
        ({"views": "1,200"}, "views is not a number: '1,200'"),
        ({"views": True}, "views is not a number: True"),
        ({"views": -1}, "views is below 0: -1"),
        ({"views": "nan"}, "views is not finite: nan"),
        ({"likes": math.inf}, "likes is not finite: inf"),
        ({"bpm": math.nan}, "bpm is not finite: nan"),
        ({"energy": 1, "bpm": math.inf}, "bpm is not finite: inf"),
        ({"notes": {"deep": [math.inf]}}, "notes is not JSON: {'deep': [inf]}"),
        ({"source_url": "ftp://example.org"}, "source_url is no http or https address: 'ftp://example.org'"),
        ({"source_url": "javascript:alert(1)"}, "source_url is no http or https address"),
        ({"published_at": "yesterday"}, "published_at is no instant: 'yesterday'"),
        ({"published_at": True}, "published_at is no instant: True"),
        ({"published_at": 1e300}, "published_at is no instant"),
        ({"published_at": math.nan}, "published_at is no instant"),
        ({"published_at": "201401"}, "published_at is no instant: '201401'"),
        ({"published_at": 12_345}, "published_at is no instant: 12345"),
        ({"title": math.nan}, "title is not finite: nan"),
        ({"title": "half \ud800"}, "title holds a NUL or half a character"),
        ({"title": "a\0b"}, "title holds a NUL or half a character"),
        ({"note": "half \ud800"}, "the metadata hold half a character"),
        ({"na\0me": 1}, "the name of a column holds a NUL or half a character"),
        ({"views": 10**400}, "views is too large"),
        ({"followers": 2**63}, "followers is too large"),
        ({"id": 10**30}, "id is too large"),
    ],
)
def test_a_row_that_cannot_be_a_record_says_why_in_one_line(cells, says):
    with pytest.raises(Unusable) as caught:
        made(**cells)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-11-01T12:30:00+02:00", "2026-11-01T10:30:00+00:00"),
        ("2026-11-01 12:30", "2026-11-01T12:30:00+00:00"),
        ("Sun, 01 Nov 2026 12:30:00 GMT", "2026-11-01T12:30:00+00:00"),
        ("1994", "1994-01-01T00:00:00+00:00"),
        (1994, "1994-01-01T00:00:00+00:00"),
        ("20140101", "2014-01-01T00:00:00+00:00"),
        (20140101, "2014-01-01T00:00:00+00:00"),
        (1_700_000_000, "2023-11-14T22:13:20+00:00"),
        ("1700000000", "2023-11-14T22:13:20+00:00"),
        (1_700_000_000_000, "2023-11-14T22:13:20+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_instants_are_read_in_the_forms_that_sources_use(value, instant):
    assert made(published_at=value)["published_at"] == instant


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))
def test_an_instant_that_was_written_is_read_as_itself(at):
    at = at.replace(tzinfo=UTC, microsecond=0)
    assert made(published_at=at.isoformat())["published_at"] == at.isoformat()


def test_a_record_without_an_id_is_named_by_its_content():
    one, same, other = made(bpm=1), made(bpm=1), made(bpm=2)
    assert one["id"] == same["id"] != other["id"]
    assert one["id"].startswith("content-")


def test_where_a_source_has_no_titles_records_are_called_by_their_ids():
    untitled = Origin(source="numbers", platform="x", harvested_at="", titled=False)
    assert record_of({"id": "n1", "score": 3}, untitled)["title"] == "n1"
    assert record_of({"score": 3}, untitled)["title"].startswith("content-")


def test_how_a_record_was_received_and_what_says_nothing_are_not_content():
    assert content_of(made(id="a", views=1)) == content_of(made(id="b", views=2, tags=[], note=""))
    assert content_of(made(bpm=1)) != content_of(made(bpm=2))
    assert content_of(made(source_url="https://a.org/1")) != content_of(made(source_url="https://a.org/2"))


def test_a_title_with_an_address_or_with_metadata_says_more_than_a_title():
    assert not says_more_than_a_title(made(tags=[], note=""))
    assert says_more_than_a_title(made(bpm=1))
    assert says_more_than_a_title(made(source_url="https://a.org/1"))


def test_a_count_of_white_space_is_none():
    assert made(views=" ")["engagement"]["views"] is None


def test_what_is_nested_without_end_is_named_without_repeating_it():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Unusable, match="title is not text: a nested list"):
        made(title=deep)
    with pytest.raises(Unusable, match="note is not JSON: a nested list"):
        made(note=deep)


def test_rows_without_an_id_that_differ_in_their_figures_are_two_records():
    assert made(views=1)["id"] != made(views=2)["id"]


def test_a_body_is_what_a_record_says_beside_its_title():
    assert body_of(made()) == ""
    assert body_of(made(text="  ")) == ""
    assert body_of(made(text=3)) == ""
    assert body_of(made(text="Once.", summary="Twice.")) == "A song Once. Twice."


def test_present_names_the_fields_that_some_record_has():
    found = present([made(views=1), made(bpm=2, text=None)], ["views", "likes", "bpm", "text", "title"])
    assert found == {"views", "bpm", "title"}


def test_a_flat_record_hides_no_field_behind_metadata():
    row = flat({**made(views=5), "metadata": {"views": 1, "title": "no", "bpm": 2}})
    assert (row["views"], row["title"], row["bpm"]) == (5, "A song", 2)
    assert "metadata" not in row and "engagement" not in row
    clash = flat(made(source="imdb", quality_score=3))
    assert (clash["source"], clash["metadata.source"], clash["metadata.quality_score"]) == ("charts", "imdb", 3)


def test_a_column_is_numbers_only_if_all_its_texts_are():
    rows = [
        {"a": "1", "b": "1", "c": "007", "d": None, "e": "nan", "f": "1_000"},
        {"a": " 2.5 ", "b": "x", "c": "1", "d": None, "e": "-3e2", "f": "1"},
    ]
    assert numeric_columns(rows) == {"a", "e"}
    assert (number_of("2"), number_of("2.5"), number_of("-3e2")) == (2, 2.5, -300.0)
    assert numeric_columns([{"a": 1}]) == frozenset()


@given(
    st.dictionaries(
        st.sampled_from(["id", "title", "published_at", "source_url", "bpm", "text", *ENGAGEMENT]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([10**400, -(10**400), 2**63])
        | st.floats()
        | st.text(st.characters(exclude_categories=[]))
        | st.lists(st.floats(), max_size=2),
    )
)
def test_whatever_a_row_holds_it_becomes_a_record_of_json_or_says_why_not(cells):
    try:
        record = record_of(cells, ORIGIN)
    except Unusable as error:
        assert "\n" not in str(error)
        return
    assert json.loads(json.dumps(record, allow_nan=False, ensure_ascii=False).encode()) == record
    assert record["title"] and record["id"]
