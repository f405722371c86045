"""Who may hold something of which the machine has one. Pure.

A holder has it until it gives it back, its time runs out, or its process is gone. The token grows with every new
holder: who comes back after its time, and finds a higher one, has lost it (fencing, as in Chubby: Burrows 2006).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has the slot: a name for people, and the process (`pid`, `started`); `until_s` is civil time, in seconds."""

    name: str
    project: str
    pid: int
    started: float
    token: int = 0
    until_s: float = 0.0


Lives = Callable[[int, float], bool]
"""Tells whether the process (pid, started) still lives."""


def standing(held: Holder | None, now_s: float, lives: Lives) -> Holder | None:
    """Return the holder, if it still has the slot."""
    if held is None or held.pid == 0 or held.until_s <= now_s or not lives(held.pid, held.started):
        return None
    return held


def take(held: Holder | None, wanted: Holder, *, ttl_s: float, now_s: float, lives: Lives) -> Holder:
    """Return who has the slot after `wanted` has asked for it: `wanted` with a new token, or who has it already."""
    there = standing(held, now_s, lives)
    if there is not None:
        return there
    token = 1 if held is None else held.token + 1
    return replace(wanted, token=token, until_s=now_s + ttl_s)


def renew(held: Holder | None, mine: Holder, *, ttl_s: float, now_s: float) -> Holder | None:
    """Return the slot with new time for its holder; None where somebody else has had it since."""
    if held is None or held.token != mine.token:
        return None
    return replace(held, until_s=now_s + ttl_s)


def release(held: Holder | None, mine: Holder) -> Holder | None:
    """Return the slot without its holder, whose token is kept; what somebody else has stays as it is."""
    if held is None or held.token != mine.token:
        return held
    return replace(held, pid=0, until_s=0.0)
