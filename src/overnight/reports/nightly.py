"""The result of a nightly training, from what the flow measured. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Json = dict[str, Any]  # Any: whatever JSON holds

NOT_MEASURED = "not measured"


BEST, CHAMPION, BASELINE = "best", "champion", "baseline"
RIVALS = {BEST: "best version so far", CHAMPION: "champion", BASELINE: "baseline"}
"""What a candidate may be compared with, in words; where several were measured, the first one of them."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of the flow: success, partial (some parts failed), failed (all did) or skipped.

    `overrun` says by how much it took longer than its budget.
    """

    status: str
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)
    overrun: str | None = None

    @classmethod
    def of(cls, parts: Mapping[str, Any], stale: Sequence[str] = ()) -> "Phase":
        """Return the phase that worked on `parts`; what is `stale` makes it partial at best.

        Parts that were skipped are no failures, but a phase that did nothing else was skipped too.
        """
        failed = [name for name, part in parts.items() if part.get("error")]
        skipped = [name for name, part in parts.items() if part.get("skipped")]
        status = "success" if not failed and not stale else "partial"
        if failed and len(failed) + len(skipped) == len(parts):
            status = "failed"
        elif len(skipped) == len(parts):
            status = "skipped"
        return cls(status=status, details=parts)

    def timed(self, seconds: float, budget_s: float | None) -> "Phase":
        """Return the phase with the time that it took, and a word about its budget where it took longer."""
        over = budget_s is not None and seconds > budget_s
        return replace(
            self, seconds=seconds, overrun=f"took {seconds:.1f} s of {budget_s:g} s that it should" if over else None
        )

    def to_json(self) -> Json:
        """Return the phase as the result file holds it."""
        return {
            "status": self.status,
            "seconds": self.seconds,
            "details": dict(self.details),
            "overrun": self.overrun,
        }


@dataclass(frozen=True, kw_only=True)
class Aims:
    """What the settings say about agents: their weights in means, and qualities that are aimed at and only shown."""

    weights: Mapping[str, float] = field(default_factory=dict)
    qualities: Mapping[str, float | None] = field(default_factory=dict)
    overall_quality: float | None = None
    time_ms: float | None = None
    improvement: float | None = None

    def weight(self, name: str) -> float:
        """Return how much the agent counts."""
        return self.weights.get(name, 1.0)


def result_of(
    run_id: int, started: datetime, phases: Mapping[str, Phase], agents: Mapping[str, Json], *, aims: Aims | None = None
) -> Json:
    """Return the result of a nightly training.

    `success` only if every agent was trained, on records of the last day; `partial` if some were, or on older ones;
    `failed` if none was. `system_quality_delta` is the weighted mean of what the versions that were accepted gained, in
    % of the span from the naive baseline to the best value; a refused candidate adds 0; None where nothing was
    measured.
    """
    aims = aims or Aims()
    shown = {
        name: {**agent_line(agent), "weight": aims.weight(name), "quality_target": aims.qualities.get(name)}
        for name, agent in agents.items()
    }
    learners = [line for line in shown.values() if line["status"] not in SERVICE]
    trained = [line for line in learners if line["status"] == "trained"]
    seconds = sum(phase.seconds for phase in phases.values())
    return {
        "status": _status(len(trained), len(learners), phases),
        "run": run_id,
        "total_time_seconds": seconds,
        "total_time_minutes": seconds / 60,
        "phases": {name: phase.to_json() for name, phase in phases.items()},
        "agents_trained": len(trained),
        "agents": shown,
        "overall_quality": weighted_mean([(line["quality"], line["weight"]) for line in trained]),
        "system_quality_delta": weighted_mean([(gain_of(line), line["weight"]) for line in trained]),
        "aims": {
            "overall_quality": aims.overall_quality,
            "time_ms": aims.time_ms,
            "improvement": aims.improvement,
        },
        "timestamp": started.isoformat(),
        "next_scheduled": None,
    }


SERVICE = ("configured", "not configured")
"""The statuses of agents that are services, and are not trained."""


def _status(trained: int, agents: int, phases: Mapping[str, Phase]) -> str:
    if not trained:
        return "failed"
    return "success" if trained == agents and phases["harvesting"].status == "success" else "partial"


def weighted_mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    """Return the mean of the values by their weights, those that are None left out; None where nothing counts."""
    known = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def gain_of(line: Json) -> float | None:
    """Return what an agent adds to the fleet: its improvement where its new version serves, 0 where it was refused."""
    if line["improvement"] is None:
        return None
    return float(line["improvement"]) if line["model_updated"] else 0.0


def agent_line(agent: Json) -> Json:
    """Return what the result says about one agent.

    `metric` is that of the version that serves after the gate, on held-out items that no version at hand was trained
    on; errors are shown as they are, lower is better. `quality` is the metric between the naive baseline's (0) and the
    best value (10); below the baseline it is 0, with the value in `quality_raw`. `improvement` and `interval` are the
    candidate against what it was compared with, in % of the span from the baseline to the best value, whatever gain
    was asked for.
    """
    if agent.get("service"):
        return _untrained(agent["service"], None, key=agent["key"])
    if agent.get("skipped"):
        return _untrained("skipped", None, reason=agent["skipped"])
    if agent.get("error"):
        return _untrained("failed", agent["error"], run=agent.get("run"))
    measured, verdict = agent["measured"], agent["verdict"]
    serving = "candidate" if agent["serves"] else CHAMPION if CHAMPION in measured else None
    scale = _Scale.of(agent)
    raw = None if serving is None else scale.quality(measured[serving]["value"]) if serving in measured else None
    rival = verdict["against"]
    difference, lower, upper = verdict["gain"] or (None, None, None)
    return {
        "status": "trained",
        "error": None,
        "run": agent.get("run"),
        "version": agent.get("version"),
        "serving": agent.get("serving"),
        "model_updated": agent["serves"],
        "quality": None if raw is None else min(10.0, max(0.0, raw)),
        "quality_raw": raw,
        "metric": scale.shown(measured, serving),
        "metric_name": scale.title,
        "spearman": measured.get(serving, {}).get("spearman"),
        "candidate": scale.shown(measured, "candidate"),
        "champion": scale.shown(measured, CHAMPION),
        "best": scale.shown(measured, BEST),
        "baseline": scale.shown(measured, BASELINE),
        "baseline_name": agent["baseline"],
        "rival_quality": scale.quality(measured[rival]["value"]) if rival else None,
        "improvement": scale.percent(difference),
        "interval": [scale.percent(lower), scale.percent(upper)],
        "compared_with": rival,
        "decision": verdict["decision"],
        "reason": verdict["reason"],
        "note": agent.get("note"),
        "strategy": agent.get("strategy"),
        "data_count": agent["records"],
        "held_out": agent["held_out"],
        "time_ms": agent.get("time_ms"),
        "peak_memory_gb": agent.get("peak_memory_gb"),
        "state": agent["kept"],
        "reported_by_the_agent": agent["reported"],
    }


def _untrained(status: str, error: str | None, **more: Any) -> Json:  # Any: JSON
    """Return the line of an agent that was not trained tonight: nothing about it was measured."""
    nothing = dict.fromkeys(("quality", "metric", "metric_name", "improvement", "interval", "time_ms", "data_count"))
    return {"status": status, "error": error, "model_updated": False, **nothing, **more}


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """The metric's title, and its values at the naive baseline and at its best; higher is better."""

    title: str | None
    worst: float | None
    best: float | None

    @classmethod
    def of(cls, agent: Json) -> "_Scale":
        baseline = agent["measured"].get(BASELINE, {}).get("value")
        return cls(title=agent["metric_title"], worst=baseline, best=agent["best"])

    @property
    def span(self) -> float | None:
        """From the baseline to the best value; None where one is not known, or nothing lies between."""
        if self.worst is None or self.best is None or self.best <= self.worst:
            return None
        return self.best - self.worst

    def quality(self, value: float) -> float | None:
        return None if self.span is None or self.worst is None else 10 * (value - self.worst) / self.span

    def percent(self, difference: float | None) -> float | None:
        return None if self.span is None or difference is None else 100 * difference / self.span

    def shown(self, measured: Json, who: str | None) -> float | None:
        """Return the metric as it is shown: an error without the sign that makes higher better."""
        if who is None or who not in measured:
            return None
        value = float(measured[who]["value"])
        return -value if self.title == "mean absolute error" and value else value
