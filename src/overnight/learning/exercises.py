"""Exercises: what is executed to learn about strategies, and the checks that judge it. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion

Complexity = Literal["easy", "medium", "hard"]
COMPLEXITIES: tuple[Complexity, ...] = get_args(Complexity)
LIMIT_S = 10.0
"""What an exercise without a check of its time may take, for its speed to be worth something."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a metric is: whether more is better, and the best that it can be."""

    more: bool
    best: float


METRICS: Mapping[str, Measured] = {
    "accuracy": Measured(more=True, best=1.0),
    "macro_f1": Measured(more=True, best=1.0),
    "time_s": Measured(more=False, best=0.0),
    "memory_mb": Measured(more=False, best=0.0),
    "calibration_error": Measured(more=False, best=0.0),
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a check says of an execution: whether it is passed, how well (0 to 100), and the value that was measured."""

    passed: bool
    score: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A check: `metric` is at least (or at most) `bound`; the metrics are those of `METRICS`."""

    name: str
    metric: str
    bound: float
    at_least: bool

    def judge(self, value: float) -> Judged:
        """Judge what was measured.

        The score is 50 at the bound and 100 at the metric's best, on a straight line between them and on beyond the
        bound with a slope of its own: for `at_least` 0 at 0, for `at_most` 0 at twice the bound and above. So it never
        falls as the value gets better, and is at least 50 exactly where the check is passed.
        """
        if self.at_least:
            best = METRICS[self.metric].best
            passed = value >= self.bound
            over = (value - self.bound) / (best - self.bound) if best > self.bound else 1.0
            score = 50 + 50 * over if passed else 50 * value / self.bound
        else:
            passed = value <= self.bound
            score = 100 - 50 * value / self.bound
        return Judged(passed=passed, score=min(100.0, max(0.0, score)), value=value)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the check as JSON."""
        return {"name": self.name, "metric": self.metric, "bound": self.bound, "at_least": self.at_least}

    @classmethod
    def from_dict(cls, found: object, where: str) -> Self:
        """Return the check that stands at a place of a file, which is named in what is said of it.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be.
        """
        values = _table(found, where, ("name", "metric", "bound", "at_least"))
        name, metric, bound, at_least = (values[key] for key in ("name", "metric", "bound", "at_least"))
        _text(name, f"{where}.name")
        if not isinstance(metric, str) or metric not in METRICS:
            raise UserMistake(f"{where}.metric: there is no {metric!r}{suggestion(str(metric), METRICS)}")
        if not isinstance(bound, int | float) or isinstance(bound, bool) or not 0 < bound < math.inf:
            raise UserMistake(f"{where}.bound: {bound!r} is not a number above 0")
        about = METRICS[metric]
        if about.more and bound > about.best:
            raise UserMistake(f"{where}.bound: {metric} is never above {about.best:g}, got {bound!r}")
        if at_least is not about.more:
            raise UserMistake(
                f"{where}.at_least: {at_least!r}, but of {metric} {'more' if about.more else 'less'} is better"
            )
        return cls(name=name, metric=metric, bound=float(bound), at_least=at_least)


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A task that is executed for real, and the checks that judge the execution.

    `name` is its own: equal names are equal exercises. `type` is the type of task by which strategies are compared,
    `task` one sentence for a person, `work` how it is run, as JSON (for the training of models a
    `overnight.learning.recipes.Recipe`).
    """

    name: str
    type: str
    complexity: Complexity
    task: str
    work: Mapping[str, Any]  # Any: JSON
    checks: tuple[Expected, ...]

    @property
    def limit_s(self) -> float:
        """The seconds that it may take."""
        return min((check.bound for check in self.checks if check.metric == "time_s"), default=LIMIT_S)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the exercise as its file holds it."""
        return {
            "name": self.name,
            "type": self.type,
            "complexity": self.complexity,
            "task": self.task,
            "work": dict(self.work),
            "expectedChecks": [check.to_dict() for check in self.checks],
        }

    @classmethod
    def from_dict(cls, found: object) -> Self:
        """Return the exercise that a file holds.

        What `work` holds is checked by what runs it, before it does anything.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be; the message names it, in one line.
        """
        values = _table(found, "exercise", ("name", "type", "complexity", "task", "work", "expectedChecks"))
        for key in ("name", "type", "task"):
            _text(values[key], key)
        complexity, work, checks = values["complexity"], values["work"], values["expectedChecks"]
        if complexity not in COMPLEXITIES:
            raise UserMistake(f"complexity: there is no {complexity!r}{suggestion(str(complexity), COMPLEXITIES)}")
        if not isinstance(work, Mapping):
            raise UserMistake(f"work: {work!r} is not a table")
        return cls(
            name=values["name"],
            type=values["type"],
            complexity=complexity,
            task=values["task"],
            work=work,
            checks=_checks(checks),
        )


def _checks(found: object) -> tuple[Expected, ...]:
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise UserMistake(f"expectedChecks: {found!r} is not a list of at least 1 check")
    checks = tuple(Expected.from_dict(one, f"expectedChecks[{place}]") for place, one in enumerate(found))
    names = [check.name for check in checks]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserMistake(f"expectedChecks[{place}].name: {name!r} is there twice")
    return checks


def _table(found: object, where: str, keys: Sequence[str]) -> Mapping[str, Any]:  # Any: a person wrote it
    if not isinstance(found, Mapping):
        raise UserMistake(f"{where}: {found!r} is not a table")
    for key in found:
        if key not in keys:
            raise UserMistake(f"{where}: there is no {key!r}{suggestion(str(key), keys)}")
    for key in keys:
        if key not in found:
            raise UserMistake(f"{where}.{key}: missing")
    return found


def _text(value: object, where: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise UserMistake(f"{where}: {value!r} is not a text")
