"""Strategy learning in the database: what was executed, judged and applied."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import UserMistake
from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.learning.defaults import Change
from overnight.learning.estimating import Executed
from overnight.learning.evidence import Evidence, Export, evidence_of, origin_of
from overnight.learning.production import PRODUCTION, Produced
from overnight.learning.profiles import Execution
from overnight.learning.scoring import WEIGHTS, total_of
from overnight.learning.selection.policy import Features
from overnight.learning.tables import defaults, executions, outcomes, priors, verdicts

Json = dict[str, Any]


def note(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep executions (the columns of the table, less `at_us`), each run once."""
    there = sa.select(executions.c.run_id).where(executions.c.run_id.in_([row["run_id"] for row in rows]))
    known = set(tx.connection.execute(there).scalars())
    new = [{**row, "at_us": tx.now_us} for row in rows if row["run_id"] not in known]
    if new:
        tx.connection.execute(sa.insert(executions), new)


def executed(
    connection: sa.Connection,
    parameters: Mapping[str, Collection[str]] | None = None,
    *,
    weights: Mapping[str, float] = WEIGHTS,
    without: Collection[str] = (),
) -> list[Execution]:
    """Return all executions, oldest first; with `parameters` (hashes, by strategy) only those that had some of them.

    The scores are the sums of their parts by these `weights`, whichever held when they were kept. Exercises whose names
    are in `without` are left out.
    """
    query = sa.select(executions).order_by(executions.c.at_us, executions.c.run_id)
    return [
        _execution(row, weights)
        for row in connection.execute(query)
        if row.exercise not in without and (parameters is None or row.parameters in parameters.get(row.strategy, ()))
    ]


def _score(row: sa.Row[Any], weights: Mapping[str, float]) -> float | None:
    return total_of(json.loads(row.detail)["parts"], weights)


def _execution(row: sa.Row[Any], weights: Mapping[str, float]) -> Execution:
    return Execution(
        run_id=row.run_id,
        strategy=row.strategy,
        type=row.type,
        success_rate=row.success_rate,
        score=_score(row, weights),
        time_s=row.time_s,
        cost_usd=row.cost_usd,
        at_us=row.at_us,
    )


def note_outcomes(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep outcomes (the columns of the table, less its id; `at_us` None: now), each key once; return how many."""
    return _keep_new(
        tx, outcomes, [{**row, "at_us": tx.now_us if row["at_us"] is None else row["at_us"]} for row in rows]
    )


def _keep_new(tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows, less their ids, whose `key` is not there yet, each key once; return how many."""
    there = sa.select(table.c.key).where(table.c.key.in_([row["key"] for row in rows]))
    known = set(tx.connection.execute(there).scalars())
    new = {row["key"]: row for row in rows if row["key"] not in known}
    if new:
        [number] = table.primary_key
        ids = tx.dialect.allocate(tx.connection, table, len(new))
        numbered = [{**row, number.name: one} for one, row in zip(ids, new.values(), strict=True)]
        tx.connection.execute(sa.insert(table), numbered)
    return len(new)


def came_out(
    connection: sa.Connection, type_: str | None = None, parameters: Mapping[str, Collection[str]] | None = None
) -> list[Json]:
    """Return what came of work of a type, or of all types, oldest first: `type`, `agent`, `success`, `key` or `run_id`.

    Those of exercises have their strategy as the agent; with `parameters` (hashes, by strategy) they are those that it
    executed with some of these.
    """
    one = sa.select(
        executions.c.type,
        executions.c.strategy.label("agent"),
        executions.c.strategy,
        executions.c.parameters,
        executions.c.success_rate.label("success"),
        executions.c.run_id,
        executions.c.at_us,
        executions.c.run_id.label("place"),
    )
    other = sa.select(
        outcomes.c.type,
        outcomes.c.agent,
        outcomes.c.strategy,
        outcomes.c.parameters,
        outcomes.c.success,
        outcomes.c.run_id,
        outcomes.c.at_us,
        outcomes.c.outcome_id.label("place"),
    )
    if type_ is not None:
        one, other = one.where(executions.c.type == type_), other.where(outcomes.c.type == type_)
    both = sa.union_all(one, other).subquery()
    return [
        dict(row._mapping)
        for row in connection.execute(sa.select(both).order_by(both.c.at_us, both.c.place))
        if parameters is None or row.parameters is None or row.parameters in parameters.get(row.strategy, ())
    ]


def scores(
    connection: sa.Connection,
    parameters: Mapping[str, Collection[str]],
    types: Collection[str],
    *,
    weights: Mapping[str, float] = WEIGHTS,
    without: Collection[str] = (),
) -> list[tuple[str, float, Features | None]]:
    """Return the scores of strategies at types of task, oldest first, with the features of the work where known.

    They are those of exercises, by these `weights` and but for those named in `without`, and of work elsewhere.
    """
    there = executions.c
    query = sa.select(executions).where(there.type.in_(sorted(types))).order_by(there.at_us, there.run_id)
    here = [
        (row.at_us, row.strategy, score, json.loads(row.detail).get("features"))
        for row in connection.execute(query)
        if row.exercise not in without and row.parameters in parameters.get(row.strategy, ())
        if (score := _score(row, weights)) is not None
    ]
    other = sa.select(outcomes).where(outcomes.c.type.in_(sorted(types)), outcomes.c.source != "verified")
    elsewhere = [
        (row.at_us, row.strategy, row.score, None if row.features is None else json.loads(row.features))
        for row in connection.execute(other.order_by(outcomes.c.at_us, outcomes.c.outcome_id))
        if row.strategy in parameters and row.score is not None
    ]
    return [(name, score, features) for _, name, score, features in sorted(here + elsewhere, key=lambda one: one[0])]


def produced(connection: sa.Connection, limits: Mapping[str, float | None]) -> list[Produced]:
    """Return what came of production work by a strategy, oldest first; `limits` are the seconds that types may take."""
    query = sa.select(outcomes).where(outcomes.c.source == PRODUCTION, outcomes.c.strategy.is_not(None))
    return [
        Produced(
            strategy=row.strategy,
            type=row.type,
            success=row.success,
            time_s=row.time_s,
            limit_s=limits.get(row.type),
        )
        for row in connection.execute(query.order_by(outcomes.c.at_us, outcomes.c.outcome_id))
    ]


def drawn(
    connection: sa.Connection,
    parameters: Mapping[str, Collection[str]],
    type_: str | None,
    *,
    weights: Mapping[str, float] = WEIGHTS,
) -> list[Executed]:
    """Return what was executed to learn from, and work elsewhere that came with its chance; of a type, or of all.

    Where all strategies have executed an exercise, each had to. What was drawn at once was kept at one instant; an
    exercise that comes again in another iteration was drawn anew.
    """
    there = executions.c
    wanted = [there.purpose == "learn", *([] if type_ is None else [there.type == type_])]
    rows = connection.execute(sa.select(executions).where(*wanted).order_by(there.at_us, there.run_id)).all()
    together = Counter((row.session_id, row.at_us, row.exercise) for row in rows)
    here = [
        Executed(
            type=row.type,
            strategy=row.strategy,
            score=score,
            chance=1.0 if row.propensity is None else row.propensity,
            together=together[row.session_id, row.at_us, row.exercise],
            exercise=row.exercise,
        )
        for row in rows
        if row.parameters in parameters.get(row.strategy, ())
        if (score := _score(row, weights)) is not None
    ]
    of = outcomes.c
    wanted = [of.propensity.is_not(None), of.score.is_not(None), *([] if type_ is None else [of.type == type_])]
    elsewhere = connection.execute(sa.select(outcomes).where(*wanted).order_by(of.outcome_id))
    return here + [
        Executed(type=row.type, strategy=row.strategy, score=row.score, chance=row.propensity)
        for row in elsewhere
        if row.strategy in parameters
    ]


def of_session(connection: sa.Connection, session_id: int) -> list[Json]:
    """Return the executions of a session as rows, `detail` read from its JSON."""
    query = sa.select(executions).where(executions.c.session_id == session_id).order_by(executions.c.run_id)
    return [{**row._mapping, "detail": json.loads(row.detail)} for row in connection.execute(query)]


def judged(tx: Tx, session_id: int, look: int, verdict: Json) -> int:
    """Keep a verdict, once for each look (1, 2, ...) of a session, and return its id."""
    mine = sa.select(verdicts.c.verdict_id).where(verdicts.c.session_id == session_id).order_by(verdicts.c.verdict_id)
    found: int | None = tx.connection.execute(mine.offset(look - 1)).scalar()
    if found is not None:
        return found
    [verdict_id] = tx.dialect.allocate(tx.connection, verdicts, 1)
    row = {
        "verdict_id": verdict_id,
        "session_id": session_id,
        "candidate": verdict["candidate"],
        "champion": verdict["champion"],
        "decision": verdict["decision"],
        "verdict": to_json(verdict),
        "at_us": tx.now_us,
    }
    tx.connection.execute(sa.insert(verdicts).values(row))
    return int(verdict_id)


def newest_verdict(connection: sa.Connection) -> Json | None:
    """Return the newest verdict with its id, candidate, champion and instant; None before the first."""
    row = connection.execute(sa.select(verdicts).order_by(verdicts.c.verdict_id.desc()).limit(1)).fetchone()
    return None if row is None else {**row._mapping, "verdict": json.loads(row.verdict)}


_CHANGE = ("type", "strategy", "how", "by", "at_us", "verdict_id")
"""What is kept of a change; what its verdict has compared stands there."""


def change(tx: Tx, one: Change) -> None:
    """Keep a change of a default, at the instant of the transaction; a verdict that is the newest one is kept once."""
    newest = sa.select(defaults).where(defaults.c.type == one.type).order_by(defaults.c.default_id.desc()).limit(1)
    found = tx.connection.execute(newest).fetchone()
    if one.how == "learned" and found is not None and (found.how, found.verdict_id) == (one.how, one.verdict_id):
        return  # the step that applies it comes again after a crash
    [default_id] = tx.dialect.allocate(tx.connection, defaults, 1)
    columns = {name: getattr(one, name) for name in _CHANGE}
    row = {**columns, "at_us": tx.now_us, "default_id": default_id}
    tx.connection.execute(sa.insert(defaults).values(row))


def changes(connection: sa.Connection) -> list[Change]:
    """Return all changes of defaults, oldest first, with what their verdicts have compared."""
    both = defaults.outerjoin(verdicts, defaults.c.verdict_id == verdicts.c.verdict_id)
    query = sa.select(defaults, verdicts.c.verdict).select_from(both).order_by(defaults.c.default_id)
    found = []
    for row in connection.execute(query):
        verdict = {} if row.verdict is None else json.loads(row.verdict)
        told = {name: row._mapping[name] for name in _CHANGE}
        found.append(Change(**told, parameters=verdict.get("parameters"), compared=verdict.get("types")))
    return found


def export(connection: sa.Connection, project: str, weights: Mapping[str, float]) -> Export:
    """Return what was measured here, for another project, as scores by these weights.

    Raises:
        UserMistake: nothing was.
    """
    query = sa.select(executions).order_by(executions.c.at_us, executions.c.run_id)
    rows = connection.execute(query).all()
    if not rows:
        raise UserMistake("nothing was measured here yet; `overnight learn run` does that")
    found = evidence_of((row.parameters, _execution(row, weights)) for row in rows)
    return Export(origin=str(_origin(connection)), project=project, evidence=found)


def _origin(connection: sa.Connection) -> str | None:
    """Return what stands for this project, wherever its files and its database go; None before its first execution."""
    there = executions.c
    first = sa.select(there.run_id, there.at_us, there.exercise, there.detail).order_by(there.run_id).limit(1)
    row = connection.execute(first).fetchone()
    return None if row is None else origin_of(list(row))


def note_priors(tx: Tx, found: Export, by: str) -> tuple[int, int]:
    """Keep evidence of another project; return how much is new, and how much took the place of older evidence.

    Of a project there is one row for each strategy, parameters and type. Executions are only ever added, so that the
    evidence of more of them is the newer.

    Raises:
        UserMistake: it is this project's own.
    """
    if found.origin == _origin(tx.connection):
        raise UserMistake("this project has measured that itself; evidence comes from another one")
    rows = {
        found.key(one): {**vars(one), "origin": found.project, "by": by, "at_us": tx.now_us} for one in found.evidence
    }
    there = sa.select(priors.c.key, priors.c.uses).where(priors.c.key.in_(list(rows)))
    uses = {row.key: row.uses for row in tx.connection.execute(there)}
    newer = [key for key, row in rows.items() if key in uses and row["uses"] > uses[key]]
    for key in newer:
        tx.connection.execute(sa.update(priors).where(priors.c.key == key).values(rows[key]))
    return _keep_new(tx, priors, [{**row, "key": key} for key, row in rows.items()]), len(newer)


def prior(connection: sa.Connection, parameters: Mapping[str, Collection[str]]) -> list[tuple[str, Evidence]]:
    """Return the evidence of other projects, with their names, of strategies with the same parameters here."""
    names = Evidence.__dataclass_fields__
    return [
        (row.origin, Evidence(**{name: row._mapping[name] for name in names}))
        for row in connection.execute(sa.select(priors).order_by(priors.c.prior_id))
        if row.parameters in parameters.get(row.strategy, ())
    ]
