"""Which runs start now. Pure.

Runs come in the order of a fixed key (due time minus the priority's bonus), so waiting alone moves a run forward. A run
that does not fit is passed by smaller ones only while that does not delay it: EASY backfill (Lifka, "The ANL/IBM SP
scheduling system", 1995), with a task's time limit as the estimate of how long its run takes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from overnight.base.ids import RunId
from overnight.base.instants import US
from overnight.engine.model import Needs


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A ready run. `limit_us` is the longest that it may take, None where it has no time limit."""

    run_id: RunId
    task_id: str
    needs: Needs = field(default_factory=Needs)
    limit_us: int | None = None
    max_concurrent: int | None = 1
    rated: bool = False
    """True for a task with a rate limit: one of its runs starts in a turn, if it may start at all (`closed`)."""
    admitted: bool = True
    """False for one that needs memory or GPUs and was not granted them (see `resources.negotiator`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Busy:
    """A run that is being worked on. `ends_us` is the latest instant at which it ends, None where nobody knows."""

    task_id: str
    needs: Needs = field(default_factory=Needs)
    ends_us: int | None = None
    here: bool = True
    """False for what another worker does: it holds locks and counts for its task, but takes nothing of this worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What this worker has: runs at once, cores, and memory for services and runs together (GB = 10^9 bytes)."""

    slots: int
    cpus: float
    memory_gb: float = math.inf


class Why(StrEnum):
    """Why a ready run did not start."""

    RATE = "its task's rate limit lets the next run start later"
    TASK_LIMIT = "as many runs of its task as allowed are being worked on"
    LOCK = "a lock that it needs is taken"
    CPUS = "not enough cores are free"
    MEMORY = "it waits for memory or a GPU"
    BEHIND = "starting it could delay a run that waits for cores or a lock"
    NEVER = "it needs more than this machine has"
    FULL = "as many runs as allowed are being worked on"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The runs that start, in order, and why the others do not."""

    start: tuple[RunId, ...]
    waiting: Mapping[RunId, Why]


@dataclass(slots=True)
class _Room:
    """What is left while candidates are looked at one by one."""

    slots: int
    cpus: float
    taken: set[str]
    per_task: dict[str, int]
    busy: list[Busy]
    closed: set[str]
    # The reservation of the first run that waits for cores or a lock: when it can start, and what is over beside it
    # then.
    shadow_us: float | None = None
    spare_cpus: float = math.inf
    spare_slots: float = math.inf


def choose(
    candidates: Sequence[Candidate],
    busy: Iterable[Busy],
    capacity: Capacity,
    now_us: int,
    closed: Iterable[str] = (),
) -> Choice:
    """Return which candidates start now; `closed` are the tasks whose rate limit lets none start.

    Raises nothing; a run that can never fit is among the waiting ones with the reason NEVER.
    """
    room = _room(busy, capacity, closed)
    start: list[RunId] = []
    waiting: dict[RunId, Why] = {}
    for candidate in candidates:
        why = _obstacle(candidate, room, capacity, now_us)
        if why is None:
            _take(candidate, room, now_us)
            start.append(candidate.run_id)
        else:
            waiting[candidate.run_id] = why
            _wait(candidate, why, room)
    return Choice(start=tuple(start), waiting=waiting)


def _room(busy: Iterable[Busy], capacity: Capacity, closed: Iterable[str]) -> _Room:
    held = list(busy)
    per_task: dict[str, int] = {}
    for run in held:
        per_task[run.task_id] = per_task.get(run.task_id, 0) + 1
    return _Room(
        slots=capacity.slots - sum(run.here for run in held),
        cpus=capacity.cpus - sum(run.needs.cpus for run in held if run.here),
        taken={lock for run in held for lock in run.needs.locks},
        per_task=per_task,
        busy=held,
        closed=set(closed),
    )


def _obstacle(candidate: Candidate, room: _Room, capacity: Capacity, now_us: int) -> Why | None:
    needs = candidate.needs
    limit = candidate.max_concurrent
    if needs.cpus > capacity.cpus or (needs.memory_gb > capacity.memory_gb and needs.memory_basis != "assumed"):
        return Why.NEVER
    if candidate.task_id in room.closed or (limit is not None and room.per_task.get(candidate.task_id, 0) >= limit):
        return Why.RATE if candidate.task_id in room.closed else Why.TASK_LIMIT
    if not room.taken.isdisjoint(needs.locks):
        return Why.LOCK
    if room.slots < 1:
        return Why.FULL
    if needs.cpus > room.cpus or not candidate.admitted:
        return Why.CPUS if needs.cpus > room.cpus else Why.MEMORY
    return None if _harmless(candidate, room, now_us) else Why.BEHIND


def _harmless(candidate: Candidate, room: _Room, now_us: int) -> bool:
    """Tell whether starting it cannot delay the run that has the reservation."""
    if room.shadow_us is None:
        return True
    if candidate.limit_us is not None and now_us + candidate.limit_us <= room.shadow_us:
        return True
    return candidate.needs.cpus <= room.spare_cpus and room.spare_slots >= 1


def _take(candidate: Candidate, room: _Room, now_us: int) -> None:
    ends_us = None if candidate.limit_us is None else now_us + candidate.limit_us
    room.slots -= 1
    room.cpus -= candidate.needs.cpus
    room.taken.update(candidate.needs.locks)
    room.per_task[candidate.task_id] = room.per_task.get(candidate.task_id, 0) + 1
    if candidate.rated:
        room.closed.add(candidate.task_id)
    room.busy.append(Busy(task_id=candidate.task_id, needs=candidate.needs, ends_us=ends_us))
    if room.shadow_us is not None and (ends_us is None or ends_us > room.shadow_us):
        room.spare_cpus -= candidate.needs.cpus
        room.spare_slots -= 1


def _wait(candidate: Candidate, why: Why, room: _Room) -> None:
    if why not in (Why.LOCK, Why.CPUS):
        return
    # A lock that another worker holds comes back some day, and no slot or core of this one with it: nothing to reserve.
    elsewhere = (lock for run in room.busy if not run.here for lock in run.needs.locks)
    if room.shadow_us is None and not any(lock in candidate.needs.locks for lock in elsewhere):
        _reserve(candidate, room)
    # Nobody behind it may take its locks, or it could wait for ever.
    room.taken.update(candidate.needs.locks)


def _reserve(candidate: Candidate, room: _Room) -> None:
    """Find when its locks, enough cores and a slot are free for this run, and what is left over at that time."""
    cpus, slots = room.cpus, room.slots
    blocked = Counter(lock for run in room.busy for lock in run.needs.locks if lock in candidate.needs.locks)
    ends_us = -math.inf
    for run in sorted(room.busy, key=_ends_us):
        if not blocked and slots >= 1 and cpus >= candidate.needs.cpus:
            break
        ends_us = _ends_us(run)
        blocked -= Counter(run.needs.locks)
        if run.here:
            cpus += run.needs.cpus
            slots += 1
    # Where nobody knows when it can start, being short is no excuse: only what fits beside it then may pass.
    room.shadow_us = -math.inf if ends_us == math.inf else ends_us
    room.spare_cpus = cpus - candidate.needs.cpus
    room.spare_slots = slots - 1


def _ends_us(run: Busy) -> float:
    return math.inf if run.ends_us is None else run.ends_us


def limit_us(timeout_s: float | None, active_us: int = 0) -> int | None:
    """Return the longest that a run may still take, from its task's time limit and the time it was worked on."""
    return None if timeout_s is None else max(0, int(timeout_s * US) - active_us)
