"""The files that strategy learning writes for other programs, under `.overnight/learning/`; docs/reference/files.md.

They tell, and are never read back: a file that somebody has edited changes nothing.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.base.files import replace_file, to_json
from overnight.base.instants import iso, to_datetime
from overnight.base.learning import TASKS
from overnight.base.settings import FILE, STATE_FOLDER
from overnight.learning.defaults import ALL, Choice
from overnight.learning.profiles import Execution, Profile, by_strategy, by_type, pareto, profile_of

Json = dict[str, Any]
Choose = Callable[[str], Choice]
"""Returns which strategy executes a type of task."""
VERSION = 1
WORKFLOWS = "improved-workflows.toml"


class Files:
    """Writes them, each whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begun(self, begun: Json, now_us: int) -> None:
        """Write what the pipeline works with."""
        told = {
            "version": VERSION,
            "strategies": list(begun["strategies"]),
            "learningRate": begun["rate"],
            "minSamplesForUpdate": begun["minimum"],
            "created": iso(now_us),
        }
        self._write("pipeline-config.json", told)

    def executed(self, begun: Json, exercises: Sequence[Json], session: Sequence[Json], now_us: int) -> None:
        """Write the exercises of a part, and what came of all of the session so far."""
        tasks = [
            {"type": one["type"], "task": one["task"], "expectedChecks": one["expectedChecks"]} for one in exercises
        ]
        told = {"complexity": begun["complexity"], "tasks": tasks, "created": iso(now_us)}
        self._write(f"training/tasks-{_stamp(now_us)}.json", told)
        self._write(f"training/results-{_stamp(now_us)}.json", [_result(row) for row in session])

    def profiles(self, begun: Json, executions: Iterable[Execution]) -> None:
        """Write what was measured of each strategy."""
        self._write("agents/profiles.json", profiles_json(begun, executions))

    def validated(self, begun: Json, verdict: Json, session: Sequence[Json], now_us: int) -> None:
        """Write what a candidate does better, worse and alike, by metric, and what the gate says."""
        metrics = _compared([row for row in session if row["purpose"] == "validate"])
        told = {
            **{kind: [one for one in metrics if _kind(one) == kind] for kind in ("improved", "declined", "unchanged")},
            "summary": verdict["reason"],
            "verdict": verdict,
        }
        self._write(f"validation/validation-{_stamp(now_us)}.json", told)

    def defaults(self, begun: Json, executions: Iterable[Execution], choose: Choose, now_us: int) -> None:
        """Write which strategies execute."""
        executions = list(executions)
        types = sorted({one.type for one in executions})
        told = {
            "defaultStrategy": choose(ALL).strategy,
            "agentProfiles": profiles_json(begun, executions),
            "optimizations": {type_: asdict(choose(type_)) for type_ in types},
            "appliedAt": iso(now_us),
        }
        self._write("swarm-config.json", told)

    def workflows(self, begun: Json, tasks: Sequence[str], choose: Choose) -> None:
        """Write the tasks that take a strategy with the one that executes each, for the settings to include."""
        path = f"{STATE_FOLDER}/{self._folder.name}/{WORKFLOWS}"
        lines = [f"# The strategies that execute the tasks of this project. In {FILE}: include = [{_quoted(path)}]"]
        for name in tasks:
            choice = choose(f"{TASKS}{name}")
            if begun["strategies"].get(choice.strategy, {"members": True})["members"]:
                continue  # an ensemble executes exercises alone, and what is no strategy any more nothing
            lines += ["", f"[tasks.{_quoted(name)}]", f"strategy = {_quoted(choice.strategy)}  # {choice.why}"]
        replace_file(self._folder / WORKFLOWS, "\n".join(lines) + "\n")

    def _write(self, name: str, told: Any) -> None:  # Any: JSON
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, to_json(told) + "\n")


def profiles_json(begun: Json, executions: Iterable[Execution]) -> Json:
    """Return the profile of each strategy, in all and by type of task, as it is told to others."""
    found = by_strategy(executions)
    profiles = {name: _profile(begun, found.get(name, [])) for name in begun["strategies"]}
    front = pareto(profiles)
    return {
        name: {
            **_told(one),
            "types": {type_: _told(_profile(begun, some)) for type_, some in by_type(found.get(name, [])).items()},
            "pareto": name in front,
        }
        for name, one in profiles.items()
    }


def _profile(begun: Json, executions: Sequence[Execution]) -> Profile:
    return profile_of(executions, rate=begun["rate"], minimum=begun["minimum"])


def _told(one: Profile) -> Json:
    return {
        "successRate": one.success_rate,
        "avgScore": one.score,
        "avgExecutionTime": one.time_s,
        "avgCost": one.cost_usd,
        "uses": one.uses,
        "trend": [{"score": score, "timestamp": iso(at_us)} for score, at_us in one.trend],
        "measured": one.measured,
        "intervals": {
            name: None if found is None else {"lower": found.lower, "upper": found.upper, "n": found.n}
            for name, found in one.intervals.items()
        },
        "run_ids": list(one.run_ids),
    }


def _result(row: Json) -> Json:
    checks: dict[str, dict[str, Any]] = {}
    for repeat in row["detail"]["repeats"]:
        for name, check in repeat.get("checks", {}).items():
            checks.setdefault(name, {"passed": True, "scores": []})
            checks[name]["passed"] &= check["passed"]
            checks[name]["scores"].append(check["score"])
    return {
        "task": row["exercise"],
        "type": row["type"],
        "strategy": row["strategy"],
        "executionTime": row["time_s"],
        "successRate": row["success_rate"],
        "checks": {
            name: {"passed": one["passed"], "score": sum(one["scores"]) / len(one["scores"])}
            for name, one in checks.items()
        },
        "score": row["score"],
        "timestamp": iso(row["at_us"]),
        "run_id": row["run_id"],
    }


METRICS: Mapping[str, bool] = {"success_rate": True, "score": True, "time_s": False}
"""What is compared, and whether more of it is better."""


def _compared(rows: Sequence[Json]) -> list[Json]:
    """Return by how much the mean of each metric is another one with the candidate, over the same exercises."""
    ways = [{row["exercise"] for row in rows if row["detail"]["way"] == way} for way in ("candidate", "champion")]
    rows = [row for row in rows if row["exercise"] in ways[0] & ways[1]]
    found = []
    for metric, more_is_better in METRICS.items():
        means = {}
        for way in ("candidate", "champion"):
            values = [row[metric] for row in rows if row["detail"]["way"] == way and row[metric] is not None]
            means[way] = sum(values) / len(values) if values else None
        if means["candidate"] is not None and means["champion"] is not None:
            change = means["candidate"] - means["champion"]
            found.append({"metric": metric, "change": change, "better": change > 0 if more_is_better else change < 0})
    return found


def _kind(one: Json) -> str:
    return "unchanged" if one["change"] == 0 else "improved" if one["better"] else "declined"


def _quoted(text: str) -> str:
    """Return text as a string of TOML, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _stamp(now_us: int) -> str:
    return f"{to_datetime(now_us):%Y%m%dT%H%M%S%f}"
