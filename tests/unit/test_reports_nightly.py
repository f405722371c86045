"""The daily report says what was measured, in 78 columns, and calls what was not measured by its name."""

import copy
from datetime import UTC, datetime

import pytest

from overnight.reports.daily import WIDTH
from overnight.reports.daily import daily_report as report_of_night
from overnight.reports.nightly import Aims, Phase, agent_line, result_of

STARTED = datetime(2026, 10, 18, 2, 0, tzinfo=UTC)
VERDICT = {
    "decision": "ACCEPT",
    "reason": "The candidate is better; mean difference +0.2 over 200 items, 90 % interval +0.1 to +0.3.",
    "against": "baseline",
    "gain": [0.2, 0.1, 0.3],
}
CRITIC = {
    "run": 7,
    "version": "v1.0.0",
    "serving": "v1.0.0",
    "serves": True,
    "verdict": VERDICT,
    "time_ms": 1234.5,
    "note": None,
    "records": 800,
    "held_out": 200,
    "baseline": "mean",
    "reported": {"status": "completed"},
    "kept": "saved",
    "metric": "absolute_error",
    "metric_title": "mean absolute error",
    "best": 0.0,
    "measured": {"candidate": {"value": -0.8, "spearman": 0.5}, "baseline": {"value": -1.0, "spearman": None}},
}
FAILED = {"error": "KeyError: 'x'", "run": 8}
PHASES = {
    "harvesting": Phase(status="success", seconds=0.4),
    "training": Phase(status="partial", seconds=2.0, details={"critic": 1}),
}


def critic(**changes):
    return {**copy.deepcopy(CRITIC), **changes}


def refused(**changes):
    """The critic after a night on which the champion stayed."""
    champion = {"value": -0.7, "spearman": 0.6}
    verdict = {**VERDICT, "decision": "REJECT", "against": "champion", "gain": [-0.1, -0.3, 0.1]}
    measured = {**CRITIC["measured"], "champion": champion}
    return critic(serves=False, version="v1.0.1", verdict=verdict, measured=measured, **changes)


def daily_report(result, project):
    return report_of_night(result, [], project)


def result(**agents):
    return result_of(3, STARTED, PHASES, agents)


def row_of(text, name):
    return next(line for line in text.splitlines() if line.startswith(f"│ {name}"))


def test_a_small_report_reads_like_this():
    assert daily_report(result(critic=critic(), broken=FAILED), "films") == (
        """\
┌────────────────────────────────────────────────────────────────────────────┐
│ Nightly training of films                                                  │
│ 2026-10-18 02:00 UTC, run 3: partial                                       │
├────────────────────────────────────────────────────────────────────────────┤
│ agent                 serves       quality    change  decision        time │
├────────────────────────────────────────────────────────────────────────────┤
│ critic                v1.0.0          2.00   +20.0 %  ACCEPT         1.2 s │
│ broken                failed: KeyError: 'x'                                │
├────────────────────────────────────────────────────────────────────────────┤
│ harvesting     success         0.4 s                                       │
│ training       partial         2.0 s                                       │
│ in all                         2.4 s                                       │
├────────────────────────────────────────────────────────────────────────────┤
│ overall quality       2.00                                                 │
│ trend                 not measured (the first training)                    │
│ quality gained        +20.00 %                                             │
│ trained               1 of 2 agents (50 %)                                 │
│ time of a training    1.23 s on the average                                │
└────────────────────────────────────────────────────────────────────────────┘

quality: 0 = the naive baseline, 10 = the best value of the metric, of the
version that serves, on held-out items. change: the trained version against
what it was compared with, in % of the way from the baseline to the best
value.

What to do next:
  broken was not trained: KeyError: 'x'; `overnight runs logs 8` shows its
    output

critic: trained on 800 records, measured by mean absolute error on 200 held-
out items
  mean absolute error 0.800, baseline (mean) 1.000
  v1.0.0 against the baseline: The candidate is better; mean difference +0.2
    over 200 items, 90 % interval +0.1 to +0.3.

broken: failed
  KeyError: 'x'
"""
    )


def test_of_a_training_of_some_agents_the_fleet_is_told_too_and_no_trend_of_other_agents():
    night, alone = result(critic=critic(), other=critic(best=-0.8)), result(critic=critic())
    text = report_of_night(alone, [night], "films")
    assert "│ overall quality       2.00 of what was trained, 6.00 of all 2 agents" in text
    assert "│ trend                 STABLE over 2 trainings" in text
    assert "│ overall quality       2.00  " in report_of_night(alone, [alone], "films")


def test_no_line_is_wider_than_78_columns_whatever_the_names_and_values():
    long = "a-very-long-name-of-an-agent" * 5
    wide = refused(time_ms=9e9, serving="v1000.1000.1000", baseline="single best column: " + "x" * 200, note="n" * 300)
    wide["measured"] = {
        "candidate": {"value": -1.7e99, "spearman": None},
        "champion": {"value": -123456789.0, "spearman": None},
        "baseline": {"value": -1.0, "spearman": None},
    }
    wide["verdict"] |= {"gain": [-1.7e99, -1e100, 1e100], "reason": "word " * 100}
    phases = {"p" * 90: Phase(status="s" * 90, seconds=1e9)}
    text = daily_report(
        result_of(10**12, STARTED, phases, {long: wide, f"{long}2": {"error": "e" * 500}, "plain": critic()}),
        "a project " * 30,
    )
    assert {len(line) for line in text.splitlines() if line.startswith(("┌", "├", "└", "│"))} == {WIDTH}
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert row_of(text, "a-very-long-name-of-…").split()[2:5] == ["v1000.1…", "0.00", "-2e+101"]
    assert long in "".join(line.strip() for line in text.splitlines())


def test_what_was_not_measured_is_called_so():
    champion_of_another_target = critic(serves=False, serving="v1.0.0", note="champion v1.0.0 predicts another target")
    champion_of_another_target["verdict"] = {**VERDICT, "decision": "REJECT"}
    shown = result(critic=champion_of_another_target)
    line = shown["agents"]["critic"]
    assert (line["metric"], line["quality"], line["quality_raw"], line["spearman"]) == (None, None, None, None)
    text = daily_report(shown, "films")
    assert row_of(text, "critic").split()[1:6] == ["critic", "v1.0.0", "not", "measured", "+20.0"]
    assert "not compared with the champion: champion v1.0.0 predicts another target" in text
    assert row_of(daily_report(result(broken=FAILED), "films"), "quality gained").split()[3:5] == ["not", "measured"]


def test_a_report_names_the_best_version_so_far_where_that_is_what_was_compared_with():
    one = refused(note="the state of best version so far v1.0.0 was not kept")
    assert "not compared with the best version so far: the state of best" in daily_report(result(critic=one), "films")
    one = refused()
    one["verdict"] |= {"against": "best"}
    one["measured"] |= {"best": {"value": -0.5, "spearman": None}}
    line = result(critic=one)["agents"]["critic"]
    assert (line["best"], line["champion"], line["metric"], line["rival_quality"]) == (0.5, 0.7, 0.7, pytest.approx(5))
    text = " ".join(daily_report(result(critic=one), "films").split())
    assert "v1.0.1 against the best version so far: The candidate" in text
    assert "the champion's 0.700, the best version's 0.500, baseline (mean) 1.000" in text


def test_nothing_serves_when_the_first_version_is_refused():
    none = critic(serves=False, serving=None, verdict={**VERDICT, "decision": "UNDERPOWERED"})
    assert row_of(daily_report(result(critic=none), "films"), "critic").split()[2] == "none"


def test_a_baseline_without_error_leaves_quality_and_change_unmeasured():
    perfect = critic()
    perfect["measured"]["baseline"]["value"] = 0.0
    line = agent_line(perfect)
    assert (line["quality"], line["quality_raw"], line["improvement"], line["interval"]) == (
        None,
        None,
        None,
        [None] * 2,
    )
    assert row_of(
        daily_report(result_of(3, STARTED, PHASES, {"critic": refused(**{"baseline": "mean"})}), "p"), "critic"
    )


def test_a_gain_that_cannot_be_told_does_not_spoil_the_sum():
    perfect = critic()
    perfect["measured"]["baseline"]["value"] = 0.0
    assert result(critic=perfect)["system_quality_delta"] is None
    assert result(critic=perfect, other=critic())["system_quality_delta"] == pytest.approx(20)
    assert row_of(daily_report(result(critic=perfect), "films"), "critic").split()[3:6] == ["not", "measured", "-"]


def test_a_quality_below_the_baseline_is_shown_as_0_with_the_value_beside():
    worse = critic()
    worse["measured"]["candidate"]["value"] = -1.5
    line = agent_line(worse)
    assert (line["quality"], line["quality_raw"]) == (0.0, -5.0)
    text = daily_report(result(critic=worse), "films")
    assert row_of(text, "critic").split()[3] == "0.00"
    assert "  quality -5.00 is below the baseline and shown as 0\n" in text


def test_the_metric_is_that_of_the_version_that_serves():
    kept = agent_line(refused())
    assert (kept["metric"], kept["spearman"], kept["model_updated"]) == (0.7, 0.6, False)
    assert (kept["improvement"], kept["interval"]) == (-10.0, [-30.0, 10.0])
    moved = agent_line(critic())
    assert (moved["metric"], moved["model_updated"], moved["champion"]) == (0.8, True, None)


def test_what_was_refused_adds_nothing_to_the_gain():
    shown = result(critic=critic(), other=refused())
    assert shown["system_quality_delta"] == pytest.approx(10)
    assert (shown["status"], shown["agents_trained"]) == ("success", 2)


@pytest.mark.parametrize(
    ("agents", "status"),
    [
        ({"a": CRITIC}, "success"),
        ({"a": CRITIC, "b": FAILED}, "partial"),
        ({"a": FAILED, "b": {"error": "no source"}}, "failed"),
    ],
)
def test_the_status_tells_whether_all_some_or_none_were_trained(agents, status):
    shown = result_of(3, STARTED, PHASES, agents)
    assert shown["status"] == status
    assert (shown["run"], shown["timestamp"], shown["next_scheduled"]) == (3, "2026-10-18T02:00:00+00:00", None)
    assert shown["total_time_seconds"] == pytest.approx(2.4) == 60 * shown["total_time_minutes"]
    training = {"status": "partial", "seconds": 2.0, "details": {"critic": 1}, "overrun": None}
    assert shown["phases"]["training"] == training


def test_a_failed_agent_keeps_its_reason_and_its_run():
    line = agent_line(FAILED)
    assert (line["status"], line["error"], line["run"], line["model_updated"]) == ("failed", "KeyError: 'x'", 8, False)
    assert {line[key] for key in ("quality", "metric", "improvement", "interval", "time_ms")} == {None}
    assert agent_line({"error": "no source"})["run"] is None


@pytest.mark.parametrize(
    ("parts", "stale", "status"),
    [
        ({"a": {}, "b": {}}, [], "success"),
        ({"a": {}, "b": {}}, ["a"], "partial"),
        ({"a": {"error": "x"}, "b": {}}, [], "partial"),
        ({"a": {"error": "x"}, "b": {"error": "y"}}, [], "failed"),
        ({"a": {"error": "x"}, "b": {"skipped": "y"}}, [], "failed"),
        ({"a": {}, "b": {"skipped": "y"}}, [], "success"),
        ({"a": {"skipped": "x"}, "b": {"skipped": "y"}}, [], "skipped"),
    ],
)
def test_a_phase_has_failed_when_all_that_it_did_has(parts, stale, status):
    phase = Phase.of(parts, stale)
    assert (phase.status, phase.details) == (status, parts)


def test_an_overrun_is_a_line_and_a_recommendation():
    phase = Phase(status="success").timed(12.5, 10.0)
    assert phase.overrun == "took 12.5 s of 10 s that it should"
    assert Phase(status="success").timed(9.5, 10.0).overrun is Phase(status="success").timed(99.0, None).overrun is None
    text = daily_report(result_of(3, STARTED, {**PHASES, "training": phase}, {"critic": critic()}), "films")
    assert "\nphase training took 12.5 s of 10 s that it should\n" in text
    assert "  phase training took 12.5 s of 10 s that it should: nightly.budgets.training" in text


def test_agents_that_were_not_trained_say_why_and_are_no_success():
    agents = {
        "critic": critic(),
        "prompts": {"skipped": "no data: category 'prompts' has no source"},
        "video": {"service": "not configured", "key": "VIDEO_KEY"},
    }
    shown = result(**agents)
    assert (shown["status"], shown["agents_trained"]) == ("partial", 1)
    assert result(critic=critic(), video=agents["video"])["status"] == "success", "a service is not trained"
    text = daily_report(shown, "films")
    assert row_of(text, "prompts").startswith(
        "│ prompts               skipped: no data: category 'prompts' has no source "
    )
    assert row_of(text, "video").startswith("│ video                 not configured: VIDEO_KEY is not set ")
    assert row_of(text, "trained").split()[2:6] == ["1", "of", "2", "agents"]
    assert result(video={"service": "configured", "key": "VIDEO_KEY"})["status"] == "failed", "nothing was trained"


def test_weights_count_in_means_and_targets_are_only_shown():
    aims = Aims(weights={"critic": 3.0}, qualities={"critic": 8.0}, overall_quality=8.5, time_ms=2000, improvement=0.5)
    shown = result_of(3, STARTED, PHASES, {"critic": critic(), "other": refused()}, aims=aims)
    assert shown["overall_quality"] == pytest.approx((3 * 2.0 + 3.0) / 4)
    assert shown["system_quality_delta"] == pytest.approx(3 * 20 / 4)
    text = daily_report(shown, "films")
    assert row_of(text, "critic").split()[3] == "2.00/8"
    assert row_of(text, "overall quality").split()[3:6] == ["2.25", "(target", "8.5)"]
    assert "(target +0.5 %)" in row_of(text, "quality gained") and "(target 2000 ms)" in row_of(text, "time of a")


def test_an_agent_without_a_measure_is_counted_and_called_not_measured():
    nothing = dict.fromkeys(("decision", "gain", "against"))
    blind = critic(measured={}, metric=None, metric_title=None, best=None, baseline=None, held_out=0, kept=None)
    blind["verdict"] = {**nothing, "reason": "not measured: the agent has no evaluate(items)"}
    line = agent_line(blind)
    assert (line["status"], line["quality"], line["metric"], line["improvement"]) == ("trained", None, None, None)
    shown = result(blind=blind)
    assert (shown["status"], shown["overall_quality"], shown["system_quality_delta"]) == ("success", None, None)
    text = daily_report(shown, "films")
    assert "not measured" in row_of(text, "blind") and "not compared" in row_of(text, "blind")
    assert "state not kept: it has no save(folder) and load(folder)" in text


def test_a_metric_that_is_no_error_is_shown_as_it_is():
    better = critic(metric="macro_f1", metric_title="macro-F1", best=1.0)
    better["measured"] = {"candidate": {"value": 0.7}, "baseline": {"value": 0.4}}
    better["verdict"] |= {"gain": [0.3, 0.15, 0.45]}
    line = agent_line(better)
    assert (line["metric"], line["baseline"], line["spearman"]) == (0.7, 0.4, None)
    assert line["quality"] == pytest.approx(5.0) and line["improvement"] == pytest.approx(50.0)
    assert line["rival_quality"] == 0.0
    own = critic(metric="score", metric_title="own score", best=None, measured={"candidate": {"value": 30.0}})
    own["verdict"] = {**dict.fromkeys(("decision", "gain", "against")), "reason": "first"}
    assert (agent_line(own)["metric"], agent_line(own)["quality"]) == (30.0, None)


def test_the_report_tells_of_few_records_and_of_sources_that_failed():
    def source(name, status, *, region=None, age_s=0.0, error=None):
        return {"source": name, "region": region, "status": status, "age_s": age_s, "error": error}

    details = {
        "films": {
            "statistics": {"filtered": 57, "minimum": 20, "meets_minimum": True, "passing": None},
            "sources": [
                source("a", "fresh"),
                source("b", "cache", region="DE", age_s=108_000.0, error="500 Internal Server Error"),
                source("c", "missing", error="no connection"),
            ],
        },
        "songs": {"statistics": {"filtered": 7, "minimum": 20, "meets_minimum": False}, "sources": []},
        "fine": {
            "statistics": {"filtered": 500, "minimum": 20, "meets_minimum": True},
            "sources": [source("d", "fresh")],
        },
    }
    phases = {**PHASES, "harvesting": Phase(status="partial", seconds=0.4, details=details)}
    shown = result_of(3, STARTED, phases, {"critic": critic()})
    assert shown["status"] == "partial", "old records are no success"
    text = daily_report(shown, "films")
    assert "records of films:\n  57 records are few (fewer than 100)\n" in text
    assert "  b (DE): cache, 30.0 h old: 500 Internal Server Error\n  c: missing: no connection\n" in text
    assert "records of songs:\n  7 records are fewer than the minimum of 20\n" in text
    assert "records of fine" not in text
    assert max(map(len, text.splitlines())) <= 78
