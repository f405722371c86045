"""A/B tests of the channel: no verdict without evidence, hardly any false one, and a better variant is found."""

import json
import re
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from channel_example import EXAMPLE, Context, approved_video, files
from overnight.base.errors import UnknownName, UserMistake
from overnight.proof.eprocess import Wealth
from web_server import answers, answers_json

ab_evidence = import_module("ab_evidence")
ab_tests = import_module("ab_tests")
metrics_reading = import_module("metrics_reading")
video_texts = import_module("video_texts")
Arm = ab_evidence.Arm
NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def played(rng, rates, *, looks, shown, watched=None):
    """Let an audience choose, whose mood changes from one look to the next; yield what has come at each look."""
    impressions, views = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    tenths = {name: np.zeros(11, dtype=int) for name in NAMES}
    for look in range(looks):
        mood = 1 + 0.4 * np.sin(look)
        for name, rate in zip(NAMES, rates, strict=True):
            offered = int(rng.poisson(shown))
            clicked = int(rng.binomial(offered, rate * mood))
            impressions[name] += offered
            views[name] += clicked
            if watched:
                tenths[name] += np.bincount(rng.binomial(10, watched[name], clicked), minlength=11)
        yield {
            name: Arm(
                impressions=impressions[name],
                views=views[name],
                watched=tuple(map(int, tenths[name])) if watched else (),
            )
            for name in NAMES
        }


def first_verdict(readings):
    evidence = ab_evidence.begun(NAMES)
    for arms in readings:
        evidence = ab_evidence.gone_on(evidence, arms)
        said = ab_evidence.verdict(evidence)
        if said.winner is not None:
            return said
    return said


def test_of_equal_variants_hardly_any_is_ever_called_better_however_often_one_looks():
    rng, false = np.random.default_rng(7), 0
    for _ in range(400):
        false += first_verdict(played(rng, (0.06, 0.06, 0.06), looks=40, shown=1200)).winner is not None
    assert false / 400 <= ab_evidence.ALPHA


def test_of_equal_variants_whose_time_watched_is_told_hardly_any_is_called_better():
    rng, false = np.random.default_rng(8), 0
    for _ in range(20):
        equal = dict.fromkeys(NAMES, 0.4)
        false += first_verdict(played(rng, (0.2, 0.2, 0.2), looks=10, shown=1500, watched=equal)).winner is not None
    assert false <= 1


@pytest.mark.parametrize(("wealth", "winner"), [(359.0, None), (361.0, "b")])
def test_a_click_rate_wins_from_the_evidence_on_that_a_chance_of_5_percent_asks_for(wealth, winner):
    arms = {name: Arm(impressions=20_000, views=2000) for name in NAMES}
    evidence = ab_evidence.gone_on(ab_evidence.begun(NAMES), arms)
    grown = asdict(Wealth.over(len(ab_evidence.RATIOS), first=1.0).times([wealth] * len(ab_evidence.RATIOS)))
    # Three criteria with six comparisons each: 1 / (0.05 / 3 / 6) is 360.
    evidence["wealth"].update({"b>a": grown, "b>c": grown})
    assert ab_evidence.verdict(evidence).winner == winner


def test_a_variant_that_is_clicked_more_often_is_found():
    rng = np.random.default_rng(9)
    found = [first_verdict(played(rng, (0.05, 0.07, 0.05), looks=30, shown=4000)) for _ in range(20)]
    assert [(one.winner, one.criterion) for one in found] == [("b", "click rate")] * 20


def test_where_all_are_clicked_alike_the_one_that_is_watched_longer_is_found():
    rng = np.random.default_rng(10)
    watched = {"a": 0.4, "b": 0.4, "c": 0.5}
    found = [first_verdict(played(rng, (0.1,) * 3, looks=8, shown=8000, watched=watched)) for _ in range(4)]
    assert [(one.winner, one.criterion) for one in found] == [("c", "time watched")] * 4


def test_a_variant_that_is_watched_longer_and_clicked_less_does_not_win():
    watched = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2000)
    short = (0, 0, 2500, 0, 0, 0, 0, 0, 0, 0, 0)
    arms = {
        "a": Arm(impressions=30_000, views=2500, watched=short),
        "b": Arm(impressions=30_000, views=2500, watched=short),
        "c": Arm(impressions=30_000, views=2000, watched=watched),
    }
    said = ab_evidence.verdict(ab_evidence.gone_on(ab_evidence.begun(NAMES), arms))
    assert said.winner is None


def test_nothing_is_said_before_each_variant_has_a_thousand_views():
    arms = {
        "a": Arm(impressions=30_000, views=999),
        "b": Arm(impressions=9000, views=4000),
        "c": Arm(impressions=30_000, views=1000),
    }
    said = ab_evidence.verdict(ab_evidence.gone_on(ab_evidence.begun(NAMES), arms))
    assert said.winner is None
    assert said.why == "1,000 views each are needed; a has 999"
    more = {**arms, "a": Arm(impressions=30_000, views=1000)}
    assert ab_evidence.verdict(ab_evidence.gone_on(ab_evidence.begun(NAMES), more)).winner == "b"


def test_a_reading_that_is_read_twice_is_no_more_evidence():
    views = {"a": 500, "b": 700, "c": 500}
    arms = {name: Arm(impressions=9000, views=count) for name, count in views.items()}
    once = ab_evidence.gone_on(ab_evidence.begun(NAMES), arms)
    assert ab_evidence.gone_on(once, arms) == once


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"impressions": 10, "views": 11}, "views <= impressions"),
        ({"impressions": 10, "views": -1}, "whole numbers"),
        ({"impressions": 10, "views": 5, "watched": (1,) * 11}, "whose sum is the views"),
    ],
)
def test_counts_that_cannot_be_are_refused(values, says):
    with pytest.raises(UserMistake, match=re.escape(says)):
        Arm(**values)


def test_without_a_source_of_metrics_a_test_stays_as_it_is():
    video_id = approved_video()
    told = ab_tests.ab_tests(Context())
    assert told["begun"] == [video_id]
    for _ in range(3):
        ab_tests.ab_tests(Context())
    test = files.read(video_id, files.AB)
    assert (test["status"], test["why"]) == ("collecting", ab_tests.NO_SOURCE)
    assert test["views"] == {"a": 0, "b": 0, "c": 0}
    assert [one["title"] for one in test["variants"]] == [
        "Hash tables: the cost",
        "Hash tables? Let us see the cost",
        "Hash tables, made clear: the cost",
    ]
    assert len({one["description"] for one in test["variants"]}) == 3
    assert len({one["thumbnail"] for one in test["variants"]}) == 3


def titled(title, topic="Hash tables"):
    """Give a video another title and topic, and return its variants as (style, title)."""
    video_id = approved_video()
    files.write(video_id, files.TOPIC, {**files.read(video_id, files.TOPIC), "topic": topic})
    files.write(video_id, files.SCRIPT, {**files.read(video_id, files.SCRIPT), "title": title})
    return [(one["style"], one["title"]) for one in ab_tests.test_of(video_id)["variants"]]


QUESTION, PROMISE = "Hash tables? Let us see the cost", "Hash tables, made clear: the cost"


@pytest.mark.parametrize(
    ("title", "first", "others"),
    [
        ("Hash tables: the cost", "plain", [("question", QUESTION), ("promise", PROMISE)]),
        (QUESTION, "question", [("plain", "Hash tables: the cost"), ("promise", PROMISE)]),
        (PROMISE, "promise", [("plain", "Hash tables: the cost"), ("question", QUESTION)]),
        ("The cost of Hash tables", "own", [("question", QUESTION), ("promise", PROMISE)]),
        ("Hash tables", "own", [("question", QUESTION), ("promise", PROMISE)]),
    ],
)
def test_the_first_variant_has_the_style_of_its_title_and_the_others_have_the_styles_that_are_left(
    title, first, others
):
    assert titled(title) == [(first, title), *others]


def test_titles_of_a_long_topic_fit_and_stay_different():
    topic = "Hash tables " + 9 * "of many words, " + "and their buckets"
    for template in [*video_texts.STYLES.values(), "The cost of {topic}"]:
        made = titled(template.format(topic=topic, angle="the cost"), topic)
        assert len({title for _, title in made}) == 3
        assert all(len(title) <= video_texts.MOST_TITLE for _, title in made)
        assert all(title.endswith("the cost") for style, title in made if style != "own")


def test_a_topic_that_a_person_has_named_in_small_letters_begins_a_title_in_a_large_one():
    assert titled("Hash tables: the cost", "hash tables")[1] == ("question", QUESTION)


def test_only_videos_that_are_approved_are_tried():
    approved_video(0, decision="reject")
    approved_video(1, decision="split")
    assert ab_tests.ab_tests(Context())["begun"] == []


def metrics(video_id, *counts):
    rows = [
        {"video_id": video_id, "variant": name, "impressions": shown, "views": views}
        for name, (shown, views) in zip(NAMES, counts, strict=True)
    ]
    return {"rows": rows}


def test_a_test_is_decided_by_what_a_file_says_and_keeps_the_evidence():
    video_id = approved_video()
    Path("metrics.json").write_text(json.dumps(metrics(video_id, (9000, 450), (9000, 480), (9000, 440))))
    ab_tests.ab_tests(Context(), metrics="metrics.json")
    few = files.read(video_id, files.AB)
    assert few["status"] == "collecting"
    assert few["views"] == {"a": 450, "b": 480, "c": 440}
    Path("metrics.json").write_text(json.dumps(metrics(video_id, (40_000, 2000), (40_000, 2900), (40_000, 2000))))
    told = ab_tests.ab_tests(Context(), metrics="metrics.json")
    assert [one["winner"] for one in told["decided"]] == ["b"]
    test = files.read(video_id, files.AB)
    assert (test["status"], test["winner"], test["criterion"]) == ("decided", "b", "click rate")
    assert test["figures"]["b"]["click_rate"] == 2900 / 40_000
    assert test["evidence"]["wealth"]["b>a"]["bets"]
    assert ab_tests.ab_tests(Context(), metrics="metrics.json")["going_on"] == 0


def test_a_test_is_decided_by_what_an_http_api_says(server):
    video_id = approved_video()
    server.routes["/metrics"] = answers_json(metrics(video_id, (40_000, 2000), (40_000, 2000), (40_000, 2900)))
    ab_tests.ab_tests(Context(), metrics=server.url("/metrics"))
    assert files.read(video_id, files.AB)["winner"] == "c"


def test_counts_that_fall_are_left_out_and_said():
    video_id = approved_video()
    for shown in (5000, 4000):
        Path("metrics.json").write_text(json.dumps(metrics(video_id, (shown, 200), (shown, 200), (shown, 200))))
        ab_tests.ab_tests(Context(), metrics="metrics.json")
    test = files.read(video_id, files.AB)
    assert test["evidence"]["read"]["a"]["impressions"] == 5000
    assert "give counts since the test began, which never fall" in test["why"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no json", "is no JSON"),
        ("[]", 'has no list "rows"'),
        ('{"rows": [{"views": 3}]}', 'row 1: has no "video_id"'),
        ('{"rows": [{"video_id": "x", "views": "many"}]}', "row 1: 'many' is no count"),
        ('{"rows": [{"video_id": "x", "views": 3, "impressions": 2}]}', "3 views of 2 impressions"),
        ('{"rows": [{"video_id": "x", "views": 3, "watched": [3]}]}', "11 counts are meant"),
        ('{"rows": [{"video_id": "x", "views": 3, "watched": [1,0,0,0,0,0,0,0,0,0,1]}]}', "2 views in all"),
        ('{"columnHeaders": [{"name": "video"}], "rows": [["x", 2]]}', "do not fit together"),
        ('{"columnHeaders": [{"name": "video"}], "rows": [[["x"]]]}', 'row 1: has no "video_id"'),
        ('{"rows": [{"video_id": "x", "views": 3, "average_percent": "abc"}]}', "average_percent: 'abc' is no number"),
        ('{"rows": [{"video_id": "x", "views": 3, "average_percent": [1]}]}', "average_percent: [1] is no number"),
        ('{"rows": [{"video_id": "x", "views": 3, "average_percent": true}]}', "average_percent: True is no number"),
        ('{"rows": [{"video_id": "x", "views": 3, "variant": ["a"]}]}', "variant: ['a'] is no name"),
        ('{"rows": [{"video_id": "x", "views": 1' + 400 * "0" + "}]}", "is no count"),
        ("[" * 100_000, "is no JSON"),
        ('{"rows": [{"video_id": "x", "views": ' + 200 * "[" + 200 * "]" + "}]}", "is no count"),
        ('{"rows": [{"video_id": "x", "views": 3}, {"video_id": "x", "views": 3}]}', "rows 1 and 2 are both of x;"),
        (
            '{"rows": [{"video_id": "y", "views": 3}, {"video_id": "x", "variant": "a", "views": 3}, '
            '{"video_id": "x", "variant": "a", "views": 4}]}',
            "rows 2 and 3 are both of x, variant a; one is meant",
        ),
        (
            '{"rows": [{"video_id": "x", "variant": "a", "views": 3}, {"video_id": "x", "views": 9}]}',
            "row 2 is of x as a whole, and row 1 of one of its variants: their views would count twice",
        ),
    ],
)
def test_metrics_that_are_none_are_refused_in_one_line(text, says):
    Path("metrics.json").write_text(text)
    with pytest.raises(UserMistake, match=re.escape(says)) as caught:
        metrics_reading.read("metrics.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("percent", ["NaN", "Infinity", "-Infinity", "-50", "100.1", "1e400", "1" + 400 * "0"])
def test_an_average_that_is_no_share_of_a_video_is_left_out_and_said(percent):
    Path("metrics.json").write_text(f'{{"rows": [{{"video_id": "x", "views": 3, "average_percent": {percent}}}]}}')
    [row] = metrics_reading.read("metrics.json")
    assert (row.views, row.average_watched) == (3, None)
    [line] = row.left_out
    assert line.startswith("metrics.json: row 1: average_percent: ")
    assert line.endswith(" is not from 0 to 100; it is left out")


@pytest.mark.parametrize(("percent", "share"), [(0, 0.0), (100, 1.0), (42.5, 0.425)])
def test_an_average_that_is_a_share_of_a_video_is_taken(percent, share):
    Path("metrics.json").write_text(json.dumps({"rows": [{"video_id": "x", "views": 3, "average_percent": percent}]}))
    [row] = metrics_reading.read("metrics.json")
    assert (row.average_watched, row.left_out) == (share, ())


def test_likes_of_more_than_all_who_have_begun_a_video_are_left_out_and_said():
    rows = [{"video_id": "x", "views": 2000, "likes": 50_000}, {"video_id": "y", "views": 7, "likes": 7}]
    Path("metrics.json").write_text(json.dumps({"rows": rows}))
    wrong, right = metrics_reading.read("metrics.json")
    assert wrong.likes is None
    assert wrong.left_out == ("metrics.json: row 1: 50,000 likes of 2,000 views cannot be; the likes are left out",)
    assert (right.likes, right.left_out) == (7, ())


def test_no_test_is_decided_by_metrics_that_tell_of_a_variant_twice():
    video_id = approved_video()
    told = metrics(video_id, (40_000, 2000), (40_000, 2000), (40_000, 2000))
    told["rows"].append({"video_id": video_id, "variant": "b", "impressions": 40_000, "views": 2900})
    Path("metrics.json").write_text(json.dumps(told))
    ab_tests.ab_tests(Context(), metrics="metrics.json")
    test = files.read(video_id, files.AB)
    assert test["status"] == "collecting"
    assert test["why"] == f"metrics.json: rows 2 and 4 are both of {video_id}, variant b; one is meant"


def test_a_source_that_does_not_answer_stops_no_test_from_beginning(server):
    server.routes["/metrics"] = answers("not now", status=503)
    video_id = approved_video()
    ab_tests.ab_tests(Context(), metrics=server.url("/metrics"))
    test = files.read(video_id, files.AB)
    assert test["status"] == "collecting"
    assert "503" in test["why"]


@pytest.mark.parametrize("name", ["committee.json", "script.json", "topic.json"])
def test_a_damaged_file_of_one_video_stops_no_other_test_from_beginning(name):
    broken, good = approved_video(0), approved_video(1)
    (files.folder_of(broken) / name).write_text('{"video_id":')
    told = ab_tests.ab_tests(Context())
    assert told["begun"] == [good]
    [problem] = told["problems"]
    assert problem["video_id"] == broken
    assert f"{name}: cannot be read" in problem["why"]


@pytest.mark.parametrize("text", ['{"video_id":', '{"status": "collecting"}', "{}"])
def test_a_damaged_test_stops_no_other_from_going_on(text):
    broken, good = approved_video(0), approved_video(1)
    ab_tests.ab_tests(Context())
    (files.folder_of(broken) / files.AB).write_text(text)
    Path("metrics.json").write_text(json.dumps(metrics(good, (40_000, 2000), (40_000, 2900), (40_000, 2000))))
    told = ab_tests.ab_tests(Context(), metrics="metrics.json")
    assert [(one["video_id"], one["winner"]) for one in told["decided"]] == [(good, "b")]
    assert [one["video_id"] for one in told["problems"]] == [broken]


def test_who_names_a_video_that_is_none_is_told_at_once():
    with pytest.raises(UnknownName, match="there is no video 'nothing'"):
        ab_tests.ab_tests(Context(), video_id="nothing")


def test_nothing_of_the_example_makes_up_views():
    for path in EXAMPLE.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(?:import|from) random\b|\bnumpy\.random\b", text, re.MULTILINE), path.name
        assert "simulated" not in text, path.name


def decided(style, number=1):
    variants = [{"variant": v, "style": s} for v, s in zip(NAMES, video_texts.STYLES, strict=True)]
    winner = next(one["variant"] for one in variants if one["style"] == style)
    return [
        {"test_id": f"t{place}", "status": "decided", "winner": winner, "variants": variants} for place in range(number)
    ]


def test_wins_of_styles_that_a_video_does_not_offer_are_not_counted():
    tests = decided("plain", 2) + decided("question")
    assert video_texts.preferred(tests, ["own", "question", "promise"])[0] == "question"
    assert video_texts.preferred(decided("plain"), ["own", "question", "promise"])[0] == "own"


@pytest.mark.parametrize(
    ("tests", "style", "says"),
    [
        ([], "own", "no A/B test has been decided yet"),
        ([{"status": "collecting", "variants": [], "test_id": "t"}], "own", "no A/B test has been decided yet"),
        (decided("promise"), "promise", "promise won 1 (t0)"),
        (decided("promise") + decided("question"), "own", "do not agree"),
        (decided("question", 3) + decided("plain", 1), "question", "question won 3, plain won 1"),
    ],
)
def test_the_style_of_a_title_follows_from_decided_tests_and_the_reason_is_told(tests, style, says):
    found, why = video_texts.preferred(tests)
    assert found == style
    assert says in why
