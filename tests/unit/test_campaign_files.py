"""The status files of campaigns, which other programs read: their shapes, and null for what was not measured."""

import json

import pytest

from overnight.base.instants import US
from overnight.campaigns.gate import Pilot, Specification, judge
from overnight.campaigns.logs.counting import Counts, take
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.phases import Phase
from overnight.campaigns.planted import KINDS
from overnight.reports.campaign_files import (
    campaign_status,
    monitor_line,
    monitor_status,
    orchestrator_state,
    pilot_line,
    pilot_status,
    validation,
)

AT = 1_766_299_815 * US  # 2025-12-21 06:50:15 UTC
ISO = "2025-12-21T06:50:15.000+00:00"


def pilot(*lines, complete=False, threshold=0.75):
    counts = Counts()
    for line in lines:
        counts = take(counts, line, Patterns())
    return pilot_status(
        counts, total=190, complete=complete, quality_threshold=threshold, updated_us=AT - US, now_us=AT
    )


def test_a_pilots_status_has_the_shape_that_others_read():
    found = pilot("Progress: 89/190", "Quality: 0.8", "Quality: 0.9", "accepted: 87", "rejected: 13")
    assert json.loads(json.dumps(found)) == {
        "progress": 89, "total": 190, "quality_scores": [0.8, 0.9], "acceptance_rate": 0.87, "accepted": 87,
        "rejected": 13, "is_complete": False, "last_update": "2025-12-21T06:50:14.000+00:00",
        "estimated_quality": pytest.approx(0.85), "quality_threshold": 0.75, "quality_pass": True,
        "monitor_timestamp": ISO,
    }  # fmt: skip
    assert pilot("Quality: 0.7")["quality_pass"] is False
    assert pilot("Quality: 0.75")["quality_pass"] is True
    assert pilot(complete=True)["is_complete"] is True


def test_what_was_not_measured_is_null():
    counts = Counts()
    found = pilot_status(counts, total=190, complete=False, quality_threshold=0.75, updated_us=None, now_us=AT)
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {
        "progress", "acceptance_rate", "accepted", "rejected", "last_update", "estimated_quality", "quality_pass",
    }  # fmt: skip
    assert monitor_status(counts, total=9, is_running=None, updated_us=None) == {
        "progress": None, "total": 9, "percentage": None, "is_running": None, "last_update": None,
    }  # fmt: skip


def test_a_campaigns_status_has_the_shape_that_others_read():
    counts = take(Counts(), "Progress: 1200/34500", Patterns())
    assert monitor_status(counts, total=34_500, is_running=True, updated_us=AT) == {
        "progress": 1200, "total": 34500, "percentage": 3.48, "is_running": True, "last_update": ISO,
    }  # fmt: skip


def test_a_validation_says_what_the_gate_said():
    approving = judge(
        Specification(),
        Pilot(qualities={"a": [0.8, 0.9] * 95}, planted={"a": dict.fromkeys(KINDS, (0, 12))}, complete=True),
    )
    status = pilot("Progress: 190/190")
    found = validation(approving, status, now_us=AT)
    assert found == {
        "approved": True, "reason": approving.reason, "recommendation": "start the campaign",
        "checks": {"completion": True, "min_samples": True, "quality": True},
        "pilot_status": status, "validation_timestamp": ISO,
    }  # fmt: skip
    refusing = judge(Specification(), Pilot(qualities={"a": [0.8, 0.9] * 60}, planted={}, complete=False))
    refused = validation(refusing, status, now_us=AT)
    assert refused["approved"] is False
    assert refused["checks"] == {"completion": False, "min_samples": False, "quality": True}
    assert "120 samples were judged" in refused["reason"]
    assert "another pilot" in refused["recommendation"]


def test_a_launch_and_the_way_of_a_campaign_have_the_shapes_that_others_read():
    launch = campaign_status(pid=7, log_path="full_campaign.log", target=34_500, launched_us=AT, validation={"a": 1})
    assert launch == {
        "launched": True, "pid": 7, "log_path": "full_campaign.log", "target": 34500, "launch_time": ISO,
        "validation": {"a": 1},
    }  # fmt: skip
    never = campaign_status(pid=None, log_path="x", target=1, launched_us=None, validation=None)
    assert (never["launched"], never["launch_time"], never["validation"]) == (False, None, None)
    begun = orchestrator_state(Phase.MONITORING_PILOT, started_us=AT)
    assert list(begun) == [
        "started", "phase", "pilot_result", "validation_result", "launch_result", "campaign_result", "completed",
    ]  # fmt: skip
    assert begun == {**dict.fromkeys(begun), "started": ISO, "phase": "monitoring_pilot"}
    over = orchestrator_state(Phase.CAMPAIGN_COMPLETE, started_us=AT, completed_us=AT + US, launch_result=launch)
    assert json.loads(json.dumps(over))["launch_result"] == launch
    assert (over["phase"], over["completed"]) == ("campaign_complete", "2025-12-21T06:50:16.000+00:00")


def test_the_phases_have_the_names_that_others_know():
    assert {phase.value for phase in Phase} == {
        "monitoring_pilot", "validating_pilot", "validation_complete", "campaign_launched", "campaign_complete",
        "launch_failed", "validation_failed", "stopped",
    }  # fmt: skip


def test_lines_of_the_log_have_the_shape_that_others_read():
    status = pilot("Progress: 89/190", "Quality: 0.8214", "Acceptance: 87%")
    line = pilot_line(status, now_us=AT)
    assert line == (
        "2025-12-21 06:50:15 [PilotQualityMonitor] INFO: Progress: 89/190 (46.8%) | Quality: 0.821 | Acceptance: 87.00%"
    )
    assert pilot(line)["progress"] == 89, "one monitor understands another"
    unknown = pilot_line(pilot(), now_us=AT)
    assert unknown.endswith("Progress: not measured | Quality: not measured | Acceptance: not measured")
    counts = take(Counts(), "Progress: 1200/34500", Patterns())
    for running, word in ((True, "running"), (False, "ended"), (None, "not measured")):
        full = monitor_status(counts, total=34_500, is_running=running, updated_us=AT)
        assert monitor_line(full, now_us=AT) == (
            f"2025-12-21 06:50:15 [CampaignMonitor] INFO: Progress: 1200/34500 (3.5%) | Process: {word}"
        )
