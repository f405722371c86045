"""Campaigns of a project: begun, looked at, stopped and exported from any process."""

import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from overnight.app import launch
from overnight.app.campaign_plans import settings_of
from overnight.app.project import Project
from overnight.base.campaigns import CAMPAIGN
from overnight.base.errors import InvalidTransition, UnknownName, UserMistake
from overnight.base.files import to_json
from overnight.base.ids import RunId
from overnight.base.instants import iso
from overnight.base.learning import CAMPAIGNS
from overnight.base.settings import PREFIX, environment, user
from overnight.campaigns import following, ledger, record
from overnight.campaigns.phases import Phase
from overnight.campaigns.record import Stand
from overnight.db.writer import Tx
from overnight.engine import store
from overnight.engine.model import Run, State
from overnight.engine.submit import Request, submit
from overnight.flows.campaign.strategy import by_strategy
from overnight.learning.choosing import choose

Json = dict[str, Any]


def name_of(project: Project, name: str | None) -> str:
    """Return the name of the campaign that is meant.

    Raises:
        UserMistake: none is named, and there are several.
    """
    known = project.campaign_names()
    if name is not None:
        return name
    if len(known) > 1:
        raise UserMistake(f"which campaign? There are {', '.join(known)}")
    return known[0]


def begin(project: Project, name: str, wish: Mapping[str, Any]) -> tuple[RunId, bool]:
    """Ask for a run of the campaign, or return the one that has not ended; and whether there was one already.

    `strategy` of the wish is the name of one of strategy learning, or "learned": whichever executes this campaign.

    Raises:
        UnknownName, ConfigError, UserMistake: there is no such campaign, or its settings do not go together.
    """
    settings, strategy = dict(wish.get("settings") or {}), wish.get("strategy")
    project.campaigns.plan(name, settings)
    if isinstance(strategy, str):
        with project.database.read() as connection:
            chosen = choose(connection, project.config.learning, f"{CAMPAIGNS}{name}", strategy)
        wish = {**wish, "strategy": chosen.to_args()}
    args = to_json({"name": name, "by": user(), **wish}, what="what the campaign is asked for")

    def change(tx: Tx) -> tuple[RunId, bool]:
        campaign_id = ledger.campaign_of(tx, name)
        stand = record.find(tx.connection, name)
        under_way = None if stand is None or stand.run_id is None else store.get(tx.connection, RunId(stand.run_id))
        if under_way is not None and not under_way.state.final:
            return under_way.run_id, True
        tx.news = True
        [run_id] = submit(tx, [Request(task_id=CAMPAIGN, args=args)])
        record.begin(tx, campaign_id, run_id)
        return RunId(run_id), False

    return project.database.writer.do(change)


def _stand(project: Project, name: str) -> Stand | None:
    with project.database.read() as connection:
        return record.find(connection, name)


def _run_of(project: Project, stand: Stand | None) -> Run | None:
    if stand is None or stand.run_id is None:
        return None
    with contextlib.suppress(UnknownName):
        return project.get(stand.run_id)
    return None


def _phase(stand: Stand | None, run: Run | None) -> str | None:
    """Return the phase. A run that has ended from outside, or by a mistake, could not note how: its state tells."""
    # What follows a campaign may fail too: its samples are there all the same.
    complete = stand is not None and stand.phase is Phase.CAMPAIGN_COMPLETE
    if run is not None and run.state is State.FAILED and not complete:
        return str(Phase.LAUNCH_FAILED)
    if stand is None or stand.phase is None:
        return None
    cut_off = run is not None and run.state.final and not stand.phase.ended
    return str(Phase.STOPPED if cut_off else stand.phase)


def _wish_of(run: Run | None) -> Json:
    """Return what a run was asked for, but for the campaign and by whom."""
    wish: Json = {} if run is None else json.loads(run.args or "{}")
    return {key: value for key, value in wish.items() if key not in ("name", "by")}


def status(project: Project, name: str) -> Json:
    """Return where a campaign stands: `phase` (None before it was begun), its figures by domain, verdict and launches.

    `strategy` is the one by which its language models are asked. Of one whose generator is external, `followed` holds
    what its log has told, and figures that it has not are None.

    Raises:
        UnknownName: there is no such campaign.
    """
    stand = _stand(project, name)
    run = _run_of(project, stand)
    wish = _wish_of(run)
    plan, specification, _ = project.campaigns.plan(name, wish.get("settings") or {})
    _, strategy = by_strategy(plan, wish.get("strategy"))
    domains = {one.name: {"target": one.target, "judged": 0, "accepted": 0} for one in plan.domains}
    found: Json = {
        "campaign": name,
        "phase": _phase(stand, run),
        "run": None if run is None else {"run_id": run.run_id, "state": str(run.state)},
        "stopping": stand is not None and stand.stopping and run is not None and not run.state.final,
        "reason": None,
        "strategy": strategy,
        "target": plan.target,
        "judged": 0,
        "accepted": 0,
        "skeletons": 0,
        "domains": domains,
        "gate": specification.to_dict(),
        "verdict": None,
        "launches": [],
        "then": {},
        "folder": plan.folder,
        "followed": None,
    }
    if stand is None:
        return found
    if run is not None:
        result = json.loads(run.result or "{}")
        found["reason"] = run.error.message if run.error is not None else result.get("reason")
        found["then"] = result.get("then") or {}
    with project.database.read() as connection:
        for one in ledger.counts(connection, stand.campaign_id):
            figures = domains.setdefault(one.domain, {"target": 0, "judged": 0, "accepted": 0})
            figures["judged"] += one.judged
            figures["accepted"] += one.accepted
        found["skeletons"] = ledger.skeletons(connection, stand.campaign_id)
        found["verdict"] = record.verdict_of(connection, stand.campaign_id)
        launches = record.launches_of(connection, stand.campaign_id)
    found["launches"] = [{**asdict(one), "at": iso(one.at_us)} for one in launches]
    if plan.external is not None:
        return {**found, **_followed(Path(plan.folder))}
    for key in ("judged", "accepted"):
        found[key] = sum(figures[key] for figures in domains.values())
    return found


def _followed(folder: Path) -> Json:
    """Return the figures of a campaign whose generator is external, of the phase that was followed last."""
    last = following.newest(folder)
    if last is None:
        return {"skeletons": None}
    phase, kept = last
    counts = kept.counts
    domains = {
        name: {"target": one.total, "made": one.done, "accepted": one.accepted, "rejected": one.rejected}
        for name, one in counts.domains.items()
        if name
    }
    told = {"phase": phase, "made": counts.done, "total": kept.about["total"], "rejected": counts.rejected}
    return {
        "judged": counts.judged,
        "accepted": counts.accepted,
        "skeletons": None,
        "domains": {},
        "followed": {**told, "accepted": counts.accepted, "quality": counts.quality, "domains": domains},
    }


def stop(project: Project, name: str) -> str:
    """Have a campaign stopped and say in one line what becomes of it; what was made is kept.

    Raises:
        UnknownName: it was never begun.
        InvalidTransition: nobody works on it.
    """
    stand = _stand(project, name)
    if stand is None:
        raise UnknownName(f"campaign {name!r} was never begun")
    run = _run_of(project, stand)
    if run is None or run.state.final:
        raise InvalidTransition(f"campaign {name!r} is not running: {_phase(stand, run)}")
    project.database.writer.do(partial(record.want_stop, campaign_id=stand.campaign_id))
    if project.is_worked_on:
        return f"campaign {name!r} is stopping (run {run.run_id})"
    project.cancel(run.run_id)
    project.database.writer.do(lambda tx: record.enter(tx, stand.campaign_id, Phase.STOPPED))
    plan, specification, _ = project.campaigns.plan(name, _wish_of(run).get("settings") or {})
    statuses = project.campaigns.statuses(plan, specification)
    statuses.entered(Phase.STOPPED, "somebody stopped it while nobody worked on the project")
    return f"campaign {name!r} is stopped"


def log_files(project: Project, name: str) -> Sequence[Path]:
    """Return the logs of a campaign; not all of them need be there."""
    folder = project.state_dir / "campaigns" / name
    logs = [project.state_dir / "logs" / "training_orchestrator.log"]
    written = settings_of(project.config, project.campaign_names(), name, {}).log
    logs += [] if written is None else [project.folder / written]
    return [*logs, folder / "pilot_campaign.log", folder / "full_campaign.log"]


VARIABLES = {"QUALITY_THRESHOLD": "quality_threshold", "CAMPAIGN_TARGET": "target", "AUTO_LAUNCH": "auto_launch"}
"""Variables without a prefix that campaigns alone look at, and the settings that they stand for."""


def with_environment(project: Project, name: str, wish: Mapping[str, Any]) -> Json:
    """Return the wish with what the variables say that have no prefix, where nothing else has said so.

    What an option says wins, then the variable with the prefix (OVERNIGHT_CAMPAIGNS__NAME__...), then these.

    Raises:
        UserMistake: a variable holds something else than such a value.
    """
    variables, settings = environment(), dict(wish.get("settings") or {})
    for variable, key in VARIABLES.items():
        prefixed = project.config.set_by.get(f"campaigns.{name}.{key}", "").startswith(PREFIX)
        if variable in variables and key not in settings and not prefixed:
            settings[key] = _value(variable, variables[variable])
    plan, _, _ = project.campaigns.plan(name, settings)
    return {"launch": plan.auto_launch, **wish, "settings": settings}


def _value(variable: str, text: str) -> float | int | bool:
    try:
        if variable == "AUTO_LAUNCH":
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.strip().lower()]
        return int(text) if variable == "CAMPAIGN_TARGET" else float(text)
    except (KeyError, ValueError):
        kind = {"AUTO_LAUNCH": "true or false", "CAMPAIGN_TARGET": "a whole number"}.get(variable, "a number")
        raise UserMistake(f"{variable}: {text!r} is not {kind}") from None


def last_wish(project: Project, name: str) -> Json:
    """Return what the newest run of a campaign was asked for.

    Raises:
        UnknownName: it was never begun.
    """
    run = _run_of(project, _stand(project, name))
    if run is None:
        raise UnknownName(f"campaign {name!r} was never begun: `overnight campaign auto {name}` begins it")
    return {"settings": {}, **_wish_of(run)}


@dataclass(frozen=True, kw_only=True)
class Alone:
    """A campaign that goes on without the caller: its run, who works on it, what it will do, where its logs are."""

    run_id: RunId
    pid: int
    will: str
    logs: str


def begin_alone(project: Project, name: str, wish: Mapping[str, Any]) -> Alone:
    """Begin or go on with a campaign in the project's daemon, which is started where none works.

    Raises:
        UserMistake: another process than a daemon works on the project.
        OvernightError: the daemon cannot be started.
    """
    run_id, _ = begin(project, name, wish)
    daemon = launch.find(project.state_dir)
    if daemon is None and project.is_worked_on:
        raise UserMistake("a process that is no daemon works on this project; end it first, or leave --background out")
    if daemon is None:
        daemon = launch.start(project.folder, project.state_dir, ["--no-services"], threading.Event().wait)
    # Of the run that there is: it may have been under way with other settings.
    wish = {"settings": {}, **_wish_of(project.get(run_id))}
    plan, specification, _ = project.campaigns.plan(name, wish["settings"])
    pilot = f"makes a pilot of {specification.pilot_size}, which has to reach {specification.quality_threshold:g}"
    whole = f"makes {plan.target:,} samples"
    parts = [text for text, wanted in ((pilot, wish.get("pilot", True)), (whole, wish.get("launch", True))) if wanted]
    logs = f"{project.state_dir / 'logs' / 'training_orchestrator.log'} and {plan.folder}/*.log"
    return Alone(run_id=run_id, pid=daemon.pid, will=", then ".join(parts), logs=logs)
