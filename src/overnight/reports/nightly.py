"""The result of a nightly training and the daily report, from what the flow measured. Pure."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from overnight.data.remarks import remarks

Json = dict[str, Any]  # Any: whatever JSON holds

WIDTH = 78
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of the flow: success, partial (some parts failed), failed (all did) or skipped."""

    status: str
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def between(
        cls,
        started: datetime,
        ended: datetime,
        failed: Sequence[str],
        parts: Mapping[str, Any],
        stale: Sequence[str] = (),
    ) -> "Phase":
        """Return the phase that worked on `parts` between two instants; what is `stale` makes it partial at best."""
        status = "success" if not failed and not stale else "partial"
        if failed and len(failed) == len(parts):
            status = "failed"
        return cls(status=status, seconds=(ended - started).total_seconds(), details=parts)

    def to_json(self) -> Json:
        """Return the phase as the result file holds it."""
        return {"status": self.status, "seconds": self.seconds, "details": dict(self.details)}


def result_of(run_id: int, started: datetime, phases: Mapping[str, Phase], agents: Mapping[str, Json]) -> Json:
    """Return the result of a nightly training.

    `success` only if every agent was trained, on records of the last day; `partial` if some were, or on older ones;
    `failed` if none was. `system_quality_delta` is
    the mean of what the versions that were accepted gained, in % of the span from the naive baseline to a perfect
    score; a refused candidate adds 0; None where nothing was measured.
    """
    shown = {name: agent_line(agent) for name, agent in agents.items()}
    trained = [line for line in shown.values() if line["status"] == "trained"]
    gains = [line["improvement"] if line["model_updated"] else 0.0 for line in trained]
    known = [gain for gain in gains if gain is not None]
    seconds = sum(phase.seconds for phase in phases.values())
    return {
        "status": _status(len(trained), len(shown), phases),
        "run": run_id,
        "total_time_seconds": seconds,
        "total_time_minutes": seconds / 60,
        "phases": {name: phase.to_json() for name, phase in phases.items()},
        "agents_trained": len(trained),
        "agents": shown,
        "system_quality_delta": sum(known) / len(known) if known else None,
        "timestamp": started.isoformat(),
        "next_scheduled": None,
    }


def _status(trained: int, agents: int, phases: Mapping[str, Phase]) -> str:
    if not trained:
        return "failed"
    return "success" if trained == agents and phases["harvesting"].status == "success" else "partial"


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
        "note": agent["note"],
        "data_count": agent["records"],
        "held_out": agent["held_out"],
        "time_ms": agent["time_ms"],
        "reported_by_the_agent": agent["reported"],
    }


def percent(difference: float, worst: float) -> float | None:
    """Return a difference in errors as % of the baseline's error; None where the baseline makes none."""
    return 100 * difference / worst if worst else None


def daily_report(result: Json, project: str) -> str:
    """Return the report as text, at most 78 columns wide."""
    lines = [
        _rule("┌", "┐"),
        _row(f"Nightly training of {project}"),
        _row(f"{result['timestamp'][:16].replace('T', ' ')} UTC, run {result['run']}: {result['status']}"),
        _rule("├", "┤"),
        _columns("agent", "serves", "quality", "error", "change", "decision", "time"),
        _rule("├", "┤"),
        *(_agent_row(name, agent) for name, agent in result["agents"].items()),
        _rule("├", "┤"),
        *(_phase_row(name, phase["status"], phase["seconds"]) for name, phase in result["phases"].items()),
    ]
    delta = result["system_quality_delta"]
    gained = NOT_MEASURED if delta is None else f"{delta:+.2f} %"
    lines += [
        _phase_row("in all", "", result["total_time_seconds"], f"    quality gained: {gained}"),
        _rule("└", "┘"),
        "",
        *_notes(result),
    ]
    return "\n".join(lines) + "\n"


def _agent_row(name: str, agent: Json) -> str:
    if agent["status"] != "trained":
        return _row(f"{_fit(name, 12)} failed: {agent['error']}")
    return _columns(
        name,
        agent["serving"] or "none",
        NOT_MEASURED if agent["quality"] is None else f"{agent['quality']:.2f}",
        "-" if agent["metric"] is None else _number(agent["metric"]),
        "-" if agent["improvement"] is None else _change(agent["improvement"]),
        agent["decision"],
        _seconds(agent["time_ms"] / 1000),
    )


def _columns(*cells: str) -> str:
    name, serves, quality, error, change, decision, time = cells
    return _row(f"{_fit(name, 12)} {_fit(serves, 8)}{quality:>13}{error:>9}{change:>10}  {_fit(decision, 12)}{time:>7}")


def _phase_row(name: str, status: str, seconds: float, more: str = "") -> str:
    return _row(f"{_fit(name, 12)} {_fit(status, 8)}{seconds:>11.1f} s{more}")


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 1000 else f"{value:.0f} s"


def _change(percent: float) -> str:
    return f"{percent:+.1f} %" if abs(percent) < 1000 else f"{percent:+.0e} %"


def _notes(result: Json) -> list[str]:
    """Return what the columns mean, and for each agent why the gate decided as it did."""
    notes = textwrap.wrap(
        "quality: 0 = the naive baseline, 10 = no error. error: mean absolute error of the version that serves, on "
        "held-out items. change: the trained version against what it was compared with, in % of the baseline's error.",
        WIDTH,
    )
    harvested = result["phases"].get("harvesting", {"details": {}})["details"]
    told = [line for name, category in harvested.items() for line in _data_notes(name, category)]
    notes += ["", *told] if told else []
    for name, agent in result["agents"].items():
        notes += ["", *(_trained_notes(name, agent) if agent["status"] == "trained" else _failed_notes(name, agent))]
    return notes


def _data_notes(name: str, category: Json) -> list[str]:
    """Return what a person should know about the records of a category."""
    facts = [] if category.get("statistics") is None else remarks(category["statistics"])
    for source in category.get("sources", ()):
        if source["error"]:
            where = source["source"] + (f" ({source['region']})" if source["region"] else "")
            age = f", {source['age_s'] / 3600:.1f} h old" if source["status"] == "cache" else ""
            facts.append(f"{where}: {source['status']}{age}: {source['error']}")
    head = textwrap.wrap(f"records of {name}:", WIDTH) if facts else []
    return [*head, *(line for fact in facts for line in _indented(fact))]


def _trained_notes(name: str, agent: Json) -> list[str]:
    baseline, raw = agent["baseline"], agent["quality_raw"]
    facts = [
        f"baseline ({baseline['name']}): error {_number(baseline['mean_absolute_error'])}",
        f"{agent['version']} against the {agent['compared_with']}: {agent['reason']}",
    ]
    if agent["note"]:
        facts.append(f"not compared with the champion: {agent['note']}")
    if raw is not None and raw < 0:
        facts.append(f"quality {raw:.2f} is below the baseline and shown as 0")
    head = f"{name}: trained on {agent['data_count']}, measured on {agent['held_out']} held-out items"
    return [*textwrap.wrap(head, WIDTH), *(line for fact in facts for line in _indented(fact))]


def _failed_notes(name: str, agent: Json) -> list[str]:
    return [*textwrap.wrap(f"{name}: failed", WIDTH), *_indented(agent["error"])]


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _fit(text: str, width: int) -> str:
    return f"{text if len(text) <= width else text[: width - 1] + '…':<{width}}"


def _row(text: str) -> str:
    return f"│ {_fit(text, WIDTH - 4)} │"


def _rule(left: str, right: str) -> str:
    return f"{left}{'─' * (WIDTH - 2)}{right}"
