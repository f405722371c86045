"""The daily report says what was measured, in 78 columns, and calls what was not measured by its name."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from overnight.reports.nightly import WIDTH, Phase, agent_line, daily_report, result_of

STARTED = datetime(2026, 10, 18, 2, 0, tzinfo=UTC)
VERDICT = {
    "decision": "ACCEPT",
    "difference": 0.2,
    "lower": 0.1,
    "upper": 0.3,
    "reason": "The candidate is better; mean difference +0.2 over 200 items, 90 % interval +0.1 to +0.3.",
    "against": "baseline",
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
    "metrics": {
        "candidate": {"mean_absolute_error": 0.8, "spearman": 0.5},
        "baseline": {"mean_absolute_error": 1.0, "spearman": None},
    },
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
    champion = {"mean_absolute_error": 0.7, "spearman": 0.6}
    verdict = {**VERDICT, "decision": "REJECT", "against": "champion", "difference": -0.1, "lower": -0.3, "upper": 0.1}
    metrics = {**CRITIC["metrics"], "champion": champion}
    return critic(serves=False, version="v1.0.1", verdict=verdict, metrics=metrics, **changes)


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
│ agent        serves        quality    error    change  decision       time │
├────────────────────────────────────────────────────────────────────────────┤
│ critic       v1.0.0           2.00    0.800   +20.0 %  ACCEPT        1.2 s │
│ broken       failed: KeyError: 'x'                                         │
├────────────────────────────────────────────────────────────────────────────┤
│ harvesting   success         0.4 s                                         │
│ training     partial         2.0 s                                         │
│ in all                       2.4 s    quality gained: +20.00 %             │
└────────────────────────────────────────────────────────────────────────────┘

quality: 0 = the naive baseline, 10 = no error. error: mean absolute error of
the version that serves, on held-out items. change: the trained version
against what it was compared with, in % of the baseline's error.

critic: trained on 800, measured on 200 held-out items
  baseline (mean): error 1.000
  v1.0.0 against the baseline: The candidate is better; mean difference +0.2
    over 200 items, 90 % interval +0.1 to +0.3.

broken: failed
  KeyError: 'x'
"""
    )


def test_no_line_is_wider_than_78_columns_whatever_the_names_and_values():
    long = "a-very-long-name-of-an-agent" * 5
    wide = refused(time_ms=9e9, serving="v1000.1000.1000", baseline="single best column: " + "x" * 200, note="n" * 300)
    wide["metrics"] = {
        "candidate": {"mean_absolute_error": 1.7e99, "spearman": None},
        "champion": {"mean_absolute_error": 123456789.0, "spearman": None},
        "baseline": {"mean_absolute_error": 1.0, "spearman": None},
    }
    wide["verdict"] |= {"difference": -1.7e99, "lower": -1e100, "upper": 1e100, "reason": "word " * 100}
    phases = {"p" * 90: Phase(status="s" * 90, seconds=1e9)}
    text = daily_report(
        result_of(10**12, STARTED, phases, {long: wide, f"{long}2": {"error": "e" * 500}, "plain": critic()}),
        "a project " * 30,
    )
    assert {len(line) for line in text.splitlines() if line.startswith(("┌", "├", "└", "│"))} == {WIDTH}
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert row_of(text, "a-very-long…").split()[2:6] == ["v1000.1…", "0.00", "1.23e+08", "-2e+101"]
    assert long in "".join(line.strip() for line in text.splitlines())


def test_what_was_not_measured_is_called_so():
    champion_of_another_target = critic(serves=False, serving="v1.0.0", note="champion v1.0.0 predicts another target")
    champion_of_another_target["verdict"] = {**VERDICT, "decision": "REJECT"}
    shown = result(critic=champion_of_another_target)
    line = shown["agents"]["critic"]
    assert (line["metric"], line["quality"], line["quality_raw"], line["spearman"]) == (None, None, None, None)
    text = daily_report(shown, "films")
    assert row_of(text, "critic").split()[1:6] == ["critic", "v1.0.0", "not", "measured", "-"]
    assert "not compared with the champion: champion v1.0.0 predicts another target" in text
    assert "quality gained: not measured" in daily_report(result(broken=FAILED), "films")


def test_nothing_serves_when_the_first_version_is_refused():
    none = critic(serves=False, serving=None, verdict={**VERDICT, "decision": "UNDERPOWERED"})
    assert row_of(daily_report(result(critic=none), "films"), "critic").split()[2] == "none"


def test_a_baseline_without_error_leaves_quality_and_change_unmeasured():
    perfect = critic()
    perfect["metrics"]["baseline"]["mean_absolute_error"] = 0.0
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
    perfect["metrics"]["baseline"]["mean_absolute_error"] = 0.0
    assert result(critic=perfect)["system_quality_delta"] is None
    assert result(critic=perfect, other=critic())["system_quality_delta"] == pytest.approx(20)
    assert row_of(daily_report(result(critic=perfect), "films"), "critic").split()[5:7] == ["0.800", "-"]


def test_a_quality_below_the_baseline_is_shown_as_0_with_the_value_beside():
    worse = critic()
    worse["metrics"]["candidate"]["mean_absolute_error"] = 1.5
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
    assert shown["phases"]["training"] == {"status": "partial", "seconds": 2.0, "details": {"critic": 1}}


def test_a_failed_agent_keeps_its_reason_and_its_run():
    assert agent_line(FAILED) == {"status": "failed", "error": "KeyError: 'x'", "run": 8, "model_updated": False}
    assert agent_line({"error": "no source"})["run"] is None


@pytest.mark.parametrize(("failed", "status"), [([], "success"), (["a"], "partial"), (["a", "b"], "failed")])
def test_a_phase_has_failed_when_all_its_parts_have(failed, status):
    phase = Phase.between(STARTED, STARTED + timedelta(seconds=1.5), failed, {"a": {}, "b": {}})
    assert (phase.status, phase.seconds, phase.details) == (status, 1.5, {"a": {}, "b": {}})


def test_the_report_tells_of_few_records_and_of_sources_that_failed():
    def source(name, status, *, region=None, age_s=0.0, error=None):
        return {"source": name, "region": region, "status": status, "age_s": age_s, "error": error}

    details = {
        "films": {
            "statistics": {"filtered": 57, "minimum": 20, "meets_minimum": True},
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
