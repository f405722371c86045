"""Which instants of a trigger are run, and which are recorded as missed. Pure.

An instant that nobody fired in time (the machine slept, no daemon ran, a civil clock jumped) is never silent: it is
made up for, or told as a `Gap`. However long the sleep was, one look fires `MOST_AT_ONCE` instants at the most.
"""

import re
import zlib
from dataclasses import dataclass
from enum import StrEnum

from overnight.base.errors import InvalidTask
from overnight.base.instants import US
from overnight.engine.cron import Every, Once, Schedule, next_after
from overnight.engine.model import CatchUp

ON_TIME_US = 60 * US
"""An instant that is fired by then is on time for `catch_up = "none"`."""
MOST_AT_ONCE = 100
"""Instants of one task that are made up for in one turn; the next turn goes on."""
MOST_COUNTED = 1000
"""Instants of a gap that are counted one by one."""

_PERIODS_US = {"s": US, "m": 60 * US, "h": 3600 * US, "d": 86400 * US}


class Missed(StrEnum):
    """Why an instant has no run."""

    LATE = "late"
    OVERLAP = "overlap"
    PAUSED = "paused"

    @property
    def meaning(self) -> str:
        """Return it in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Missed.LATE: "nobody worked on the project then",
    Missed.OVERLAP: "an earlier run had not ended",
    Missed.PAUSED: "the task was paused",
}


@dataclass(frozen=True, kw_only=True)
class CatchUpRule:
    """A task's rule for late instants; `window_us` None means any age."""

    policy: CatchUp = CatchUp.LATEST
    window_us: int | None = None

    @property
    def oldest_age_us(self) -> int | None:
        """How old an instant may be that is made up for."""
        if self.policy is not CatchUp.NONE:
            return self.window_us
        return ON_TIME_US if self.window_us is None else min(ON_TIME_US, self.window_us)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Instants without a run: the first and the last of them."""

    first_us: int
    last_us: int


@dataclass(frozen=True, kw_only=True)
class Due:
    """What becomes of the instants that have come: those that run, those that do not, and the next one to look at."""

    fire: tuple[int, ...]
    gap: Gap | None
    next_us: int | None


def due(trigger: Schedule, planned_us: int, now_us: int, rule: CatchUpRule) -> Due:
    """Return what becomes of the instants from `planned_us`, which is one of them and has come, up to now.

    A single instant (`once`) fires however late it is: it has no later one to stand for it, unless a window says so.
    """
    oldest_age_us = rule.oldest_age_us
    if isinstance(trigger, Once):
        late = rule.window_us is not None and now_us - planned_us > rule.window_us
        gap = Gap(first_us=planned_us, last_us=planned_us) if late else None
        return Due(fire=() if late else (planned_us,), gap=gap, next_us=None)
    newest_us = latest(trigger, planned_us, now_us)
    first_us: int | None = planned_us
    if oldest_age_us is not None and now_us - planned_us > oldest_age_us:
        first_us = next_after(trigger, now_us - oldest_age_us - 1)
    if first_us is None or first_us > newest_us:
        return Due(fire=(), gap=Gap(first_us=planned_us, last_us=newest_us), next_us=next_after(trigger, newest_us))
    fire = _some(trigger, first_us, newest_us) if rule.policy is CatchUp.ALL else (newest_us,)
    gap = None if fire[0] == planned_us else Gap(first_us=planned_us, last_us=latest(trigger, planned_us, fire[0] - 1))
    return Due(fire=fire, gap=gap, next_us=next_after(trigger, fire[-1]))


def _some(trigger: Schedule, first_us: int, newest_us: int) -> tuple[int, ...]:
    found = [first_us]
    while len(found) < MOST_AT_ONCE and found[-1] < newest_us:
        following = next_after(trigger, found[-1])
        assert following is not None, "the newest instant lies ahead"
        found.append(following)
    return tuple(found)


def latest(schedule: Schedule, first_us: int, now_us: int) -> int:
    """Return the newest nominal instant that is not after `now_us`, given that `first_us` is one of them."""
    window_us = 3600 * US
    while now_us - window_us > first_us:
        instant = next_after(schedule, now_us - window_us)
        if instant is not None and instant <= now_us:
            first_us = instant
            break
        window_us *= 4
    while True:
        instant = next_after(schedule, first_us)
        if instant is None or instant > now_us:
            return first_us
        first_us = instant


def count(trigger: Schedule, first_us: int, last_us: int) -> int | None:
    """Return how many instants there are from `first_us` to `last_us`, both among them; None for very many."""
    if isinstance(trigger, Every):
        return (last_us - first_us) // trigger.period_us + 1
    found, at_us = 1, first_us
    while at_us < last_us and found <= MOST_COUNTED:
        following = next_after(trigger, at_us)
        if following is None:
            break
        found, at_us = found + 1, following
    return None if found > MOST_COUNTED else found


def between(trigger: Schedule, first_us: int, end_us: int, most: int) -> list[int]:
    """Return the instants from `first_us` on and before `end_us`, the first `most` of them."""
    found: list[int] = []
    at_us = next_after(trigger, first_us - 1)
    while at_us is not None and at_us < end_us and len(found) < most:
        found.append(at_us)
        at_us = next_after(trigger, at_us)
    return found


def jitter_us(task_id: str, nominal_us: int, jitter_s: float) -> int:
    """Return how long the run of an instant is held back: the same for whoever asks, spread evenly below `jitter_s`."""
    share = zlib.crc32(f"{task_id}@{nominal_us}".encode()) / 2**32
    return int(share * jitter_s * US)


def parse_rate(text: str) -> int:
    """Return the time between two starts, in microseconds, that a text such as "10/m" means.

    Raises:
        InvalidTask: it is not a whole number from 1 on, a stroke, and s, m, h or d.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})/(s|m|h|d)", text)
    if match is None:
        raise InvalidTask(
            f'rate_limit {text!r} is not a rate: write a whole number from 1 on, "/" and s, m, h or d, such as "10/m"'
        )
    return _PERIODS_US[match[2]] // int(match[1])
