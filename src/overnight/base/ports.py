"""What a function of a task may ask of the engine, and what the engine asks of an executor."""

from datetime import datetime
from typing import Any, Literal, Protocol

from overnight.base.ids import RunId, TaskId, Token
from overnight.base.refs import Outcome, WorkOrder

StopReason = Literal["cancelled", "timed_out"]

CHECKPOINT = "checkpoint"
"""The figure in which work that yields names the newest checkpoint that this try has written."""


class RunContext(Protocol):
    """What a task's function gets when it has a parameter named `ctx`. Safe to call from the function's thread only."""

    run_id: RunId
    task_id: TaskId
    attempt: int
    token: Token
    """Grows whenever somebody begins to work on the run: who has an older one must not write for it any longer."""
    scheduled: datetime | None
    """The instant that the run is for (a trigger's, or a backfill's), in UTC; None for a run by hand."""

    counts: dict[str, float]
    """What `count` was told so far."""

    def count(self, name: str, number: float = 1) -> None:
        """Count something that the project produces, such as "videos_produced".

        The sums of today and of all time are shown by `overnight status`; a run counts once, when it has completed.

        Raises:
            UserMistake: the name is not one of letters, digits and _, or the number is not finite.
        """

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        """Tell how far the work is; figures are shown beside it. Calls within 0.1 s are joined, the last wins."""

    @property
    def cancelled(self) -> bool:
        """True once somebody asked this run to stop; return soon, or the process is killed after the grace time."""


class ChildContext(RunContext, Protocol):
    """What a task's function gets in a child process: also objects that travel beside orders and results."""

    def received(self) -> Any:  # Any: whatever was handed over
        """Return the object that the host handed over beside the order, to a child; None where it did not."""

    def hand_back(self, content: Any) -> None:  # Any: whatever can be pickled
        """Give the host an object beside the result.

        Raises:
            UserMistake: it cannot be transferred, or is too large.
        """


class Channel(Protocol):
    """Where an executor reports. Every method may be called from any thread and returns at once."""

    def child_started(self, order: WorkOrder, pid: int, started: float) -> None:
        """Record a child before it works on `order`. Returns only when pid and start time are on disk."""

    def progress(self, order: WorkOrder, figures: dict[str, Any]) -> None:
        """Report how far the work is."""

    def heartbeat(self, order: WorkOrder) -> None:
        """Report that the child itself has said that it lives, about once a second. Only child functions say so."""

    def done(self, order: WorkOrder, outcome: Outcome) -> None:
        """Report how the attempt ended; exactly once per started order, and nothing about the order after it."""


class Executor(Protocol):
    """Where attempts execute.

    Obligations: `start` returns at once and never raises: what the work does, and a machine that has no thread,
    descriptor or process left, are failures of the attempt (the latter transient); every started order ends in exactly
    one `Channel.done`; `stop` ends the work and every process that it started, politely first, by SIGKILL after
    `grace_s`, and the outcome then carries the reason; `close` stops everything and returns when no child is left.
    `pids` may be asked from any thread and at any time, about orders that have ended too.
    """

    def start(self, order: WorkOrder, channel: Channel) -> None:
        """Begin the attempt."""

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        """Ask the attempt to end as 'cancelled' or 'timed_out'."""

    def pids(self, order: WorkOrder) -> list[int]:
        """Return the attempt's processes now; none where it has none of its own."""

    def close(self, grace_s: float) -> None:
        """Stop all attempts and end all children."""
