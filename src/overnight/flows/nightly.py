"""Nightly training: harvest, validate, train in dependency order, (production), report, clean up.

A durable flow. Each agent is trained by a run of its own in a child process; here its scores are judged, and the
version is registered. What one agent does wrong never stops the others.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from overnight.base.config import AgentSettings, Config
from overnight.base.errors import ConfigError, OvernightError
from overnight.base.files import replace_file, write_json
from overnight.base.ids import RunId
from overnight.data.snapshots import canonical, records_of, validate
from overnight.data.sources import SqlSource, read
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.engine import store as runs
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import Priority, State, Task
from overnight.proof.gate import Decision, judge
from overnight.registry import store
from overnight.registry.store import Candidate
from overnight.registry.versions import OUTPUT
from overnight.reports.nightly import Phase, daily_report, result_of
from overnight.training.job import MODEL, SCORES, read_scores

TASK = "nightly"
SEED = 0
"""Trainings have no chance in them but this: the same snapshot gives the same version."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """What the flow works with."""

    config: Config
    database: Database
    blobs: Blobs
    state_dir: Path

    def tasks(self) -> list[Task]:
        """Return the flow's task and one training task per agent; none where the project has no agents.

        Raises:
            ConfigError: an agent names a source or a parent that does not exist, or lacks a setting.
        """
        agents = self.config.agents
        if not agents:
            return []
        for name, agent in agents.items():
            _check(name, agent, self.config)
        trainings = [
            Task(
                task_id=training_task(name),
                agent_name=name,
                action="overnight.training.job:train_job",
                timeout_s=agent.timeout_s,
            )
            for name, agent in agents.items()
        ]

        def run(flow: Flow) -> Json:
            return nightly(flow, self)

        return [*trainings, Task(task_id=TASK, action=run, priority=Priority.HIGH)]


def training_task(agent: str) -> str:
    """Return the id of the task that trains this agent."""
    return f"train:{agent}"


def _check(name: str, agent: AgentSettings, config: Config) -> None:
    key = f"agents.{name}"
    for field in ("source", "target", "scale"):
        if getattr(agent, field) is None:
            raise ConfigError(f"{key}.{field}: missing; an agent needs source, target, scale and inputs")
    if not agent.inputs:
        raise ConfigError(f"{key}.inputs: missing; name the columns that the agent may learn from")
    if agent.source not in config.sources:
        known = ", ".join(sorted(config.sources)) or "none"
        raise ConfigError(f"{key}.source: there is no source {agent.source!r} (sources: {known})")
    for parent in agent.after:
        if parent not in config.agents:
            raise ConfigError(f"{key}.after: there is no agent {parent!r} (agents: {', '.join(config.agents)})")


def nightly(flow: Flow, night: Nightly) -> Json:
    """Run the six phases and return the result that is also in `holistic_training_result.json`."""
    started = flow.now()
    harvested = {name: flow.step(f"harvest {name}", _harvest, night, name) for name in _sources(night)}
    after_harvest = flow.now()
    snapshots = {name: flow.step(f"validate {name}", _validate, night, name, harvested) for name in night.config.agents}
    after_validation = flow.now()
    agents: dict[str, Json] = {}
    for level in _levels(night):
        agents.update(_train_level(flow, night, level, snapshots))
    after_training = flow.now()
    phases = {
        "harvesting": Phase.between(started, after_harvest, _failed_of(harvested), harvested),
        "validation": Phase.between(after_harvest, after_validation, _failed_of(snapshots), snapshots),
        "training": Phase.between(after_validation, after_training, _failed_of(agents), agents),
    }
    return flow.step("report", _report, night, flow.run_id, started, phases, agents)


def _sources(night: Nightly) -> list[str]:
    return list(dict.fromkeys(str(agent.source) for agent in night.config.agents.values()))


def _levels(night: Nightly) -> list[list[str]]:
    """Return the agents in groups, each of which needs only earlier groups."""
    sorter = TopologicalSorter({name: agent.after for name, agent in night.config.agents.items()})
    sorter.prepare()
    levels = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        levels.append(ready)
        sorter.done(*ready)
    return levels


def _failed_of(parts: Mapping[str, Json]) -> list[str]:
    return [name for name, part in parts.items() if part.get("error")]


def _safely(work: Callable[[], Json]) -> Json:
    """Return what `work` answers, or its error: a source or an agent that fails must not stop the others."""
    try:
        return work()
    except OvernightError as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _harvest(night: Nightly, name: str) -> Json:
    def work() -> Json:
        settings = night.config.sources[name]
        source = SqlSource(name=name, path=settings.path, query=settings.query)
        records = [record for batch in read(source, night.config.project_dir) for record in batch]
        return {"records": len(records), "blob": night.blobs.put(canonical(records))}

    return _safely(work)


def _validate(night: Nightly, name: str, harvested: Mapping[str, Json]) -> Json:
    agent = night.config.agents[name]
    assert agent.source is not None and agent.target is not None and agent.scale is not None

    target, scale, source = agent.target, agent.scale, harvested[agent.source]
    if source.get("error"):
        return {"error": f"source {agent.source!r}: {source['error']}"}

    def work() -> Json:
        checked = validate(records_of(night.blobs.get(source["blob"])), target=target, scale=scale)
        snapshot = night.blobs.put(canonical(checked.kept))
        return {"snapshot": snapshot, "kept": len(checked.kept), "set_aside": checked.counts}

    return _safely(work)


def _train_level(flow: Flow, night: Nightly, level: list[str], snapshots: Mapping[str, Json]) -> dict[str, Json]:
    """Train agents that do not need each other at the same time, then judge each."""
    started: dict[str, RunId] = {}
    results: dict[str, Json] = {}
    for name in level:
        ready = flow.step(f"prepare {name}", _prepare, night, flow.run_id, name, snapshots[name])
        if ready.get("error"):
            results[name] = ready
        else:
            started[name] = flow.start(training_task(name), ready)
    ended = flow.wait(*started.values()) if started else []
    for name, end in zip(started, ended, strict=True):
        results[name] = flow.step(f"judge {name}", _judge, night, flow.run_id, name, snapshots[name], asdict(end))
    return results


def _work(night: Nightly, flow_id: int, name: str) -> Path:
    return night.state_dir / "work" / str(flow_id) / name


def _prepare(night: Nightly, flow_id: int, name: str, snapshot: Json) -> Json:
    """Lay out what a training reads, as files, and return its arguments."""
    if snapshot.get("error"):
        return {"error": snapshot["error"]}

    def work() -> Json:
        agent = night.config.agents[name]
        folder = _work(night, flow_id, name)
        parents = {parent: _fetch(night, parent, folder / "parents" / parent) for parent in agent.after}
        missing = [parent for parent, path in parents.items() if path is None]
        if missing:
            return {"error": f"agent {missing[0]!r}, which it comes after, has no version that serves"}
        replace_file(folder / "snapshot.jsonl", night.blobs.get(snapshot["snapshot"]))
        return {
            "agent": _spec(name, agent),
            "snapshot": str(folder / "snapshot.jsonl"),
            "work": str(folder),
            "champion": _champion(night, name, folder / "champion"),
            "parents": parents,
            "seed": SEED,
        }

    return _safely(work)


def _spec(name: str, agent: AgentSettings) -> Json:
    return {
        "name": name,
        "class_": agent.class_,
        "target": agent.target,
        "scale": list(agent.scale or ()),
        "inputs": list(agent.inputs),
    }


def _champion(night: Nightly, name: str, folder: Path) -> Json | None:
    """Lay out the champion, if its answers can be compared with the candidate's: same target, same scale."""
    with night.database.read() as connection:
        champion = store.serving(connection, name)
    wanted = _spec(name, night.config.agents[name])
    if champion is None or any(champion.signature[part] != wanted[part] for part in OUTPUT):
        return None
    night.blobs.fetch_folder(champion.manifest, folder)
    return {"folder": str(folder), "agent": {"name": name, **champion.signature}}


def _fetch(night: Nightly, model: str, folder: Path) -> str | None:
    """Lay out the version that serves and return its folder; None where there is none."""
    with night.database.read() as connection:
        champion = store.serving(connection, model)
    if champion is None:
        return None
    night.blobs.fetch_folder(champion.manifest, folder)
    return str(folder)


def _judge(night: Nightly, flow_id: int, name: str, snapshot: Json, end: Json) -> Json:
    """Compare the candidate with the champion, or the naive baseline where there is none, and register the version."""
    ended = Ended(**end)
    if ended.state is not State.COMPLETED:
        message = "ended without a reason" if end["error"] is None else end["error"]["message"]
        return {"error": message, "run": ended.run_id}
    folder = _work(night, flow_id, name)
    scores = read_scores(folder)
    against = "champion" if "champion" in scores else "baseline"
    verdict = judge(scores["candidate"]["scores"], scores[against]["scores"], alpha=night.config.gate.alpha)
    manifest = night.blobs.put_folder(folder / MODEL)
    measured = ended.result
    with night.database.read() as connection:
        run = runs.get(connection, ended.run_id)
    assert run is not None, "its outcome was just read"
    candidate = Candidate(
        model=name,
        run_id=ended.run_id,
        snapshot_id=snapshot["snapshot"],
        manifest=manifest,
        signature={key: value for key, value in _spec(name, night.config.agents[name]).items() if key != "name"},
        metrics={**measured, "scores": night.blobs.put((folder / SCORES).read_bytes())},
        verdict={**asdict(verdict), "against": against},
    )
    accepted = verdict.decision is Decision.ACCEPT
    version = night.database.writer.do(
        lambda tx: store.register(tx, candidate, serve=accepted, why=f"{verdict.decision} against the {against}")
    )
    with night.database.read() as connection:
        champion = store.serving(connection, name)
    return {
        "run": ended.run_id,
        "version": version.number,
        "serving": None if champion is None else champion.number,
        "serves": version.verdict["decision"] == Decision.ACCEPT,
        "verdict": dict(version.verdict),
        "time_ms": run.active_us / 1000,
        **measured,
    }


def _report(
    night: Nightly, flow_id: int, started: datetime, phases: Mapping[str, Phase], agents: Mapping[str, Json]
) -> Json:
    """Write the result and the report, and remove the folders that the trainings worked in."""
    result = result_of(flow_id, started, phases, agents)
    write_json(night.state_dir / "holistic_training_result.json", result)
    report = night.state_dir / "logs" / f"daily_report_{started.date().isoformat()}.txt"
    replace_file(report, daily_report(result, night.config.project.name or night.config.project_dir.name))
    shutil.rmtree(night.state_dir / "work" / str(flow_id), ignore_errors=True)
    return {**result, "report": str(report)}
