"""What an execution of an exercise was, whoever has executed it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from overnight.base.errors import UserMistake
from overnight.learning.checks import Check, Expected, Judged, unmeasured

EFFORT = ("time_s", "memory_mb", "cost_usd")
"""The metrics of how the work was done, which say nothing of what came of it."""


class CannotExecute(UserMistake):
    """Nothing can be executed here: it says nothing about the strategy."""


@dataclass(frozen=True, kw_only=True)
class Executed:
    """What was measured.

    `checks` holds for each check of the exercise, by its name, what it says. `time_s` is the time that the work took,
    `memory_mb` the most that it held at once, `cost_usd` what it cost; None: not measured. `answers` are comparable
    with those of another execution of the exercise, one by one: labels of held-out items, or whether each check was
    passed; none where there is no answer. `facts` are what the work was, read from what was really done.
    """

    checks: Mapping[str, Judged]
    time_s: float
    memory_mb: float | None
    answers: tuple[str, ...]
    facts: Mapping[str, Any]  # Any: JSON
    cost_usd: float | None = None

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        return {**asdict(self), "answers": list(self.answers)}


def counted(one: Executed, checks: Sequence[Check]) -> Executed:
    """Return what counts of an execution: who gives no answer, or one that passes no check of it, was not quick.

    Then it has no answers, and the checks of time, memory and cost are unmeasured.
    """
    effort = {check.name for check in checks if isinstance(check, Expected) and check.metric in EFFORT}
    of_answer = [check.passed for name, check in one.checks.items() if name not in effort]
    if one.answers and (any(of_answer) or not of_answer):
        return one
    nothing = unmeasured("there is no answer that passes a check of it")
    return replace(
        one, answers=(), checks={name: nothing if name in effort else check for name, check in one.checks.items()}
    )


def all_known(values: Sequence[float | None]) -> list[float] | None:
    """Return the values where all are known; None where there are none, or one is not: it does not count as 0."""
    known = [value for value in values if value is not None]
    return known if known and len(known) == len(values) else None


def judged(check: Expected, measured: Mapping[str, float | None]) -> Judged:
    """Return what a check says of what was measured."""
    value = measured[check.metric]
    return unmeasured(f"{check.metric} was not measured") if value is None else check.judge(value)
