"""The third phase: each agent is trained by a run of its own, judged here, and registered as a version."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from overnight.base.errors import NotMeasured, UserMistake, one_line
from overnight.base.files import replace_file, write_json
from overnight.base.fleet_settings import AgentSettings
from overnight.base.ids import RunId
from overnight.base.learning import TASKS
from overnight.engine import store as runs
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import State
from overnight.fleet import roster
from overnight.flows.nightly.night import Json, Nightly, Wish, safely, training_task
from overnight.learning.choosing import choose
from overnight.learning.transfer import transferred
from overnight.proof.evidence import Evidence
from overnight.proof.forms import Form, GateSpec, of_scores
from overnight.proof.gate import Decision, Verdict
from overnight.registry import store, verdicts
from overnight.registry.store import Candidate
from overnight.registry.versions import OUTPUT, Version
from overnight.reports.nightly import BASELINE, BEST, CHAMPION, RIVALS, agent_line
from overnight.training.job import ANSWERS, HELD_OUT, SNAPSHOT, VERSION, read_answers
from overnight.training.tuning import ledger

SEED = 0
"""Trainings have no chance in them but this: the same snapshot gives the same version."""


def train_all(flow: Flow, night: Nightly, wish: Wish, laid_out: Json, until: datetime) -> Json:
    """Train the agents, those that do not need each other at the same time; then judge each.

    Each reserves its memory: who does not fit beside the others, and what else runs here, waits.
    """
    results: Json = {}
    for level in roster.levels(_among(wish.chosen(night))):
        results.update(_train_level(flow, night, level, laid_out, until, wish.strategy))
    return results


def _among(agents: Mapping[str, AgentSettings]) -> dict[str, AgentSettings]:
    """Return the agents with no more parents than are trained tonight."""
    return {
        name: replace(agent, after=tuple(parent for parent in agent.after if parent in agents))
        for name, agent in agents.items()
    }


def _train_level(  # noqa: PLR0917  # the parts of a night
    flow: Flow, night: Nightly, level: Sequence[str], laid_out: Json, until: datetime, strategy: str | None
) -> Json:
    ready = {
        name: flow.step(f"prepare {name}", _prepare, night, flow.run_id, name, laid_out, strategy) for name in level
    }
    if flow.now() >= until:
        return {name: {"error": _over(night)} for name in level}
    started = {name: flow.start(training_task(name), one["args"]) for name, one in ready.items() if "args" in one}
    ended, late = _see_through(flow, list(started.values()), until)
    results = dict(ready)
    for name, end in zip(started, ended, strict=True):
        results[name] = flow.step(f"judge {name}", judge, night, name, ready[name], end, end.run_id in late)
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


def _prepare(night: Nightly, flow_id: int, name: str, laid_out: Mapping[str, Json], strategy: str | None) -> Json:
    """Lay out what a training reads, as files; return its arguments, and what the judge has to know."""
    if "snapshot" not in laid_out[name]:
        return {key: value for key, value in laid_out[name].items() if key in ("error", "skipped")}

    def work() -> Json:
        folder = night.work(flow_id) / name
        snapshot = laid_out[name]["snapshot"]
        by, settings = (None, None) if strategy is None else _by_strategy(night, name, strategy)
        ready = lay_out(
            night,
            name,
            folder,
            snapshot,
            records=night.blobs.get(snapshot),
            held_out=_held_out(night, name, laid_out),
            settings=settings,
        )
        return {**ready, "args": {**ready["args"], "strategy": by}} if by and "args" in ready else ready

    return safely(work)


def _by_strategy(night: Nightly, name: str, strategy: str) -> tuple[Json, Json]:
    """Return a strategy as it is recorded, and the settings that an agent is trained with by it."""
    settings = settings_of(night, name)
    with night.database.read() as connection:
        chosen = choose(connection, night.config.learning, f"{TASKS}{training_task(name)}", strategy)
    found = transferred(chosen.way.training, settings)
    return {"name": chosen.name, "why": chosen.why, "unused": list(found.unused)}, {**settings, **found.settings}


def lay_out(
    night: Nightly,
    name: str,
    folder: Path,
    snapshot: str,
    *,
    records: bytes,
    held_out: Sequence[str],
    settings: Mapping[str, Any] | None = None,
) -> Json:
    """Lay out what a training reads in a folder; return its arguments, and what the judge has to know.

    `records` are those of the snapshot, or some of them, `settings` the agent's; None: those that hold at present.
    """
    agent = night.agents[name]
    # An earlier attempt may have laid out another champion.
    shutil.rmtree(folder, ignore_errors=True)
    parents, missing = fetch_parents(night, name, folder)
    if missing is not None:
        return {"error": f"agent {missing!r}, whose predictions it learns from, has no version that serves"}
    rivals, meant, note = _rivals(night, name, folder)
    replace_file(folder / SNAPSHOT, records)
    write_json(folder / HELD_OUT, list(held_out))
    args = {
        "agent": {**spec_of(name, agent), "settings": settings_of(night, name) if settings is None else dict(settings)},
        "work": str(folder),
        **rivals,
        "parents": parents,
        "seed": SEED,
    }
    return {"args": args, "snapshot": snapshot, "note": note, "meant": meant, "code": dict(night.registry.code())}


def fetch_parents(night: Nightly, name: str, folder: Path) -> tuple[dict[str, str], str | None]:
    """Write the serving versions of the agents that this one comes after below the folder, and return where each is.

    Tell also which of them has none, of those whose predictions are among the inputs.
    """
    agent = night.agents[name]
    versions = {parent: version for parent in agent.after if (version := _kept(night, parent)) is not None}
    missing = next((one for one in agent.inputs if one in agent.after and one not in versions), None)
    if missing is None:
        for parent, version in versions.items():
            night.registry.fetch(version, folder / "parents" / parent)
    return {parent: str(folder / "parents" / parent) for parent in versions}, missing


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


def settings_of(night: Nightly, name: str) -> Json:
    """Return the settings that the agent is trained with at present: those of its table, and what was tuned of them."""
    agent = night.agents[name]
    with night.database.read() as connection:
        return {**agent.settings, **ledger.tuned(connection, spec_of(name, agent))}


def _serving(night: Nightly, model: str) -> Version | None:
    with night.database.read() as connection:
        return store.serving(connection, model)


def _kept(night: Nightly, model: str) -> Version | None:
    """Return the version that serves, where its state was kept."""
    version = _serving(night, model)
    return version if version is not None and version.manifest else None


def _rivals(night: Nightly, name: str, folder: Path) -> tuple[Json, str, str | None]:
    """Lay out the champion, and the best version so far where the gate compares with another one than the champion.

    Tell also which of them the gate is meant to compare with, and, where the answers of either cannot be compared with
    the candidate's, why.
    """
    with night.database.read() as connection:
        champion = store.serving(connection, name)
        rival = verdicts.rival(connection, name, verdicts.spec_of(night.config.gate))
    best = None if champion is None or rival is None or rival.number == champion.number else rival
    found, notes = {}, []
    for who, version in ((CHAMPION, champion), (BEST, best)):
        found[who], note = _laid_out(night, name, who, version, folder / who)
        notes.append(note)
    return found, CHAMPION if best is None else BEST, notes[0] or notes[1]


def _laid_out(
    night: Nightly, name: str, who: str, version: Version | None, folder: Path
) -> tuple[Json | None, str | None]:
    if version is None:
        return None, None
    called = f"{RIVALS[who]} {version.number}"
    if not version.manifest or version.removed_us is not None:
        return None, f"the state of {called} was not kept"
    wanted = spec_of(name, night.agents[name])
    if any(version.signature[part] != wanted[part] for part in OUTPUT):
        was, scale = version.signature["target"], version.signature["scale"]
        return None, f"{called} predicts {was!r} on the scale {scale}, which cannot be compared"
    night.registry.fetch(version, folder)
    return {"folder": str(folder), "number": version.number}, None


def judge(night: Nightly, name: str, ready: Json, ended: Ended, late: bool) -> Json:
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
            "note": ready["note"] or ended.result["unusable"],
            **ended.result,
        }

    return {"run": ended.run_id, **safely(work)}


def _over(night: Nightly) -> str:
    return f"the nightly training took longer than nightly.timeout_s = {night.config.nightly.timeout_s:g}"


def serves(verdict: Json) -> bool:
    """Tell whether the version may serve: the gate accepted it, or there was nothing that it could be compared with."""
    return verdict["decision"] == Decision.ACCEPT or verdict["against"] is None


def _register(night: Nightly, name: str, ready: Json, ended: Ended) -> Version:
    folder = Path(ready["args"]["work"])
    asked = verdicts.spec_of(night.config.gate)
    verdict = _verdict(replace(asked, alpha=ready.get("alpha", asked.alpha)), ready, ended.result)
    candidate = Candidate(
        model=name,
        run_id=ended.run_id,
        snapshot_id=ready["snapshot"],
        manifest=night.registry.put(folder / VERSION) if ended.result["kept"] == "saved" else {},
        signature={key: value for key, value in ready["args"]["agent"].items() if key != "name"},
        metrics={
            **ended.result,
            "answers": night.blobs.put((folder / ANSWERS).read_bytes()) if ended.result["metric"] else None,
            "line": agent_line({**ended.result, "verdict": verdict, "serves": serves(verdict)}),
        },
        verdict=verdict,
        code=ready.get("code", {}),
    )
    why = f"{verdict['decision'] or 'not compared'} against {verdict['against'] or 'nothing'}"
    return night.database.writer.do(lambda tx: night.registry.register(tx, candidate, serve=serves(verdict), why=why))


def _verdict(spec: GateSpec, ready: Json, result: Json) -> Json:
    """Return the gate's verdict and what was compared with; decision None where nothing can be compared."""
    if result["metric"] is None:
        return _no_verdict("not measured: the agent has no evaluate(items), and no target that it predicts")
    found = read_answers(Path(ready["args"]["work"]))
    answers = found["answers"]
    against = next((rival for rival in RIVALS if rival in answers), None)
    if against is None:
        return _no_verdict("the first version, and nothing that its own score can be compared with")
    evidence = Evidence(
        metric=found["metric"],
        title=result["metric_title"],
        ids=found["ids"],
        candidate=answers["candidate"],
        against=answers[against],
        truths=found["truths"],
        groups=found["groups"],
    )
    # Against anything but what was meant (no version, or none that still can be compared) it has to be better.
    spec = _of_scores(spec if against == ready["meant"] else _plain(spec), evidence, result["best"])
    try:
        verdict = _judged(evidence, spec)
        # What a minimum gain requires is subtracted from its figures; a report shows the gain itself.
        gain = verdict if spec.form is not Form.MINIMUM_GAIN else _judged(evidence, _plain(spec))
    except (NotMeasured, UserMistake) as error:
        return _no_verdict(f"not compared with the {RIVALS[against]}: {one_line(error)}", against)
    number = None if against == BASELINE else ready["args"][against]["number"]
    shown = {"against": against, "against_version": number, "gain": [gain.difference, gain.lower, gain.upper]}
    return {**asdict(verdict), **shown}


def _of_scores(spec: GateSpec, evidence: Evidence, best: float | None) -> GateSpec:
    scored = evidence.metric == "score"
    return of_scores(spec, best, [*evidence.candidate, *evidence.against]) if scored else spec


def _plain(spec: GateSpec) -> GateSpec:
    return replace(spec, form=Form.SUPERIORITY)


def _judged(evidence: Evidence, spec: GateSpec) -> Verdict:
    return evidence.judged(spec, Random(SEED))  # noqa: S311 - not a secret


def _no_verdict(reason: str, against: str | None = None) -> Json:
    nothing = dict.fromkeys(("decision", "difference", "lower", "upper", "n", "method", "more_items", "gain"))
    return {**nothing, "against": against, "against_version": None, "reason": reason}
