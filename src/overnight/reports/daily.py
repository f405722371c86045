"""The daily report as text, 78 columns wide. Pure."""

import textwrap
from collections.abc import Sequence
from typing import Any

from overnight.base.learning import said_of
from overnight.data.remarks import remarks
from overnight.reports.boxes import WIDTH, fit, indented, row, rule
from overnight.reports.history import fleet_qualities, newest, overall, recommendations, trend
from overnight.reports.nightly import BEST, CHAMPION, NOT_MEASURED, RIVALS

Json = dict[str, Any]  # Any: whatever JSON holds

LEGEND = (
    "quality: 0 = the naive baseline, 10 = the best value of the metric, of the version that serves, on held-out "
    "items. change: the trained version against what it was compared with, in % of the way from the baseline to the "
    "best value."
)


def daily_report(result: Json, before: Sequence[Json], project: str) -> str:
    """Return the report of a night; `before` are the results of the nights before it, oldest first."""
    lines = [
        rule("┌", "┐"),
        row(f"Nightly training of {project}"),
        row(f"{result['timestamp'][:16].replace('T', ' ')} UTC, run {result['run']}: {result['status']}"),
        rule("├", "┤"),
        _columns("agent", "serves", "quality", "change", "decision", "time"),
        rule("├", "┤"),
        *(_agent_row(name, agent) for name, agent in result["agents"].items()),
        rule("├", "┤"),
        *(_phase_row(name, phase["status"], phase["seconds"]) for name, phase in result["phases"].items()),
        _phase_row("in all", "", result["total_time_seconds"]),
        rule("├", "┤"),
        *(row(f"{label:<22}{text}") for label, text in summary(result, before)),
        rule("└", "┘"),
        "",
        *textwrap.wrap(LEGEND, WIDTH),
        *_recommended(result),
        *_notes(result),
    ]
    return "\n".join(lines) + "\n"


def summary(result: Json, before: Sequence[Json]) -> list[tuple[str, str]]:
    """Return the figures of the night as a whole, each with its name."""
    aims = result["aims"]
    learners = [one for one in result["agents"].values() if one["status"] not in ("configured", "not configured")]
    trained = [one for one in learners if one["status"] == "trained"]
    delta = result["system_quality_delta"]
    times = [one["time_ms"] for one in trained if one["time_ms"] is not None]
    found = [
        ("overall quality", _overall(result, before)),
        ("trend", _trend([*before, result])),
        ("quality gained", NOT_MEASURED if delta is None else f"{delta:+.2f} %{_aim(aims['improvement'], '{:+g} %')}"),
        ("trained", f"{len(trained)} of {len(learners)} agents ({100 * len(trained) / max(1, len(learners)):.0f} %)"),
        (
            "time of a training",
            f"{sum(times) / len(times) / 1000:.2f} s on the average{_aim(aims['time_ms'], '{:g} ms')}"
            if times
            else NOT_MEASURED,
        ),
    ]
    for name, figure in result.get("figures", {}).items():
        found.append(
            (name, f"{figure['value']:g}" if figure["error"] is None else f"{NOT_MEASURED}: {figure['error']}")
        )
    return found


def _overall(result: Json, before: Sequence[Json]) -> str:
    """Return the quality of what was trained, and of the whole fleet where that is more."""
    mine, fleet = result["overall_quality"], newest([*before, result])
    shown = NOT_MEASURED if mine is None else f"{mine:.2f}"
    if fleet.keys() - result["agents"].keys():
        return f"{shown} of what was trained, {overall(fleet):.2f} of all {len(fleet)} agents"
    return shown + ("" if mine is None else _aim(result["aims"]["overall_quality"], "{:g}"))


def _trend(results: Sequence[Json]) -> str:
    qualities = fleet_qualities(results)
    said = trend(qualities)
    return f"{NOT_MEASURED} (the first training)" if said is None else f"{said} over {len(qualities)} trainings"


def _aim(value: float | None, shown: str) -> str:
    return "" if value is None else f" (target {shown.format(value)})"


def _agent_row(name: str, agent: Json) -> str:
    if agent["status"] == "failed":
        return row(f"{fit(name, 21)} failed: {agent['error']}")
    if agent["status"] != "trained":
        return row(f"{fit(name, 21)} {about(agent)}")
    target = agent.get("quality_target")
    quality = NOT_MEASURED if agent["quality"] is None else f"{agent['quality']:.2f}"
    return _columns(
        name,
        agent["serving"] or "none",
        quality if target is None or agent["quality"] is None else f"{quality}/{target:g}",
        "-" if agent["improvement"] is None else _change(agent["improvement"]),
        agent["decision"] or "not compared",
        "-" if agent["time_ms"] is None else _seconds(agent["time_ms"] / 1000),
    )


def about(agent: Json) -> str:
    """Return in words why an agent has no figures tonight."""
    if agent["status"] == "skipped":
        return f"skipped: {agent['reason']}"
    return f"not configured: {agent['key']} is not set" if agent["status"] == "not configured" else str(agent["status"])


def _columns(*cells: str) -> str:
    name, serves, quality, change, decision, time = cells
    return row(f"{fit(name, 21)} {fit(serves, 8)}{quality:>12}{change:>10}  {fit(decision, 12)}{time:>8}")


def _phase_row(name: str, status: str, seconds: float, more: str = "") -> str:
    return row(f"{fit(name, 14)} {fit(status, 8)}{seconds:>11.1f} s{more}")


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 1000 else f"{value:.0f} s"


def _change(percent: float) -> str:
    return f"{percent:+.1f} %" if abs(percent) < 1000 else f"{percent:+.0e} %"


def _recommended(result: Json) -> list[str]:
    found = recommendations(result)
    return ["", "What to do next:", *(line for one in found for line in indented(one))] if found else []


def _notes(result: Json) -> list[str]:
    """Return what a person should know about the records, and for each agent why the gate decided as it did."""
    harvested = result["phases"].get("harvesting", {"details": {}})["details"]
    told = [line for name, category in harvested.items() for line in _data_notes(name, category)]
    notes = ["", *told] if told else []
    for name, phase in result["phases"].items():
        if phase.get("overrun"):
            notes += ["", *textwrap.wrap(f"phase {name} {phase['overrun']}", WIDTH)]
        if phase["details"].get("error") and isinstance(phase["details"]["error"], str):
            notes += ["", *textwrap.wrap(f"phase {name} failed: {phase['details']['error']}", WIDTH)]
    for name, agent in result["agents"].items():
        if agent["status"] == "trained":
            notes += ["", *_trained_notes(name, agent)]
        elif agent["status"] == "failed":
            notes += ["", *textwrap.wrap(f"{name}: failed", WIDTH), *indented(agent["error"])]
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
    return [*head, *(line for fact in facts for line in indented(fact))]


def _trained_notes(name: str, agent: Json) -> list[str]:
    head = f"{name}: trained on {agent['data_count']} records"
    if agent["held_out"]:
        head += f", measured by {agent['metric_name']} on {agent['held_out']} held-out items"
    facts = [_measured(agent)] if agent["candidate"] is not None else []
    rival = agent["compared_with"]
    against = f" against the {RIVALS[rival]}" if rival else ""
    facts.append(f"{agent['version']}{against}: {agent['reason']}")
    if agent["note"]:
        facts.append(f"not compared with the {RIVALS[BEST if rival == CHAMPION else CHAMPION]}: {agent['note']}")
    if agent.get("strategy") is not None:
        facts.append(f"strategy {said_of(agent['strategy'])}")
    if agent["state"] is None:
        facts.append("state not kept: it has no save(folder) and load(folder)")
    raw = agent["quality_raw"]
    if raw is not None and raw < 0:
        facts.append(f"quality {raw:.2f} is below the baseline and shown as 0")
    return [*textwrap.wrap(head, WIDTH), *(line for fact in facts for line in indented(fact))]


def _measured(agent: Json) -> str:
    """Return the metric of the candidate and of what it can be compared with."""
    others = [
        ("the champion's", agent["champion"]),
        ("the best version's", agent["best"]),
        (f"baseline ({agent['baseline_name']})", agent["baseline"]),
    ]
    found = [f"{name} {_number(value)}" for name, value in others if value is not None]
    return ", ".join([f"{agent['metric_name']} {_number(agent['candidate'])}", *found])
