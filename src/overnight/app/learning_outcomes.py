"""What came of work: fed from a file, predicted, recommended and verified."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.app.learning_production import note_production
from overnight.app.workplace import Workplace
from overnight.base.errors import UnknownName, UserMistake
from overnight.base.files import text_of, to_json
from overnight.base.ids import RunId
from overnight.base.learning import CODING_EXERCISE, EXERCISE
from overnight.base.vocabulary import suggestion
from overnight.db.writer import Tx
from overnight.engine.model import State
from overnight.engine.submit import Request, submit
from overnight.flows.learning import parts
from overnight.learning import store
from overnight.learning.exercises import Exercise
from overnight.learning.outcomes import Outcome, numbered, outcome_of
from overnight.learning.reliability import Prediction, prediction_of
from overnight.learning.strategies import strategies_of

Json = dict[str, Any]
MOST_SAID = 20
_AT_ONCE = 500


def feed(project: Workplace, path: Path) -> Json:
    """Take the outcomes of a file, a line of JSON each; return how many are `new`, how many `known`, and what is wrong.

    `of_no_strategy` is how many name a strategy that this project has not.

    Raises:
        UserMistake: the file cannot be read.
    """
    now_us, known = project.database.clock.now_us(), strategies_of(project.config.learning)
    lines = text_of(path, errors="replace").splitlines()
    rows, wrong = [], []
    for number, (line, occurrence) in enumerate(numbered(lines), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(outcome_of(line, now_us=now_us, occurrence=occurrence), "fed"))
        except UserMistake as error:
            wrong.append(f"line {number}: {error}")
    foreign = sum(row["strategy"] is not None and row["strategy"] not in known for row in rows)
    return {**_keep(project, rows), "wrong": wrong, "of_no_strategy": foreign}


def take_all(project: Workplace, outcomes: Sequence[str]) -> Json:
    """Take outcomes, each as JSON text; return how many are `new` and how many `known`.

    Raises:
        UserMistake: one cannot be used; the message names its place, and none is taken.
    """
    rows, now_us = [], project.database.clock.now_us()
    for place, (one, occurrence) in enumerate(numbered(outcomes)):
        try:
            rows.append(_row(outcome_of(one, now_us=now_us, occurrence=occurrence), "fed"))
        except UserMistake as error:
            raise UserMistake(f"outcomes[{place}]: {error}") from None
    return _keep(project, rows)


def _keep(project: Workplace, rows: Sequence[Json]) -> Json:
    new = 0
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        new += project.database.writer.do(lambda tx, some=some: store.note_outcomes(tx, some))  # type: ignore[misc]
    return {"new": new, "known": len(rows) - new}


def predict(project: Workplace, type_: str, agent: str | None = None) -> Prediction:
    """Return what is predicted of a type of task, done by an agent (or, of an exercise, by a strategy), or by anybody.

    Raises:
        UnknownName: nothing is known of such a type or agent.
    """
    note_production(project.database)
    with project.database.read() as connection:
        found = store.came_out(connection, parameters=_digests(project))
    types = sorted({one["type"] for one in found})
    if type_ not in types:
        raise UnknownName(f"nothing is known of a type of task {type_!r}{suggestion(type_, types) if types else ''}")
    mine = [one for one in found if one["type"] == type_]
    agents = sorted({one["agent"] for one in mine if one["agent"] is not None})
    if agent is not None and agent not in agents:
        raise UnknownName(f"nothing is known of {agent!r} at {type_}{suggestion(agent, agents) if agents else ''}")
    return prediction_of([one["success"] for one in mine if agent in (None, one["agent"])])


def recommend(project: Workplace) -> list[Json]:
    """Return for each type of task and agent what is predicted and recommended, the least reliable first."""
    note_production(project.database)
    with project.database.read() as connection:
        found = store.came_out(connection, parameters=_digests(project))
    pairs: dict[tuple[str, str], list[float]] = {}
    for one in found:
        if one["agent"] is not None:
            pairs.setdefault((one["type"], one["agent"]), []).append(one["success"])
    told = [
        {"type": type_, "agent": agent, **asdict(prediction_of(successes))}
        for (type_, agent), successes in pairs.items()
    ]
    return sorted(told, key=lambda one: (one["predicted"], one["type"], one["agent"]))


def verify(project: Workplace, run_id: int) -> RunId:
    """Submit a run in which the checks of an exercise's run are made again, and return its id; see `verified`.

    A model is trained again by the same seeds; an answer that an agent has left was kept, and is judged again.

    Raises:
        UserMistake: there is no such run, it has not completed, it is none of an exercise, or its answer was not kept.
    """
    run = project.get(run_id)
    if run.task_id not in (EXERCISE, CODING_EXERCISE):
        raise UserMistake(f"run {run_id} is one of {run.task_id}: runs of exercises can be verified")
    if run.state is not State.COMPLETED:
        raise UserMistake(f"run {run_id} is {run.state}: what has not completed cannot be verified")
    args = json.loads(str(run.args))
    if run.task_id == CODING_EXERCISE:
        args["answers"] = [_answer(one) for one in project.result(run_id)["repeats"]]
        if None in args["answers"]:
            raise UserMistake(f"run {run_id}: not all of its answers were kept, so that they cannot be judged again")
    request = Request(task_id=run.task_id, args=to_json(args), needs=run.needs)

    def change(tx: Tx) -> RunId:
        tx.news = True
        return RunId(submit(tx, [request])[0])

    return project.database.writer.do(change)


def _answer(repeat: Json) -> Json | None:
    facts = repeat.get("facts", {})
    answer: Json | None = facts["ways"][facts["chosen"]]["answer"] if "ways" in facts else facts.get("answer")
    return answer


def verified(project: Workplace, run_id: int, again_id: int) -> Json:
    """Keep what the checks have said in the run `again_id`, once for each run, and return it beside what was predicted.

    Raises:
        RunFailed: that run has not completed.
    """
    args, again = json.loads(str(project.get(again_id).args)), project.result(again_id)
    exercise, strategy = Exercise.from_dict(args["exercise"]), str(args["strategy"]["name"])
    predicted = _of_agent(project, exercise.type, strategy)
    outcome = Outcome(
        key=f"verified:{run_id}",
        type=exercise.type,
        agent=strategy,
        strategy=strategy,
        success=float(again["success_rate"]),
        score=again["score"],
        time_s=again["time_s"],
    )
    row = {**_row(outcome, "verified"), "predicted": predicted.predicted, "run_id": run_id}
    new = project.database.writer.do(lambda tx: store.note_outcomes(tx, [row]))
    return {
        "run_id": run_id,
        "type": exercise.type,
        "agent": strategy,
        "predicted": predicted.predicted,
        "observed": again["success_rate"],
        "counted": bool(new),
        "checks": [one.get("checks", one) for one in again["repeats"]],
        "now": asdict(_of_agent(project, exercise.type, strategy)),
    }


def _of_agent(project: Workplace, type_: str, agent: str) -> Prediction:
    with project.database.read() as connection:
        found = store.came_out(connection, type_, _digests(project))
    return prediction_of([one["success"] for one in found if one["agent"] == agent])


def _digests(project: Workplace) -> dict[str, frozenset[str]]:
    return parts.digests(parts.terms(project.config.learning))


def _row(one: Outcome, source: str) -> Json:
    told = asdict(one)
    features = None if one.features is None else to_json(dict(one.features))
    return {**told, "features": features, "source": source, "parameters": None, "predicted": None, "run_id": None}
