"""The run in which one exercise is executed by one strategy, several times with different seeds."""

from collections.abc import Mapping
from typing import Any

from overnight.base.errors import said_by
from overnight.base.ports import RunContext
from overnight.learning.exercises import Exercise
from overnight.learning.scoring import agreement_of, score
from overnight.learning.strategies import Strategy
from overnight.learning.work import Executed, execute

Json = dict[str, Any]


def run_exercise(
    ctx: RunContext, *, exercise: Json, strategy: Json, seed: int, repeats: int, weights: Mapping[str, float]
) -> Json:
    """Execute an exercise `repeats` times and return what it is worth, with all that was measured.

    A repeat that raises has passed no check and given no answer; what it raised stands beside it. Repeats that fail in
    the same way do not agree in anything.
    """
    what, how = Exercise.from_dict(exercise), Strategy.from_dict(strategy)
    done: list[Executed | str] = []
    for repeat in range(repeats):
        ctx.progress(repeat, repeats)
        try:
            done.append(execute(what, how.training, seed + repeat))
        except Exception as error:  # noqa: BLE001 - whatever an execution raises, it has failed
            done.append(said_by(error))
    good = [one for one in done if not isinstance(one, str)]
    passed = [sum(check.passed for check in one.checks.values()) / len(what.checks) for one in good]
    success = sum(passed) / repeats
    time_s = sum(one.time_s for one in good) / len(good) if len(good) == repeats else what.limit_s
    agreement = agreement_of([one.answers for one in good]) if len(good) == repeats else 0.0
    found = score(success_rate=success, time_s=time_s, limit_s=what.limit_s, agreement=agreement, weights=weights)
    return {
        "success_rate": success,
        "time_s": time_s,
        "score": found.total,
        "parts": {"success": found.success, "speed": found.speed, "reliability": found.reliability},
        "repeats": [{"error": one} if isinstance(one, str) else one.to_dict() for one in done],
    }
