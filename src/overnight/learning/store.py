"""Strategy learning in the database: what was executed, judged and applied."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.learning.defaults import Change
from overnight.learning.profiles import Execution
from overnight.learning.tables import defaults, executions, verdicts

Json = dict[str, Any]


def note(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep executions (the columns of the table, less `at_us`), each run once."""
    there = sa.select(executions.c.run_id).where(executions.c.run_id.in_([row["run_id"] for row in rows]))
    known = set(tx.connection.execute(there).scalars())
    new = [{**row, "at_us": tx.now_us} for row in rows if row["run_id"] not in known]
    if new:
        tx.connection.execute(sa.insert(executions), new)


def executed(connection: sa.Connection, parameters: Mapping[str, Collection[str]] | None = None) -> list[Execution]:
    """Return all executions, oldest first; with `parameters` (hashes, by strategy) only those that had some of them."""
    query = sa.select(executions).order_by(executions.c.at_us, executions.c.run_id)
    return [
        Execution(
            run_id=row.run_id,
            strategy=row.strategy,
            type=row.type,
            success_rate=row.success_rate,
            score=row.score,
            time_s=row.time_s,
            cost_usd=row.cost_usd,
            at_us=row.at_us,
        )
        for row in connection.execute(query)
        if parameters is None or row.parameters in parameters.get(row.strategy, ())
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


def change(tx: Tx, one: Change) -> None:
    """Keep a change of a default; `at_us` is that of the transaction. One by a verdict is kept once."""
    if one.how == "learned":
        there = sa.select(defaults.c.default_id).where(
            defaults.c.verdict_id == one.verdict_id, defaults.c.how == "learned"
        )
        if tx.connection.execute(there).fetchone() is not None:
            return  # the step that applies it comes again after a crash
    [default_id] = tx.dialect.allocate(tx.connection, defaults, 1)
    row = {**vars(one), "at_us": tx.now_us, "default_id": default_id}
    tx.connection.execute(sa.insert(defaults).values(row))


def changes(connection: sa.Connection) -> list[Change]:
    """Return all changes of defaults, oldest first."""
    query = sa.select(defaults).order_by(defaults.c.default_id)
    names = Change.__dataclass_fields__
    return [Change(**{name: row._mapping[name] for name in names}) for row in connection.execute(query)]
