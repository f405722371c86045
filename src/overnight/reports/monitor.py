"""What `training_monitor.log` says about a night: what happened when, and the output of what failed. Pure."""

from collections.abc import Mapping
from typing import Any

from overnight.reports.daily import about

Json = dict[str, Any]  # Any: whatever JSON holds


def entry_of(result: Json, outputs: Mapping[str, str]) -> str:
    """Return the night's lines; `outputs` are the last lines that failed trainings have printed, by agent."""
    at = result["timestamp"]
    lines = [f"{at} run {result['run']} {result['status']} {result['total_time_seconds']:.1f} s"]
    for name, phase in result["phases"].items():
        lines.append(f"{at}   phase {name} {phase['status']} {phase['seconds']:.1f} s")
        if phase.get("overrun"):
            lines.append(f"{at}   phase {name} {phase['overrun']}")
    for name, agent in result["agents"].items():
        lines.append(f"{at}   agent {name} {_of(agent)}")
        lines += [f"    | {line}" for line in outputs.get(name, "").splitlines()]
    return "\n".join(lines) + "\n"


def _of(agent: Json) -> str:
    if agent["status"] == "trained":
        return f"trained in {agent['time_ms'] or 0:.0f} ms: {agent['version']} {agent['decision'] or 'not compared'}"
    return f"failed: {agent['error']}" if agent["status"] == "failed" else about(agent)
