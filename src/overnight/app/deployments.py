"""Deployments: begun, looked at, steered; and which version answers for each model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.app.beginning import DEFAULT, begin, plan_for, strategy_of
from overnight.app.models import find_model, find_version
from overnight.app.workplace import Workplace
from overnight.base.errors import InvalidTransition, UnknownName, UserMistake
from overnight.base.instants import iso
from overnight.base.settings import user
from overnight.db.writer import Tx
from overnight.flows import rollout as program
from overnight.registry import artifacts, deployments, rollout, store
from overnight.registry.deployments import Decided, Deployment
from overnight.registry.plans import Plan
from overnight.registry.rollout import Look, Move, Reason, Status
from overnight.registry.routing import Split
from overnight.registry.versions import OUTPUT, Version
from overnight.serving.shadow import SUMS, compared

Json = dict[str, Any]
ROLLED_BACK = "rollback from "
"""How the reason of a service begins that took the place of a worse version."""
NOT_BY_NUMBERS = (Reason.HARD_FAILURE, Reason.REPLAY_WORSE, Reason.NO_ROOM, Reason.RUN_ENDED)
"""Decisions that follow from what happened, and from no count or e-value."""


def deploy(
    project: Workplace,
    model: str,
    number: str,
    *,
    strategy: str | None = None,
    config: Mapping[str, Any] | None = None,  # Any: JSON, checked here
    by: str | None = None,
) -> Deployment:
    """Begin to roll a version out; `strategy` None: as `[models.NAME] deploy` says.

    Raises:
        UnknownName: there is no such model or version.
        UserMistake: the strategy or its configuration cannot be used, or the version serves already.
        InvalidTransition: another rollout of this model has not ended.
        PermanentError, DamagedBlob: the artifact was removed, or a file of it is missing or altered.
    """
    wanted = strategy or strategy_of(project.config, model) or DEFAULT
    plan = plan_for(project.config, model, wanted, config or {})
    candidate = find_version(project, model, number)
    with project.database.read() as connection:
        champion = store.serving(connection, model)
    if champion is not None and champion.number == candidate.number:
        raise UserMistake(f"{model} {champion.number} serves already")
    _check_fit(plan, candidate, champion)
    artifacts.verify(project.artifacts, candidate)
    return project.database.writer.do(lambda tx: begin(tx, candidate, plan, by or user()))


def rollback(project: Workplace, model: str, number: str | None = None, *, by: str | None = None) -> Json:
    """Take back what is being rolled out; else have the version that served before, or the named one, serve again.

    Returns {model_type, model_version, message}. A version serves at once: nobody waits while a bad one does.

    Raises:
        UnknownName: there is no such model or version.
        UserMistake: nothing served before, or the named version serves already.
        PermanentError, DamagedBlob: the artifact was removed, or a file of it is missing or altered.
    """
    who = by or user()
    with project.database.read() as connection:
        found = deployments.open_of(connection, model)
        serving = store.serving(connection, model)
        before = _good_before(connection, model)
    if found is not None and (number is None or number == found.champion):
        ended = steer(project, found.deployment_id, "rollback", by=who)
        return {"model_type": model, "model_version": ended.champion, "message": ended.message}
    target = before if number is None else find_version(project, model, number)
    if serving is None:
        find_model(project, model)
        raise UserMistake(f"no version of {model} serves")
    if target is None:
        raise UserMistake(f"{model} {serving.number} is the first version that serves: there is none to go back to")
    if target.number == serving.number:
        raise UserMistake(f"{model} {target.number} serves already")
    artifacts.verify(project.artifacts, target)

    def change(tx: Tx) -> str:
        running = deployments.open_of(tx.connection, model)
        running = None if running is None else deployments.for_update(tx, running.deployment_id)
        if running is not None and not running.state.status.over:
            _command(tx, project, running, "abort", who)
        store.serialize(tx, model)
        now = store.serving(tx.connection, model)
        if now is None or now.number != serving.number:
            raise InvalidTransition(f"{model} {'' if now is None else now.number} serves now: somebody was quicker")
        store.let_serve(tx, target, by=who, why=f"{ROLLED_BACK}{serving.number}")
        tx.emit({"event": "rollback", "model": model, "version": target.number, "from": serving.number, "by": who})
        return f"{target.number} serves everybody instead of {serving.number}"

    message = project.database.writer.do(change)
    return {"model_type": model, "model_version": target.number, "message": message}


def _good_before(connection: sa.Connection, model: str) -> Version | None:
    """Return the version that served last before the champion, and that nobody has gone back from since."""
    gone_back_from = set[str]()
    history = store.services(connection, model)
    for service in history:
        if service.number not in {history[0].number, *gone_back_from}:
            return store.of_id(connection, service.version_id)
        if service.why.startswith(ROLLED_BACK):
            gone_back_from.add(service.why.removeprefix(ROLLED_BACK))
    return None


def steer(project: Workplace, deployment_id: int, what: str, *, by: str | None = None) -> Deployment:
    """Do what a person asks of a deployment: one of `registry.rollout.COMMANDS`.

    Raises:
        UnknownName: there is no such deployment.
        UserMistake, InvalidTransition: it cannot be asked for, or not any longer.
    """

    def change(tx: Tx) -> Deployment:
        one = deployments.for_update(tx, deployment_id)
        if one is None:
            raise UnknownName(_no_deployment(deployment_id))
        return _command(tx, project, one, what, by or user())

    return project.database.writer.do(change)


def hard_failure(project: Workplace, deployment_id: int, why: str) -> None:
    """Take the candidate back at once: it does not load, answers with what is no number, or with another schema."""

    def change(tx: Tx) -> None:
        one = deployments.for_update(tx, deployment_id)
        move = None if one is None else rollout.failed_hard(one.state, why)
        if one is not None and move is not None:
            look = Look(now_us=tx.now_us, heard_us=one.heard_us)
            program.settle(tx, project.book, one, move, look=look, by=program.GUARD)

    project.database.writer.do(change)


def look_at(project: Workplace, seen: Deployment) -> None:
    """Decide what follows from the time; see `registry.rollout.decide`. Nothing is written where nothing follows."""

    def change(tx: Tx) -> None:
        one = deployments.for_update(tx, seen.deployment_id)
        assert one is not None, "rows of deployments stay"
        look, move = _decided(one, tx.now_us)
        if move is not None:
            program.settle(tx, project.book, one, move, look=look, by=program.GUARD)

    if _decided(seen, project.clock.now_us())[1] is not None:
        project.database.writer.do(change)


def _decided(one: Deployment, now_us: int) -> tuple[Look, Move | None]:
    look = Look(now_us=now_us, heard_us=one.heard_us, routed_us=one.routed_us)
    return look, None if one.state.status.over else rollout.decide(one.plan, one.state, one.evidence, look)


def deployment_of(project: Workplace, deployment_id: int) -> Deployment:
    """Return how a deployment stands.

    Raises:
        UnknownName: there is none of that id.
    """
    with project.database.read() as connection:
        found = deployments.find(connection, deployment_id)
    if found is None:
        raise UnknownName(_no_deployment(deployment_id))
    return found


def newest_of(project: Workplace, *, model: str | None = None, limit: int = 20) -> list[Deployment]:
    """Return the newest deployments, newest first."""
    with project.database.read() as connection:
        return deployments.newest(connection, model=model, limit=limit)


def splits(project: Workplace) -> list[Split]:
    """Return which version answers, for each model that has one: what was recorded last holds."""
    with project.database.read() as connection:
        return deployments.splits(connection, store.champions(connection))


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A decision, and whether the same rules give it again from what was recorded; None: numbers did not decide."""

    decided: Decided
    again: bool | None
    told: Json
    """The decision as `decisions_of` tells it."""


def explain(project: Workplace, deployment_id: int) -> list[Explained]:
    """Decide everything again from what was recorded with each decision, and compare.

    Raises:
        UnknownName: there is no such deployment.
    """
    one = deployment_of(project, deployment_id)
    with project.database.read() as connection:
        found = deployments.decisions_of(connection, deployment_id)
    return [
        Explained(decided=each, again=_again(one.plan, each), told=_decision_json(one.plan, each)) for each in found
    ]


def _check_fit(plan: Plan, candidate: Version, champion: Version | None) -> None:
    """Check that both answer the same questions in the same way, where both are asked at a time.

    Raises:
        UserMistake: they do not.
    """
    if not candidate.manifest:
        raise UserMistake(
            f"{candidate.model} {candidate.number} has no artifact: its state was not kept, or is removed"
        )
    if champion is None or plan.strategy == "immediate":
        return
    for part in ("inputs", "outputs", *OUTPUT):
        mine, theirs = candidate.signature.get(part), champion.signature.get(part)
        if mine is not None and theirs is not None and mine != theirs:
            raise UserMistake(
                f"{candidate.model} {candidate.number} has other {part} than {champion.number}, which serves: "
                'the two cannot answer side by side; strategy "immediate" changes from one to the other'
            )


def _command(tx: Tx, project: Workplace, one: Deployment, what: str, by: str) -> Deployment:
    move = rollout.command(one.plan, one.state, what, tx.now_us)
    look = Look(now_us=tx.now_us, heard_us=one.heard_us)
    return program.settle(tx, project.book, one, move, look=look, by=by, asked=what)


def _again(plan: Plan, each: Decided) -> bool | None:
    """Tell whether the same rules decide the same again; None for what was not decided by numbers."""
    if each.asked is None and each.reason in NOT_BY_NUMBERS:
        return None
    before, look = each.before, each.look
    if each.asked is not None:
        move: Move | None = rollout.command(plan, before, each.asked, look.now_us)
    elif each.reason is Reason.OPENED:
        move = rollout.opened(plan, before, look.now_us)
    elif each.reason is Reason.SWAPPED:
        move = rollout.swapped(plan, before, each.message, look.now_us)
    else:
        move = rollout.decide(plan, before, each.evidence, look)
    return move is not None and (move.state, move.reason) == (each.after, each.reason)


def _no_deployment(deployment_id: int) -> str:
    return f"there is no deployment {deployment_id}; `overnight rollout list` shows the newest"


def as_json(project: Workplace, one: Deployment) -> Json:
    """Return a deployment as JSON-able values: how it stands, its plan, what was counted and what the guards say."""
    plan, evidence = one.plan, one.evidence
    return {
        "deployment_id": one.deployment_id,
        "model_type": one.model,
        "model_version": one.candidate,
        "champion": one.champion,
        "status": one.state.status,
        "current_percentage": one.percentage,
        "reason": one.state.held,
        "message": one.message,
        "strategy": plan.strategy,
        "stage": None if one.state.status is Status.PENDING else one.state.stage + 1,
        "steps": list(plan.steps),
        "plan": plan.to_dict(),
        "candidate_counts": dict(vars(evidence.candidate)),
        "champion_counts": dict(vars(evidence.champion)),
        "requests_of_stage": evidence.of_stage,
        "guards": rollout.guards_told(plan, evidence),
        "lifts": {name: vars(lift) for name, lift in rollout.lifts(plan, evidence).items()},
        "winner": rollout.winner(plan, evidence),
        "shadow": _shadow_of(project, one),
        "by": one.by,
        "run_id": one.run_id,
        "created_at": iso(one.created_us),
        "updated_at": iso(one.updated_us),
        "stage_since": iso(one.state.since_us) if one.state.since_us else None,
        "ended_at": None if one.ended_us is None else iso(one.ended_us),
    }


def _shadow_of(project: Workplace, one: Deployment) -> Json | None:
    """Return what came of asking the candidate of a shadow beside the champion; None while it was not asked here."""
    if not one.plan.shadow:
        return None
    with project.database.read() as connection:
        sums = [each for each in compared(connection, one.model) if each.deployment_id == one.deployment_id]
    return {name: sum(getattr(each, name) for each in sums) for name in SUMS} if sums else None


def decisions_of(project: Workplace, deployment_id: int, *, after: int = 0) -> list[Json]:
    """Return what was decided about a deployment behind the decision of that number, oldest first."""
    plan = deployment_of(project, deployment_id).plan
    with project.database.read() as connection:
        found = deployments.decisions_of(connection, deployment_id, after=after)
    return [_decision_json(plan, decided) for decided in found]


def _decision_json(plan: Plan, decided: Decided) -> Json:
    return {
        "decision_id": decided.decision_id,
        "at": iso(decided.at_us),
        "by": decided.by,
        "asked": decided.asked,
        "reason": decided.reason,
        "message": decided.message,
        "status": decided.after.status,
        "current_percentage": decided.after.percentage(plan),
        "candidate_counts": dict(vars(decided.evidence.candidate)),
        "champion_counts": dict(vars(decided.evidence.champion)),
        "guards": rollout.guards_told(plan, decided.evidence),
    }
