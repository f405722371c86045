"""The morning report: what it says of a day, as text and as a page."""

import re

import pytest

from overnight.reports.morning import cost_lines, lines
from overnight.reports.morning_page import morning_page

DAYS = [f"2026-11-{day:02}" for day in range(1, 31)]
COST = {
    "runs": 4,
    "cpu_s": 7200.0,
    "cpu_runs": 3,
    "gpu_s": None,
    "gpu_runs": 0,
    "usd": None,
    "energy_kwh": None,
    "energy_s": None,
}
COST |= {"llm_tokens": None, "llm_usd": None, "llm_unread": []}
QUIET = {
    "project": "films <b>",
    "from": "2026-11-26T07:00:00.000+00:00",
    "to": "2026-11-27T07:00:00.000+00:00",
    "ran": [],
    "better": [],
    "refused": [],
    "needs": [],
    "targets": [],
    "cost": COST,
    "planned": [],
    "next": [],
    "days": DAYS,
    "trends": {"runs completed": [0.0] * 30, "share of right answers": [None] * 30},
}
FULL = {
    **QUIET,
    "ran": [{"task": "nightly", "completed": 1, "failed": 2, "cancelled": 0, "worked_s": 61.0}],
    "better": [{"what": "nlu v2.0.0 (ACCEPT)", "why": "mean difference +0.3, interval +0.1 to +0.5"}],
    "refused": [{"what": "nlu v2.0.1 (REJECT)", "why": "no gain <script>"}],
    "needs": [{"what": "service web: exited with code 3", "do": "overnight restart web"}],
    "cost": {
        **COST,
        "gpu_s": 36.0,
        "gpu_runs": 4,
        "cpu_runs": 4,
        "usd": 1.5,
        "energy_kwh": 0.25,
        "energy_s": 85_680.0,
        "llm_tokens": 12_345,
        "llm_usd": 0.5,
    },
    "targets": ["videos today: 2 of 3 / 6 / 12"],
    "planned": [{"at": "2026-11-28T03:00:00.000+00:00", "task": "nightly"}],
    "next": [{"model": "nlu", "why": "12 unused experiences, 100 are needed"}],
    "trends": {"runs completed": [float(day) for day in range(30)], "share of right answers": [None] * 29 + [0.9]},
}


def test_a_quiet_day_says_that_there_was_nothing_and_what_was_not_measured():
    text = "\n".join(lines(QUIET))
    assert "2026-11-26 07:00 to 2026-11-27 07:00 UTC" in text
    assert text.count("  nothing\n") == 4 and "nothing was shown to be" in text
    assert "GPU: not measured" in text and "energy: not measured" in text
    assert "share of right answers      ·" in text and "not measured" in text.splitlines()[-1]


def test_a_full_day_says_what_a_person_wants_to_know():
    text = "\n".join(lines(FULL))
    for said in (
        "service web: exited with code 3 -> overnight restart web",
        "nlu v2.0.0 (ACCEPT): mean difference +0.3, interval +0.1 to +0.5",
        "nlu v2.0.1 (REJECT): no gain",
        "nightly: 1 completed, 2 failed",
        "2026-11-28 03:00 UTC  nightly",
        "nlu: 12 unused experiences",
        "energy: 0.25 kWh of the whole machine, measured for 23.8 h",
        "language models: 12,345 tokens, 0.50 USD",
        "1.50 USD",
        "videos today: 2 of 3 / 6 / 12",
    ):
        assert said in text, said
    assert all(len(line) <= 110 for line in text.splitlines())


def test_what_was_not_measured_of_some_runs_is_said_with_how_many():
    told = dict(cost_lines(COST))
    assert told["processor"] == "2 h, of 1 of 4 runs not measured"
    assert dict(cost_lines(FULL["cost"]))["GPU"] == "0.01 h"


@pytest.mark.parametrize(
    ("spent", "says"),
    [
        ({}, "none was ever asked"),
        ({"llm_tokens": 0, "llm_usd": 0.0}, "0 tokens, 0.00 USD"),
        ({"llm_tokens": 7, "llm_usd": 0.0}, "7 tokens, of no price that anybody has set"),
        ({"llm_unread": ["campaigns/a/llm.db"]}, "not measured; campaigns/a/llm.db cannot be read"),
        (
            {"llm_tokens": 7, "llm_usd": 1.0, "llm_unread": ["data/llm.db"]},
            "7 tokens, 1.00 USD; data/llm.db cannot be read",
        ),
    ],
)
def test_what_language_models_cost_is_said_with_what_nobody_knows(spent, says):
    assert dict(cost_lines({**COST, **spent}))["language models"] == says


def test_the_page_is_one_file_without_scripts_or_addresses_and_shows_the_same():
    page = morning_page(FULL)
    assert "<script" not in page and "http" not in page and "films &lt;b&gt;" in page and "no gain &lt;script" in page
    assert page.count("<svg") == 2 and page.count("<rect") == 31
    assert "overnight restart web" in page and "2026-11-01" in page and "newest 0.9" in page
    assert re.search(r"<title>2026-11-30: 29</title>", page)
    assert morning_page(QUIET).count("<rect") == 30
