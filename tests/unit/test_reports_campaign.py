"""The report of a campaign says what was measured, names the stage of each rate, and obeys no sample."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as some
from test_campaign_figures import NOTHING, domain

from overnight.campaigns.figures import Decile, Registered, Sample
from overnight.campaigns.gate import NOT_PLANTED, Pilot, Specification, judge
from overnight.campaigns.planted import KINDS
from overnight.campaigns.ports import Message
from overnight.campaigns.quality import Spread
from overnight.reports.boxes import WIDTH, span
from overnight.reports.campaign import MOST_REASONS, NOTHING_BOUGHT, CampaignReport, Forced, Spending, text
from overnight.reports.campaign_page import html

AT = 1_780_000_000_000_000
MINUTE = 60_000_000
EVIL = "<script>alert(1)</script>\x1b[31m[red]\u202e"
SPECIFICATION = Specification(domains={"sql": 0.5})


def sample(place=0, *, content="what is 6 times 7?", reason=None, quality=0.8):
    return Sample(
        sample_id=f"{place:032x}",
        domain="sql",
        generator="sql/1",
        cell="shop/joins",
        number=place,
        pilot=False,
        reason=reason,
        detail=None,
        quality=quality,
        terms={"diversity": 0.5},
        skeleton="0" * 16,
        messages=[
            Message(role="system", content="be brief"),
            Message(role="user", content=content),
            Message(role="assistant", content="line one\n\tline two"),
        ],
        source={"name": "books", "licence": "MIT"},
        at_us=AT,
    )


def verdict(quality=0.9, wrong=0, specification=SPECIFICATION):
    pilot = Pilot(
        qualities={"code": [quality, quality / 2] * 50, "sql": [quality, quality / 2] * 50},
        planted={"code": {kind: (wrong if kind == "wrong" else 0, 12) for kind in KINDS}},
        complete=True,
    )
    return judge(specification, pilot)


FULL = replace(
    NOTHING,
    target=200,
    domains=[
        replace(domain("code", accepted=60, wrong_answer=30, near_duplicate=10), allocation=150, skeletons=40),
        replace(domain("sql", accepted=20), allocation=50, skeletons=9, most_of_one=5),
    ],
    judged_by_quality=[30, *[0] * 15, 40, 0, 10, 40],
    accepted_by_quality=[*[0] * 16, 40, 0, 0, 40],
    spreads={
        "diversity": Spread(measured=190, least=0.2, most=1.0),
        "consistency": Spread(measured=188, least=1.0, most=1.0),
    },
    first_us=AT - 60 * MINUTE,
    last_us=AT,
    rate=0.5,
    rate_in_all=0.25,
    deciles=[Decile(number=1, least=0.8, most=0.812, samples=[sample(1), sample(2)])],
    coverage=[(0, 0), (60, 8), (120, 12)],
)
REPORT = CampaignReport(
    name="first",
    phase="full run",
    at_us=AT,
    figures=FULL,
    started_us=AT - 61 * MINUTE,
    registered=[Registered(specification=SPECIFICATION, by="ada", at_us=AT - 61 * MINUTE)],
    verdicts=[verdict()],
)
EMPTY = CampaignReport(name="new", phase="waiting", at_us=AT, figures=NOTHING)


def plain(page):
    """Return the text of a page, on one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S)).split())


def on_one_line(report):
    return " ".join(report.split())


BOTH = pytest.mark.parametrize("said", [lambda one: on_one_line(text(one)), lambda one: plain(html(one))])


@BOTH
def test_figures_stand_in_both_forms_and_each_rate_names_its_stage(said):
    told = said(REPORT)
    assert "80 of 200 (40.0 %)" in told
    assert "66.7 % of 120 candidates judged" in told and "88.9 % of 90 without a fault" in told
    assert "49 among the accepted samples; the commonest has 5" in told
    assert "0.5 accepted per second in the last 10 minutes" in told and "0.25 from the first batch to the last" in told
    assert "4 min 0 s" in told
    assert "wrong answer" in told and "30.0 %" in told
    assert "quality 0.800 to 0.812" in told and "what is 6 times 7?" in told


@BOTH
def test_what_was_not_measured_is_called_so_and_nothing_is_made_up(said):
    told = said(EMPTY)
    assert told.count("not measured") >= 11
    assert "none yet: nothing is accepted" in told and "no pilot was judged yet" in told
    assert "nothing is registered" in told and "not started" in told
    assert re.findall(r"\S+ \S+ \S+ \(?[\d.]+ %", told) == ["0 of 100 (0.0 %"], "that is known"
    assert "nothing was refused" not in told
    assert "nothing was refused" in said(replace(EMPTY, figures=replace(NOTHING, domains=[domain(accepted=1)])))


@BOTH
def test_it_is_said_where_no_time_left_is_known(said):
    slow = replace(FULL, rate=0.0)
    assert "not known: nothing was accepted lately" in said(replace(REPORT, figures=slow))
    assert "none: the target is reached" in said(replace(REPORT, figures=replace(slow, target=80)))
    fast = said(replace(REPORT, figures=replace(FULL, rate=1234.5)))
    assert "1,234 accepted per second" in fast and "left 0 s" in fast


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(47, "47 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h 0 min"), (273_700, "3 d 4 h")],
)
def test_a_length_of_time_is_told_in_two_units(seconds, said):
    assert span(seconds) == said


@BOTH
@pytest.mark.parametrize(
    ("spent", "told"),
    [
        ({}, "cost not measured"),
        ({"nothing_is_bought": True}, f"cost {NOTHING_BOUGHT}"),
        ({"spending": Spending(requests=1234, tokens=5, usd=0.25)}, "cost 0.25 USD (1,234 requests, 5 tokens)"),
        ({"spending": Spending(tokens=5)}, "cost not measured (requests not measured, 5 tokens)"),
    ],
)
def test_the_cost_is_what_was_spent_and_free_only_where_the_caller_says_so(said, spent, told):
    assert told in said(replace(REPORT, **spent))


@BOTH
def test_the_gate_is_told_with_its_version_its_time_its_interval_and_chance(said):
    told = said(REPORT)
    version = SPECIFICATION.version
    assert f"version {version}, registered 2026-05-28 19:25 UTC by ada, before the first sample was judged" in told
    assert "quality 0.75 (estimate), sql 0.5; at least 150 judged samples of a pilot of 190" in told
    assert f"REJECTED by version {version}" in told
    [check] = [check for check in REPORT.verdicts[0].checks if check.name == "quality"]
    assert check.seen in told and "95 % interval" in told and "passes with a chance of" in told
    assert re.search("(?i)not met:? quality 0.675", told)
    assert "0 of 12 planted wrong samples were let through" in told


@BOTH
def test_a_gate_that_was_changed_after_the_pilot_is_seen(said):
    easier = Specification(quality_threshold=0.5)
    changed = replace(
        REPORT,
        registered=[*REPORT.registered, Registered(specification=easier, by="bob", at_us=AT - MINUTE)],
        verdicts=[verdict(), verdict(specification=easier)],
    )
    told = said(changed)
    assert (
        f"version {easier.version}, registered 2026-05-28 20:25 UTC by bob, AFTER the first sample was judged" in told
    )
    assert f"REJECTED by version {SPECIFICATION.version}, which does not hold any more" in told
    assert re.search(f"APPROVED by version {easier.version}(?!, which)", told)


@BOTH
def test_a_forced_launch_is_shown_with_user_and_reason(said):
    told = said(replace(REPORT, forced=[Forced(user="bob", reason="the fair is tomorrow", at_us=AT)]))
    assert "forced by bob, 2026-05-28 20:26 UTC: the fair is tomorrow" in told
    assert "Launched against the gate" in told and "Launched" not in said(REPORT)


@BOTH
def test_a_term_without_spread_is_constant_and_carries_no_weight(said):
    told = said(REPORT)
    assert "diversity: 0.2 to 1 (190 measured)" in told
    assert "consistency: constant at 1 (188 measured), carries no weight" in told
    assert "groundedness: not measured, carries no weight" in told


def test_an_ended_campaign_says_so():
    assert "started 2026-05-28 19:25 UTC, ended 2026-05-28 20:26 UTC" in html(replace(REPORT, ended_us=AT))


def test_the_text_keeps_its_width_where_it_has_a_box_and_compares_coverages():
    told = text(
        replace(
            REPORT, forced=[Forced(user="u" * 90, reason="r", at_us=AT)], curves={"random choice": [(0, 0), (90, 7)]}
        )
    )
    box = [line for line in told.splitlines() if line[:1] in "┌│├└" and line]
    assert len(box) > 12 and {len(line) for line in box} == {WIDTH}
    rows = {line[:28].strip(): line[28:].split() for line in told.splitlines() if line.startswith("  ")}
    assert rows["12 cells"] == ["50%", "75%", "90%", "99%"]
    assert rows["this campaign"] == ["60", "120", "120", "120"]
    assert rows["random choice"] == ["90", "-", "-", "-"]


def test_the_histogram_of_the_text_shows_what_was_accepted_of_each_bin():
    rows = re.findall(r"^  (0\.\d\d)-\S+  (\S*) +(\d+) judged +(\d+) accepted$", text(REPORT), flags=re.M)
    assert len(rows) == 20
    assert [int(judged) for *_, judged, _ in rows] == FULL.judged_by_quality
    assert [int(accepted) for *_, accepted in rows] == FULL.accepted_by_quality
    bars = {at: bar for at, bar, *_ in rows}
    assert (bars["0.80"], bars["0.90"], bars["0.05"]) == ("█" * 30, "░" * 8, "")
    assert "without a quality: 3" in text(replace(REPORT, figures=replace(FULL, unmeasured=3)))
    assert "without a quality: 3" in html(replace(REPORT, figures=replace(FULL, unmeasured=3)))


class Page(HTMLParser):
    """What a browser would make of a page: its tags, whether they match, and its attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.values = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [f"{name}={value}" for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_and_runs_nothing():
    page = html(replace(REPORT, curves={"random choice": [(0, 0), (90, 7)]}))
    found = Page(page)
    assert found.open == []
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert "http" not in page and "url(" not in page and not [value for value in found.values if value.startswith("on")]
    assert found.tags.count("svg") == 2 and found.tags.count("polyline") == 2 and found.tags.count("details") == 2
    assert found.tags.count("rect") == 4 + 2, "a bar for each bin that holds something"
    assert "random choice: 7 cells" in page and "this campaign: 12 cells" in page


def evil():
    """A report in which everything that comes from elsewhere is hostile."""
    specification = Specification(domains={EVIL: 0.5})
    one = replace(domain(EVIL, accepted=3), reasons={EVIL: 2}, judged=5)
    shown = replace(sample(content=EVIL), domain=EVIL, cell=EVIL, generator=EVIL, source={EVIL: EVIL}, sample_id=EVIL)
    shown = replace(shown, messages=[Message(role=EVIL, content=EVIL)])
    return CampaignReport(
        name=EVIL,
        phase=EVIL,
        at_us=AT,
        figures=replace(FULL, domains=[one], deciles=[Decile(number=1, least=0, most=1, samples=[shown])]),
        registered=[Registered(specification=specification, by=EVIL, at_us=AT)],
        verdicts=[verdict(specification=specification)],
        forced=[Forced(user=EVIL, reason=EVIL, at_us=AT)],
        curves={EVIL: [(0, 0), (3, 1)]},
    )


def test_what_comes_from_elsewhere_is_text_and_steers_neither_browser_nor_terminal():
    page, told = html(evil()), text(evil())
    assert "script" not in Page(page).tags and page.count("&lt;script&gt;") >= 14
    for said in (page, told):
        assert "\x1b" not in said and "\u202e" not in said
        assert "\\x1b[31m[red]" in said
    lines = text(replace(EMPTY, name="a\nb", phase="c\td")).splitlines()
    assert lines[1].startswith("│ Campaign a b: c d ")


@given(some.text(min_size=1, max_size=60))
def test_any_text_of_a_sample_leaves_the_page_whole(content):
    one = replace(FULL, deciles=[Decile(number=1, least=0, most=1, samples=[sample(content=content)])])
    assert Page(html(replace(REPORT, figures=one))).open == []
    assert all(c.isprintable() or c == "\n" for c in text(replace(REPORT, figures=one)))


def test_long_messages_are_cut_and_say_how_long_they_are():
    long = replace(FULL, deciles=[Decile(number=1, least=0, most=1, samples=[sample(content="x" * 5000)])])
    report = replace(REPORT, figures=long)
    assert "x" * 400 + "… (5,000 characters in all)" in text(report) and "x" * 401 not in text(report)
    assert "x" * 4000 + "… (5,000 characters in all)" in html(report) and "x" * 4001 not in html(report)
    assert "line one\n line two" in html(report) and "be brief" in html(report) and "be brief" not in text(report)


counts = some.integers(0, 5000)


@given(some.dictionaries(some.text("abc", min_size=1), counts.filter(bool), max_size=30), counts)
def test_reasons_and_accepted_samples_add_up_to_what_was_judged(reasons, accepted):
    one = replace(domain("code", accepted=accepted), reasons=reasons, judged=accepted + sum(reasons.values()))
    told = text(replace(REPORT, figures=replace(FULL, domains=[one])))
    section = told.split("Rejection reasons, of the candidates judged:")[1].split("\n\n")[0]
    refused = [int(count.replace(",", "")) for count in re.findall(r": ([\d,]+) \(", on_one_line(section))]
    assert sum(refused) + accepted == one.judged
    assert len(refused) == min(len(reasons), MOST_REASONS + 1)


def test_the_parts_of_a_bar_make_up_all_that_was_judged():
    page = html(REPORT)
    [code, sql] = re.findall(r'<div class="bar">(.*?)</div>', page.split("Rejection reasons")[0])
    assert [float(part) for part in re.findall(r"width:([\d.]+)%", code)] == [60.0, 10.0, 30.0]
    assert [float(part) for part in re.findall(r"width:([\d.]+)%", sql)] == [100.0, 0.0, 0.0]


def test_a_gate_that_plants_no_samples_says_so_wherever_it_is_told():
    specification = Specification(planted=False)
    report = CampaignReport(
        name="code", phase="validation complete", at_us=AT, figures=FULL,
        registered=[Registered(specification=specification, by="ann", at_us=AT)],
        verdicts=[verdict(specification=specification)],
    )  # fmt: skip
    told = " ".join(text(report).split())
    assert f"NOT CHECKED: {NOT_PLANTED}" in told and told.count(NOT_PLANTED) == 2
    page = html(report)
    assert f'<span class="unmet">not checked</span></td><td>{NOT_PLANTED}' in page and page.count(NOT_PLANTED) == 2
    checked = replace(
        report, verdicts=[verdict()], registered=[replace(report.registered[0], specification=SPECIFICATION)]
    )
    assert NOT_PLANTED not in text(checked) + html(checked)
