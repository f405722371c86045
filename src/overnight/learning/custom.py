"""Exercises of one's own, from a file; of which are learned from, and which are kept for comparisons. Pure."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from overnight.base.errors import UserMistake
from overnight.learning.checks import table
from overnight.learning.exercises import WORKSPACE, Exercise, complexity_of
from overnight.learning.recipes import Recipe
from overnight.learning.workspaces import Workspace
from overnight.proof.splits import position

LEAST = 4
"""Exercises that a set must have, of which half are kept for comparisons."""


def read(told: str, *, toml: bool) -> list[Exercise]:
    """Return the exercises of a file: `tasks`, and a `complexity` for those that have none of their own.

    Raises:
        UserMistake: it cannot be read, or an exercise cannot be executed; the message names the place.
    """
    try:
        found = tomllib.loads(told) if toml else json.loads(told)
    except (ValueError, RecursionError) as error:
        raise UserMistake(f"it is no {'TOML' if toml else 'JSON'}: {error}") from None
    values = table(found, "it", ("tasks",), ("complexity", "created"))
    complexity, tasks = complexity_of(values.get("complexity", "medium")), values["tasks"]
    if not isinstance(tasks, list) or len(tasks) < LEAST:
        raise UserMistake(f"tasks: at least {LEAST} are needed; half of them are kept for comparisons")
    made = [_exercise(one, place, complexity) for place, one in enumerate(tasks)]
    names = [one.name for one in made]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserMistake(f"tasks[{place}]: {name!r} is there twice")
    return made


def _exercise(found: object, place: int, complexity: str) -> Exercise:
    try:
        told = {"complexity": complexity, **found} if isinstance(found, Mapping) else found
        made = Exercise.from_dict(told)
        (Workspace if made.kind == WORKSPACE else Recipe).from_dict(made.work)
    except UserMistake as error:
        raise UserMistake(f"tasks[{place}]: {error}") from None
    return made


def check_agent(exercises: Sequence[Mapping[str, Any]], focus: str | None, command: Sequence[str]) -> None:
    """Check that there is an agent's command where an exercise of that type, or of any, needs one.

    Raises:
        UserMistake: there is none; the message names the first of them.
    """
    for place, one in enumerate(exercises):
        if not command and one["work"]["kind"] == WORKSPACE and focus in (None, one["type"]):
            raise UserMistake(
                f"tasks[{place}]: {one['name']!r} is executed by a coding agent, and there is none; set command in "
                "[learning.agent]"
            )


def halves(exercises: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the exercises to learn from and those for comparisons, whatever their order, always the same ones.

    Those of each type are shared out: so each type is on both sides that has at least two.
    """
    ordered = sorted(exercises, key=lambda one: position(one["name"], salt="exercises", purpose="halves"))
    ordered.sort(key=lambda one: str(one["type"]))
    return ordered[::2], ordered[1::2]


def taken(some: Sequence[Mapping[str, Any]], count: int, after: int) -> list[Mapping[str, Any]]:
    """Return the next `count` of some exercises after so many: the first ones come again after the last one."""
    return [some[(after + place) % len(some)] for place in range(min(count, len(some)))]
