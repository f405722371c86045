"""Exercises: what is executed to learn about strategies, and the checks that judge it. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion
from overnight.learning.checks import Check, Expected, checks_of, table, text

Complexity = Literal["easy", "medium", "hard"]
COMPLEXITIES: tuple[Complexity, ...] = get_args(Complexity)
Kind = Literal["training", "workspace"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TRAINING, WORKSPACE = KINDS
MEASURED: Mapping[Kind, tuple[str, ...]] = {
    TRAINING: ("accuracy", "macro_f1", "time_s", "memory_mb", "calibration_error"),
    WORKSPACE: ("time_s", "memory_mb", "cost_usd"),
}
"""The metrics that are measured of an execution of each kind."""
LIMIT_S = 10.0
"""What an exercise without a check of its time may take, for its speed to be worth something."""


def complexity_of(told: object) -> Complexity:
    """Return the complexity of that name.

    Raises:
        UserMistake: there is none.
    """
    for level in COMPLEXITIES:
        if told == level:
            return level
    raise UserMistake(f"complexity: there is no {told!r}{suggestion(str(told), COMPLEXITIES)}")


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A task that is executed for real, and the checks that judge the execution.

    `name` is its own: equal names are equal exercises. `type` is the type of task by which strategies are compared,
    `task` one sentence for a person, `work` how it is run, as JSON: its `kind` is "training" (the rest is a
    `overnight.learning.recipes.Recipe`) or "workspace" (`overnight.learning.workspaces.Workspace`).
    """

    name: str
    type: str
    complexity: Complexity
    task: str
    work: Mapping[str, Any]  # Any: JSON
    checks: tuple[Check, ...]

    @property
    def kind(self) -> Kind:
        """How it is run."""
        kind: Kind = self.work["kind"]
        return kind

    @property
    def limit_s(self) -> float:
        """The seconds that it may take."""
        times = (one.bound for one in self.checks if isinstance(one, Expected) and one.metric == "time_s")
        return min(times, default=LIMIT_S)

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

        What `work` holds besides its kind is checked by what runs it, before it does anything. Without a `name`, it is
        called by its type and what stands for all of it; without a `complexity`, it is "medium".

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be; the message names it, in one line.
        """
        values = table(found, "exercise", ("type", "task", "work", "expectedChecks"), ("name", "complexity"))
        work = values["work"]
        for key in ("type", "task"):
            text(values[key], key)
        name = values.get("name", f"{values['type']}-{_stands_for(values)}")
        text(name, "name")
        complexity = complexity_of(values.get("complexity", "medium"))
        if not isinstance(work, Mapping):
            raise UserMistake(f"work: {work!r} is not a table")
        kind = work.get("kind")
        if kind not in KINDS:
            raise UserMistake(f"work.kind: there is no {kind!r}{suggestion(str(kind), KINDS)}")
        return cls(
            name=name,
            type=values["type"],
            complexity=complexity,
            task=values["task"],
            work=work,
            checks=_checks(values["expectedChecks"], kind),
        )


def _checks(found: object, kind: Kind) -> tuple[Check, ...]:
    checks = checks_of(found, "expectedChecks")
    for place, check in enumerate(checks):
        if isinstance(check, Expected) and check.metric not in MEASURED[kind]:
            raise UserMistake(
                f"expectedChecks[{place}].metric: {check.metric} is not measured of a {kind}; "
                f"{', '.join(MEASURED[kind])} are"
            )
        if kind == TRAINING and not isinstance(check, Expected):
            raise UserMistake(f"expectedChecks[{place}]: a training leaves nothing that a program could look at")
    return checks


def _stands_for(values: Mapping[str, Any]) -> str:
    told = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(errors="surrogatepass"), digest_size=6).hexdigest()
