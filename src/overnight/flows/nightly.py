"""Nightly training: harvest, validate, train in dependency order, (production), report, clean up.

A durable flow. Each agent is trained by a run of its own in a child process; here its scores are judged, and the
version is registered. What one source or agent does wrong never stops the others; what the machine does wrong (a full
disk, a busy database) stops the flow, which is tried again where it stands.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.config import AgentSettings, Config
from overnight.base.errors import ConfigError, InvalidTransition, PermanentError, UserMistake, one_line
from overnight.base.files import replace_file, write_json
from overnight.data.categories import categories
from overnight.data.records import flat
from overnight.data.remarks import remarks
from overnight.data.snapshots import canonical, records_of, validate
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.engine import store as runs
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import Priority, State, Task
from overnight.proof.gate import Decision, judge
from overnight.proof.splits import choose_held_out
from overnight.registry import store
from overnight.registry.store import Candidate
from overnight.registry.versions import OUTPUT, Version
from overnight.reports.nightly import Phase, daily_report, result_of
from overnight.training.job import MODEL, SCORES, read_scores

if TYPE_CHECKING:
    from overnight.data.harvest import Harvest

TASK = "nightly"
SEED = 0
"""Trainings have no chance in them but this: the same snapshot gives the same version."""
HELD_OUT = 0.2
"""Share of the items that is held out, and never trained on."""
FEWEST_HELD_OUT = 200
"""More than that share is held out where it takes more to reach this number."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """What the flow works with."""

    config: Config
    database: Database
    blobs: Blobs
    harvest: Callable[[str], "Harvest"]
    """Harvests a category; see `Project.harvest`."""
    state_dir: Path

    def tasks(self) -> list[Task]:
        """Return the flow's task and one training task per agent; none where the project has no agents.

        Raises:
            ConfigError: an agent names a category or a parent that is not there, lacks a setting or comes after itself.
        """
        agents = self.config.agents
        if not agents:
            return []
        for name, agent in agents.items():
            _check(name, agent, self.config)
        _levels(self)
        trainings = [
            Task(
                task_id=training_task(name),
                agent_name=name,
                action="overnight.training.job:train_job",
                timeout_s=agent.timeout_s,
                # The second try is for what lies outside of the training; the next night is the third.
                max_retries=1,
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
    for field in ("data", "target", "scale"):
        if getattr(agent, field) is None:
            raise ConfigError(f"{key}.{field}: missing; an agent needs data, target, scale and inputs")
    if not agent.inputs:
        raise ConfigError(f"{key}.inputs: missing; name the columns that the agent may learn from")
    if agent.target in agent.inputs:
        raise ConfigError(f"{key}.inputs: {agent.target!r} is the target, which an agent may not learn from")
    if agent.scale is not None and not agent.scale[0] < agent.scale[1]:
        raise ConfigError(f"{key}.scale: {list(agent.scale)} must be the lowest and the highest value of the target")
    if agent.data not in categories(config):
        known = ", ".join(categories(config)) or "none"
        raise ConfigError(f"{key}.data: no source gives category {agent.data!r} (categories: {known})")
    for parent in agent.after:
        if parent not in config.agents:
            raise ConfigError(f"{key}.after: there is no agent {parent!r} (agents: {', '.join(config.agents)})")


def nightly(flow: Flow, night: Nightly) -> Json:
    """Run the six phases and return the result that is also in `holistic_training_result.json`.

    Raises:
        InvalidTransition: another nightly training of this project is under way.
    """
    flow.step("begin", _begin, night, flow.run_id)
    started = flow.now()
    harvested = {name: flow.step(f"harvest {name}", _harvest, night, name) for name in _categories(night)}
    after_harvest = flow.now()
    snapshots = {name: flow.step(f"validate {name}", _validate, night, name, harvested) for name in night.config.agents}
    after_validation = flow.now()
    agents: dict[str, Json] = {}
    for level in _levels(night):
        agents.update(_train_level(flow, night, level, snapshots))
    after_training = flow.now()
    phases = {
        "harvesting": Phase.between(started, after_harvest, _failed_of(harvested), harvested, _stale_of(harvested)),
        "validation": Phase.between(after_harvest, after_validation, _failed_of(snapshots), snapshots),
        "training": Phase.between(after_validation, after_training, _failed_of(agents), agents),
        "production": Phase(status="skipped", seconds=0.0, details={"reason": "no production run is configured"}),
    }
    report = flow.step("report", _report, night, flow.run_id, started, phases, agents)
    after_report = flow.now()
    cleaned = flow.step("clean up", _clean_up, night, flow.run_id)
    phases["monitoring"] = Phase.between(after_training, after_report, [], {"report": report})
    phases["cleanup"] = Phase.between(after_report, flow.now(), [], cleaned)
    return flow.step("result", _result, night, flow.run_id, started, phases, agents, report)


def _categories(night: Nightly) -> list[str]:
    return list(dict.fromkeys(str(agent.data) for agent in night.config.agents.values()))


def _levels(night: Nightly) -> list[list[str]]:
    """Return the agents in groups, each of which needs only earlier groups."""
    sorter = TopologicalSorter({name: agent.after for name, agent in night.config.agents.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigError(f"agents: after goes round in a circle: {' -> '.join(error.args[1])}") from error
    levels = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        levels.append(ready)
        sorter.done(*ready)
    return levels


def _failed_of(parts: Mapping[str, Json]) -> list[str]:
    return [name for name, part in parts.items() if part.get("error")]


def _stale_of(harvested: Mapping[str, Json]) -> list[str]:
    return [name for name, category in harvested.items() if category.get("stale")]


def _safely(work: Callable[[], Json]) -> Json:
    """Return what `work` answers, or why it never will: one agent must not stop the others."""
    try:
        return work()
    except (UserMistake, PermanentError) as error:
        return {"error": one_line(error)}


def _begin(night: Nightly, flow_id: int) -> None:
    """Make sure that only one nightly training is under way, and remove what ended ones have left behind."""
    with night.database.read() as connection:
        others = [run for run in runs.unfinished(connection, task_id=TASK) if run.run_id != flow_id]
        folders = [path for path in (night.state_dir / "work").glob("*") if path.name.isdigit()]
        ended = {path: runs.get(connection, int(path.name)) for path in folders}
    for other in others:
        # A flow that waits for its trainings holds no slot of its task, so that the engine starts a second one.
        if other.started_us is not None:
            raise InvalidTransition(f"run {other.run_id} of task {TASK!r} is under way: wait for it, or cancel it")
    for path, run in ended.items():
        if run is None or run.state.final:
            shutil.rmtree(path, ignore_errors=True)


def _harvest(night: Nightly, category: str) -> Json:
    """Harvest a category; what is wrong with it as a whole costs the others nothing."""

    def work() -> Json:
        harvest = night.harvest(category)
        found = harvest.to_json()
        if harvest.snapshot is None:
            reasons = "; ".join(f"{visit.source}: {visit.error}" for visit in harvest.visits)
            return {**found, "error": f"no source gave anything: {reasons}"}
        if not harvest.snapshot.statistics["meets_minimum"]:
            [reason] = remarks(harvest.snapshot.statistics)
            return {**found, "error": reason}
        return found

    return _safely(work)


def _validate(night: Nightly, name: str, harvested: Mapping[str, Json]) -> Json:
    agent = night.config.agents[name]
    assert agent.data is not None and agent.target is not None and agent.scale is not None

    target, scale, category = agent.target, agent.scale, harvested[agent.data]
    if category.get("error"):
        return {"error": f"category {agent.data!r}: {category['error']}"}

    def work() -> Json:
        records = [flat(record) for record in records_of(night.blobs.get(category["snapshot"]))]
        columns = sorted({column for record in records for column in record})
        for key, column in (("target", target), *(("inputs", column) for column in agent.inputs)):
            if column not in columns:
                raise ConfigError(
                    f"agents.{name}.{key}: category {agent.data!r} has no column {column!r} "
                    f"(columns: {', '.join(columns)})"
                )
        checked = validate(records, target=target, scale=scale)
        if not checked.kept:
            why = ", ".join(f"{count} {reason}" for reason, count in checked.counts.items())
            raise PermanentError(f"no record of category {agent.data!r} can be learnt from: {why}")
        # No more than the agent may see: what else is harvested does not make another snapshot.
        seen = ("id", target, *agent.inputs)
        kept = [{column: record.get(column) for column in seen} for record in checked.kept]
        split = choose_held_out([record["id"] for record in checked.kept], share=HELD_OUT, minimum=FEWEST_HELD_OUT)
        return {
            "snapshot": night.blobs.put(canonical(kept)),
            "kept": len(checked.kept),
            "set_aside": checked.counts,
            "held_out_below": split.threshold,
        }

    return _safely(work)


def _train_level(flow: Flow, night: Nightly, level: list[str], snapshots: Mapping[str, Json]) -> dict[str, Json]:
    """Train agents that do not need each other at the same time, then judge each."""
    ready = {name: flow.step(f"prepare {name}", _prepare, night, flow.run_id, name, snapshots) for name in level}
    started = {
        name: flow.start(training_task(name), prepared["args"])
        for name, prepared in ready.items()
        if not prepared.get("error")
    }
    ended = dict(zip(started, flow.wait(*started.values()) if started else [], strict=True))
    results = dict(ready)
    for name, end in ended.items():
        results[name] = flow.step(f"judge {name}", _judge, night, name, ready[name], end)
    return results


def _prepare(night: Nightly, flow_id: int, name: str, snapshots: Mapping[str, Json]) -> Json:
    """Lay out what a training reads, as files; return its arguments, and what the judge has to know."""
    if snapshots[name].get("error"):
        return {"error": snapshots[name]["error"]}

    def work() -> Json:
        agent = night.config.agents[name]
        folder = night.state_dir / "work" / str(flow_id) / name
        # An earlier attempt may have laid out another champion.
        shutil.rmtree(folder, ignore_errors=True)
        parents = {parent: _serving(night, parent) for parent in agent.after}
        for parent, version in parents.items():
            if version is None:
                return {"error": f"agent {parent!r}, which it comes after, has no version that serves"}
            night.blobs.fetch_folder(version.manifest, folder / "parents" / parent)
        champion, note = _champion(night, name, folder / "champion")
        held_out_below = _held_out_below(night, name, snapshots)
        clean_below = min([held_out_below, *(_clean_below(version) for version in parents.values())])
        replace_file(folder / "snapshot.jsonl", night.blobs.get(snapshots[name]["snapshot"]))
        args = {
            "agent": _spec(name, agent),
            "snapshot": str(folder / "snapshot.jsonl"),
            "work": str(folder),
            "champion": None if champion is None else champion["args"],
            "parents": {parent: str(folder / "parents" / parent) for parent in parents},
            "seed": SEED,
            "held_out_below": held_out_below,
            "measured_below": clean_below if champion is None else min(clean_below, champion["clean_below"]),
        }
        return {"args": args, "snapshot": snapshots[name]["snapshot"], "clean_below": clean_below, "note": note}

    return _safely(work)


def _held_out_below(night: Nightly, name: str, snapshots: Mapping[str, Json]) -> float:
    """Return the hash below which the agent's items are held out: for itself, and for all that build on it.

    An agent with fewer records holds out a larger share of them; what it is measured on must be new to its parents too.
    """
    children = [child for child, agent in night.config.agents.items() if name in agent.after]
    own = snapshots[name].get("held_out_below", HELD_OUT)
    return max([float(own), *(_held_out_below(night, child, snapshots) for child in children)])


def _clean_below(version: Version | None) -> float:
    """Return the hash below which items are new to a version and to all that it was built on."""
    assert version is not None
    return float(version.metrics["clean_below"])


def _spec(name: str, agent: AgentSettings) -> Json:
    return {
        "name": name,
        "class_": agent.class_,
        "target": agent.target,
        "scale": list(agent.scale or ()),
        "inputs": list(agent.inputs),
    }


def _serving(night: Nightly, model: str) -> Version | None:
    with night.database.read() as connection:
        return store.serving(connection, model)


def _champion(night: Nightly, name: str, folder: Path) -> tuple[Json | None, str | None]:
    """Lay out the champion; where its answers cannot be compared with the candidate's, say why."""
    champion = _serving(night, name)
    if champion is None:
        return None, None
    wanted = _spec(name, night.config.agents[name])
    if any(champion.signature[part] != wanted[part] for part in OUTPUT):
        was, scale = champion.signature["target"], champion.signature["scale"]
        return None, f"champion {champion.number} predicts {was!r} on the scale {scale}, which cannot be compared"
    night.blobs.fetch_folder(champion.manifest, folder)
    args = {"folder": str(folder), "number": champion.number, "agent": {"name": name, **champion.signature}}
    return {"args": args, "clean_below": _clean_below(champion)}, None


def _judge(night: Nightly, name: str, ready: Json, ended: Ended) -> Json:
    """Compare the candidate with the champion, or the naive baseline where there is none, and register the version."""
    if ended.state is not State.COMPLETED:
        error = ended.error
        return {"error": "ended without a reason" if error is None else error.message, "run": ended.run_id}

    def work() -> Json:
        with night.database.read() as connection:
            version = store.of_run(connection, ended.run_id)
            run = runs.get(connection, ended.run_id)
        assert run is not None, "its outcome was just read"
        version = version or _register(night, name, ready, ended)
        champion = _serving(night, name)
        return {
            "run": ended.run_id,
            "version": version.number,
            "serving": None if champion is None else champion.number,
            "serves": version.verdict["decision"] == Decision.ACCEPT,
            "verdict": dict(version.verdict),
            "time_ms": run.active_us / 1000,
            "note": ready["note"] or ended.result["champion_unusable"],
            **ended.result,
        }

    return {"run": ended.run_id, **_safely(work)}


def _register(night: Nightly, name: str, ready: Json, ended: Ended) -> Version:
    folder = Path(ready["args"]["work"])
    scores = read_scores(folder)
    against = "champion" if "champion" in scores else "baseline"
    verdict = judge(scores["candidate"]["scores"], scores[against]["scores"], alpha=night.config.gate.alpha)
    candidate = Candidate(
        model=name,
        run_id=ended.run_id,
        snapshot_id=ready["snapshot"],
        manifest=night.blobs.put_folder(folder / MODEL),
        signature={key: value for key, value in ready["args"]["agent"].items() if key != "name"},
        metrics={
            **ended.result,
            "scores": night.blobs.put((folder / SCORES).read_bytes()),
            "clean_below": ready["clean_below"],
        },
        verdict={**asdict(verdict), "against": against},
    )
    accepted = verdict.decision is Decision.ACCEPT
    why = f"{verdict.decision} against the {against}"
    return night.database.writer.do(lambda tx: store.register(tx, candidate, serve=accepted, why=why))


def _report(
    night: Nightly, flow_id: int, started: datetime, phases: Mapping[str, Phase], agents: Mapping[str, Json]
) -> str:
    """Write the report of the phases so far and return its path."""
    report = night.state_dir / "logs" / f"daily_report_{started.date().isoformat()}.txt"
    result = result_of(flow_id, started, phases, agents)
    replace_file(report, daily_report(result, night.config.project.name or night.config.project_dir.name))
    return str(report)


def _clean_up(night: Nightly, flow_id: int) -> Json:
    """Remove the folders that the trainings worked in; what lasts is in the blobs."""
    shutil.rmtree(night.state_dir / "work" / str(flow_id), ignore_errors=True)
    return {"removed": ["work"]}


def _result(  # noqa: PLR0917  # the parts of one value
    night: Nightly,
    flow_id: int,
    started: datetime,
    phases: Mapping[str, Phase],
    agents: Mapping[str, Json],
    report: str,
) -> Json:
    """Write the result for other programs and return it."""
    result = {**result_of(flow_id, started, phases, agents), "report": report}
    write_json(night.state_dir / "holistic_training_result.json", result)
    return result
