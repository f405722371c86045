"""A record's quality is the documented sum, rescaled to what its source can reach; nothing is given for free."""

import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import PermanentError
from overnight.data.quality import NEEDS, TERMS, computed_from, own_scorer, scorer_of
from overnight.data.records import ENGAGEMENT, Origin, present, record_of

AS_OF = datetime(2026, 11, 26, tzinfo=UTC)
ORIGIN = Origin(source="s", platform="p", harvested_at="2026-11-26T00:00:00+00:00")


def made(days=None, **cells):
    if days is not None:
        cells["published_at"] = (AS_OF - timedelta(days=days)).isoformat()
    return record_of({"id": "1", "title": "A title", **cells}, ORIGIN)


def scored(category, record, *others):
    return scorer_of(category)(record, AS_OF, present([record, *others], NEEDS))


def test_trend_is_the_documented_sum():
    found = scored("trend", made(days=10, views=50_000, likes=900, comments=40))
    assert found.reach == 10
    assert found.value == pytest.approx(2 + math.log10(901) / 2 + math.log10(41) / 2 + 2 + 1)
    assert found.quality == pytest.approx(found.value)
    famous = scored("trend", made(days=0, views=10**9, likes=10**9, comments=10**9))
    assert famous.value == famous.quality == 10


@pytest.mark.parametrize(("days", "points"), [(0, 3), (7, 3), (7.1, 2), (14, 2), (30, 1), (30.1, 0.5), (9999, 0.5)])
def test_trend_counts_recency_from_the_instant_of_the_source(days, points):
    [recency] = [part for part in scored("trend", made(days=days)).parts if part.name == "recency"]
    assert recency.value == points


def test_what_is_published_after_the_instant_of_the_source_counts_as_new():
    [recency] = [part for part in scored("trend", made(days=-3)).parts if part.name == "recency"]
    assert recency.value == 3


@pytest.mark.parametrize(
    ("category", "cells", "value", "reach"),
    [
        ("audio", {"views": 10**6, "likes": 10**4, "bpm": 1, "energy": 1, "danceability": 1, "days": 3}, 9, 10),
        ("audio", {"views": 100, "likes": 1, "days": 20}, 1 + 0 + 1 + 0.7, 7),
        ("creator", {"followers": 10**4, "engagement_rate": 0.05}, 2 + 1.5, 7),
        ("creator", {"followers": 10**9, "engagement_rate": 0.9}, 7, 7),
        ("screenplay", {"likes": 10**4, "comments": 10**4, "conflict": True}, 2 + 1 + 3, 7),
        ("screenplay", {"likes": 100, "conflict": False}, 1 + 1, 7),
        ("sound", {"likes": 100, "comments": 100}, 1 + 1, 7),
        ("distribution", {"views": 10**4, "shares": 10**3, "ctr": 0.05}, 2 + 2 + 1, 9),
        ("distribution", {"views": 10**18, "shares": 10**18, "ctr": 1}, 9, 9),
    ],
)
def test_each_category_is_its_documented_sum(category, cells, value, reach):
    found = scored(category, made(**cells))
    assert (found.value, found.reach) == (pytest.approx(value), reach)
    assert found.quality == pytest.approx(10 * value / reach)


def test_prompts_are_measured_by_their_text_votes_and_age():
    good = made(text="Act as a chef. Answer as a table of [dish] and minutes. " + "word " * 60, likes=999, days=1)
    poor = made(text="hello", likes=0, days=400)
    assert scored("prompt", good).quality == pytest.approx(10)
    assert scored("prompt", poor).quality < 1


def test_a_premise_with_a_conflict_is_told_from_one_without():
    fight = scored("screenplay", made(text="Two brothers fight over a stolen map."))
    picnic = scored("screenplay", made(text="A family has a sunny picnic."))
    assert (fight.quality, picnic.quality) == (pytest.approx(10), pytest.approx(10 / 3))


def test_a_term_whose_field_the_source_lacks_is_left_out_and_the_rest_rescaled():
    found = scored("trend", made(days=1, views=99))
    left_out = {part.name for part in found.parts if part.value is None}
    assert left_out == {"likes", "comments"}
    assert found.reach == 2 + 3 + 2
    assert found.quality == pytest.approx(10 * (1 + 3 + 1) / 7)


def test_a_field_that_only_this_record_lacks_gives_nothing_and_is_not_left_out():
    found = scored("trend", made(days=1, views=99), made(likes=5))
    likes = next(part for part in found.parts if part.name == "likes")
    assert (likes.value, likes.missing) == (0.0, True)
    assert found.reach == 2 + 2 + 3 + 2


def test_a_number_given_as_text_counts_and_a_word_in_its_place_is_missing():
    rich, unknown = made(followers="10000"), made(followers="unknown")
    assert scored("creator", rich, unknown).value == 2
    [followers, _] = scored("creator", unknown, rich).parts
    assert (followers.value, followers.missing) == (0.0, True)


@pytest.mark.parametrize(
    ("said", "points"), [("false", 1), ("No", 1), (0, 1), (False, 1), ("true", 3), (1, 3), (True, 3)]
)
def test_a_conflict_that_is_said_goes_before_what_the_text_names(said, points):
    for text in ("They fight.", "They smile."):
        assert scored("screenplay", made(conflict=said, text=text)).value == points


@pytest.mark.parametrize(
    "text", ["A warm day.", "The secretary likes mustard.", "A lieutenant in a racecar.", "Skill."]
)
def test_words_that_only_look_like_a_conflict_are_none(text):
    assert scored("screenplay", made(text=text)).value == 1


def test_without_any_field_no_quality_is_measured():
    assert scored("trend", made()).quality is None
    assert scored("creator", made(views=10)).quality is None


def test_a_category_of_ones_own_has_no_formula():
    assert scorer_of("films") is None


@pytest.mark.parametrize("category", TERMS)
def test_no_term_is_constant(category):
    """Each term looks at a field: with the field it can give less than its reach, or is the presence of the field."""
    for term in TERMS[category]:
        assert term.needs
        assert not term.applies(frozenset())
    assert sum(term.reach for term in TERMS[category]) <= 10


@pytest.mark.no_cover
@pytest.mark.parametrize("category", TERMS)
@given(
    counts=st.fixed_dictionaries({name: st.none() | st.integers(0, 10**15) for name in ENGAGEMENT}),
    more=st.fixed_dictionaries(
        {name: st.none() | st.floats(0, 1e12) for name in ("bpm", "followers", "engagement_rate", "ctr")}
    ),
    text=st.none() | st.text(),
    days=st.none() | st.integers(-10, 10_000),
)
def test_quality_is_between_0_and_10_and_so_is_each_term(category, counts, more, text, days):
    found = scored(category, made(days=days, text=text, **counts, **more))
    for part in found.parts:
        assert part.value is None or 0 <= part.value <= part.reach
    assert found.quality is None or 0 <= found.quality <= 10
    assert found.value == pytest.approx(sum(part.value or 0 for part in found.parts))


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_more_views_are_never_worse(views, more):
    for category in ("trend", "distribution"):
        lower, higher = scored(category, made(views=views)), scored(category, made(views=views + more))
        assert lower.quality <= higher.quality


def test_a_projects_own_scorer_is_taken_apart_in_the_same_way():
    score = own_scorer("categories.films.scorer", lambda record, as_of: {"fame": (3, 4), "age": None, "fun": (1.0, 1)})
    found = score(made(), AS_OF, frozenset())
    assert found.quality == pytest.approx(8)
    assert [(part.name, part.value, part.reach) for part in found.parts] == [
        ("fame", 3, 4),
        ("age", None, 0),
        ("fun", 1, 1),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        3,
        {"a": 3},
        {"a": (5, 4)},
        {"a": (-1, 4)},
        {"a": (0, 0)},
        {"a": (math.nan, 1)},
        {"a": (1, 2, 3)},
        {"a": (True, 2)},
        {"a": (1, math.inf)},
    ],
)
def test_what_a_projects_own_scorer_may_not_answer_is_said_in_one_line(answer):
    score = own_scorer("categories.films.scorer", lambda record, as_of: answer)
    with pytest.raises(PermanentError, match=r"categories\.films\.scorer: record '1': ") as caught:
        score(made(), AS_OF, frozenset())
    assert "\n" not in str(caught.value)


def test_a_scorer_cannot_change_the_record():
    record = made()
    before = json.dumps(record)

    def greedy(given, as_of):
        given["title"] = "mine"
        return {"a": (1, 1)}

    own_scorer("x", greedy)(record, AS_OF, frozenset())
    assert json.dumps(record) == before


def test_what_the_built_in_quality_is_computed_from_is_known():
    assert computed_from("trend", "quality_score") == {"views", "likes", "comments", "published_at"}
    assert computed_from("trend", "views") == computed_from("films", "quality_score") == set()
