"""How a project's fleet does, from the results of its trainings. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from overnight.reports.history import fleet_qualities, newest, only, overall, trend

Json = dict[str, Any]  # Any: whatever JSON holds
NOT_MEASURED = "not measured"


def health(
    agents: Sequence[str],
    serving: Mapping[str, str],
    results: Sequence[Json],
    *,
    online: Collection[str] = (),
    next_training: str | None = None,
) -> Json:
    """Return what `overnight stats` shows.

    `agents` are the fleet, `serving` maps those that have a champion to its version, `online` are those whose champion
    really loads, `results` are the results of the trainings, oldest first. Each agent's figures are those of the newest
    training that measured it, at `measured_at`. What was not measured is None.
    """
    results = only(results, agents)
    measured = newest(results)
    last = results[-1] if results else None
    return {
        "overall_quality": overall(measured),
        "trend": trend(fleet_qualities(results)),
        "improvement_percent": None if last is None else last["system_quality_delta"],
        "agents_online": sorted(online),
        "agents": {name: _agent(serving.get(name), measured.get(name), _line(name, results)) for name in agents},
        "agents_serving": len(serving),
        "agents_needing_attention": _needing_attention(agents, results),
        "last_training": None if last is None else {key: last[key] for key in ("run", "status", "timestamp")},
        "next_training": next_training,
        "estimated_video_quality": None,
    }


def _line(name: str, results: Sequence[Json]) -> Json:
    """Return what the newest training that was to train this agent says of it; nothing where there was none."""
    lines: list[Json] = [result["agents"][name] for result in results if name in result["agents"]]
    return lines[-1] if lines else {}


def _agent(version: str | None, measured: Json | None, line: Json) -> Json:
    kept = ("quality", "quality_target", "metric", "metric_name", "decision")
    figures = measured if measured is not None else line
    return {
        "version": version,
        **{key: figures.get(key) for key in kept},
        "status": line.get("status"),
        "measured_at": None if measured is None else measured["timestamp"],
    }


def _needing_attention(agents: Sequence[str], results: Sequence[Json]) -> list[Json]:
    """Return the agents that failed or did proven worse than what they were compared with, with the reason."""
    found = []
    for name in agents:
        line = _line(name, results)
        if line.get("status") == "failed":
            found.append({"agent": name, "reason": line["error"]})
        elif line.get("interval") and line["interval"][1] is not None and line["interval"][1] < 0:
            found.append({"agent": name, "reason": f"proven decline of the last training: {line['reason']}"})
    return found


def lines(stats: Json) -> list[str]:
    """Return what `overnight stats` prints."""
    attention = stats["agents_needing_attention"]
    last = stats["last_training"]
    found = [
        f"Overall Quality:          {_number(stats['overall_quality'], '{:.2f}/10')}",
        f"Trend:                    {stats['trend'] or NOT_MEASURED}",
        f"Improvement:              {_number(stats['improvement_percent'], '{:+.2f} %')}",
        f"Agents Online:            {len(stats['agents_online'])} of {len(stats['agents'])}",
        f"Agents Needing Attention: {len(attention) if last else NOT_MEASURED}",
        *(f"  {line['agent']}: {line['reason']}" for line in attention),
        f"Next Training:            {stats['next_training'] or 'not scheduled'}",
        f"Last Training:            {_last(last)}",
    ]
    width = max(map(len, stats["agents"]), default=0)
    for name, agent in stats["agents"].items():
        found.append(f"  {name:<{width}}  {_agent_line(agent)}{_since(agent, last)}")
    return found


def _agent_line(agent: Json) -> str:
    version = agent["version"] or "no version serves"
    if agent["metric"] is None:
        return f"{version:<8} {NOT_MEASURED}"
    return (
        f"{version:<8} quality {_number(agent['quality'], '{:.2f}/10')}, {agent['metric_name']} {agent['metric']:.3f}"
    )


def _since(agent: Json, last: Json | None) -> str:
    """Return when it was measured, where that was not in the last training."""
    at = agent["measured_at"]
    return "" if at is None or last is None or at == last["timestamp"] else f" (measured {_minute(at)})"


def _minute(at: str) -> str:
    return f"{at[:16].replace('T', ' ')} UTC"


def _number(value: float | None, shown: str) -> str:
    return NOT_MEASURED if value is None else shown.format(value)


def _last(training: Json | None) -> str:
    if training is None:
        return "none yet; `overnight train` starts one"
    return f"{_minute(training['timestamp'])}, run {training['run']}: {training['status']}"
