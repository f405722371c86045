"""The result of a nightly training and the daily report, from what the flow measured. Pure."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]  # Any: whatever JSON holds

WIDTH = 78
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of the flow: success, partial (some parts failed) or failed (all did)."""

    status: str
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def between(cls, started: datetime, ended: datetime, failed: Sequence[str], parts: Mapping[str, Json]) -> "Phase":
        """Return the phase that worked on `parts` between two instants."""
        status = "success" if not failed else "failed" if len(failed) == len(parts) else "partial"
        return cls(status=status, seconds=(ended - started).total_seconds(), details=parts)

    def to_json(self) -> Json:
        """Return the phase as the result file holds it."""
        return {"status": self.status, "seconds": self.seconds, "details": dict(self.details)}


def result_of(run_id: int, started: datetime, phases: Mapping[str, Phase], agents: Mapping[str, Json]) -> Json:
    """Return the result of a nightly training.

    `success` only if every agent was trained, `partial` if some were, `failed` if none was. `system_quality_delta` is
    the mean of what the versions that were accepted gained, in % of the span from the naive baseline to a perfect
    score; a refused candidate adds 0; None where nothing was measured.
    """
    shown = {name: agent_line(agent) for name, agent in agents.items()}
    trained = [line for line in shown.values() if line["status"] == "trained"]
    gains = [line["improvement"] if line["model_updated"] else 0.0 for line in trained]
    seconds = sum(phase.seconds for phase in phases.values())
    return {
        "status": "success" if len(trained) == len(shown) else "partial" if trained else "failed",
        "run": run_id,
        "total_time_seconds": seconds,
        "total_time_minutes": seconds / 60,
        "phases": {name: phase.to_json() for name, phase in phases.items()},
        "agents_trained": len(trained),
        "agents": shown,
        "system_quality_delta": sum(gains) / len(gains) if gains else None,
        "timestamp": started.isoformat(),
        "next_scheduled": None,
    }


def agent_line(agent: Json) -> Json:
    """Return what the result says about one agent.

    `metric` is the mean absolute error on the held-out items, of the version that serves after the gate. `quality` is
    that error between the naive baseline's (0) and none at all (10); below the baseline it is 0, with the value in
    `quality_raw`. `improvement` and `interval` are the candidate against what it was compared with, in % of the
    baseline's error.
    """
    if agent.get("error"):
        return {"status": "failed", "error": agent["error"], "run": agent.get("run"), "model_updated": False}
    metrics, verdict = agent["metrics"], agent["verdict"]
    serving = "candidate" if agent["serves"] else "champion" if "champion" in metrics else None
    worst = metrics["baseline"]["mean_absolute_error"]
    error = metrics[serving]["mean_absolute_error"] if serving else None
    raw = None if error is None or not worst else 10 * (1 - error / worst)
    return {
        "status": "trained",
        "error": None,
        "run": agent["run"],
        "version": agent["version"],
        "serving": agent["serving"],
        "model_updated": agent["serves"],
        "quality": None if raw is None else min(10.0, max(0.0, raw)),
        "quality_raw": raw,
        "metric": error,
        "metric_name": "mean absolute error",
        "spearman": metrics[serving]["spearman"] if serving else None,
        "candidate": metrics["candidate"],
        "champion": metrics.get("champion"),
        "baseline": {"name": agent["baseline"], **metrics["baseline"]},
        "improvement": percent(verdict["difference"], worst),
        "interval": [percent(verdict["lower"], worst), percent(verdict["upper"], worst)],
        "compared_with": verdict["against"],
        "decision": verdict["decision"],
        "reason": verdict["reason"],
        "data_count": agent["records"],
        "held_out": agent["held_out"],
        "time_ms": agent["time_ms"],
        "reported_by_the_agent": agent["reported"],
    }


def percent(difference: float, worst: float) -> float | None:
    """Return a difference in errors as % of the baseline's error; None where the baseline makes none."""
    return 100 * difference / worst if worst else None


def daily_report(result: Json, project: str) -> str:
    """Return the report as text, 78 columns wide."""
    lines = [
        _rule("┌", "┐"),
        _row(f"Nightly training of {project}"),
        _row(f"{result['timestamp'][:16].replace('T', ' ')} UTC, run {result['run']}: {result['status']}"),
        _rule("├", "┤"),
        _row(f"{'agent':<16}{'serves':<9}{'quality':>8}{'error':>9}{'change':>9}  {'decision':<12}{'time':>8}"),
        _rule("├", "┤"),
    ]
    for name, agent in result["agents"].items():
        lines += [_row(part) for part in _agent_rows(name, agent)]
    lines.append(_rule("├", "┤"))
    for name, phase in result["phases"].items():
        lines.append(_row(f"{name:<16}{phase['status']:<9}{phase['seconds']:>7.1f} s"))
    total = result["total_time_seconds"]
    delta = result["system_quality_delta"]
    gained = NOT_MEASURED if delta is None else f"{delta:+.2f} %"
    lines += [_row(f"{'in all':<25}{total:>7.1f} s    quality gained: {gained}"), _rule("└", "┘")]
    lines += ["", *_notes(result)]
    return "\n".join(lines) + "\n"


def _agent_rows(name: str, agent: Json) -> list[str]:
    if agent["status"] != "trained":
        return [f"{name:<16}failed: {agent['error']}"]
    quality = NOT_MEASURED if agent["quality"] is None else f"{agent['quality']:.2f}"
    error = "-" if agent["metric"] is None else f"{agent['metric']:.3f}"
    change = "-" if agent["improvement"] is None else f"{agent['improvement']:+.1f} %"
    time = f"{agent['time_ms'] / 1000:.1f} s"
    serving = agent["serving"] or "none"
    return [f"{name:<16}{serving:<9}{quality:>8}{error:>9}{change:>9}  {agent['decision']:<12}{time:>8}"]


def _notes(result: Json) -> list[str]:
    """Return what the columns mean, and for each agent why the gate decided as it did."""
    notes = textwrap.wrap(
        "quality: 0 = the naive baseline, 10 = no error. error: mean absolute error of the version that serves, on "
        "held-out items. change: the trained version against what it was compared with, in % of the baseline's error.",
        WIDTH,
    )
    for name, agent in result["agents"].items():
        if agent["status"] == "trained":
            baseline = agent["baseline"]
            facts = [
                f"baseline ({baseline['name']}): error {baseline['mean_absolute_error']:.3f}",
                f"{agent['version']} against the {agent['compared_with']}: {agent['reason']}",
            ]
            head = f"{name}: trained on {agent['data_count']}, measured on {agent['held_out']} held-out items"
            notes += ["", head, *(line for fact in facts for line in _indented(fact))]
        else:
            notes += ["", f"{name}: failed", *_indented(agent["error"])]
    return notes


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _row(text: str) -> str:
    inside = WIDTH - 4
    cut = text if len(text) <= inside else text[: inside - 1] + "…"
    return f"│ {cut:<{inside}} │"


def _rule(left: str, right: str) -> str:
    return f"{left}{'─' * (WIDTH - 2)}{right}"
