"""What is kept of what sources gave: nothing vanishes without a reason, and the best of equals stays."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.data.judge import Answer, Rules, Stage, judge
from overnight.data.quality import own_scorer, scorer_of
from overnight.data.records import Origin
from overnight.text.duplicates import near_duplicates

AS_OF = datetime(2026, 11, 26, tzinfo=UTC)
RULES = Rules(limit=500, threshold=6.5, minimum=20, near_duplicates=0.85)
BY_SCORE = own_scorer("scorer", lambda record, as_of: {"score": (record["metadata"]["score"], 10)})


def answer(*rows, source="s", region=None, unreadable=(), as_of=AS_OF):
    origin = Origin(source=source, platform=source, harvested_at="2026-11-26T00:00:00+00:00", region=region)
    named = [(f"line {place}", row) for place, row in enumerate(rows, start=2)]
    return Answer(origin=origin, as_of=as_of, rows=named, unreadable=unreadable)


def row(name, **cells):
    return {"id": name, "title": f"Title of {name}", **cells}


def alone(texts, threshold):
    return range(len(texts))


def duplicates(texts, threshold):
    return near_duplicates(texts, threshold=threshold)


def judged(*answers, rules=RULES, scorer=None, duplicates=alone):
    return judge(answers, rules, scorer, duplicates)


def ids(found):
    return [record["id"] for record in found.kept]


def reasons(found):
    return [(one.stage, one.record and one.record["id"], one.where, one.reason) for one in found.rejected]


def test_what_could_not_be_read_or_formed_is_set_aside_with_its_place():
    found = judged(answer(row("a"), {"id": "b"}, unreadable=[("line 9", "an unclosed quote")]))
    assert ids(found) == ["a"]
    assert reasons(found) == [
        (Stage.READING, None, "line 9", "an unclosed quote"),
        (Stage.FORMAT, None, "line 3", "title is missing"),
    ]
    assert found.statistics == {
        "original": 3,
        "filtered": 1,
        "removed": 2,
        "duplicates": 0,
        "minimum": 20,
        "meets_minimum": False,
        "set_aside": {"reading": 1, "format": 1},
        "quality": None,
        "passing": None,
    }


def test_an_id_that_comes_again_is_set_aside_and_says_whether_the_content_is_the_same():
    found = judged(answer(row("a", n=1), row("a", n=1), row("a", n=2)))
    assert ids(found) == ["a"]
    assert [reason for *_, reason in reasons(found)] == [
        "id 'a' was there before with same content: s, line 2",
        "id 'a' was there before with other content: s, line 2",
    ]


def test_equal_content_under_another_id_is_a_duplicate_but_an_equal_title_alone_is_not():
    same = {"title": "Hamlet", "year": 1948}
    found = judged(answer({"id": "a", **same}, {"id": "b", **same}, {"id": "c", "title": "Hamlet", "year": 1990}))
    assert ids(found) == ["a", "c"]
    assert ids(judged(answer({"id": "a", "title": "Hamlet"}, {"id": "b", "title": "Hamlet"}))) == ["a", "b"]


def test_one_record_from_two_regions_is_kept_once():
    found = judged(answer(row("a", n=1), region="DE"), answer(row("a", n=1), row("b", n=1), region="FR"))
    assert [(record["id"], record["region"]) for record in found.kept] == [("a", "DE"), ("b", "FR")]


def test_below_the_threshold_is_set_aside_with_its_quality():
    found = judged(answer(row("a", score=6.5), row("b", score=6.4999)), scorer=BY_SCORE)
    assert ids(found) == ["a"]
    assert found.kept[0]["quality_score"] == 6.5
    [(stage, name, _, reason)] = reasons(found)
    assert (stage, name, reason) == (Stage.QUALITY, "b", "quality 6.50 is below 6.5")
    assert found.rejected[0].record["quality_score"] == 6.4999


def test_without_a_scorer_nothing_is_measured_and_the_newest_are_first():
    found = judged(
        answer(row("old", published_at="2001"), row("new", published_at="2026"), row("never")),
    )
    assert ids(found) == ["new", "old", "never"]
    assert {record["quality_score"] for record in found.kept} == {None}


def test_what_cannot_be_measured_is_not_kept():
    found = judged(answer(row("a")), scorer=scorer_of("creator"))
    assert reasons(found)[0][3] == "its quality cannot be measured: the source has none of the fields"


def test_recency_counts_from_what_each_source_stands_for():
    rows = [row("a", published_at="2020-01-01", views=10**6)]
    then = judged(answer(*rows, as_of=datetime(2020, 1, 3, tzinfo=UTC)), scorer=scorer_of("trend"))
    now = judged(answer(*rows), scorer=scorer_of("trend"))
    assert then.kept[0]["quality_score"] == pytest.approx(10)
    assert now.rejected[0].record["quality_score"] == pytest.approx(10 * (2 + 0.5 + 2) / 7, abs=1e-4)
    assert then.facts["s"].as_of == {"": datetime(2020, 1, 3, tzinfo=UTC)}


def test_recency_of_a_region_counts_from_what_that_region_gave():
    def of(region, name, as_of):
        return answer(row(name, published_at="2020-01-01", views=10**6), region=region, as_of=as_of)

    early = datetime(2020, 1, 3, tzinfo=UTC)
    found = judged(of("DE", "a", early), of("FR", "b", AS_OF), scorer=scorer_of("trend"))
    assert ids(found) == ["a"], "what DE gave was new then; FR's was old"


def test_a_scorer_that_fails_on_a_record_costs_that_record():
    def score(record, as_of):
        return {"plays": (record["metadata"]["plays"], 10)}

    found = judged(answer(row("a", plays=9), row("b")), scorer=own_scorer("scorer", score))
    assert ids(found) == ["a"]
    assert reasons(found)[0][3] == "the scorer failed: KeyError: 'plays'"
    wrong = judged(answer(row("a")), scorer=own_scorer("scorer", lambda record, as_of: 3))
    assert reasons(wrong)[0][3].startswith("the scorer failed: PermanentError: scorer: record 'a': must return")


def test_what_was_a_duplicate_can_be_explained_too():
    found = judged(answer(row("a", score=9)), answer(row("a", score=9), source="t"), scorer=BY_SCORE)
    assert set(found.facts) == {"s", "t"}


def test_records_with_other_addresses_are_other_records():
    weekly = {"title": "Weekly thread", "tags": []}
    links = [{"id": name, "source_url": f"https://a.org/{name}", **weekly} for name in "ab"]
    assert ids(judged(answer(*links))) == ["a", "b"]


def test_one_content_from_two_sources_is_kept_once():
    found = judged(answer(row("a", n=1)), answer({**row("a", n=1), "id": "b"}, source="t"))
    assert ids(found) == ["a"]
    assert reasons(found)[0][3] == "says the same as record 'a': s, line 2"


def test_of_near_duplicates_the_best_one_stays():
    text = "a long story about a fox that jumps over every lazy dog it can find in the whole wide valley "
    rows = [row("poor", score=7, text=text), row("good", score=9, text=text.upper() + "!"), row("b", score=8)]
    found = judged(answer(*rows), scorer=BY_SCORE, duplicates=duplicates)
    # Their titles differ by one word, so they are near and not equal.
    assert ids(found) == ["good", "b"]
    [(stage, name, _, reason)] = reasons(found)
    assert (stage, name) == (Stage.NEAR_DUPLICATE, "poor")
    assert reason == "says nearly the same as record 'good': s, line 3"
    assert found.statistics["duplicates"] == 1


def test_titles_alone_are_too_short_to_be_near_duplicates():
    rows = [row(str(n), title="The same title", n=n) for n in range(5)]
    assert len(judged(answer(*rows), duplicates=duplicates).kept) == 5


def test_the_best_are_kept_up_to_the_limit():
    rules = Rules(limit=2, threshold=0, minimum=3, near_duplicates=1)
    found = judged(answer(*(row(str(n), score=n) for n in range(5))), rules=rules, scorer=BY_SCORE)
    assert ids(found) == ["4", "3"]
    assert Counter(stage for stage, *_ in reasons(found)) == {Stage.LIMIT: 3}
    assert found.statistics["meets_minimum"] is False
    assert found.statistics["quality"] == {"lowest": 3, "median": 3.5, "mean": 3.5, "highest": 4}


rows_ = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from("abcdef"), "score": st.sampled_from([0, 5, 6.5, 8, 10]), "n": st.integers(0, 2)},
        optional={"title": st.sampled_from(["x", "y", ""]), "text": st.sampled_from(["once upon a time", "never"])},
    ),
    max_size=30,
)


@given(rows_, st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_row_is_kept_or_set_aside_once_whatever_comes(rows, limit, source):
    rules = Rules(limit=limit, threshold=6.5, minimum=0, near_duplicates=0.85)
    found = judged(answer(*rows), rules=rules, scorer=BY_SCORE, duplicates=duplicates)
    assert len(found.kept) + len(found.rejected) == len(rows) == found.statistics["original"]
    assert len(found.kept) <= limit
    assert len(set(ids(found))) == len(found.kept)
    qualities = [record["quality_score"] for record in found.kept]
    assert qualities == sorted(qualities, reverse=True)
    assert all(quality >= 6.5 for quality in qualities)
    shuffled = list(rows)
    source.shuffle(shuffled)
    again = judged(answer(*shuffled), rules=rules, scorer=BY_SCORE, duplicates=duplicates)
    assert again.statistics["original"] == found.statistics["original"]
