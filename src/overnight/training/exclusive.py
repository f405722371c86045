"""One training at a time on the whole machine (`training.exclusive`): the slot that a job holds while it trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from overnight.base.errors import Yielding
from overnight.base.instants import US, to_datetime
from overnight.resources.machine import Machine
from overnight.resources.slots import Holder

SLOT = "training_slot"
_ASK_EVERY_S = 0.5
_RENEW_SHARE = 0.05
"""Of its time, after which a holder renews it."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Who wants the slot, for how long at a time, and how long it waits for it."""

    job_id: str
    project: str
    ttl_s: float
    wait_s: float


def taken(holder: Holder) -> str:
    """Return who has the slot, in one line."""
    return f"{SLOT} held by {holder.name} until {to_datetime(round(holder.until_s * US)):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def held(
    machine: Machine,
    wanted: Wanted,
    *,
    now_s: Callable[[], float],
    pause: Callable[[float], object],
    told: Callable[[str], None],
    asked: Callable[[], bool],
) -> Iterator[Callable[[], None]]:
    """Hold the slot within the block, which calls what it is given now and then: that renews it.

    `told` takes why it waits; `asked` says that it is to stop waiting.

    Raises:
        Yielding: nobody gave it back in time, or somebody else has it since.
    """
    mine = _take(machine, wanted, now_s=now_s, pause=pause, told=told, asked=asked)
    renewed_s = now_s()

    def renew() -> None:
        nonlocal renewed_s
        if now_s() - renewed_s >= _RENEW_SHARE * wanted.ttl_s:
            try:
                kept = machine.renew(SLOT, mine, wanted.ttl_s)
            except OSError:  # there is time left to ask again
                return
            if not kept:
                other = machine.holder(SLOT)
                raise Yielding("the training slot was lost" if other is None else taken(other))
            renewed_s = now_s()

    try:
        yield renew
    finally:
        machine.release(SLOT, mine)


def _take(
    machine: Machine,
    wanted: Wanted,
    *,
    now_s: Callable[[], float],
    pause: Callable[[float], object],
    told: Callable[[str], None],
    asked: Callable[[], bool],
) -> Holder:
    until_s = now_s() + wanted.wait_s
    while True:
        holder, mine = machine.take(SLOT, wanted.job_id, wanted.project, wanted.ttl_s)
        if mine:
            return holder
        why = taken(holder)
        told(why)
        if asked() or now_s() >= until_s:
            raise Yielding(why)
        pause(_ASK_EVERY_S)
