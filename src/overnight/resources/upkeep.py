"""What has to be done about a machine that was, or may have been, brought up for a job. Pure.

A training brings its machine up itself, each time that somebody begins to work on it. So a machine may be there as soon
as the training was begun (its token grew) since the machine was taken down last, whoever was killed in between. It is
needed while the training is worked on, or will be by this process; else it is taken down.
"""

from dataclasses import dataclass
from enum import StrEnum

STOP_GRACE_US = 60_000_000
"""For a training that is stopped because its hours are over to bring its checkpoint home."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a machine stands. Times in microseconds.

    `up_us` is since when it is counted as up, `spent_us` how long it was up before, `down_token` the training's token
    when it was last taken down, `over` whether the training was stopped because of `max_us`.
    """

    up_us: int | None = None
    spent_us: int = 0
    down_token: int = 0
    max_us: int | None = None
    over: bool = False

    def used_us(self, now_us: int) -> int:
        """Return how long it was up so far."""
        return self.spent_us + (0 if self.up_us is None else max(0, now_us - self.up_us))


@dataclass(frozen=True, kw_only=True)
class Work:
    """How the training stands that it is for; `token` 0 means that nobody has begun it yet."""

    job_ended: bool
    token: int = 0
    worked_on: bool = False
    ended: bool = True
    """True also where there is no training yet."""


class Move(StrEnum):
    """What is to be done."""

    WAIT = "wait"
    COUNT = "count"
    """Count it as up since the training was begun."""
    STOP = "stop"
    """Stop the training: its hours are over."""
    DOWN = "down"
    CLOSE = "close"
    """Nothing can be up any more: sum it up."""


def decide(standing: Standing, work: Work, now_us: int, *, closing: bool = False) -> Move:
    """Return what is to be done now; `closing` says that this process works no longer on the project."""
    maybe_up = work.token > standing.down_token
    if maybe_up and standing.up_us is None:
        return Move.COUNT
    left_us = None if standing.max_us is None else standing.max_us - standing.used_us(now_us)
    if left_us is not None and left_us <= 0 and not standing.over and not work.ended:
        return Move.STOP
    if maybe_up:
        late = standing.over and left_us is not None and left_us <= -STOP_GRACE_US
        unused = not work.worked_on and (work.job_ended or standing.over or closing)
        return Move.DOWN if late or unused else Move.WAIT
    return Move.CLOSE if work.job_ended and work.ended else Move.WAIT
