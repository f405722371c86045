"""Which alerts a person gets, from what happened and how the daemon does. Pure.

A cause is told once an hour, however often it comes up: who is told the same thing all the time stops listening.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from overnight.base.instants import US
from overnight.engine.model import Standing
from overnight.reports.targets import Produced, target_line
from overnight.reports.vitals import Problem

EVERY_US = 3600 * US
"""Between two alerts of one cause."""
FEWEST_ENDED = 10
"""Runs that must have ended in the last hour before a share of failures means anything."""
MOST_NAMED = 5
T = TypeVar("T", "Failure", "Slow")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is told; see `[notify]`."""

    failed: bool = True
    missed: bool = True
    failure_rate: float | None = 0.5
    queue_age_s: float | None = 3600.0
    targets: bool = True


@dataclass(frozen=True, kw_only=True)
class Slow:
    """A run that completed, but took longer than its task's `target_s`."""

    run_id: int
    task_id: str
    took_s: float
    target_s: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that FAILED, and why."""

    run_id: int
    task_id: str
    why: str


@dataclass(frozen=True, kw_only=True)
class MissedTick:
    """Instants of a task that nobody worked on."""

    task_id: str
    count: int | None
    until: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What has happened since the last look, and how things stand."""

    now_us: int
    failures: Sequence[Failure] = ()
    missed: Sequence[MissedTick] = ()
    ended_last_hour: int = 0
    failed_last_hour: int = 0
    queue: Standing = field(default_factory=Standing)
    problems: Sequence[Problem] = ()
    slow: Sequence[Slow] = ()
    produced: Sequence[Produced] = ()


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something to tell: what it is about, a title, what happened and what to do.

    A cause is told once an hour; one that is told `once` never again.
    """

    cause: str
    title: str
    text: str
    once: bool = False


def alerts(facts: Facts, rules: Rules) -> list[Alert]:
    """Return everything that is worth telling, whether it was told lately or not; one for each cause."""
    found: dict[str, Alert] = {}
    for alert in _all(facts, rules):
        found.setdefault(alert.cause, alert)
    return list(found.values())


def _all(facts: Facts, rules: Rules) -> Iterable[Alert]:
    for problem in facts.problems:
        yield Alert(cause=f"health:{problem.cause}", title="unhealthy", text=f"{problem.text}. {problem.advice}")
    if rules.failed:
        yield from _failures(facts.failures)
    if rules.missed:
        yield from map(_missed, facts.missed)
    if rules.targets:
        yield from _too_slow(facts.slow)
        yield from (_too_few(one) for one in facts.produced if one.short)
    if rules.failure_rate is not None and facts.ended_last_hour >= FEWEST_ENDED:
        share = facts.failed_last_hour / facts.ended_last_hour
        if share >= rules.failure_rate:
            text = f"{facts.failed_last_hour} of {facts.ended_last_hour} runs that ended in the last hour FAILED"
            advice = "`overnight runs list --state failed` shows them"
            yield Alert(cause="failure rate", title="many runs fail", text=f"{text}. {advice}")
    age_s = facts.queue.age_s(facts.now_us)
    if rules.queue_age_s is not None and age_s > rules.queue_age_s:
        text = f"a ready run has waited {age_s / 60:.0f} min for its start, {facts.queue.ready} are ready"
        advice = "`overnight status` shows what is worked on; engine.max_concurrent bounds it"
        yield Alert(cause="queue age", title="the queue is behind", text=f"{text}. {advice}")


def by_task(those: Iterable[T]) -> dict[str, list[T]]:
    """Return them by the task that they are of, in order."""
    found: dict[str, list[T]] = {}
    for one in those:
        found.setdefault(one.task_id, []).append(one)
    return found


def _failures(failures: Sequence[Failure]) -> Iterable[Alert]:
    for task_id, those in by_task(failures).items():
        last = those[-1]
        named = ", ".join(str(failure.run_id) for failure in those[-MOST_NAMED:])
        number = f"run {named}" if len(those) == 1 else f"{len(those)} runs ({named})"
        advice = f"`overnight runs show {last.run_id}` and `overnight runs logs {last.run_id}` tell more"
        yield Alert(cause=f"failed:{task_id}", title=f"{task_id} failed", text=f"{number}: {last.why}. {advice}")


def _too_slow(slow: Sequence[Slow]) -> Iterable[Alert]:
    for task_id, those in by_task(slow).items():
        longest = max(those, key=lambda one: one.took_s)
        number = f"run {longest.run_id}" if len(those) == 1 else f"{len(those)} runs, {longest.run_id} the longest:"
        text = f"{number} took {longest.took_s:.0f} s; target_s is {longest.target_s:g}"
        advice = f"`overnight runs show {longest.run_id}` tells more"
        yield Alert(cause=f"slow:{task_id}", title=f"{task_id} is slower than it should be", text=f"{text}. {advice}")


def _too_few(one: Produced) -> Alert:
    advice = "`overnight runs list --state failed` and `overnight review list` show what may have held it up"
    return Alert(
        cause=f"target:{one.name}:{one.label}",
        title=f"too few {one.name}",
        text=f"{target_line(one)}. {advice}",
        once=True,
    )


def _missed(missed: MissedTick) -> Alert:
    number = "very many instants" if missed.count is None else f"{missed.count} instant(s)"
    text = f"{number} up to {missed.until} had no run, because nobody worked on the project then"
    advice = (
        f"`overnight tasks show {missed.task_id}` lists them, `overnight backfill {missed.task_id}` makes up for them"
    )
    return Alert(cause=f"missed:{missed.task_id}", title=f"{missed.task_id} was missed", text=f"{text}. {advice}")


def not_told_lately(found: Sequence[Alert], told_us: Mapping[str, int], now_us: int) -> list[Alert]:
    """Return the alerts whose cause was not told within the last hour; a clock that was set back counts as an hour."""
    return [one for one in found if one.cause not in told_us or not holds_back(one, told_us[one.cause], now_us)]


def holds_back(alert: Alert, told_us: int, now_us: int) -> bool:
    """Tell whether it is not told again, when it was told at an instant."""
    return alert.once or 0 <= now_us - told_us < EVERY_US
