"""The steps of strategy learning: each reads and writes the database, and returns what the next one needs, as JSON."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from overnight.base.learning_settings import LearningSettings
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine.flow import Ended
from overnight.engine.model import State
from overnight.flows.learning.files import Files
from overnight.learning import custom, production, store
from overnight.learning.allocation import allocated, trials_of
from overnight.learning.budget import Budget
from overnight.learning.deciding import LEAST_PAIRS, Pair, candidate_of, verdict_of
from overnight.learning.defaults import ALL, Change, Choice, chosen, set_by
from overnight.learning.drawing import draw, types_of
from overnight.learning.evidence import Evidence
from overnight.learning.exercises import Exercise
from overnight.learning.features import features_of
from overnight.learning.production import Produced
from overnight.learning.scoring import PARTS, weights_of
from overnight.learning.strategies import Strategy, digests_of, strategies_of
from overnight.proof.gate import Decision, Verdict

Json = dict[str, Any]
Way = Mapping[str, Any]
"""Of an execution: `strategy`, `way` (the strategy again, "candidate" or "champion"); of one that was drawn
`propensity`, and `production`, how many outcomes of production work of each strategy its chance follows from."""
LEARN, VALIDATE = "learn", "validate"
ALPHA = 0.05
_BY_ITSELF = {("transient", "TimedOut"), ("transient", "WorkerLost"), ("permanent", "PermanentError")}
"""What an error is of an execution that has taken too long, has crashed, or has taken more memory than it may."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What the flow works with.

    `settings` returns those of now, `tasks` the tasks that take a strategy, `production` what came of work by one.
    """

    database: Database
    folder: Path
    settings: Callable[[], LearningSettings]
    tasks: Callable[[], Sequence[str]]
    production: Callable[[], Sequence[Produced]]


def terms(settings: LearningSettings) -> Json:
    """Return what profiles and defaults follow from, beside what was executed and changed."""
    return {
        "strategies": {name: one.to_dict() for name, one in strategies_of(settings).items()},
        "default": settings.default,
        "rate": settings.rate,
        "minimum": settings.minimum_samples,
        "weights": weights_of(settings.weights),
        "agent": asdict(settings.agent),
    }


def begin(learning: Learning, run_id: int, wish: Json) -> Json:
    """Return all that a session goes by, as it was when it began."""
    settings = learning.settings()
    with learning.database.read() as connection:
        changes = store.changes(connection)
    begun = {
        **terms(settings),
        "session_id": run_id,
        "complexity": wish["complexity"],
        "focus": wish.get("focus"),
        "tasks": wish.get("tasks"),
        "budget_s": wish.get("budget_s"),
        "by": str(wish.get("by") or "its schedule"),
        "changes": [asdict(one) for one in changes],
        "repeats": settings.repeats,
        "exercises": settings.exercises,
        "validation_exercises": settings.validation_exercises,
        "minimum_gain": settings.minimum_gain,
    }
    Files(learning.folder).begun(begun, learning.database.clock.now_us())
    return begun


def generate_to_learn(learning: Learning, begun: Json, number: int) -> list[Json]:
    """Return the exercises of an iteration."""
    count = begun["exercises"]
    if begun["tasks"] is None:
        return _fresh(begun, f"{LEARN} {number}", count, begun["focus"])
    mine, _ = custom.halves(_focused(begun))
    return [dict(one) for one in custom.taken(mine, count, (number - 1) * count)]


def generate_to_compare(learning: Learning, begun: Json, look: int, count: int) -> list[Json]:
    """Return exercises that nothing was learned from; of one's own, those that no look before has used."""
    types = to_compare(begun)
    if begun["tasks"] is None:
        part, each = VALIDATE if look == 1 else f"{VALIDATE} {look}", -(-count // len(types))
        in_turn = zip(*(_fresh(begun, part, each, type_) for type_ in types), strict=True)
        return [one for some in in_turn for one in some][:count]
    _, kept = custom.halves(_focused(begun))
    kept = [one for one in kept if one["type"] in types]
    after = (look - 1) * begun["validation_exercises"]
    return [dict(one) for one in kept[after : after + count]]


def to_compare(begun: Json) -> list[str]:
    """Return the types of task of a session whose default is not the candidate yet."""
    return [one for one in dict.fromkeys(_types(begun)) if champion(begun, one) != begun["candidate"]]


def _types(begun: Json) -> Sequence[str]:
    if begun["tasks"] is not None:
        return [one["type"] for one in _focused(begun)]
    if begun["focus"] is not None:
        return [begun["focus"]]
    return types_of(begun["complexity"], agent=bool(begun["agent"]["command"]))


def _fresh(begun: Json, part: str, count: int, focus: str | None) -> list[Json]:
    """Return exercises of no other session, and of no other part of this one."""
    agent = bool(begun["agent"]["command"])
    made = draw(begun["complexity"], count, _number(begun, part, 6), agent=agent, focus=focus)
    return [one.to_dict() for one in made]


def _focused(begun: Json) -> list[Json]:
    return [one for one in begun["tasks"] if begun["focus"] in (None, one["type"])]


def _kept_apart(begun: Json) -> frozenset[str]:
    """Return the names of the exercises of one's own that are kept for comparisons, in any session: none is fresh."""
    if begun["tasks"] is None:
        return frozenset()
    _, kept = custom.halves(_focused(begun))
    return frozenset(one["name"] for one in kept)


def came_of(end: Ended, exercise: Json) -> Json | None:
    """Return what an execution gave; None for one that says nothing of its strategy.

    That is one that was cancelled, or that could not be executed for a reason outside of it. What has failed by itself
    was executed without success: a strategy is judged where it fails too.
    """
    if end.state is State.COMPLETED:
        return dict(end.result)
    if end.state is not State.FAILED or end.error is None or (end.error.family, end.error.type) not in _BY_ITSELF:
        return None
    return {
        "success_rate": 0.0,
        "time_s": Exercise.from_dict(exercise).limit_s,
        "cost_usd": None,
        "score": 0.0,
        "parts": dict.fromkeys(PARTS, 0.0),
        "repeats": [{"error": end.error.message}],
    }


def seed_of(begun: Json, part: str, place: int) -> int:
    """Return the first of the seeds by which an exercise is executed, in each of its ways."""
    return _number(begun, f"{part}/{place}", 3)


def _number(begun: Json, told: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{begun['session_id']}/{told}".encode(), digest_size=size).digest(), "big")


def allocate(learning: Learning, begun: Json, exercises: Sequence[Json], number: int) -> list[list[Json]]:
    """Return by which strategies each exercise is executed: by all of them at first, then as `allocation` draws."""
    strategies = list(begun["strategies"])
    if number == 1:
        return [[{"way": name, "strategy": name} for name in strategies] for _ in exercises]
    types = {one["type"] for one in exercises}
    with learning.database.read() as connection:
        evidence = [one for _, one in store.prior(connection, digests(begun)) if one.type in types]
        scores = store.scores(connection, digests(begun), types, weights=begun["weights"], without=_kept_apart(begun))
    produced = _produced(learning, begun, [score for _, score, _ in scores])
    draw = Random(_number(begun, f"allocate {number}", 8))  # noqa: S311  # not a secret
    drawn = allocated(
        strategies, trials_of([*evidence, *produced], scores), [features_of(one) for one in exercises], draw
    )
    facts = {"production": {one.strategy: one.uses for one in produced}} if produced else {}
    return [[{"way": one.strategy, **asdict(one), **facts} for one in some] for some in drawn]


def _produced(learning: Learning, begun: Json, scores: Sequence[float]) -> list[Evidence]:
    """Return what production work says of the strategies, around the mean of the scores of exercises."""
    if not scores:
        return []
    known = [one for one in learning.production() if one.strategy in begun["strategies"]]
    return production.evidence_of(known, begun["weights"], fmean(scores))


def champion(begun: Json, type_: str) -> str:
    """Return the strategy that executes a type of task by default."""
    name = choices(begun, [Change(**one) for one in begun["changes"]])(type_).strategy
    # A strategy that was set may have been taken out of the settings since.
    return name if name in begun["strategies"] else str(begun["default"])


def learn(learning: Learning, begun: Json, exercises: Sequence[Json], ended: Sequence[Json]) -> int:
    """Keep what was executed to learn from it; return how many executions count."""
    return _keep(learning, begun, exercises, ended, LEARN)


def _keep(learning: Learning, begun: Json, exercises: Sequence[Json], ended: Sequence[Json], purpose: str) -> int:
    """Keep what was executed, and write it and the profiles for others; return how many executions count."""
    rows = [_row(begun, exercises[one["place"]], one, purpose) for one in ended if one["result"] is not None]
    learning.database.writer.do(lambda tx: store.note(tx, rows))
    with learning.database.read() as connection:
        executions = store.executed(connection, digests(begun), weights=begun["weights"])
        session = store.of_session(connection, begun["session_id"])
    files = Files(learning.folder)
    files.executed(begun, exercises, session, learning.database.clock.now_us())
    files.profiles(begun, executions)
    return len(rows)


def _row(begun: Json, exercise: Json, one: Json, purpose: str) -> Json:
    result = one["result"]
    told = {"parts": result["parts"], "repeats": result["repeats"], "way": one["way"]}
    detail = {**told, "features": dict(features_of(exercise))}
    if "production" in one:
        detail["production"] = one["production"]
    return {
        "run_id": one["run_id"],
        "session_id": begun["session_id"],
        "purpose": purpose,
        "exercise": exercise["name"],
        "type": exercise["type"],
        "complexity": exercise["complexity"],
        "strategy": one["strategy"],
        "parameters": Strategy.from_dict(begun["strategies"][one["strategy"]]).digest(
            exercise["work"]["kind"], begun["agent"]
        ),
        "success_rate": result["success_rate"],
        "score": result["score"],
        "time_s": result["time_s"],
        "cost_usd": result["cost_usd"],
        "propensity": one.get("propensity"),
        "detail": json.dumps(detail, separators=(",", ":")),
    }


def digests(terms: Json) -> dict[str, frozenset[str]]:
    """Return what stands for the parameters of each strategy."""
    return digests_of({name: Strategy.from_dict(one) for name, one in terms["strategies"].items()}, terms["agent"])


def choices(terms: Json, changes: Sequence[Change]) -> Callable[[str], Choice]:
    """Return what tells which strategy executes a type of task, and why."""
    parameters, default = digests(terms), str(terms["default"])
    return lambda type_: chosen(changes, type_, default, parameters)


def choose(learning: Learning, begun: Json) -> Json:
    """Return the strategy with the best average score of those that are measured, where it is not the default."""
    with learning.database.read() as connection:
        executions = store.executed(connection, digests(begun), weights=begun["weights"], without=_kept_apart(begun))
    types = set(_types(begun))
    counted = [one for one in executions if one.type in types]
    found = candidate_of(counted, rate=begun["rate"], minimum=begun["minimum"], champion=partial(champion, begun))
    return {"candidate": found.name, "reason": found.reason, "measured": found.measured}


def validate(learning: Learning, begun: Json, looked: Sequence[Json], look: int) -> Json:
    """Have the gate judge candidate and default on all exercises so far that nothing was learned from.

    `more` says whether there are further ones.
    """
    mine = [one for one in looked if one["look"] == look]
    by_place = {one["place"]: one["exercise"] for one in mine}
    exercises = [by_place[place] for place in sorted(by_place)]
    _keep(learning, begun, exercises, mine, VALIDATE)
    alpha = Budget(total_s=begun["budget_s"]).alpha_of(look, ALPHA)
    pairs = _pairs(looked)
    left_out = len({(one["look"], one["place"]) for one in looked}) - len(pairs)
    told: Json = {
        **_told(verdict_of(pairs, minimum_gain=begun["minimum_gain"], alpha=alpha), len(pairs), left_out),
        "type": begun["focus"] or ALL,
        "types": sorted({one.type for one in pairs}),
        "candidate": begun["candidate"],
        "parameters": _compared(begun, looked),
        "champion": ", ".join(sorted({champion(begun, one["exercise"]["type"]) for one in looked})),
        "exercises": len(pairs),
        "left_out": left_out,
        "look": look,
        "more": begun["tasks"] is None or bool(generate_to_compare(learning, begun, look + 1, 1)),
    }

    def keep(tx: Tx) -> int:
        return store.judged(tx, begun["session_id"], look, told)

    told["verdict_id"] = learning.database.writer.do(keep)
    with learning.database.read() as connection:
        session = store.of_session(connection, begun["session_id"])
    Files(learning.folder).validated(begun, told, session, learning.database.clock.now_us())
    return told


def _compared(begun: Json, looked: Sequence[Json]) -> list[str]:
    """Return what stands for the candidate's parameters in the kinds of work that were compared."""
    candidate = Strategy.from_dict(begun["strategies"][begun["candidate"]])
    return sorted({candidate.digest(one["exercise"]["work"]["kind"], begun["agent"]) for one in looked})


def _pairs(looked: Sequence[Json]) -> list[Pair]:
    """Return the exercises that were executed and scored in both ways."""
    scored: dict[str, dict[tuple[int, int], Json]] = {"candidate": {}, "champion": {}}
    for one in looked:
        if one["result"] is not None and one["result"]["score"] is not None:
            scored[one["way"]][one["look"], one["place"]] = one
    both = [
        (ours, scored["champion"][key])
        for key, ours in sorted(scored["candidate"].items())
        if key in scored["champion"]
    ]
    return [
        Pair(
            type=ours["exercise"]["type"],
            candidate=ours["result"]["score"],
            champion=theirs["result"]["score"],
            successes=(ours["result"]["success_rate"], theirs["result"]["success_rate"]),
        )
        for ours, theirs in both
    ]


def _told(verdict: Verdict | None, pairs: int, left_out: int) -> Json:
    also = f" Left out: {left_out} that were cancelled, or could not be executed." if left_out else ""
    if verdict is None:
        reason = f"{pairs} exercises were executed in both ways; at least {LEAST_PAIRS} are needed."
        return {"decision": str(Decision.UNDERPOWERED), "reason": f"{reason}{also}", "worse_in": []}
    told = {"decision": str(verdict.decision), "form": str(verdict.form), "reason": f"{verdict.reason}{also}"}
    return {**asdict(verdict), **told}


def apply(learning: Learning, begun: Json, verdict: Json) -> None:
    """Make the candidate of a verdict the default of what was compared."""
    changes = [
        Change(
            type=type_,
            strategy=verdict["candidate"],
            how="learned",
            by=begun["by"],
            at_us=0,
            verdict_id=verdict["verdict_id"],
        )
        for type_ in set_by(verdict["type"], verdict["types"])
    ]
    change(learning, begun, changes)


def change(learning: Learning, terms: Json, made: Sequence[Change]) -> None:
    """Keep changes of defaults, all or none, and write for others which strategies execute."""

    def keep(tx: Tx) -> None:
        for one in made:
            store.change(tx, one)

    learning.database.writer.do(keep)
    with learning.database.read() as connection:
        executions = store.executed(connection, digests(terms), weights=terms["weights"])
        changes = store.changes(connection)
    files, told = Files(learning.folder), choices(terms, changes)
    files.defaults(terms, executions, told, learning.database.clock.now_us())
    files.workflows(terms, learning.tasks(), told)
