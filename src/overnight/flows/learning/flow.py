"""Strategy learning: exercises are executed by each strategy, and what is shown to be better becomes the default.

A durable flow of five parts: generate, execute, learn, validate, apply. Each execution is a run of its own; what was
measured is in the database, and every profile follows from it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from overnight.base.errors import PermanentError
from overnight.base.ids import RunId
from overnight.base.learning import EXERCISE
from overnight.base.learning_settings import LearningSettings
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import Needs, State
from overnight.flows.learning.files import Files
from overnight.learning import store
from overnight.learning.deciding import LEAST_PAIRS, Pair, candidate_of, verdict_of
from overnight.learning.defaults import ALL, Change, chosen
from overnight.learning.generation import generate
from overnight.learning.scoring import weights_of
from overnight.learning.strategies import Strategy, strategies_of
from overnight.proof.gate import Decision, Verdict

Json = dict[str, Any]
_NEEDS = Needs(memory_gb=0.5, cpus=1.0)
_LEARN, _VALIDATE = "learn", "validate"


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What the flow works with; `settings` returns those of now."""

    database: Database
    folder: Path
    settings: Callable[[], LearningSettings]


def learn(flow: Flow, parts: Learning, wish: Mapping[str, Any]) -> Json:
    """Learn, and return what came of it: `candidate`, `verdict`, `applied` and the `reason`.

    `wish`: `complexity`, `iterations`, `validate`, `focus` (the one type of task that counts, or None), `by`.

    Raises:
        ConfigError, UserMistake: the settings, or what is wished for, do not go together.
        PermanentError: no execution of a part was seen through.
    """
    begun = flow.step("begin", _begin, parts, flow.run_id, dict(wish))
    for number in range(1, int(wish["iterations"]) + 1):
        exercises = flow.step(f"generate {number}", _generate, begun, f"{_LEARN} {number}", begun["exercises"])
        ended = _execute(flow, begun, exercises, [(name, name) for name in begun["strategies"]])
        flow.step(f"learn {number}", _learn, parts, begun, exercises, ended, _LEARN)
    choice = flow.step("choose", _choose, parts, begun)
    if choice["candidate"] is None or not wish.get("validate", True):
        return {**choice, "verdict": None, "applied": False}
    return _validated(flow, parts, begun, choice)


def _validated(flow: Flow, parts: Learning, begun: Json, choice: Json) -> Json:
    exercises = flow.step("generate for validation", _generate, begun, _VALIDATE, begun["validation_exercises"])
    candidate = str(choice["candidate"])
    ways = [("candidate", candidate), ("champion", None)]
    ended = _execute(flow, begun, exercises, ways)
    verdict = flow.step("validate", _validate, parts, begun, exercises, ended, candidate)
    applied = verdict["decision"] == Decision.ACCEPT
    if applied:
        flow.step("apply", _apply, parts, begun, candidate, verdict["verdict_id"])
    return {**choice, "reason": verdict["reason"], "verdict": verdict, "applied": applied}


def _begin(parts: Learning, run_id: int, wish: Json) -> Json:
    settings = parts.settings()
    strategies = strategies_of(settings)
    with parts.database.read() as connection:
        changes = store.changes(connection)
    begun = {
        "session_id": run_id,
        "complexity": wish["complexity"],
        "focus": wish.get("focus"),
        "by": str(wish.get("by") or "its schedule"),
        "strategies": {name: one.to_dict() for name, one in strategies.items()},
        "default": settings.default,
        "changes": [asdict(one) for one in changes],
        "weights": weights_of(settings.weights),
        "agent": asdict(settings.agent),
        "rate": settings.rate,
        "minimum": settings.minimum_samples,
        "repeats": settings.repeats,
        "exercises": settings.exercises,
        "validation_exercises": settings.validation_exercises,
        "minimum_gain": settings.minimum_gain,
    }
    Files(parts.folder).begun(begun, parts.database.clock.now_us())
    return begun


def _generate(begun: Json, part: str, count: int) -> list[Json]:
    """Return fresh exercises: those of no other session, and of no other part of this one."""
    told = hashlib.blake2b(f"{begun['session_id']}/{part}".encode(), digest_size=6).digest()
    made = generate(begun["complexity"], count, int.from_bytes(told, "big"), focus=begun["focus"])
    return [one.to_dict() for one in made]


def _execute(flow: Flow, begun: Json, exercises: Sequence[Json], ways: Sequence[tuple[str, str | None]]) -> list[Json]:
    """Have each exercise executed in each way, by the same seeds; no strategy stands for the default of its type."""
    asked: list[Json] = []
    for place, exercise in enumerate(exercises):
        for way, given in ways:
            strategy = given or _champion(begun, exercise["type"])
            args = {
                "exercise": exercise,
                "strategy": begun["strategies"][strategy],
                "seed": 1000 * place,
                "repeats": begun["repeats"],
                "weights": begun["weights"],
                "agent": begun["agent"],
            }
            run_id = flow.start(EXERCISE, args, name=f"{exercise['name']} by {strategy}", needs=_NEEDS)
            asked.append({"run_id": run_id, "place": place, "way": way, "strategy": strategy})
    ended = flow.wait(*(RunId(one["run_id"]) for one in asked))
    lost = [end for end in ended if end.state is not State.COMPLETED]
    if len(lost) == len(ended):
        why = "they were cancelled" if lost[0].error is None else lost[0].error.message
        raise PermanentError(f"none of {len(ended)} executions was seen through: {why}")
    return [{**one, "result": _result(end)} for one, end in zip(asked, ended, strict=True)]


def _result(end: Ended) -> Json | None:
    """Return what an execution gave; None for one that was not seen through, which says nothing of its strategy."""
    return dict(end.result) if end.state is State.COMPLETED else None


def _champion(begun: Json, type_: str) -> str:
    changes = [Change(**one) for one in begun["changes"]]
    name = chosen(changes, type_, begun["default"]).strategy
    # A strategy that was learned may have been taken out of the settings since.
    return name if name in begun["strategies"] else str(begun["default"])


def _learn(parts: Learning, begun: Json, exercises: Sequence[Json], ended: Sequence[Json], purpose: str) -> int:
    """Keep what was executed, and write it and the profiles for others; return how many executions count."""
    rows = [_row(begun, exercises[one["place"]], one, purpose) for one in ended if one["result"] is not None]
    parts.database.writer.do(lambda tx: store.note(tx, rows))
    with parts.database.read() as connection:
        executions = store.executed(connection, _digests(begun))
        session = store.of_session(connection, begun["session_id"])
    files = Files(parts.folder)
    files.executed(begun, exercises, session, parts.database.clock.now_us())
    files.profiles(begun, executions)
    return len(rows)


def _row(begun: Json, exercise: Json, one: Json, purpose: str) -> Json:
    result = one["result"]
    detail = {"parts": result["parts"], "repeats": result["repeats"], "way": one["way"]}
    return {
        "run_id": one["run_id"],
        "session_id": begun["session_id"],
        "purpose": purpose,
        "exercise": exercise["name"],
        "type": exercise["type"],
        "complexity": exercise["complexity"],
        "strategy": one["strategy"],
        "parameters": Strategy.from_dict(begun["strategies"][one["strategy"]]).digest(exercise["work"]["kind"]),
        "success_rate": result["success_rate"],
        "score": result["score"],
        "time_s": result["time_s"],
        "detail": json.dumps(detail, separators=(",", ":")),
    }


def _digests(begun: Json) -> dict[str, frozenset[str]]:
    return {name: Strategy.from_dict(one).digests for name, one in begun["strategies"].items()}


def _choose(parts: Learning, begun: Json) -> Json:
    """Return the strategy with the best average score of those that are measured, where it is not the default."""
    with parts.database.read() as connection:
        executions = store.executed(connection, _digests(begun))
    focus = begun["focus"]
    counted = [one for one in executions if focus is None or one.type == focus]
    found = candidate_of(counted, rate=begun["rate"], minimum=begun["minimum"], champion=partial(_champion, begun))
    return {"candidate": found.name, "reason": found.reason, "measured": found.measured}


def _validate(parts: Learning, begun: Json, exercises: Sequence[Json], ended: Sequence[Json], candidate: str) -> Json:
    """Have the gate judge the candidate and the default of now on the same fresh exercises."""
    _learn(parts, begun, exercises, ended, _VALIDATE)
    pairs = _pairs(exercises, ended)
    champions = sorted({_champion(begun, one["type"]) for one in exercises})
    told: Json = {
        **_told(verdict_of(pairs, minimum_gain=begun["minimum_gain"]), len(pairs)),
        "candidate": candidate,
        "champion": ", ".join(champions),
        "exercises": len(pairs),
    }

    def keep(tx: Tx) -> int:
        return store.judged(tx, begun["session_id"], candidate=candidate, champion=told["champion"], verdict=told)

    told["verdict_id"] = parts.database.writer.do(keep)
    with parts.database.read() as connection:
        session = store.of_session(connection, begun["session_id"])
    Files(parts.folder).validated(begun, told, session, parts.database.clock.now_us())
    return told


def _pairs(exercises: Sequence[Json], ended: Sequence[Json]) -> list[Pair]:
    """Return the exercises that were executed and scored in both ways."""
    scores: dict[str, dict[int, float]] = {"candidate": {}, "champion": {}}
    for one in ended:
        if one["result"] is not None and one["result"]["score"] is not None:
            scores[one["way"]][one["place"]] = one["result"]["score"]
    ours, theirs = scores["candidate"], scores["champion"]
    places = sorted(ours.keys() & theirs.keys())
    return [Pair(type=exercises[place]["type"], candidate=ours[place], champion=theirs[place]) for place in places]


def _told(verdict: Verdict | None, pairs: int) -> Json:
    if verdict is None:
        reason = f"{pairs} exercises were executed in both ways; at least {LEAST_PAIRS} are needed"
        return {"decision": str(Decision.UNDERPOWERED), "reason": reason, "worse_in": []}
    return {**asdict(verdict), "decision": str(verdict.decision), "form": str(verdict.form)}


def _apply(parts: Learning, begun: Json, candidate: str, verdict_id: int) -> None:
    one = Change(
        type=begun["focus"] or ALL, strategy=candidate, how="learned", by=begun["by"], at_us=0, verdict_id=verdict_id
    )
    parts.database.writer.do(lambda tx: store.change(tx, one))
    with parts.database.read() as connection:
        executions, changes = store.executed(connection, _digests(begun)), store.changes(connection)
    Files(parts.folder).defaults(begun, executions, changes, parts.database.clock.now_us())
