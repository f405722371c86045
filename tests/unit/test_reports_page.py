"""The page, the log and the recommendations say what the night measured, and nothing else."""

import re

import pytest
from test_reports_nightly import CRITIC, FAILED, PHASES, STARTED, critic, refused

from overnight.reports.history import MOST_RECOMMENDATIONS, left_s, metrics_of, recommendations, times_of, trend
from overnight.reports.monitor import entry_of
from overnight.reports.nightly import Phase, result_of
from overnight.reports.page import daily_page


def result(agents=None, phases=PHASES):
    return result_of(3, STARTED, phases, agents or {"critic": critic(), "broken": FAILED})


def test_the_page_has_a_row_for_each_agent_and_a_chart_for_each_that_was_trained():
    before = [result({"critic": refused()}), result({"critic": critic()})]
    page = daily_page(result(), before, "films <b>")
    assert "Nightly training of films &lt;b&gt;" in page and "<script" not in page and "http" not in page
    assert page.count("<figure>") == 1 and page.count("<circle") == 3, "a dot for each night"
    assert "failed: KeyError: &#x27;x&#x27;" in page and "+20.0 %" in page
    assert re.search(r'<text x="[\d.]+" y="[\d.]+" text-anchor="middle" font-size="12">2.00</text>', page)


def test_one_night_is_a_dot_and_what_was_not_measured_is_called_so():
    assert daily_page(result(), [], "films").count("<circle") == 1
    blind = critic(measured={}, metric=None, metric_title=None, best=None, baseline=None)
    blind["verdict"] = {
        **dict.fromkeys(("decision", "gain", "against")),
        "reason": "no evaluate",
    }
    skipped = {"skipped": "no data"}
    page = daily_page(result({"blind": blind, "idle": skipped}), [], "films")
    assert "<figure><figcaption>blind</figcaption>not measured</figure>" in page
    assert "skipped: no data" in page and "not compared" in page and "What to do next" not in page


def test_the_log_has_a_line_for_each_phase_and_agent_and_the_output_of_what_failed():
    late = Phase(status="success").timed(20, 10)
    text = entry_of(result(phases={**PHASES, "training": late}), {"broken": "Traceback\n  KeyError: 'x'\n"})
    assert "2026-10-18T02:00:00+00:00 run 3 partial 20.4 s\n" in text
    assert "  phase training took 20.0 s of 10 s that it should\n" in text
    assert "  agent critic trained in 1234 ms: v1.0.0 ACCEPT\n" in text
    assert "  agent broken failed: KeyError: 'x'\n    | Traceback\n    |   KeyError: 'x'\n" in text
    assert "agent idle skipped: no data" in entry_of(result({"idle": {"skipped": "no data"}}), {})


def test_a_threshold_that_nearly_all_pass_is_answered_with_the_one_that_four_fifths_would():
    def harvested(passed):
        passing = {"measured": 100, "passed": passed, "threshold_for_80_percent": 7.25}
        details = {"films": {"statistics": {"filtered": 99, "minimum": 1, "meets_minimum": True, "passing": passing}}}
        return {**PHASES, "harvesting": Phase(status="success", details=details)}

    [line] = recommendations(result({"critic": critic()}, harvested(96)))
    assert line == "96 of 100 records of films pass its threshold: categories.films.threshold = 7.25 would keep 80 %"
    assert recommendations(result({"critic": critic()}, harvested(95))) == []


def test_at_most_three_things_are_recommended_and_each_follows_from_a_figure():
    underpowered = critic()
    underpowered["verdict"] = {**underpowered["verdict"], "decision": "UNDERPOWERED", "reason": "9 more would"}
    late = Phase(status="success").timed(20, 10)
    agents = {"a": FAILED, "b": {"error": "no source"}, "c": underpowered, "d": critic()}
    found = recommendations(result(agents, {**PHASES, "training": late}))
    assert len(found) == MOST_RECOMMENDATIONS == 3
    assert found[0] == "a was not trained: KeyError: 'x'; `overnight runs logs 8` shows its output"
    assert found[1] == "b was not trained: no source"
    assert found[2] == "c: 200 held-out items cannot tell whether its new version may serve: 9 more would"
    [line] = recommendations(result({"critic": critic()}, {**PHASES, "training": late}))
    assert line == "phase training took 20.0 s of 10 s that it should: nightly.budgets.training sets the time"


def test_the_history_keeps_the_figures_of_each_agent():
    kept = metrics_of({**result(), "figures": {"views": {"value": 3.0, "error": None}}})
    assert (
        kept["agents"]["critic"]["quality"] == pytest.approx(2.0) and kept["agents"]["critic"]["decision"] == "ACCEPT"
    )
    assert kept["agents"]["broken"]["error"] == "KeyError: 'x'" and kept["figures"]["views"]["value"] == 3.0
    assert CRITIC["metric"] == "absolute_error" and trend([1.0, 2.0]) == "UP"


def test_the_time_that_is_left_follows_from_what_trainings_took_before():
    nights = [result({"critic": critic(time_ms=2000)}), result({"critic": critic(time_ms=4000), "broken": FAILED})]
    assert times_of(nights) == {"critic": 4.0}
    assert left_s(["critic", "new"], {"critic": 4.0}, 2) == 4.0, "at the same time"
    assert left_s(["critic", "new"], {"critic": 4.0, "old": 8.0}, 1) == 10.0
    assert left_s(["critic"], {}, 2) is None and left_s([], {"critic": 4.0}, 2) == 0.0
