"""How a daemon does: facts that it measured about itself, and what is wrong according to them. Pure.

Health is progress, not life: a process that answers while it decides nothing is unhealthy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from overnight.base.instants import iso
from overnight.engine.model import Standing

DECISION_S = 10.0
"""Age of the last scheduling decision from which the scheduler counts as stuck; at rest it decides every 5 s."""
WRITER_S = 10.0
"""How long changes may wait without any being written, or become more and more."""
WRITER_MANY = 1000
"""Waiting changes from which a growing queue counts."""
OVERDUE_S = 20.0
"""Beyond its time limit a run is asked to end and, 5 s later, killed; this long after it something is wrong."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """A run that still works after its time limit."""

    run_id: int
    task_id: str
    by_s: float


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """What is known of a daemon at an instant; None where it was not measured."""

    at_us: int
    uptime_s: float
    decided_s_ago: float
    writer_waiting: int = 0
    writer_stalled_s: float = 0.0
    writer_growing_s: float = 0.0
    disk_free_bytes: int | None = None
    disk_reserve_gb: float = 0.0
    overdue: Sequence[Overdue] = ()
    failure: str | None = None
    """What ended the engine against its will."""
    services_lost: Mapping[str, str] = field(default_factory=dict)
    """The services that are given up, each with the reason."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is wrong: a word for its cause, what it is, what to do."""

    cause: str
    text: str
    advice: str


def problems(vitals: Vitals) -> tuple[Problem, ...]:
    """Return what is wrong; an empty tuple means healthy."""
    of_services = [_lost(name, why) for name, why in vitals.services_lost.items()]
    engine = (_engine(vitals), _scheduler(vitals), _writer(vitals), _disk(vitals))
    found = (*engine, *map(_overdue, vitals.overdue), *of_services)
    return tuple(problem for problem in found if problem is not None)


def _engine(vitals: Vitals) -> Problem | None:
    if vitals.failure is None:
        return None
    return Problem(cause="engine", text=f"the engine has ended: {vitals.failure}", advice="`overnight down`, then `up`")


def _scheduler(vitals: Vitals) -> Problem | None:
    if vitals.decided_s_ago <= DECISION_S or vitals.failure is not None:
        return None
    return Problem(
        cause="scheduler",
        text=f"the last scheduling decision is {vitals.decided_s_ago:.0f} s old",
        advice="the log names a file with the stacks of all threads; an 'inline' task blocks the scheduler",
    )


def _writer(vitals: Vitals) -> Problem | None:
    waiting = vitals.writer_waiting
    if vitals.writer_stalled_s > WRITER_S:
        text = f"nothing was written to the database for {vitals.writer_stalled_s:.0f} s, and {waiting} changes wait"
    elif waiting >= WRITER_MANY and vitals.writer_growing_s > WRITER_S:
        text = f"{waiting} changes wait for the database, more and more for {vitals.writer_growing_s:.0f} s"
    else:
        return None
    return Problem(cause="writer", text=text, advice="see what else holds the database, and whether the disk is slow")


def _disk(vitals: Vitals) -> Problem | None:
    free = vitals.disk_free_bytes
    if free is None or free >= vitals.disk_reserve_gb * GB:
        return None
    return Problem(
        cause="disk",
        text=f"{free / GB:.2f} GB of disk are free, less than engine.disk_reserve_gb = {vitals.disk_reserve_gb:g}",
        advice="make room, or shorten engine.retention",
    )


def _overdue(late: Overdue) -> Problem:
    return Problem(
        cause="overdue",
        text=f"run {late.run_id} of {late.task_id} goes on {late.by_s:.0f} s after its time limit",
        advice=f"see `overnight runs logs {late.run_id}`; what outlives SIGKILL waits for the kernel",
    )


def _lost(name: str, why: str) -> Problem:
    return Problem(
        cause="service",
        text=f"service {name} is given up: {why}",
        advice=f"see `overnight logs --service {name}`; `overnight restart {name}` tries it again",
    )


@dataclass(frozen=True, kw_only=True)
class Models:
    """How trainings and models stand; None where nobody has looked yet."""

    training: int | None = None
    """Jobs that train now."""
    deployed: int | None = None
    """Models of which a version serves."""
    experiences: int | None = None
    """Experiences that no job has used."""


def health(vitals: Vitals, queue: Standing, models: Models) -> dict[str, Any]:  # Any: JSON
    """Return the body of `GET /health`."""
    wrong = problems(vitals)
    return {
        "status": "unhealthy" if wrong else "healthy",
        "uptime_seconds": round(vitals.uptime_s, 3),
        "last_decision_age_s": round(vitals.decided_s_ago, 3),
        "queue": {
            "ready": queue.ready,
            "later": queue.later,
            "waiting": queue.waiting,
            "held": queue.held,
            "active": queue.active,
            "oldest_ready_age_s": round(queue.age_s(vitals.at_us), 3),
        },
        "active_training_jobs": models.training,
        "experience_buffer_size": models.experiences,
        "models_deployed": models.deployed,
        "problems": [problem.__dict__ for problem in wrong],
    }


def standing_word(vitals: Vitals, models: Models) -> str:
    """Return how the daemon stands in one word: healthy, busy (it trains), degraded (see `problems`) or failed."""
    if vitals.failure is not None:
        return "failed"
    if problems(vitals):
        return "degraded"
    return "busy" if models.training else "healthy"


@dataclass(frozen=True, kw_only=True)
class Doings:
    """What the files for others tell: the runs that are worked on and those that wait, and figures by name."""

    active: Sequence[Mapping[str, Any]] = ()  # Any: JSON
    queued: Sequence[Mapping[str, Any]] = ()  # Any: JSON
    completed: int = 0
    failed: int = 0
    counted: Mapping[str, float] = field(default_factory=dict)


def state_file(vitals: Vitals, doings: Doings) -> dict[str, Any]:  # Any: JSON
    """Return what `orchestrator_state.json` holds."""
    return {
        "timestamp": iso(vitals.at_us),
        "uptime_hours": round(vitals.uptime_s / 3600, 4),
        "task_queue": list(doings.queued),
        "active_tasks": list(doings.active),
        "metrics": _metrics(vitals, doings),
    }


def health_file(vitals: Vitals, queue: Standing, doings: Doings) -> dict[str, Any]:  # Any: JSON
    """Return what `health_YYYYMMDD.json` holds."""
    return {
        "timestamp": iso(vitals.at_us),
        "uptime_hours": round(vitals.uptime_s / 3600, 4),
        "task_queue_size": queue.ready + queue.later + queue.waiting + queue.held,
        "active_tasks": len(doings.active),
        "completed_tasks": doings.completed,
        "failed_tasks": doings.failed,
        "metrics": {
            **_metrics(vitals, doings),
            "last_health_check": iso(vitals.at_us),
            "status": "unhealthy" if problems(vitals) else "healthy",
            "problems": [problem.text for problem in problems(vitals)],
        },
    }


def _metrics(vitals: Vitals, doings: Doings) -> dict[str, Any]:  # Any: JSON
    return {
        "completed_tasks": doings.completed,
        "failed_tasks": doings.failed,
        **doings.counted,
        "last_decision_age_s": round(vitals.decided_s_ago, 3),
    }


MOST_FIRINGS = 48
"""Firings of one task in a day that are listed one by one."""


def next_file(now_us: int, hours: float, coming: Mapping[str, Sequence[int]]) -> dict[str, Any]:  # Any: JSON
    """Return what `schedules/next.json` holds: the firings to come; of a task that fires often, the first one alone."""
    firings = [
        (at_us, task_id) for task_id, instants in coming.items() if len(instants) <= MOST_FIRINGS for at_us in instants
    ]
    often = {task_id: iso(instants[0]) for task_id, instants in coming.items() if len(instants) > MOST_FIRINGS}
    return {
        "timestamp": iso(now_us),
        "hours": hours,
        "firings": [{"at": iso(at_us), "task_id": task_id} for at_us, task_id in sorted(firings)],
        "often": [{"task_id": task_id, "first": first} for task_id, first in sorted(often.items())],
    }
