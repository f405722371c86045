"""What the status files of a campaign hold, in the shapes that other programs read. Pure.

Shares and qualities are from 0 to 1, percentages from 0 to 100, instants ISO 8601 in UTC. What was not measured is
null.
"""

from collections.abc import Mapping
from typing import Any

from overnight.base.instants import iso
from overnight.campaigns.gate import Verdict
from overnight.campaigns.logs.counting import Counts
from overnight.campaigns.phases import Phase

Json = dict[str, Any]  # Any: JSON
NOT_MEASURED = "not measured"
CHECKS = ("completion", "min_samples", "quality")


def pilot_status(
    counts: Counts, *, total: int, complete: bool, quality_threshold: float, updated_us: int | None, now_us: int
) -> Json:
    """Return what `pilot_monitor_status.json` holds; `updated_us` is when the log has told something last.

    `estimated_quality` is the mean of all scores in the log, of which `quality_scores` holds the first 10,000.
    """
    quality = counts.quality
    return {
        "progress": counts.done,
        "total": total,
        "quality_scores": list(counts.scores),
        "acceptance_rate": counts.acceptance_rate,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "is_complete": complete,
        "last_update": iso(updated_us),
        "estimated_quality": quality,
        "quality_threshold": quality_threshold,
        "quality_pass": None if quality is None else quality >= quality_threshold,
        "monitor_timestamp": iso(now_us),
    }


def monitor_status(counts: Counts, *, total: int, is_running: bool | None, updated_us: int | None) -> Json:
    """Return what `campaign_monitor_status.json` holds; `is_running` is None where no process is known."""
    return {
        "progress": counts.done,
        "total": total,
        "percentage": _percentage(counts.done, total),
        "is_running": is_running,
        "last_update": iso(updated_us),
    }


def validation(verdict: Verdict, pilot: Mapping[str, Any], *, now_us: int) -> Json:
    """Return what `campaign_validation.json` holds: what the gate said of a pilot, and its last status."""
    met = {check.name: check.met for check in verdict.checks}
    return {
        "approved": verdict.approved,
        "reason": verdict.reason,
        "recommendation": "start the campaign" if verdict.approved else "change the generator and run another pilot",
        "checks": {name: met.get(name) for name in CHECKS},
        "pilot_status": dict(pilot),
        "validation_timestamp": iso(now_us),
    }


def campaign_status(
    *, pid: int | None, log_path: str, target: int, launched_us: int | None, validation: Mapping[str, Any] | None
) -> Json:
    """Return what `campaign_status.json` holds; `launched_us` is None for a campaign that was not launched."""
    return {
        "launched": launched_us is not None,
        "pid": pid,
        "log_path": log_path,
        "target": target,
        "launch_time": iso(launched_us),
        "validation": None if validation is None else dict(validation),
    }


def orchestrator_state(
    phase: Phase,
    *,
    started_us: int,
    completed_us: int | None = None,
    pilot_result: Mapping[str, Any] | None = None,
    validation_result: Mapping[str, Any] | None = None,
    launch_result: Mapping[str, Any] | None = None,
    campaign_result: Mapping[str, Any] | None = None,
) -> Json:
    """Return what a campaign's `orchestrator_state.json` holds; the results are what the other files hold."""
    return {
        "started": iso(started_us),
        "phase": phase.value,
        "pilot_result": pilot_result,
        "validation_result": validation_result,
        "launch_result": launch_result,
        "campaign_result": campaign_result,
        "completed": iso(completed_us),
    }


def pilot_line(status: Mapping[str, Any], *, now_us: int) -> str:
    """Return the line of a log that tells a pilot's status."""
    figures = (
        f"Progress: {_progress(status)}",
        f"Quality: {_shown(status['estimated_quality'], '.3f')}",
        f"Acceptance: {_shown(status['acceptance_rate'], '.2%')}",
    )
    return f"{_at(now_us)} [PilotQualityMonitor] INFO: {' | '.join(figures)}"


def monitor_line(status: Mapping[str, Any], *, now_us: int) -> str:
    """Return the line of a log that tells the status of a full campaign."""
    running = {True: "running", False: "ended", None: NOT_MEASURED}[status["is_running"]]
    return f"{_at(now_us)} [CampaignMonitor] INFO: Progress: {_progress(status)} | Process: {running}"


def orchestrator_line(text: str, *, now_us: int) -> str:
    """Return the line of a log that tells what a campaign as a whole has come to."""
    return f"{_at(now_us)} [Orchestrator] INFO: {text}"


def _at(now_us: int) -> str:
    """Return an instant as logs have it: whole seconds, in UTC."""
    return (iso(now_us) or "")[:19].replace("T", " ")


def _progress(status: Mapping[str, Any]) -> str:
    percentage = _percentage(status["progress"], status["total"])
    if percentage is None:
        return NOT_MEASURED
    return f"{status['progress']}/{status['total']} ({percentage:.1f}%)"


def _percentage(done: int | None, total: int) -> float | None:
    return None if done is None else round(100 * done / total, 2)


def _shown(value: float | None, shape: str) -> str:
    return NOT_MEASURED if value is None else format(value, shape)
