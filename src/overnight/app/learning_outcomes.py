"""What came of work: fed from a file, predicted, recommended and verified."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.app.learning_production import note_production
from overnight.app.project import Project
from overnight.base.errors import UnknownName, UserMistake, said_by
from overnight.base.files import to_json
from overnight.base.learning import CODING_EXERCISE, EXERCISE
from overnight.base.vocabulary import suggestion
from overnight.engine.model import State
from overnight.engine.submit import Request
from overnight.learning import store
from overnight.learning.exercises import Exercise
from overnight.learning.outcomes import Outcome, outcome_of
from overnight.learning.reliability import Prediction, prediction_of

Json = dict[str, Any]
MOST_SAID = 20
_AT_ONCE = 500


def feed(project: Project, path: Path) -> Json:
    """Take the outcomes of a file, a line of JSON each; return how many are `new`, how many `known`, and what is wrong.

    Raises:
        UserMistake: the file cannot be read.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise UserMistake(f"{path}: cannot be read: {said_by(error)}") from None
    rows, wrong = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(outcome_of(line), "fed"))
        except UserMistake as error:
            wrong.append(f"line {number}: {error}")
    new = 0
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        new += project.database.writer.do(lambda tx, some=some: store.note_outcomes(tx, some))  # type: ignore[misc]
    return {"new": new, "known": len(rows) - new, "wrong": wrong}


def predict(project: Project, type_: str, agent: str | None = None) -> Prediction:
    """Return what is predicted of a type of task, done by an agent (or, of an exercise, by a strategy), or by anybody.

    Raises:
        UnknownName: nothing is known of such a type or agent.
    """
    note_production(project)
    with project.database.read() as connection:
        found = store.came_out(connection)
    types = sorted({one["type"] for one in found})
    if type_ not in types:
        raise UnknownName(f"nothing is known of a type of task {type_!r}{suggestion(type_, types) if types else ''}")
    mine = [one for one in found if one["type"] == type_]
    agents = sorted({one["agent"] for one in mine if one["agent"] is not None})
    if agent is not None and agent not in agents:
        raise UnknownName(f"nothing is known of {agent!r} at {type_}{suggestion(agent, agents) if agents else ''}")
    return prediction_of([one["success"] for one in mine if agent in (None, one["agent"])])


def recommend(project: Project) -> list[Json]:
    """Return for each type of task and agent what is predicted and recommended, the least reliable first."""
    note_production(project)
    with project.database.read() as connection:
        found = store.came_out(connection)
    pairs: dict[tuple[str, str], list[float]] = {}
    for one in found:
        if one["agent"] is not None:
            pairs.setdefault((one["type"], one["agent"]), []).append(one["success"])
    told = [
        {"type": type_, "agent": agent, **asdict(prediction_of(successes))}
        for (type_, agent), successes in pairs.items()
    ]
    return sorted(told, key=lambda one: (one["predicted"], one["type"], one["agent"]))


def verification(project: Project, run_id: int) -> Request:
    """Return the wish for a run in which the checks of an exercise's run are made again.

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
    return Request(task_id=run.task_id, args=to_json(args), needs=run.needs)


def _answer(repeat: Json) -> Json | None:
    facts = repeat.get("facts", {})
    answer: Json | None = facts["ways"][facts["chosen"]]["answer"] if "ways" in facts else facts.get("answer")
    return answer


def verified(project: Project, run_id: int, args: Mapping[str, Any], again: Mapping[str, Any]) -> Json:
    """Keep what the checks have said again, once for each run, and return it beside what was predicted."""
    exercise, strategy = Exercise.from_dict(args["exercise"]), str(args["strategy"]["name"])
    with project.database.read() as connection:
        before = [one["success"] for one in store.came_out(connection, exercise.type) if one["agent"] == strategy]
    predicted = prediction_of(before)
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
    with project.database.read() as connection:
        after = [one["success"] for one in store.came_out(connection, exercise.type) if one["agent"] == strategy]
    return {
        "run_id": run_id,
        "type": exercise.type,
        "agent": strategy,
        "predicted": predicted.predicted,
        "observed": again["success_rate"],
        "counted": bool(new),
        "checks": [one.get("checks", one) for one in again["repeats"]],
        "now": asdict(prediction_of(after)),
    }


def _row(one: Outcome, source: str) -> Json:
    told = asdict(one)
    features = None if one.features is None else to_json(dict(one.features))
    return {**told, "features": features, "source": source, "parameters": None, "predicted": None, "run_id": None}
