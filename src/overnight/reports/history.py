"""What the nights before have measured: trends, and what follows from the figures. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from overnight.reports.nightly import weighted_mean

Json = dict[str, Any]  # Any: whatever JSON holds

LOOK_BACK = 7
"""Trainings that the trend is taken from."""
BAND = 0.01
"""A change of the overall quality by less than this share counts as none."""
MOST_RECOMMENDATIONS = 3
PASSING = 0.95
"""Share of records above the threshold from which on the threshold chooses hardly anything."""


def trend(qualities: Sequence[float]) -> str | None:
    """Return UP, DOWN or STABLE from the first to the last value; None for fewer than two."""
    if len(qualities) < 2:
        return None
    change = qualities[-1] - qualities[0]
    if abs(change) <= BAND * abs(qualities[0]):
        return "STABLE"
    return "UP" if change > 0 else "DOWN"


def newest(results: Sequence[Json]) -> dict[str, Json]:
    """Return each agent's line of the newest training that measured it, with its `timestamp`; oldest first in."""
    found: dict[str, Json] = {}
    for result in results:
        for name, line in result["agents"].items():
            if line.get("quality") is not None:
                found[name] = {**line, "timestamp": result["timestamp"]}
    return found


def only(results: Sequence[Json], agents: Collection[str]) -> list[Json]:
    """Return the results without the agents that are not among these: some have left the fleet."""
    return [
        {**result, "agents": {name: line for name, line in result["agents"].items() if name in agents}}
        for result in results
    ]


def overall(lines: Mapping[str, Json]) -> float | None:
    """Return the weighted mean of their qualities; None where there is none."""
    return weighted_mean([(line["quality"], line.get("weight", 1.0)) for line in lines.values()])


def fleet_qualities(results: Sequence[Json]) -> list[float]:
    """Return the quality of the fleet after each of the newest trainings that measured something, oldest first.

    It is the mean of the same agents each time, because means of different agents tell nothing about any of them: those
    that had been measured when the first of these trainings was over. One that a later training left out, or could not
    measure, counts with its newest measurement before.
    """
    measured = [place for place, result in enumerate(results) if newest([result])][-LOOK_BACK:]
    if not measured:
        return []
    same = newest(results[: measured[0] + 1])
    after = [newest(results[: place + 1]) for place in measured]
    found = [overall({name: lines[name] for name in same}) for lines in after]
    return [value for value in found if value is not None]


def metrics_of(result: Json) -> Json:
    """Return what `training_metrics.json` keeps of a night."""
    kept = (
        "status",
        "version",
        "serving",
        "model_updated",
        "quality",
        "metric",
        "metric_name",
        "improvement",
        "interval",
        "decision",
        "data_count",
        "held_out",
        "time_ms",
        "error",
    )
    return {
        "run": result["run"],
        "timestamp": result["timestamp"],
        "status": result["status"],
        "overall_quality": result["overall_quality"],
        "system_quality_delta": result["system_quality_delta"],
        "total_time_seconds": result["total_time_seconds"],
        "agents_trained": result["agents_trained"],
        "figures": result.get("figures", {}),
        "agents": {name: {key: agent.get(key) for key in kept} for name, agent in result["agents"].items()},
    }


def recommendations(result: Json) -> list[str]:
    """Return at most three things to do, each of which follows from a figure of the night."""
    found = [*_thresholds(result), *_failures(result), *_more_items(result), *_overruns(result)]
    return found[:MOST_RECOMMENDATIONS]


def _thresholds(result: Json) -> list[str]:
    """Return the threshold that would have kept four fifths, for categories whose threshold sets hardly any aside."""
    found = []
    for name, category in result["phases"].get("harvesting", {"details": {}})["details"].items():
        passing = (category.get("statistics") or {}).get("passing")
        if passing and passing["measured"] and passing["passed"] > PASSING * passing["measured"]:
            found.append(
                f"{passing['passed']} of {passing['measured']} records of {name} pass its threshold: "
                f"categories.{name}.threshold = {passing['threshold_for_80_percent']:.2f} would keep 80 %"
            )
    return found


def _failures(result: Json) -> list[str]:
    return [
        f"{name} was not trained: {agent['error']}; `overnight runs logs {agent['run']}` shows its output"
        if agent.get("run") is not None
        else f"{name} was not trained: {agent['error']}"
        for name, agent in result["agents"].items()
        if agent["status"] == "failed"
    ]


def _more_items(result: Json) -> list[str]:
    return [
        f"{name}: {agent['held_out']} held-out items cannot tell whether its new version may serve: {agent['reason']}"
        for name, agent in result["agents"].items()
        if agent.get("decision") == "UNDERPOWERED"
    ]


def _overruns(result: Json) -> list[str]:
    return [
        f"phase {name} {phase['overrun']}: nightly.budgets.{name} sets the time"
        for name, phase in result["phases"].items()
        if phase.get("overrun")
    ]


def times_of(results: Sequence[Json]) -> dict[str, float]:
    """Return how long each agent's newest training took, in seconds; agents that were never trained are left out."""
    return {
        name: agent["time_ms"] / 1000
        for result in results
        for name, agent in result["agents"].items()
        if agent.get("time_ms") is not None
    }


def left_s(waiting: Sequence[str], times: Mapping[str, float], at_once: int) -> float | None:
    """Return about how many seconds the trainings of these agents will take, so many of them at once.

    One whose time is not known counts as the mean of the others; None where none is known.
    """
    if not times:
        return None
    mean = sum(times.values()) / len(times)
    each = [times.get(name, mean) for name in waiting]
    return max([sum(each) / at_once, *each]) if each else 0.0
