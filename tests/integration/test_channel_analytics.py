"""The analytics committee, the trend scout and the design committee: nothing is said without figures behind it."""

import json
import re
import shutil
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from channel_example import EXAMPLE, Context, approved_video, files
from overnight.base.errors import ConfigError, UserMistake
from overnight.testing.bench import Bench
from web_server import answers_json
from youtube_server import YouTubeServer

analytics = import_module("analytics")
curator = import_module("curator")
design = import_module("design_committee")
findings = import_module("findings")
knowledge = import_module("knowledge")
scout = import_module("trend_scout")
scriptwriter = import_module("scriptwriter")
style_guide = import_module("style_guide")
title_quality = import_module("title_quality")
video_texts = import_module("video_texts")
ab_tests = import_module("ab_tests")
Row = import_module("metrics_reading").Row
GUIDE = Path(style_guide.FILE)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    GUIDE.write_text((EXAMPLE / style_guide.FILE).read_text())
    return tmp_path


def measured(video_id, views, shown=10_000, **more):
    return {"video_id": video_id, "views": views, "impressions": shown, **more}


def analysed(*rows):
    Path("metrics.json").write_text(json.dumps({"rows": list(rows)}))
    return analytics.analytics(Context(), metrics="metrics.json")


def test_videos_that_stand_out_are_told_with_intervals_and_change_what_the_curator_is_told():
    ids = [approved_video(number, angle="cost" if number < 6 else "code") for number in range(8)]
    views = [500, 500, 500, 900, 500, 250, 500, 500]
    told = analysed(*(measured(video_id, count) for video_id, count in zip(ids, views, strict=True)))
    assert told["winners"] == [ids[3]]
    assert told["underperformers"] == [ids[5]]
    made = json.loads(files.RECOMMENDATIONS.read_text())
    [up, down] = sorted(made["findings"], key=lambda one: -one["value"])
    assert up["lower"] > up["others_upper"]
    assert down["upper"] < down["others_lower"]
    assert "click rate 9.0 %" in up["words"]
    assert {one["topic"]: one["change"] > 0 for one in made["topics"]} == {"Bloom filters": True, "Tries": False}
    assert "n = 10,000" in made["topics"][0]["reason"]
    assert made["angles"] == [], "videos of one angle that point in two directions say nothing of it"


def test_what_the_analytics_find_comes_into_the_calendar_and_the_day_goes_on(project):
    shutil.copytree(EXAMPLE / "knowledge", "knowledge")
    ids = [approved_video(number, angle="mistakes" if number == 4 else "cost") for number in range(7)]
    told = analysed(*(measured(one, 2000 if number == 4 else 500, 20_000) for number, one in enumerate(ids)))
    assert [(one["topic"], one["change"]) for one in told["topics"]] == [("Heaps", 1.0)]
    assert [(one["angle"], one["change"]) for one in told["angles"]] == [("mistakes", 1.0)]
    entries = curator.calendar(knowledge.load(), datetime(2026, 7, 20, tzinfo=UTC))
    wanted = [entry for entry in entries if "as recommended" in entry["reason"]]
    both = next(entry["reason"] for entry in wanted if (entry["document"], entry["angle"]) == ("heaps", "cost"))
    assert f"+0.15 as recommended: more of it, {ids[4]}: click rate 10.0 %" in both
    assert any("+0.30 as recommended" in entry["reason"] for entry in wanted), "a side that is wanted for both reasons"
    assert entries[0]["angle"] == "mistakes"
    assert len(curator.curator(Context())["video_ids"]) == curator.SLOTS_A_DAY
    curator.gap_analysis(Context())
    assert "+0.15 as recommended" in curator.CALENDAR.read_text()
    assert scriptwriter.scriptwriter(Context())["video_id"] is not None


def test_a_video_that_is_liked_where_no_other_ever_is_is_wanted_more():
    ids = [approved_video(number) for number in range(4)]
    told = analysed(*({"video_id": one, "views": 5000, "likes": 900 if one == ids[2] else 0} for one in ids))
    assert [(one["topic"], one["change"]) for one in told["topics"]] == [("Merge sort", 1.0)]


def test_figures_that_cannot_be_make_no_winner_and_are_said():
    ids = [approved_video(number) for number in range(5)]
    rows = [{"video_id": one, "views": 2000, "likes": 100, "average_percent": 40} for one in ids]
    rows[1]["likes"] = 50_000
    Path("metrics.json").write_text(
        json.dumps({"rows": rows}).replace('"average_percent": 40', '"average_percent": NaN', 1)
    )
    told = analytics.analytics(Context(), metrics="metrics.json")
    assert told["winners"] == told["underperformers"] == []
    assert told["left_out"] == json.loads(files.RECOMMENDATIONS.read_text())["left_out"]
    assert [line.partition(": row ")[2][:8] for line in told["left_out"]] == ["1: avera", "2: 50,00"]


def test_what_was_left_out_of_variants_is_said_of_the_video():
    rows = [{"video_id": "x", "variant": name, "views": 5, "likes": likes} for name, likes in (("a", 2), ("b", 9))]
    Path("metrics.json").write_text(json.dumps({"rows": rows}))
    told = analytics.analytics(Context(), metrics="metrics.json")
    assert told["videos"] == 1
    assert told["left_out"] == ["metrics.json: row 2: 9 likes of 5 views cannot be; the likes are left out"]


def test_nothing_is_said_without_a_source_or_without_enough_views():
    video_id = approved_video()
    told = analytics.analytics(Context())
    assert told["winners"] == []
    assert "no source of metrics is set" in told["why"]
    told = analysed(measured(video_id, 90, 500), measured("other", 5, 500), measured("third", 5, 500))
    made = json.loads(files.RECOMMENDATIONS.read_text())
    assert made["findings"] == []
    assert made["too_few_views"] == [video_id, "other", "third"]
    assert told["why"] == "no video stands out yet"


def test_of_equal_videos_hardly_any_ever_stands_out_however_often_the_figures_are_read():
    rng, false = np.random.default_rng(11), 0
    for _ in range(30):
        views, shown, said = np.zeros(6, dtype=int), 0, False
        for _ in range(12):
            shown += 800
            views += rng.binomial(800, 0.05, 6)
            rows = [Row(video_id=str(n), views=int(count), impressions=shown) for n, count in enumerate(views)]
            said = said or bool(findings.findings(rows))
        false += said
    assert false <= 2


@pytest.mark.parametrize(("views", "found"), [(702, 0), (703, 1)])
def test_a_video_stands_out_from_the_figures_on_that_a_chance_of_5_percent_asks_for(views, found):
    rows = [Row(video_id=str(number), views=500, impressions=10_000) for number in range(5)]
    rows.append(Row(video_id="more", views=views, impressions=10_000))
    assert len(findings.findings(rows)) == found


def test_a_video_that_is_clicked_more_and_watched_less_is_called_split():
    watched = [0] * 11
    short, long = watched.copy(), watched.copy()
    short[1], long[6] = 3600, 2000
    rows = [Row(video_id="a", views=3600, impressions=40_000, watched=tuple(short))]
    rows += [Row(video_id=f"o{n}", views=2000, impressions=40_000, watched=tuple(long)) for n in range(6)]
    assert findings.verdicts(findings.findings(rows)) == {"a": "split"}


def test_the_table_of_youtube_analytics_is_read_by_the_ids_that_the_uploader_got(monkeypatch):
    ids = [approved_video(number) for number in range(4)]
    for number, video_id in enumerate(ids):
        files.write(video_id, files.UPLOAD, {"id": f"yt{number}"})
    for name in ("YOUTUBE_CLIENT_ID", "YOUTUBE_CLIENT_SECRET", "YOUTUBE_REFRESH_TOKEN"):
        monkeypatch.setenv(name, name.removeprefix("YOUTUBE_").lower().replace("_", "-").replace("token", "secret"))
    monkeypatch.setenv("YOUTUBE_CLIENT_SECRET", "client-secret")
    monkeypatch.setenv("YOUTUBE_REFRESH_TOKEN", "refresh-secret")
    from web_server import WebServer

    heads = [{"name": name} for name in ("video", "views", "likes", "averageViewPercentage")]
    rows = [[f"yt{n}", 5000, 500 if n == 2 else 200, 40.0] for n in range(4)] + [["elsewhere", 5, 5, 5.0]]
    with YouTubeServer() as youtube, WebServer() as web:
        web.routes["/v2/reports"] = answers_json({"columnHeaders": heads, "rows": rows})
        told = analytics.analytics(
            Context(), metrics="youtube", api=web.url("/v2/reports"), tokens=f"{youtube.url}/token"
        )
        assert web.asked[0].headers["authorization"] == "Bearer token-secret"
        assert "dimensions=video" in web.asked[0].path
    assert told["videos"] == 4
    assert told["winners"] == [ids[2]]


def test_metrics_of_youtube_without_its_secrets_are_one_line_that_says_what_else_there_is(monkeypatch):
    for name in ("YOUTUBE_CLIENT_ID", "YOUTUBE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("YOUTUBE_REFRESH_TOKEN", "refresh-secret")
    with pytest.raises(ConfigError) as caught:
        analytics.analytics(Context(), metrics="youtube")
    assert str(caught.value) == (
        "metrics of YouTube need YOUTUBE_CLIENT_ID, YOUTUBE_CLIENT_SECRET in the environment; "
        "or name a file or an address"
    )


def test_what_each_video_has_is_read_the_oldest_first_and_by_its_id():
    second, first = approved_video(1), approved_video(0)
    decided(second, "b")
    assert list(files.every(files.TOPIC)) == [first, second]
    assert {one: test["winner"] for one, test in files.every(files.AB).items()} == {second: "b"}


def decided(video_id, winner):
    test = ab_tests.test_of(video_id)
    gone = {
        "status": "decided",
        "winner": winner,
        "criterion": "click rate",
        "figures": {},
        "why": "clicked more often",
    }
    files.write(video_id, files.AB, {**test, **gone})


def test_the_trend_scout_proposes_nothing_of_which_nothing_was_found():
    decided(approved_video(0), "b")
    told = scout.trend_scout(Context())
    assert told == {"proposed": False, "why": "no 3 A/B tests or videos on a side point to a change"}
    assert not scout.PROPOSAL.exists()


def test_styles_that_won_and_lengths_of_winners_become_a_diff_that_can_be_applied_by_patch(tmp_path):
    for number in range(3):
        decided(approved_video(number, minutes=4), "b")
    for number in range(3, 6):
        approved_video(number, minutes=2)
    views = [900] * 3 + [300] * 3 + [600] * 6
    ids = [*files.videos(), *(f"other{n}" for n in range(6))]
    analysed(*(measured(one, count, 20_000) for one, count in zip(ids, views, strict=True)))
    told = scout.trend_scout(Context())
    assert [(one["rule"], one["after"]) for one in told["changes"]] == [
        ("title_template", "{topic}? Let us see {angle}"),
        ("minutes", 3.5),
    ]
    assert "all 3 winners (4.0 to 4.0 minutes) are longer" in told["changes"][1]["why"]
    assert len(told["changes"][0]["figures"]) == 3
    lines = told["diff"].splitlines()
    assert lines[0] == "--- a/CHANNEL_STYLE_GUIDE.md"
    assert [line for line in lines if re.match(r"[-+]\w", line)] == [
        "-minutes = 3.0                 # a video aims at, where its topic asks for nothing else",
        "+minutes = 3.5                 # a video aims at, where its topic asks for nothing else",
        '-title_template = "{topic}: {angle}"',
        '+title_template = "{topic}? Let us see {angle}"',
    ]


def test_with_a_title_that_asks_the_wins_of_the_first_variant_are_those_of_questions_and_the_plain_one_is_tried():
    shutil.copytree(EXAMPLE / "knowledge", "knowledge")
    question = "{topic}? Let us see {angle}"
    GUIDE.write_text(GUIDE.read_text().replace('"{topic}: {angle}"', json.dumps(question)))
    made = curator.curator(Context(), topic="hash table", angle="cost")["video_id"]
    scriptwriter.scriptwriter(Context(), made)
    files.write(made, files.ASSEMBLY, {"duration_s": 150.0})
    assert [one["title"] for one in ab_tests.test_of(made)["variants"]] == [
        "Hash tables? Let us see the cost",
        "Hash tables: the cost",
        "Hash tables, made clear: the cost",
    ]
    decided(made, "a")
    assert video_texts.preferred(files.every(files.AB).values())[0] == "question"
    assert scout.trend_scout(Context())["proposed"] is False


def test_a_style_that_the_guide_has_given_up_comes_back_when_it_wins():
    GUIDE.write_text(GUIDE.read_text().replace("{topic}: {angle}", "{topic}? Let us see {angle}"))
    for number in range(3):
        video_id = approved_video(number)
        script = files.read(video_id, files.SCRIPT)
        title = script["title"].replace(":", "? Let us see")
        files.write(video_id, files.SCRIPT, {**script, "title": title})
        decided(video_id, "b")
    [change] = scout.trend_scout(Context())["changes"]
    assert (change["before"], change["after"]) == ("{topic}? Let us see {angle}", "{topic}: {angle}")


def change(rule="minutes", before=3.0, after=3.5, behind=6, why="all winners are longer"):
    ids = list(map(str, range(behind)))
    figures = [{"winners": dict.fromkeys(ids, 4.0), "underperformers": dict.fromkeys(ids, 2.0)}]
    return {"rule": rule, "before": before, "after": after, "why": why, "figures": figures}


def proposed(*changes):
    guide = GUIDE.read_text()
    diff = scout.diff(guide, scout.changed(guide, changes))
    proposal = {"diff": diff, "changes": list(changes), "base": scout.hash_of(guide), "state": "proposed"}
    scout.PROPOSAL.parent.mkdir(parents=True, exist_ok=True)
    scout.PROPOSAL.write_text(json.dumps(proposal))


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path, f"sqlite:///{tmp_path / 'overnight.db'}") as one:
        for action in (design.design_committee, design.design_judges, design.design_decided):
            one.add(action.__name__, action)
        yield one


def sat(bench):
    run_id = bench.project.submit("design_committee")
    bench.work()
    return run_id


def test_the_design_committee_applies_a_small_change_with_enough_behind_it(bench):
    proposed(change())
    told = bench.result(sat(bench))
    assert told["state"] == "applied"
    assert style_guide.load().minutes == 3.5
    assert "minutes = 3.5                 # a video aims at" in GUIDE.read_text()
    assert bench.result(sat(bench))["decision"] == "nothing"


def test_the_design_committee_refuses_what_the_agents_could_not_read_and_says_so(bench):
    proposed(change(after=9.5))
    run_id = sat(bench)
    assert not bench.state(run_id).final, "the judges are split, so a person is asked"
    [question] = bench.project.questions()
    assert "minutes: 9.5 is not from shortest_minutes to longest_minutes" in question.prompt
    bench.project.answer(question.question_id, "reject")
    bench.work()
    told = bench.result(run_id)
    assert told["state"] == "refused"
    assert told["why"].startswith("a person said reject")
    assert style_guide.load().minutes == 3.0


def test_a_change_with_little_behind_it_is_refused_with_the_reason(bench):
    proposed(change(behind=2))
    run_id = sat(bench)
    [question] = bench.project.questions()
    assert "changes are backed: minutes by 2" in question.prompt
    bench.project.answer(question.question_id, "reject")
    bench.work()
    assert json.loads(scout.PROPOSAL.read_text())["state"] == "refused"
    assert bench.result(run_id)["state"] == "refused"


def retitled(after, behind=6):
    tests = [{"test_id": f"t{number}", "criterion": "click rate", "figures": {}} for number in range(behind)]
    change = {"rule": "title_template", "before": "{topic}: {angle}", "after": after, "why": "it won", "figures": tests}
    proposed(change)


def test_titles_that_shout_are_refused_however_many_tests_they_have_won(bench):
    approved_video()
    retitled("{topic} BUY NOW!!! {angle}", behind=60)
    told = bench.result(sat(bench))
    assert told["state"] == "refused"
    assert bench.project.questions() == []
    assert style_guide.load().title_template == "{topic}: {angle}"
    assert told["why"].startswith("the titles would do nothing but shout")
    assert "1 of 1 titles fit into 100 characters (the longest has 31); loud signs: 4, words: 2" in told["why"]
    assert told["why"].endswith("reach has no say, as no number changes)")
    members = {one["name"]: one["score"] for one in json.loads(scout.PROPOSAL.read_text())["members"]}
    assert members == {"evidence": 10.0, "legibility": 0.0}


def test_a_calm_style_of_titles_that_has_won_enough_is_applied_and_says_who_judged(bench):
    approved_video()
    retitled(video_texts.STYLES["question"])
    told = bench.result(sat(bench))
    assert told["state"] == "applied"
    assert style_guide.load().title_template == video_texts.STYLES["question"]
    assert "2 judges within 0.0 of each other give 10.0" in told["why"]
    assert "reach has no say, as no number changes" in told["why"]


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ("LOOK, {topic} is here: {angle}", "loud signs: 1, words: 3"),
        ("{topic}, and all that anybody could ever have wanted to know about it, told slowly to you: {angle}",
         "0 of 1 titles fit into 100 characters (the longest has 103)"),
        ("{topic} {", "title_template: '{topic} {' is not a text with {topic}"),
    ],
)  # fmt: skip
def test_titles_that_shout_somewhat_or_do_not_fit_are_left_to_a_person(bench, after, says):
    approved_video()
    retitled(after)
    run_id = sat(bench)
    [question] = bench.project.questions()
    assert says in question.prompt
    bench.project.answer(question.question_id, "reject")
    bench.work()
    assert bench.result(run_id)["state"] == "refused"


@pytest.mark.parametrize("template", ["{topic} {", "}{topic}", "{{topic}}", "{topic:d}", "{topic!q}", "{topic} {}"])
def test_a_template_that_no_title_can_be_made_of_is_refused_when_the_guide_is_read(template):
    text = GUIDE.read_text().replace('"{topic}: {angle}"', json.dumps(template))
    with pytest.raises(UserMistake, match=r"title_template: .* is not a text with \{topic\}"):
        style_guide.parse(text)


@pytest.mark.parametrize(
    ("template", "calm"),
    [
        ("{topic}: {angle}", 1.0),
        ("{topic}? {angle}", 1.0),
        ("{topic}?! {angle}", 0.0),
        ("{topic} for you and I: {angle}", 1.0),
        ("Why SQL has {topic}: {angle}", 2 / 3),
        ("{topic} *** FREE *** {angle}", 0.0),
    ],
)
def test_loud_are_capitals_and_repeated_marks_of_the_template_and_not_of_a_topic(template, calm):
    heads = [{"topic": "LRU CACHES", "angle": "the cost!!!"}]
    assert title_quality.measured(template, heads).calm == pytest.approx(calm)


def test_a_template_that_no_title_was_tried_on_is_judged_by_its_words_and_says_so():
    found = title_quality.measured("{topic}: {angle}", [])
    assert found.score == 10
    assert found.told == "there is no video to try it on; loud signs: 0, words: 0"


def test_a_guide_that_a_person_has_changed_since_is_left_alone(bench):
    proposed(change())
    GUIDE.write_text(GUIDE.read_text().replace("hook_words = 32", "hook_words = 30"))
    told = bench.result(sat(bench))
    assert told["state"] == "refused"
    assert "was changed since the proposal was made" in told["why"]
    assert style_guide.load().minutes == 3.0
    assert style_guide.load().hook_words == 30
