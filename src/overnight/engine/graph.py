"""Which task comes after which, and when a dependant starts. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from overnight.base.errors import InvalidTask
from overnight.engine.model import State


@dataclass(frozen=True, kw_only=True)
class Start:
    """All parents have completed."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Some parent has not ended yet."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A parent ended badly; the run cannot start in this cycle."""

    reason: str


def order(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the task ids so that each comes behind those it is `after`; ties in the given order.

    Raises:
        InvalidTask: `after` names a task that does not exist, or goes round in a circle; the message names them.
    """
    for task_id, parents in after.items():
        for parent in parents:
            if parent not in after:
                known = ", ".join(sorted(after))
                raise InvalidTask(f"task {task_id!r}: after: there is no task {parent!r} (tasks: {known})")
    try:
        return list(TopologicalSorter(after).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise InvalidTask(f"after: the tasks wait for each other in a circle: {circle}") from error


def dependants(after: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return for each task, known or not, those that name it in `after`."""
    found: dict[str, list[str]] = {task_id: [] for task_id in after}
    for task_id, parents in after.items():
        for parent in parents:
            found.setdefault(parent, []).append(task_id)
    return found


def downstream(after: Mapping[str, Iterable[str]], root: str) -> set[str]:
    """Return the task and everything that comes after it, at any distance."""
    children = dependants(after)
    reached, todo = {root}, [root]
    while todo:
        for child in children[todo.pop()]:
            if child not in reached:
                reached.add(child)
                todo.append(child)
    return reached


def decide(parents: Mapping[str, State | None]) -> Start | Wait | Block:
    """Return what a dependant does, given how its parents stand (None = no run yet)."""
    for task_id, state in sorted(parents.items()):
        if state in (State.FAILED, State.CANCELLED):
            return Block(reason=f"blocked: task {task_id!r}, which it comes after, ended {state}")
    if all(state is State.COMPLETED for state in parents.values()):
        return Start()
    return Wait()
