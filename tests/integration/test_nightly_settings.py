"""What `[nightly]` says counts: limits of time and memory, own phases and figures, services, what is left behind."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from nightly_fleet import PLANE, agent, make_fleet, told, train, write_agents, write_config
from overnight.app.project import Project
from overnight.base.errors import UserMistake

OWN = """
def harvest(flow, night, parts):
    from overnight.flows.nightly import records
    found = {"numbers": flow.step("harvest numbers", records.harvest, night, "numbers", False)}
    flow.step("note", print, "harvested by hand")
    return found

def greet(flow, night, parts):
    return {"trained": sorted(parts.agents), "said": flow.step("say", str.upper, "hello")}

def broken(flow, night, parts):
    return {}["nothing"]

def wrong(flow, night, parts):
    return 7

def ratio(result):
    return result["agents_trained"] / 2

def bad(result):
    raise ValueError("no figure")
"""


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr("overnight.engine.worker.STOP_GRACE_S", 0.4)


def fleet(folder, agents=None, more=""):
    make_fleet(folder)
    (folder / "own.py").write_text(OWN)
    write_config(folder, agents or {"first": agent()}, more=more)
    return folder


def test_a_project_can_replace_phases_and_add_its_own(tmp_path):
    more = """
[nightly.phases]
harvesting = "own:harvest"
greeting = "own:greet"
[nightly.metrics]
ratio = "own:ratio"
bad = "own:bad"
"""
    folder = fleet(tmp_path / "fleet", more=more)
    result = train(folder)
    assert result["status"] == "success"
    assert list(result["phases"]) == [
        "harvesting",
        "validation",
        "training",
        "production",
        "greeting",
        "monitoring",
        "cleanup",
    ]
    assert result["phases"]["greeting"]["details"] == {"trained": ["first"], "said": "HELLO"}
    assert result["figures"] == {
        "ratio": {"value": 0.5, "error": None},
        "bad": {"value": None, "error": "ValueError: no figure"},
    }
    text = Path(result["report"]).read_text()
    assert "│ ratio                 0.5 " in text and "not measured: ValueError: no figure" in text


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("own:broken", "KeyError: 'nothing'"),
        ("own:wrong", "nightly.phases.extra: 'own:wrong' must return a dict, not int"),
        ("own:missing", "nightly.phases.extra: 'own:missing' cannot be loaded"),
        ("nowhere:x", "nightly.phases.extra: 'nowhere:x' cannot be loaded"),
    ],
)
def test_what_is_wrong_with_a_phase_of_the_projects_own_is_a_line_and_stops_nothing(tmp_path, spec, says):
    result = train(fleet(tmp_path / "fleet", more=f'[nightly.phases]\nextra = "{spec}"'))
    assert result["agents_trained"] == 1
    assert result["phases"]["extra"]["status"] == "failed"
    assert says in result["phases"]["extra"]["details"]["error"]
    assert "phase extra failed" in Path(result["report"]).read_text()


def test_what_takes_too_long_in_all_is_stopped_and_the_rest_is_not_begun(tmp_path):
    agents = {"first": agent(), "slow": agent("Hanging"), "late": agent(after=["slow"])}
    folder = fleet(tmp_path / "fleet", agents, more="[nightly]\ntimeout_s = 2.0")
    began = time.monotonic()
    result = train(folder)
    assert time.monotonic() - began < 15
    assert result["agents"]["first"]["status"] == "trained" and result["status"] == "partial"
    over = "the nightly training took longer than nightly.timeout_s = 2"
    assert over in result["agents"]["slow"]["error"] and over in result["agents"]["late"]["error"]


def test_a_phase_over_its_budget_is_a_line(tmp_path):
    result = train(fleet(tmp_path / "fleet", more="[nightly.budgets]\ntraining = 0.01"))
    assert result["phases"]["training"]["overrun"].endswith("s of 0.01 s that it should")
    assert "phase training took" in Path(result["report"]).read_text()


def test_one_training_at_a_time_where_that_is_wished(tmp_path):
    folder = fleet(tmp_path / "fleet", {name: agent() for name in "abc"}, more="[nightly]\nparallel = false")
    (folder / "slow").write_text("0.2")
    train(folder)
    assert [line.split()[0] for line in told(folder)] == ["begin", "end"] * 3


def test_only_the_named_agents_are_trained(tmp_path):
    folder = fleet(tmp_path / "fleet", {"first": agent(), "second": agent("Child", after=["first"])})
    with Project.open(folder) as project:
        assert project.train(agents=["first"]).agents.keys() == {"first"}
        alone = project.train(agents=["second"])
        assert alone.status == "success" and alone.agents["second"].status == "trained"
        with pytest.raises(UserMistake, match="there is no agent 'secnd' to train; did you mean second"):
            project.train(agents=["secnd"])


def test_force_asks_every_source_anew(tmp_path):
    folder = fleet(tmp_path / "fleet")
    with Project.open(folder) as project:
        project.train()
        (folder / "numbers.db").unlink()
        stale = project.train().result["phases"]["harvesting"]
        assert stale["details"]["numbers"]["sources"][0]["status"] == "cache"
        forced = project.train(force=True)
    assert forced.status == "failed" and "no source gave anything" in forced.agents["first"].error


def test_services_are_declared_and_not_trained(tmp_path, monkeypatch):
    monkeypatch.delenv("FLEET_KEY", raising=False)
    folder = fleet(tmp_path / "fleet", {"first": agent(), "video": {"key": "FLEET_KEY"}})
    result = train(folder)
    assert result["status"] == "success" and result["agents"]["video"]["status"] == "not configured"
    monkeypatch.setenv("FLEET_KEY", "k" * 20)
    again = train(folder)
    assert again["agents"]["video"]["status"] == "configured"
    assert "k" * 20 not in json.dumps(again)


def test_a_declared_category_without_a_source_is_skipped(tmp_path):
    agents = {"first": agent(), "idle": agent(data="prompts")}
    result = train(fleet(tmp_path / "fleet", agents, more="[categories.prompts]\nlimit = 5"))
    assert result["status"] == "partial"
    assert result["agents"]["idle"]["reason"] == "no data: category 'prompts' has no source"
    only = train(fleet(tmp_path / "idle", {"idle": agent(data="prompts")}, more="[categories.prompts]\nlimit = 5"))
    assert only["status"] == "failed", "no success over zero records"


def test_twenty_recorded_trainings_are_learnt_from(tmp_path):
    pytest.importorskip("sklearn")
    meta = {
        "class": "overnight.training.trainers.meta:MetaLearner",
        "data": "trainings",
        "target": "improvement",
        "inputs": ["agent", "records", "rival_quality", "against"],
    }
    names = [f"a{number}" for number in range(7)]
    agents = {name: agent(records=40 + 40 * place) for place, name in enumerate(names)}
    folder = fleet(tmp_path / "fleet", {**agents, "meta": {**meta, "after": names}})
    reasons = [train(folder)["agents"]["meta"] for _ in range(4)]
    assert [line.get("reason") for line in reasons[:3]] == [f"{7 * n} of 20 trainings recorded" for n in range(3)]
    assert reasons[3]["status"] == "trained" and reasons[3]["data_count"] + reasons[3]["held_out"] == 21


def test_old_reports_and_logs_go_into_the_archive(tmp_path):
    folder = fleet(tmp_path / "fleet")
    first = train(folder)
    logs = folder / ".overnight" / "logs"
    report = Path(first["report"])
    text = report.read_text()
    old = report.with_name("daily_report_2020-01-01.txt")
    report.rename(old)
    run_log = logs / "runs" / "1.log"
    run_log.parent.mkdir(exist_ok=True)
    run_log.write_text("words of an old run")
    for path in (old, run_log):
        os.utime(path, (0, 0))
    second = train(folder)
    assert set(second["phases"]["cleanup"]["details"]["archived"]) >= {old.name, "1.log"}
    assert not old.exists() and not run_log.exists()
    assert gzip.decompress((logs / "archive" / f"{old.name}.gz").read_bytes()).decode() == text
    assert (logs / "training_monitor.log").read_text().count(" run ") == 2
    assert len(json.loads((logs / "training_metrics.json").read_text())["nights"]) == 2


def test_what_monitoring_leaves_out_is_not_written(tmp_path):
    more = "[nightly.monitoring]\ngenerate_reports = false\ntrack_metrics = false\nsave_logs = false"
    folder = fleet(tmp_path / "fleet", more=more)
    assert train(folder)["report"] is None
    assert {path.name for path in (folder / ".overnight").glob("logs/*")} <= {"runs"}


def test_the_schedule_is_a_setting_and_may_be_off(tmp_path):
    folder = fleet(tmp_path / "fleet", more='[nightly]\nschedule = "30 4 * * *"')
    assert train(folder)["next_scheduled"].endswith("T04:30:00+00:00")
    write_config(folder, {"first": agent()}, more="[nightly]\nenabled = false")
    assert train(folder)["next_scheduled"] is None
    write_config(folder, {"first": agent()}, more='[nightly]\nschedule = "at night"')
    with pytest.raises(UserMistake, match=r"overnight.toml: nightly\.schedule: 'at night' has 2 fields"):
        Project.open(folder)


def test_the_log_has_the_stack_trace_of_what_failed(tmp_path):
    folder = fleet(tmp_path / "fleet", {"raising": agent("Raising"), "first": agent()})
    train(folder)
    log = (folder / ".overnight" / "logs" / "training_monitor.log").read_text()
    assert "agent raising failed: KeyError: 'no such key'" in log
    assert "| Traceback (most recent call last):" in log and 'return {}["no such key"]' in log


def test_the_quality_of_a_class_that_improves_goes_up_night_by_night(tmp_path):
    folder = fleet(tmp_path / "fleet")
    with Project.open(folder) as project:
        first = project.train()
        write_agents(folder, [*PLANE, "ab"])
        second = project.train()
        health = project.health()
    assert second.overall_quality > first.overall_quality and health["trend"] == "UP"
    assert second.system_quality_delta > 0 and health["improvement_percent"] == second.system_quality_delta
