"""How a project's fleet does, from the results of its nightly trainings. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]  # Any: whatever JSON holds

LOOK_BACK = 7
"""Trainings that the trend is taken from."""
BAND = 0.01
"""A change of the overall quality by less than this share counts as none."""


def overall_quality(result: Json) -> float | None:
    """Return the mean quality (0 to 10) of the agents that were measured; None where none was."""
    measured = [agent["quality"] for agent in result["agents"].values() if agent.get("quality") is not None]
    return sum(measured) / len(measured) if measured else None


def trend(qualities: Sequence[float]) -> str | None:
    """Return UP, DOWN or STABLE from the first to the last of the newest values; None for fewer than two."""
    recent = qualities[-LOOK_BACK:]
    if len(recent) < 2:
        return None
    change = recent[-1] - recent[0]
    if abs(change) <= BAND * abs(recent[0]):
        return "STABLE"
    return "UP" if change > 0 else "DOWN"


def health(agents: Sequence[str], serving: Mapping[str, str], results: Sequence[Json]) -> Json:
    """Return what `overnight stats` shows.

    `agents` are the fleet, `serving` maps those that have a champion to its version, `results` are the results of the
    nightly trainings, oldest first. What was not measured is None.
    """
    qualities = [quality for result in results if (quality := overall_quality(result)) is not None]
    last = results[-1] if results else None
    return {
        "overall_quality": qualities[-1] if qualities else None,
        "trend": trend(qualities),
        "improvement_percent": None if last is None else last["system_quality_delta"],
        "agents": {name: _agent(name, serving, last) for name in agents},
        "agents_serving": len(serving),
        "agents_needing_attention": _needing_attention(agents, last),
        "last_training": None if last is None else {key: last[key] for key in ("run", "status", "timestamp")},
        "next_training": None if last is None else last["next_scheduled"],
    }


def _agent(name: str, serving: Mapping[str, str], last: Json | None) -> Json:
    line = {} if last is None else last["agents"].get(name, {})
    return {
        "version": serving.get(name),
        "quality": line.get("quality"),
        "metric": line.get("metric"),
        "metric_name": line.get("metric_name"),
        "decision": line.get("decision"),
    }


def _needing_attention(agents: Sequence[str], last: Json | None) -> list[Json]:
    """Return the agents that failed or did proven worse than what they were compared with, with the reason."""
    found = []
    for name in agents:
        line = {} if last is None else last["agents"].get(name, {})
        if line.get("status") == "failed":
            found.append({"agent": name, "reason": line["error"]})
        elif line.get("interval") and line["interval"][1] is not None and line["interval"][1] < 0:
            found.append({"agent": name, "reason": f"proven decline of the last training: {line['reason']}"})
    return found
