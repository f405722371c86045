"""Deployments in the database: how each stands, the outcomes that count, and every decision with what led to it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from xxhash import xxh3_64_intdigest

from overnight.base.files import to_json
from overnight.db.dialect import Dialect
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx
from overnight.registry.evidence import LATENCY, SCORE, SUCCESS, Count, Evidence, Served, failures_of, values_of
from overnight.registry.plans import ALPHA_SHARES, ERRORS, Plan
from overnight.registry.rollout import Look, Move, Reason, State
from overnight.registry.routing import Split
from overnight.registry.tables import OPEN, decisions, deployments, outcome_batches, outcome_keys

SEEN = 0
"""The kind of a key that was seen; those from 1 on are failures of a guard, then values that are compared."""
_COMPARED = (SUCCESS, LATENCY, SCORE)
_KINDS = {name: kind for kind, name in enumerate((*ALPHA_SHARES, *_COMPARED), start=1)}
SHADOWED = 50.0
"""The percentage of an outcome of two versions that answer the same request."""
_SIGN = 1 << 63
MOST_KEYS = 20_000
"""Keys of each share of which it is noted that they were seen."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A rollout: of which version, beside which one, how it stands, and what is known so far."""

    deployment_id: int
    model: str
    candidate: str
    champion: str | None
    plan: Plan
    salt: int
    run_id: int
    state: State
    evidence: Evidence
    percentage: float
    message: str
    by: str
    created_us: int
    updated_us: int
    heard_us: int | None
    ended_us: int | None
    routed_us: int | None


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A change of a deployment: who asked for what (None: nobody), why, and the state before and after."""

    decision_id: int
    at_us: int
    by: str
    asked: str | None
    reason: Reason
    message: str
    before: State
    after: State
    evidence: Evidence
    look: Look


def allocate(tx: Tx) -> int:
    """Return the id of a new deployment."""
    [deployment_id] = tx.dialect.allocate(tx.connection, deployments, 1)
    return deployment_id


def insert(tx: Tx, **values: Any) -> Deployment:  # Any: the fields of a `Deployment`, without times
    """Begin a deployment that waits for its flow."""
    plan: Plan = values["plan"]
    state = State()
    row = {
        **values,
        "plan": to_json(plan.to_dict()),
        "state": to_json(state.to_dict()),
        "evidence": to_json(Evidence.none(plan).to_dict()),
        "percentage": state.percentage(plan),
        "created_us": tx.now_us,
        "updated_us": tx.now_us,
    }
    tx.connection.execute(sa.insert(deployments).values(row))
    made = find(tx.connection, values["deployment_id"])
    assert made is not None
    return made


def find(connection: sa.Connection, deployment_id: int) -> Deployment | None:
    """Return the deployment of that id."""
    return _one(connection, sa.select(deployments).where(deployments.c.deployment_id == deployment_id))


def for_update(tx: Tx, deployment_id: int) -> Deployment | None:
    """Return it, with a lock until the transaction ends."""
    query = sa.select(deployments).where(deployments.c.deployment_id == deployment_id)
    return _one(tx.connection, query.with_for_update())


def open_of(connection: sa.Connection, model: str) -> Deployment | None:
    """Return the model's deployment that has not ended."""
    return _one(connection, sa.select(deployments).where(deployments.c.model == model, OPEN))


def all_open(connection: sa.Connection) -> list[Deployment]:
    """Return all deployments that have not ended, oldest first."""
    query = sa.select(deployments).where(OPEN).order_by(deployments.c.deployment_id)
    return [_deployment(row) for row in connection.execute(query)]


def open_ids(connection: sa.Connection) -> dict[str, int]:
    """Return the models that are being rolled out, each with the id of its deployment that has not ended."""
    query = sa.select(deployments.c.model, deployments.c.deployment_id).where(OPEN)
    return {row.model: row.deployment_id for row in connection.execute(query)}


def splits(connection: sa.Connection, champions: Mapping[str, str]) -> list[Split]:
    """Return which version answers, for each model that has a champion (by model), by model."""
    # What was counted is much, and says nothing about it.
    names = ("model", "deployment_id", "candidate", "percentage", "salt", "plan", "state")
    query = sa.select(*(deployments.c[name] for name in names)).where(OPEN)
    found = {row.model: row for row in connection.execute(query)}
    return [
        _split(found[model], champion) if model in found else Split(model=model, champion=champion)
        for model, champion in sorted(champions.items())
    ]


def _split(row: sa.Row[Any], champion: str) -> Split:  # Any: the columns of `splits`
    state = State.from_dict(json.loads(row.state))
    return Split(
        model=row.model,
        champion=row.candidate if state.alone else champion,
        candidate=row.candidate,
        percentage=row.percentage,
        salt=row.salt,
        deployment_id=row.deployment_id,
        shadow=state.opened and Plan.from_dict(json.loads(row.plan)).shadow,
    )


def newest(connection: sa.Connection, *, model: str | None = None, limit: int = 20) -> list[Deployment]:
    """Return the newest deployments, newest first."""
    query = sa.select(deployments).order_by(deployments.c.deployment_id.desc()).limit(limit)
    return [
        _deployment(row)
        for row in connection.execute(query if model is None else query.where(deployments.c.model == model))
    ]


def write_evidence(tx: Tx, deployment: Deployment, evidence: Evidence) -> None:
    """Keep what has become known."""
    tx.connection.execute(
        sa.update(deployments)
        .values(evidence=to_json(evidence.to_dict()), heard_us=tx.now_us)
        .where(deployments.c.deployment_id == deployment.deployment_id)
    )


def routed_before(connection: sa.Connection, models: Iterable[str], before_us: int) -> list[int]:
    """Return the open deployments of these models that were not noted as routed since that instant."""
    late = sa.or_(deployments.c.routed_us.is_(None), deployments.c.routed_us < before_us)
    query = sa.select(deployments.c.deployment_id).where(deployments.c.model.in_(list(models)), OPEN, late)
    return list(connection.execute(query).scalars())


def write_routed(tx: Tx, deployment_ids: Iterable[int]) -> None:
    """Note that requests are routed by the splits of these deployments."""
    mine = deployments.c.deployment_id.in_(list(deployment_ids))
    tx.connection.execute(sa.update(deployments).values(routed_us=tx.now_us).where(mine))


def give_run(tx: Tx, deployment: Deployment, run_id: int) -> Deployment:
    """Have another run see to it; return it so."""
    mine = deployments.c.deployment_id == deployment.deployment_id
    tx.connection.execute(sa.update(deployments).values(run_id=run_id).where(mine))
    return replace(deployment, run_id=run_id)


def write_move(
    tx: Tx, deployment: Deployment, move: Move, *, evidence: Evidence, look: Look, by: str, asked: str | None = None
) -> Deployment:
    """Keep what was decided, with all that led to it; return the deployment as it stands then."""
    [decision_id] = tx.dialect.allocate(tx.connection, decisions, 1)
    tx.connection.execute(
        sa.insert(decisions).values(
            decision_id=decision_id,
            deployment_id=deployment.deployment_id,
            at_us=tx.now_us,
            by=by,
            asked=asked,
            reason=move.reason,
            message=move.message,
            before=to_json(deployment.state.to_dict()),
            after=to_json(move.state.to_dict()),
            evidence=to_json(evidence.to_dict()),
            look=to_json(vars(look)),
        )
    )
    later = evidence.next_stage() if move.state.stage > deployment.state.stage else evidence
    tx.connection.execute(
        sa.update(deployments)
        .values(
            state=to_json(move.state.to_dict()),
            evidence=to_json(later.to_dict()),
            percentage=move.state.percentage(deployment.plan),
            message=move.message,
            updated_us=tx.now_us,
            ended_us=tx.now_us if move.state.status.over else None,
        )
        .where(deployments.c.deployment_id == deployment.deployment_id)
    )
    if move.state.status.over:
        tx.connection.execute(sa.delete(outcome_keys).where(outcome_keys.c.deployment_id == deployment.deployment_id))
    found = find(tx.connection, deployment.deployment_id)
    assert found is not None
    tx.emit(
        {
            "event": "deployment",
            "deployment": found.deployment_id,
            "model": found.model,
            "version": found.candidate,
            "status": found.state.status,
            "percentage": found.percentage,
            "reason": move.reason,
            "message": move.message,
        }
    )
    return found


def decisions_of(connection: sa.Connection, deployment_id: int, *, after: int = 0) -> list[Decided]:
    """Return what was decided behind the decision of that number, oldest first."""
    query = (
        sa.select(decisions)
        .where(decisions.c.deployment_id == deployment_id, decisions.c.decision_id > after)
        .order_by(decisions.c.decision_id)
    )
    return [_decided(row) for row in connection.execute(query)]


def newest_decision(connection: sa.Connection, deployment_id: int) -> Decided:
    """Return what was decided last about a deployment of which something was."""
    query = sa.select(decisions).where(decisions.c.deployment_id == deployment_id)
    return _decided(connection.execute(query.order_by(decisions.c.decision_id.desc()).limit(1)).one())


def new_batch(tx: Tx, batch_id: str) -> bool:
    """Note that a batch of outcomes has come; False where it came before."""
    known = sa.select(outcome_batches.c.batch_id).where(outcome_batches.c.batch_id == batch_id)
    if tx.connection.execute(known).scalar_one_or_none() is not None:
        return False
    tx.connection.execute(sa.insert(outcome_batches).values(batch_id=batch_id, at_us=tx.now_us))
    return True


def forget_batches(tx: Tx, before_us: int) -> None:
    """Forget which batches came before an instant: nobody sends them again."""
    tx.connection.execute(sa.delete(outcome_batches).where(outcome_batches.c.at_us < before_us))


def counted(tx: Tx, deployment: Deployment, served: Sequence[Served]) -> list[Count]:
    """Return the outcomes of this deployment as they count, in their order, and note their keys."""
    plan = deployment.plan
    mine = [one for one in served if _belongs(one, deployment)]
    keys = [_key_of(one, deployment) for one in mine]
    kinds = [_kinds_of(one, deployment) for one in mine]
    wanted = {(kind, key) for key, some in zip(keys, kinds, strict=True) for kind in some}
    known = _known(tx, deployment.deployment_id, wanted | {(_KINDS[ERRORS], key) for key in keys})
    new = wanted - known
    _add(tx, deployment.deployment_id, new)
    over = {key for kind, key in known if kind == _KINDS[ERRORS]}
    counts = []
    for one, some, key in zip(mine, kinds, keys, strict=True):
        first = {kind for kind in some if (kind, key) in new}
        counts.append(
            Count(
                served=one,
                candidate=one.version == deployment.candidate,
                failed=frozenset(name for name in failures_of(one, plan) if _KINDS[name] in first),
                again=key in over,
                first=SEEN in first,
                compared=frozenset(name for name in _COMPARED if _KINDS[name] in first),
            )
        )
        new -= {(kind, key) for kind in first}
        if _KINDS[ERRORS] in some:
            over.add(key)
    return counts


def _belongs(one: Served, deployment: Deployment) -> bool:
    """Tell whether an outcome is of this deployment: late ones of another say nothing of this one."""
    plan, state = deployment.plan, deployment.state
    known = {0.0, *(plan.percentage(stage) for stage in range(state.stage + 1))}
    if state.alone:
        known = {state.percentage(plan)}
    return (
        one.version in (deployment.candidate, deployment.champion)
        and one.deployment_id in (None, deployment.deployment_id)
        and one.percentage in (known | {SHADOWED} if plan.shadow else known)
    )


def _kinds_of(one: Served, deployment: Deployment) -> list[int]:
    """Return what is to be noted of the key of an outcome."""
    plan, share = deployment.plan, one.percentage / 100
    # Whether keys are shared out as they should be is told by many, and not by all that there will ever be.
    kinds = [SEEN] if sum(deployment.evidence.drawn.get(share, ())) < MOST_KEYS else []
    kinds += [_KINDS[name] for name, _ in values_of(one, plan)]
    if plan.shadow and not share:
        # The candidate was not asked: whatever the key's failure would tell, it tells of no pair.
        return kinds
    return kinds + [_KINDS[name] for name in failures_of(one, plan)]


def _known(tx: Tx, deployment_id: int, asked: set[tuple[int, int]]) -> set[tuple[int, int]]:
    found = _KNOWN(tx.connection, tx.dialect, rows=json.dumps(sorted(asked)), deployment_id=deployment_id)
    return {(kind, key) for kind, key in found.fetchall()}


def _add(tx: Tx, deployment_id: int, new: set[tuple[int, int]]) -> None:
    if new:
        _ADD(tx.connection, tx.dialect, rows=json.dumps(sorted(new)), deployment_id=deployment_id)


def _given(dialect: Dialect) -> sa.Subquery:
    return dialect.rows("rows", [("kind", sa.Integer()), ("key", sa.BigInteger())])


def _build_known(dialect: Dialect) -> sa.Executable:
    """Look each given row up by its primary key: a join may read all keys of the deployment for each of them."""
    given = _given(dialect)
    same = (outcome_keys.c.kind == given.c.kind, outcome_keys.c.key == given.c.key)
    of = outcome_keys.c.deployment_id == sa.bindparam("deployment_id", type_=sa.BigInteger)
    # No EXISTS either: PostgreSQL makes that a join, whose order hangs on statistics of before the deployment.
    found = sa.select(outcome_keys.c.key).where(of, *same).correlate(given).scalar_subquery()
    return sa.select(given.c.kind, given.c.key).where(found.is_not(None))


def _build_add(dialect: Dialect) -> sa.Executable:
    given = _given(dialect)
    row = sa.select(sa.bindparam("deployment_id", type_=sa.BigInteger), given.c.kind, given.c.key)
    return sa.insert(outcome_keys).from_select(["deployment_id", "kind", "key"], row)


_KNOWN = Prepared(_build_known)
_ADD = Prepared(_build_add)


def _key_of(served: Served, deployment: Deployment) -> int:
    """Return what a key is known by; in a shadow each version has keys of its own, because both answer."""
    text = f"{served.version}\0{served.key}" if deployment.plan.shadow else served.key
    return xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), deployment.salt) - _SIGN


def _one(connection: sa.Connection, query: sa.Select[Any]) -> Deployment | None:  # Any: a whole row
    row = connection.execute(query).fetchone()
    return None if row is None else _deployment(row)


def _deployment(row: sa.Row[Any]) -> Deployment:  # Any: a whole row
    values = row._mapping
    return Deployment(
        **{
            **values,
            "plan": Plan.from_dict(json.loads(values["plan"])),
            "state": State.from_dict(json.loads(values["state"])),
            "evidence": Evidence.from_dict(json.loads(values["evidence"])),
        }
    )


def _decided(row: sa.Row[Any]) -> Decided:  # Any: a whole row
    values = {name: value for name, value in row._mapping.items() if name != "deployment_id"}
    return Decided(
        **{
            **values,
            "reason": Reason(values["reason"]),
            "before": State.from_dict(json.loads(values["before"])),
            "after": State.from_dict(json.loads(values["after"])),
            "evidence": Evidence.from_dict(json.loads(values["evidence"])),
            "look": Look(**json.loads(values["look"])),
        }
    )
