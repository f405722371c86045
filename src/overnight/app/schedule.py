"""What a person does to the schedule: pause and resume a task, make up for instants of the past, look ahead."""

from dataclasses import dataclass

from overnight.app.workplace import Workplace
from overnight.base.errors import InvalidTask, UserMistake
from overnight.base.ids import RunId
from overnight.base.instants import iso
from overnight.db.writer import Tx
from overnight.engine import moves, pausing, store
from overnight.engine.scheduler import key_of, look_at_parents, request_of
from overnight.engine.submit import submit
from overnight.engine.ticks import between

MOST_BACKFILLED = 10_000
"""Instants that one backfill makes up for."""


@dataclass(frozen=True, kw_only=True)
class Backfilled:
    """What a backfill came to: the instants, the runs that were made, and how many instants had a run already."""

    instants: tuple[int, ...]
    run_ids: tuple[RunId, ...]
    known: int


def pause(project: Workplace, task_id: str, why: str) -> bool:
    """Pause a task; return False where it was paused already.

    Raises:
        UnknownName: there is no such task.
    """
    project.book.get(task_id)
    return project.database.writer.do(lambda tx: pausing.pause(tx, task_id, why))


def resume(project: Workplace, task_id: str) -> bool:
    """Let a paused task go on; return False where it was not paused.

    Raises:
        UnknownName: there is no such task.
    """
    project.book.get(task_id)
    return project.database.writer.do(lambda tx: moves.resume(tx, project.book, task_id))


def instants(project: Workplace, task_id: str, from_us: int, to_us: int) -> tuple[int, ...]:
    """Return the instants of the task's trigger from `from_us` on and before `to_us`.

    Raises:
        UnknownName: there is no such task.
        InvalidTask: no trigger starts it.
        UserMistake: the span is empty, reaches into the future, or holds too many instants.
    """
    trigger = project.book.get(task_id).trigger
    if trigger is None:
        raise InvalidTask(f"task {task_id!r} has no schedule, every or once: there are no instants to make up for")
    now_us = project.clock.now_us()
    if from_us >= to_us:
        raise UserMistake(f"from {iso(from_us)} to {iso(to_us)} is no span of time: give an earlier --from")
    if to_us > now_us:
        raise UserMistake(f"to {iso(to_us)} lies in the future; instants after now ({iso(now_us)}) fire by themselves")
    found = between(trigger, from_us, to_us, MOST_BACKFILLED + 1)
    if len(found) > MOST_BACKFILLED:
        raise UserMistake(f"there are more than {MOST_BACKFILLED} instants in that span; backfill a shorter one")
    return tuple(found)


def backfill(project: Workplace, task_id: str, from_us: int, to_us: int) -> Backfilled:
    """Make a run for each instant from `from_us` on and before `to_us` that has none; dependants follow.

    The runs are as old as this call, so that they stand behind what is in the queue already.

    Raises:
        UnknownName, InvalidTask, UserMistake: see `instants`.
    """
    wanted = instants(project, task_id, from_us, to_us)
    entry = project.book.get(task_id)

    def change(tx: Tx) -> tuple[RunId, ...]:
        known = store.with_keys(tx, [key_of(task_id, at_us) for at_us in wanted])
        fresh = [request_of(entry, at_us) for at_us in wanted if key_of(task_id, at_us) not in known]
        tx.news = True
        run_ids = submit(tx, fresh) if fresh else []
        if entry.task.after:
            look_at_parents(tx, project.book, run_ids)
        return tuple(run_ids)

    made = project.database.writer.do(change)
    return Backfilled(instants=wanted, run_ids=made, known=len(wanted) - len(made))


def coming(project: Workplace, until_us: int, *, most: int) -> dict[str, list[int]]:
    """Return when each task that is enabled and not paused fires from now on, up to `until_us`: the first `most` each.

    Where more follow, the list has `most` + 1 items.
    """
    now_us = project.clock.now_us()
    with project.database.read() as connection:
        paused = {pause.task_id for pause in pausing.pauses(connection)}
    found: dict[str, list[int]] = {}
    for entry in project.book:
        if entry.trigger is None or not entry.task.enabled or entry.task.task_id in paused:
            continue
        ahead = between(entry.trigger, now_us + 1, until_us + 1, most + 1)
        if ahead:
            found[entry.task.task_id] = ahead
    return found
