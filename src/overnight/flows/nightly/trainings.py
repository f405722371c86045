"""The third phase: each agent is trained by a run of its own, judged here, and registered as a version."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from random import Random

import psutil

from overnight.base.files import replace_file, write_json
from overnight.base.fleet_settings import AgentSettings
from overnight.base.ids import RunId
from overnight.engine import store as runs
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import State
from overnight.fleet import roster
from overnight.flows.nightly.night import Json, Nightly, safely, training_task
from overnight.proof.gate import Decision
from overnight.proof.metrics import judge_answers, metric_named
from overnight.registry import store
from overnight.registry.store import Candidate
from overnight.registry.versions import OUTPUT, Version
from overnight.reports.nightly import agent_line
from overnight.training.job import ANSWERS, HELD_OUT, SNAPSHOT, VERSION, read_answers

SEED = 0
"""Trainings have no chance in them but this: the same snapshot gives the same version."""


def train_all(flow: Flow, night: Nightly, agents: Mapping[str, AgentSettings], laid_out: Json, until: datetime) -> Json:
    """Train the agents, those that do not need each other at the same time as far as memory goes; then judge each."""
    results: Json = {}
    free_gb = flow.step("memory", _free_gb)
    for level in roster.levels(_among(agents)):
        needs = {name: agents[name].memory_gb for name in level}
        for batch in roster.batches(level, needs, free_gb):
            results.update(_train_batch(flow, night, batch, laid_out, until))
    return results


def _among(agents: Mapping[str, AgentSettings]) -> dict[str, AgentSettings]:
    """Return the agents with no more parents than are trained tonight."""
    return {
        name: replace(agent, after=tuple(parent for parent in agent.after if parent in agents))
        for name, agent in agents.items()
    }


def _free_gb() -> float:
    return float(psutil.virtual_memory().available) / 1e9


def _train_batch(flow: Flow, night: Nightly, batch: Sequence[str], laid_out: Json, until: datetime) -> Json:
    ready = {name: flow.step(f"prepare {name}", _prepare, night, flow.run_id, name, laid_out) for name in batch}
    if flow.now() >= until:
        return {name: {"error": _over(night)} for name in batch}
    started = {name: flow.start(training_task(name), one["args"]) for name, one in ready.items() if "args" in one}
    ended, late = _see_through(flow, list(started.values()), until)
    results = dict(ready)
    for name, end in zip(started, ended, strict=True):
        results[name] = flow.step(f"judge {name}", _judge, night, name, ready[name], end, end.run_id in late)
    return results


def _see_through(flow: Flow, run_ids: Sequence[RunId], until: datetime) -> tuple[list[Ended], list[RunId]]:
    """Wait for the trainings and return how they ended; those that have not when the night is over are stopped."""
    if not run_ids:
        return [], []
    ended = flow.wait(*run_ids, until=until)
    late = [one.run_id for one in ended if not one.state.final]
    for run_id in late:
        flow.cancel(run_id)
    return flow.wait(*run_ids) if late else ended, late


def _prepare(night: Nightly, flow_id: int, name: str, laid_out: Mapping[str, Json]) -> Json:
    """Lay out what a training reads, as files; return its arguments, and what the judge has to know."""
    if "snapshot" not in laid_out[name]:
        return {key: value for key, value in laid_out[name].items() if key in ("error", "skipped")}

    def work() -> Json:
        agent = night.agents[name]
        folder = night.work(flow_id) / name
        # An earlier attempt may have laid out another champion.
        shutil.rmtree(folder, ignore_errors=True)
        parents = {parent: version for parent in agent.after if (version := _kept(night, parent)) is not None}
        for parent in agent.inputs:
            if parent in agent.after and parent not in parents:
                return {"error": f"agent {parent!r}, whose predictions it learns from, has no version that serves"}
        for parent, version in parents.items():
            night.blobs.fetch_folder(version.manifest, folder / "parents" / parent)
        champion, note = _champion(night, name, folder / "champion")
        replace_file(folder / SNAPSHOT, night.blobs.get(laid_out[name]["snapshot"]))
        write_json(folder / HELD_OUT, _held_out(night, name, laid_out))
        args = {
            "agent": spec_of(name, agent),
            "work": str(folder),
            "champion": champion,
            "parents": {parent: str(folder / "parents" / parent) for parent in parents},
            "seed": SEED,
        }
        return {"args": args, "snapshot": laid_out[name]["snapshot"], "note": note}

    return safely(work)


def _held_out(night: Nightly, name: str, laid_out: Mapping[str, Json]) -> list[str]:
    """Return the ids that the agent may not learn from: those held out for itself, and for all that build on it."""
    agents = [name, *roster.descendants(night.agents, name)]
    return sorted({item for one in agents for item in laid_out.get(one, {}).get("held_out", ())})


def spec_of(name: str, agent: AgentSettings) -> Json:
    """Return the fields of the agent's `AgentSpec`."""
    return {
        "name": name,
        "class_": agent.class_,
        "target": agent.target,
        "scale": None if agent.scale is None else list(agent.scale),
        "inputs": list(agent.inputs),
        "uses": [column for column in agent.inputs if column in agent.after],
        "group": agent.group,
        "metric": agent.metric,
        "best": agent.best,
        "records": agent.records,
        "settings": dict(agent.settings),
    }


def _serving(night: Nightly, model: str) -> Version | None:
    with night.database.read() as connection:
        return store.serving(connection, model)


def _kept(night: Nightly, model: str) -> Version | None:
    """Return the version that serves, where its state was kept."""
    version = _serving(night, model)
    return version if version is not None and version.manifest else None


def _champion(night: Nightly, name: str, folder: Path) -> tuple[Json | None, str | None]:
    """Lay out the champion; where its answers cannot be compared with the candidate's, say why."""
    champion = _serving(night, name)
    if champion is None:
        return None, None
    if not champion.manifest:
        return None, f"the state of champion {champion.number} was not kept"
    wanted = spec_of(name, night.agents[name])
    if any(champion.signature[part] != wanted[part] for part in OUTPUT):
        was, scale = champion.signature["target"], champion.signature["scale"]
        return None, f"champion {champion.number} predicts {was!r} on the scale {scale}, which cannot be compared"
    night.blobs.fetch_folder(champion.manifest, folder)
    return {"folder": str(folder), "number": champion.number}, None


def _judge(night: Nightly, name: str, ready: Json, ended: Ended, late: bool) -> Json:
    """Compare the candidate with the champion, or the naive baseline where there is none, and register the version."""
    if ended.state is not State.COMPLETED:
        error = "ended without a reason" if ended.error is None else ended.error.message
        return {"error": f"stopped: {_over(night)}" if late else error, "run": ended.run_id}

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
            "serves": serves(dict(version.verdict)),
            "verdict": dict(version.verdict),
            "time_ms": run.active_us / 1000,
            "peak_memory_gb": run.usage.peak_memory_gb,
            "note": ready["note"] or ended.result["champion_unusable"],
            **ended.result,
        }

    return {"run": ended.run_id, **safely(work)}


def _over(night: Nightly) -> str:
    return f"the nightly training took longer than nightly.timeout_s = {night.config.nightly.timeout_s:g}"


def serves(verdict: Json) -> bool:
    """Tell whether the version may serve: the gate accepted it, or there was nothing that it could be compared with."""
    return verdict["decision"] in (Decision.ACCEPT, None)


def _register(night: Nightly, name: str, ready: Json, ended: Ended) -> Version:
    folder = Path(ready["args"]["work"])
    verdict = _verdict(night, folder, ended.result)
    candidate = Candidate(
        model=name,
        run_id=ended.run_id,
        snapshot_id=ready["snapshot"],
        manifest=night.blobs.put_folder(folder / VERSION) if ended.result["kept"] == "saved" else {},
        signature={key: value for key, value in ready["args"]["agent"].items() if key != "name"},
        metrics={
            **ended.result,
            "answers": night.blobs.put((folder / ANSWERS).read_bytes()) if ended.result["metric"] else None,
            "line": agent_line({**ended.result, "verdict": verdict, "serves": serves(verdict)}),
        },
        verdict=verdict,
    )
    why = f"{verdict['decision'] or 'not compared'} against {verdict['against'] or 'nothing'}"
    return night.database.writer.do(lambda tx: store.register(tx, candidate, serve=serves(verdict), why=why))


def _verdict(night: Nightly, folder: Path, result: Json) -> Json:
    """Return the gate's verdict and what was compared with; decision None where nothing can be compared."""
    if result["metric"] is None:
        return _no_verdict("not measured: the agent has no evaluate(items), and no target that it predicts")
    found = read_answers(folder)
    answers = found["answers"]
    against = next((rival for rival in ("champion", "baseline") if rival in answers), None)
    if against is None:
        return _no_verdict("the first version, and nothing that its own score can be compared with")
    verdict = judge_answers(
        metric_named(found["metric"]),
        found["truths"],
        answers["candidate"],
        answers[against],
        groups=found["groups"],
        alpha=night.config.gate.alpha,
        random=Random(SEED),  # noqa: S311 - not a secret
    )
    return {**asdict(verdict), "against": against}


def _no_verdict(reason: str) -> Json:
    nothing = dict.fromkeys(("decision", "difference", "lower", "upper", "n", "method", "against", "more_items"))
    return {**nothing, "reason": reason}
