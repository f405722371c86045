"""Strategy learning: exercises are executed by each strategy, and what is shown to be better becomes the default.

A durable flow of five parts: generate, execute, learn, validate, apply. Each execution is a run of its own; what was
measured is in the database, and every profile follows from it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from overnight.base.errors import PermanentError
from overnight.base.ids import RunId
from overnight.base.learning import CODING_EXERCISE, EXERCISE
from overnight.engine.flow import Flow
from overnight.engine.model import Needs
from overnight.flows.learning import parts
from overnight.flows.learning.parts import Json, Learning, Way
from overnight.learning.budget import Budget
from overnight.learning.exercises import WORKSPACE
from overnight.proof.gate import Decision

_TRAINING_NEEDS = Needs(memory_gb=0.5, cpus=1.0)


def learn(flow: Flow, learning: Learning, wish: Mapping[str, Any]) -> Json:
    """Learn, and return what came of it: `candidate`, `verdict`, `applied` and the `reason`.

    `wish`: `complexity`, `iterations`, `validate`, `focus` (the one type of task that counts, or None), `tasks`
    (exercises of one's own, or None), `budget_s` (or None), `by`.

    Raises:
        ConfigError, UserMistake: the settings, or what is wished for, do not go together.
        PermanentError: no execution of a part was seen through.
    """
    began = flow.now()
    begun = flow.step("begin", parts.begin, learning, flow.run_id, dict(wish))
    each_s = _learn(flow, learning, begun, int(wish["iterations"]), began)
    choice = flow.step("choose", parts.choose, learning, begun)
    if choice["candidate"] is None or not wish.get("validate", True):
        return {**choice, "verdict": None, "applied": False}
    begun = {**begun, "candidate": choice["candidate"]}
    if not parts.to_compare(begun):
        reason = f"{begun['candidate']} has the best score, and is the default already"
        return {**choice, "candidate": None, "reason": reason, "verdict": None, "applied": False}
    verdict = _compare(flow, learning, begun, began, each_s)
    if verdict is None:
        reason = Budget(total_s=begun["budget_s"]).used_up(used_s=_used_s(flow, began))
        return {**choice, "reason": reason, "verdict": None, "applied": False}
    applied = verdict["decision"] == Decision.ACCEPT
    if applied:
        flow.step("apply", parts.apply, learning, begun, verdict)
    return {**choice, "reason": verdict["reason"], "verdict": verdict, "applied": applied}


def _used_s(flow: Flow, began: datetime) -> float:
    return (flow.now() - began).total_seconds()


def _learn(flow: Flow, learning: Learning, begun: Json, iterations: int, began: datetime) -> float:
    """Execute exercises to learn from; return what the comparison of one is expected to take, in seconds."""
    budget, used_s, last_s, each_s = Budget(total_s=begun["budget_s"]), 0.0, 0.0, 0.0
    for number in range(1, iterations + 1):
        if number > 1 and not budget.learns_again(used_s=used_s, last_s=last_s):
            break
        exercises = flow.step(f"generate {number}", parts.generate_to_learn, learning, begun, number)
        ways = flow.step(f"allocate {number}", parts.allocate, learning, begun, exercises, number)
        ended = _execute(flow, begun, exercises, ways, f"learn {number}")
        flow.step(f"learn {number}", parts.learn, learning, begun, exercises, ended)
        before_s, used_s = used_s, _used_s(flow, began)
        last_s = used_s - before_s
        each_s = 2 * last_s / max(1, len(ended))
    return each_s


def _compare(flow: Flow, learning: Learning, begun: Json, began: datetime, each_s: float) -> Json | None:
    """Compare candidate and default as long as that cannot be told and something fits into the budget.

    Returns the last verdict; None where nothing fits at first. `each_s` is what an exercise is expected to take until
    looks have shown it.
    """
    budget, looked, verdict = Budget(total_s=begun["budget_s"]), list[Json](), None
    first_s = used_s = _used_s(flow, began)
    while count := budget.fitting(begun["validation_exercises"], used_s=used_s, each_s=each_s):
        verdict = _look(flow, learning, begun, looked, count)
        used_s = _used_s(flow, began)
        each_s = 2 * (used_s - first_s) / max(1, len(looked))
        undecided = verdict["decision"] == Decision.UNDERPOWERED
        if not (undecided and verdict["more"] and budget.looks_again(used_s=used_s)):
            break
    return verdict


def _look(flow: Flow, learning: Learning, begun: Json, looked: list[Json], count: int) -> Json:
    """Compare candidate and default on fresh exercises and on those of the looks before, which `looked` keeps."""
    look = max((one["look"] for one in looked), default=0) + 1
    exercises = flow.step(f"generate for look {look}", parts.generate_to_compare, learning, begun, look, count)
    ways = [_both(begun, one["type"]) for one in exercises]
    ended = _execute(flow, begun, exercises, ways, f"look {look}") if exercises else []
    looked += [{**one, "look": look, "exercise": exercises[one["place"]]} for one in ended]
    return flow.step(f"validate {look}", parts.validate, learning, begun, looked, look)


def _both(begun: Json, type_: str) -> list[Json]:
    ways = {"candidate": begun["candidate"], "champion": parts.champion(begun, type_)}
    return [{"way": way, "strategy": strategy} for way, strategy in ways.items()]


def _execute(
    flow: Flow, begun: Json, exercises: Sequence[Json], ways: Sequence[Sequence[Way]], part: str
) -> list[Json]:
    """Have each exercise executed in its ways, by the same seeds."""
    asked: list[Json] = []
    for place, exercise in enumerate(exercises):
        by_agent = exercise["work"]["kind"] == WORKSPACE
        for way in ways[place]:
            args = {
                "exercise": exercise,
                "strategy": begun["strategies"][way["strategy"]],
                "seed": parts.seed_of(begun, part, place),
                "repeats": begun["repeats"],
                "weights": begun["weights"],
                "agent": begun["agent"],
            }
            needs = Needs(memory_gb=begun["agent"]["memory_gb"], cpus=1.0) if by_agent else _TRAINING_NEEDS
            task, name = CODING_EXERCISE if by_agent else EXERCISE, f"{exercise['name']} by {way['strategy']}"
            asked.append({**way, "place": place, "run_id": flow.start(task, args, name=name, needs=needs)})
    ended = flow.wait(*(RunId(one["run_id"]) for one in asked))
    results = [parts.came_of(end, exercises[one["place"]]) for one, end in zip(asked, ended, strict=True)]
    lost = [end for end, result in zip(ended, results, strict=True) if result is None]
    if len(lost) == len(ended):
        why = "they were cancelled" if lost[0].error is None else lost[0].error.message
        raise PermanentError(f"none of {len(ended)} executions was seen through: {why}")
    return [{**one, "result": result} for one, result in zip(asked, results, strict=True)]
