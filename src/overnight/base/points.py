"""The instants at which a crash would be most interesting, by name.

The code announces each of them to a hook that is handed in; by default nothing happens. Chaos tests kill the process
there, the simulation throws away everything that was only in memory.
"""

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """A place between two effects."""

    WRITER_BEGUN = "writer.begun"
    WRITER_BEFORE_COMMIT = "writer.before_commit"
    WRITER_AFTER_COMMIT = "writer.after_commit"
    WRITER_RELEASED = "writer.released"
    ENGINE_CLAIMED = "engine.claimed"
    ENGINE_HANDED_OUT = "engine.handed_out"
    ENGINE_OUTCOME = "engine.outcome"
    ENGINE_SETTLED = "engine.settled"
    CHILD_SPAWNED = "child.spawned"
    CHILD_RECORDED = "child.recorded"
    FLOW_STEP_BEGUN = "flow.step_begun"
    FLOW_STEP_DONE = "flow.step_done"
    FLOW_STEP_RECORDED = "flow.step_recorded"
    FLOW_PARKING = "flow.parking"
    RECOVERY_FOUND = "recovery.found"
    RECOVERY_REQUEUED = "recovery.requeued"


Hook = Callable[[Point], None]


def no_hook(point: Point) -> None:
    """Do nothing: the hook of every real process."""
