"""Tuning in the database: what was evaluated, what was judged, and with which parameters an agent is trained.

Rows are only added. What is suggested next, which parameters hold, and what is left of alpha all follow from them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from overnight.base.errors import UserMistake
from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.training.tuning.halving import Evaluation, Place
from overnight.training.tuning.tables import changes, evaluations, verdicts

Json = dict[str, Any]  # Any: whatever JSON holds
BASIS = ("class_", "target", "metric", "settings")
"""What of an agent's settings parameters are tuned for: where one of these is another, they hold no longer."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial at a rung as the database knows it; see `tables.evaluations`."""

    run_id: int
    trial: int
    rung: int
    parameters: Mapping[str, Any]
    items: int | None
    measured: int | None
    value: float | None
    lower: float | None
    upper: float | None
    error: str | None
    seconds: float

    @property
    def evaluation(self) -> Evaluation:
        """What counts for the halving."""
        return Evaluation(place=Place(trial=self.trial, rung=self.rung), value=self.value)


def note(tx: Tx, tuning_id: int, rows: Sequence[Tried]) -> None:
    """Keep evaluations, each run once."""
    there = sa.select(evaluations.c.run_id).where(evaluations.c.run_id.in_([row.run_id for row in rows]))
    known = set(tx.connection.execute(there).scalars())
    new = [
        {**vars(row), "parameters": to_json(dict(row.parameters)), "tuning_id": tuning_id, "at_us": tx.now_us}
        for row in rows
        if row.run_id not in known
    ]
    if new:
        tx.connection.execute(sa.insert(evaluations), new)


def tried(connection: sa.Connection, tuning_id: int) -> list[Tried]:
    """Return what a tuning has evaluated, by trial and rung."""
    query = sa.select(evaluations).where(evaluations.c.tuning_id == tuning_id)
    names = Tried.__dataclass_fields__
    return [
        Tried(**{**{name: row._mapping[name] for name in names}, "parameters": json.loads(row.parameters)})
        for row in connection.execute(query.order_by(evaluations.c.trial, evaluations.c.rung))
    ]


def runs_of_trials(connection: sa.Connection) -> set[int]:
    """Return the runs that a row names: what is known of them stays."""
    return {*connection.execute(sa.select(evaluations.c.run_id)).scalars()}


def decisions(connection: sa.Connection, agent: str, held_out: str) -> list[str | None]:
    """Return what the gate has said of earlier tunings of the agent on the same held-out items, oldest first."""
    query = sa.select(verdicts.c.decision).where(verdicts.c.agent == agent, verdicts.c.held_out == held_out)
    return list(connection.execute(query.order_by(verdicts.c.tuning_id)).scalars())


def judged(tx: Tx, row: Mapping[str, Any]) -> None:
    """Keep a verdict (the columns of the table, less `at_us`), each tuning's once."""
    there = sa.select(verdicts.c.tuning_id).where(verdicts.c.tuning_id == row["tuning_id"])
    if tx.connection.execute(there).fetchone() is None:
        tx.connection.execute(sa.insert(verdicts).values({**row, "at_us": tx.now_us}))


def basis_of(spec: Mapping[str, Any]) -> str:
    """Return a hash of what the settings say of an agent, of the fields of its `AgentSpec`, that parameters are for."""
    told = {name: spec[name] for name in BASIS}
    return hashlib.sha256(to_json(told).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Change:
    """From when on an agent is trained with which parameters; see `tables.changes`."""

    agent: str
    how: Literal["tuned", "rolled_back"]
    by: str
    tuning_id: int | None
    parameters: Mapping[str, Any]
    basis: str


def change(tx: Tx, one: Change) -> None:
    """Keep a change; one that a tuning has made is kept once."""
    newest = _history(tx.connection, one.agent)[-1:]
    if newest and one.how == newest[0].how == "tuned" and one.tuning_id == newest[0].tuning_id:
        return  # the step that adopts them comes again after a crash
    [change_id] = tx.dialect.allocate(tx.connection, changes, 1)
    row = {**vars(one), "parameters": to_json(dict(one.parameters)), "change_id": change_id, "at_us": tx.now_us}
    tx.connection.execute(sa.insert(changes).values(row))


def tuned(connection: sa.Connection, spec: Mapping[str, Any]) -> Json:
    """Return the tuned parameters of the agent with this spec, by its settings; {} where none hold."""
    newest = _history(connection, spec["name"])[-1:]
    return dict(newest[0].parameters) if newest and newest[0].basis == basis_of(spec) else {}


def roll_back(tx: Tx, spec: Mapping[str, Any], by: str) -> Json:
    """Go back to what held before the newest tuned parameters of an agent, and return that.

    Raises:
        UserMistake: none hold.
    """
    agent = spec["name"]
    if not tuned(tx.connection, spec):
        raise UserMistake(f"agent {agent!r} has no tuned parameters that could be taken back")
    stack: list[Change] = []
    for one in _history(tx.connection, agent):
        if one.how == "tuned":
            stack.append(one)
        else:
            stack.pop()
    before = stack[-2] if len(stack) > 1 and stack[-2].basis == basis_of(spec) else None
    parameters = {} if before is None else dict(before.parameters)
    change(
        tx,
        Change(
            agent=agent,
            how="rolled_back",
            by=by,
            tuning_id=None if before is None else before.tuning_id,
            parameters=parameters,
            basis=basis_of(spec),
        ),
    )
    return parameters


def _history(connection: sa.Connection, agent: str) -> list[Change]:
    """Return all changes of an agent, oldest first."""
    query = sa.select(changes).where(changes.c.agent == agent).order_by(changes.c.change_id)
    names = Change.__dataclass_fields__
    return [
        Change(**{**{name: row._mapping[name] for name in names}, "parameters": json.loads(row.parameters)})
        for row in connection.execute(query)
    ]
