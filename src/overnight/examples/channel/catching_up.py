"""Working off what waits: the oldest video first, and then those that runs before have left when they failed."""

from collections.abc import Callable, Sequence
from typing import Any

from overnight.base.clock import SystemClock
from overnight.base.ports import RunContext

Json = dict[str, Any]  # Any: what an agent has written
GO_ON_S = 240.0
"""A run that has worked for so long begins no other video: it has to end within its time limit."""


def work_off(ctx: RunContext, waiting: Sequence[str], make: Callable[[str], Json | None]) -> Json:
    """Make the videos that wait, the oldest first, and return what is told of the first one.

    Each run that was lost would leave one more behind for good, if an agent made one each time. `make` returns what it
    tells of a video, None where it has refused it. The ids of the others that were made are in `caught_up`.
    """
    clock, made = SystemClock(), list[Json]()
    until_s = clock.monotonic() + GO_ON_S
    for one in waiting:
        if made and (ctx.cancelled or clock.monotonic() >= until_s):
            break
        told = make(one)
        if told is not None:
            made.append(told)
    if not made:
        return {"video_id": None}
    return {**made[0], "caught_up": [told["video_id"] for told in made[1:]]}
