"""Working off what waits: the oldest video first, and then those that runs before have left when they failed."""

from collections.abc import Callable, Sequence
from typing import Any

from overnight.base.clock import SystemClock
from overnight.base.errors import MissingExtra, TransientError, said_by
from overnight.base.ports import RunContext

Json = dict[str, Any]  # Any: what an agent has written
GO_ON_S = 240.0
"""A run that has worked for so long begins no other video: it has to end within its time limit."""
OF_ALL = (TransientError, MissingExtra, OSError, MemoryError)
"""What ends a run at once: another try may do, or no video can be made without what is missing."""


def work_off(ctx: RunContext, waiting: Sequence[str], make: Callable[[str], Json | None]) -> Json:
    """Make the videos that wait, the oldest first, and return what is told of the first one.

    Each run that was lost would leave one more behind for good, if an agent made one each time. `make` returns what it
    tells of a video, None where it has refused it. The ids of the others that were made are in `caught_up`. A video
    that cannot be made stops none behind it: it is among the `problems`, with the reason, after those that `make` told.

    Raises:
        Exception: what `make` raised first, where nothing was made; at once where it is one of `OF_ALL`, with a note
            of what was made before.
    """
    clock, made, failed = SystemClock(), list[Json](), dict[str, Exception]()
    until_s = clock.monotonic() + GO_ON_S
    for one in waiting:
        if made and (ctx.cancelled or clock.monotonic() >= until_s):
            break
        try:
            told = make(one)
        except OF_ALL as error:
            _note(error, made)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a damaged file leads to concerns that video alone
            failed[one] = error
            continue
        if told is not None:
            made.append(told)
    return _told(made, failed)


def _note(error: BaseException, made: Sequence[Json]) -> None:
    if made:
        error.add_note(f"made before: {', '.join(told['video_id'] for told in made)}")


def _told(made: Sequence[Json], failed: dict[str, Exception]) -> Json:
    if not made:
        for error in failed.values():
            raise error
        return {"video_id": None}
    result = {**made[0], "caught_up": [told["video_id"] for told in made[1:]]}
    problems = [problem for told in made for problem in told.get("problems", [])]
    problems += [{"video_id": one, "why": said_by(error)} for one, error in failed.items()]
    return {**result, "problems": problems} if problems else result
