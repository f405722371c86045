"""The gate's verdicts in the database: what was judged, on which items, at which level, and by whom.

Rows are only added. How often a set of held-out items was used, what is left of alpha for the next candidate, and
which version is the best so far all follow from them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import TransientError
from overnight.base.files import to_json
from overnight.base.gate_settings import GateSettings
from overnight.db.writer import Tx
from overnight.proof.evidence import Evidence
from overnight.proof.forms import Form, GateSpec, Looks
from overnight.proof.gate import Decision
from overnight.proof.multiple import lord
from overnight.registry import store
from overnight.registry.tables import served, verdicts, versions
from overnight.registry.versions import Version

SEED = 0
"""Where a verdict needs chance it is this: the same evidence gives the same verdict."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Whom a verdict is about: two versions of a model by their numbers.

    `candidate` is None for one that is not registered yet; `final` says that it is judged on the final hold-out.
    """

    model: str
    candidate: str | None
    against: str
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict that is not kept yet: `result` is the gate's, as JSON; `uses` counts the earlier ones on its items."""

    pair: Pair
    spec: GateSpec
    held_out_id: str
    items: int
    evidence_id: str
    result: Mapping[str, Any]
    uses: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A verdict as the database knows it. `spec` and `result` are JSON, `evidence` names the blob with all answers."""

    verdict_id: int
    model: str
    candidate: str
    against: str
    held_out: str
    final: bool
    items: int
    spec: Mapping[str, Any]
    evidence: str
    decision: str
    level: float
    result: Mapping[str, Any]
    at_us: int
    by: str


class UsedMeanwhile(TransientError):
    """Somebody else has used the same held-out items meanwhile; judge again."""


def spec_of(settings: GateSettings) -> GateSpec:
    """Return what is asked of a new version, of a training job or of a nightly training.

    Raises:
        UserMistake: the settings do not go together.
    """
    return GateSpec(
        form=Form(settings.form),
        alpha=settings.alpha,
        minimum_gain=settings.minimum_gain,
        margin=settings.margin,
        smallest_effect=settings.smallest_effect,
        looks=Looks(settings.looks),
    )


def judge(connection: sa.Connection, pair: Pair, evidence: Evidence, evidence_id: str, spec: GateSpec) -> Judged:
    """Return the verdict on a candidate, at the level that earlier ones on the same items have left.

    Candidates that are compared on one set of items share alpha as a stream does (`proof.multiple.lord`). So does a
    pair that is looked at again with other items, unless its bounds hold at any time.

    Raises:
        NotMeasured, UserMistake: see `proof.metrics.judge_answers`.
    """
    held_out = evidence.held_out_id
    found, uses = _stream(connection, pair, held_out, spec)
    level = lord(found, alpha=spec.alpha)
    verdict = evidence.judged(replace(spec, alpha=level), Random(SEED))  # noqa: S311 - not a secret
    result = {**asdict(verdict), "metric": evidence.title, "against_version": pair.against, "uses": uses + 1}
    remarks = [verdict.reason]
    if found:
        remarks.append(f"Earlier verdicts share its alpha: it was judged at {level:.2g} instead of {spec.alpha:g}.")
    if pair.final:
        seen = "for the first time" if not uses else f"{uses + 1} times now, and proves less each time"
        remarks.append(f"The final hold-out was used {seen}.")
    return Judged(
        pair=pair,
        spec=spec,
        held_out_id=held_out,
        items=len(evidence.ids),
        evidence_id=evidence_id,
        result={**result, "reason": " ".join(remarks)},
        uses=uses,
    )


def _stream(connection: sa.Connection, pair: Pair, held_out: str, spec: GateSpec) -> tuple[list[bool], int]:
    """Return which earlier verdicts were ACCEPT, of those that share alpha with this one, and the uses of the items."""
    same_items = verdicts.c.held_out == held_out
    same_pair = sa.and_(verdicts.c.candidate == pair.candidate, verdicts.c.against == pair.against)
    query = (
        sa.select(verdicts.c.decision, verdicts.c.held_out)
        .where(verdicts.c.model == pair.model)
        .where(same_items if spec.looks is Looks.ANY_TIME else sa.or_(same_items, same_pair))
        .order_by(verdicts.c.verdict_id)
    )
    rows = connection.execute(query).fetchall()
    return [row.decision == Decision.ACCEPT for row in rows], sum(row.held_out == held_out for row in rows)


def keep(tx: Tx, judged: Judged, *, candidate: str, by: str) -> None:
    """Keep a verdict on the candidate of that number; `by` says who asked for it.

    Raises:
        UsedMeanwhile: there is a new one that shares alpha with it.
    """
    pair = judged.pair
    found, uses = _stream(tx.connection, pair, judged.held_out_id, judged.spec)
    if uses != judged.uses or lord(found, alpha=judged.spec.alpha) != judged.result["alpha"]:
        raise UsedMeanwhile(f"another version of {pair.model!r} was judged on the same items meanwhile")
    [number] = tx.dialect.allocate(tx.connection, verdicts, 1)
    tx.connection.execute(
        sa.insert(verdicts).values(
            verdict_id=number,
            model=pair.model,
            candidate=candidate,
            against=pair.against,
            held_out=judged.held_out_id,
            final=int(pair.final),
            items=judged.items,
            spec=to_json(asdict(judged.spec)),
            evidence=judged.evidence_id,
            decision=judged.result["decision"],
            level=judged.result["alpha"],
            result=to_json(dict(judged.result)),
            at_us=tx.now_us,
            by=by,
        )
    )


def same(connection: sa.Connection, pair: Pair, evidence_id: str, spec: GateSpec) -> Kept | None:
    """Return the verdict on the very same question, where it was answered before: it is no new use of the items."""
    query = (
        sa.select(verdicts)
        .where(verdicts.c.model == pair.model, verdicts.c.candidate == pair.candidate)
        .where(verdicts.c.against == pair.against, verdicts.c.evidence == evidence_id)
        .where(verdicts.c.spec == to_json(asdict(spec)))
        .order_by(verdicts.c.verdict_id)
        .limit(1)
    )
    row = connection.execute(query).fetchone()
    return None if row is None else _kept(row)


def history(connection: sa.Connection, model: str, *, limit: int = 20) -> list[Kept]:
    """Return the newest verdicts on versions of a model, newest first."""
    query = sa.select(verdicts).where(verdicts.c.model == model).order_by(verdicts.c.verdict_id.desc()).limit(limit)
    return [_kept(row) for row in connection.execute(query)]


def evidence_ids(connection: sa.Connection) -> set[str]:
    """Return the names of the blobs that verdicts rest on."""
    return {name for (name,) in connection.execute(sa.select(verdicts.c.evidence))}


def rival(connection: sa.Connection, model: str, spec: GateSpec) -> Version | None:
    """Return what a new version is compared with: the champion, or for non-inferiority the best one so far."""
    champion = store.serving(connection, model)
    if champion is None or spec.form is not Form.NON_INFERIORITY:
        return champion
    number = best(connection, model)
    return champion if number is None else store.of_number(connection, model, number)


def best(connection: sa.Connection, model: str) -> str | None:
    """Return the number of the best version so far: the first that served, or what was shown to be better than it.

    A version that was only shown not to be inferior does not become the best one, so quality cannot sink by a margin
    each time. One that was accepted where no version could be compared with begins anew.
    """
    first = (
        sa.select(versions.c.number)
        .join(served, served.c.version_id == versions.c.version_id)
        .where(served.c.model == model)
        .order_by(served.c.served_id)
        .limit(1)
    )
    found: str | None = connection.execute(first).scalar_one_or_none()
    for candidate, against, result in _accepted(connection, model):
        if against is None or (against == found and result["lower"] > 0):
            found = candidate
    return found


def _accepted(connection: sa.Connection, model: str) -> list[tuple[str, str | None, Mapping[str, Any]]]:
    """Return who was accepted against whom (None: no version) and the verdict, oldest first."""
    query = (
        sa.select(verdicts.c.candidate, verdicts.c.against, verdicts.c.result)
        .where(verdicts.c.model == model, verdicts.c.decision == Decision.ACCEPT)
        .order_by(verdicts.c.verdict_id)
    )
    found = [(row.candidate, row.against, json.loads(row.result)) for row in connection.execute(query)]
    # A nightly training leaves its verdict with the version alone.
    return found or [
        (one.number, one.verdict.get("against_version"), one.verdict)
        for one in reversed(store.history(connection, model))
        if one.origin is None and one.verdict.get("decision") == Decision.ACCEPT
    ]


def _kept(row: "sa.Row[Any]") -> Kept:
    values = dict(row._mapping)
    for name in ("spec", "result"):
        values[name] = json.loads(values[name])
    return Kept(**{**values, "final": bool(values["final"])})
