"""Frozen values that one part hands to another. They are JSON-able, so that a child or a remote host can get them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from overnight.base.ids import RunId, TaskId, Token

ExecutorName = Literal["inline", "thread", "process", "command"]
OutcomeKind = Literal["succeeded", "failed", "cancelled", "timed_out", "parked"]
Family = Literal["user", "transient", "permanent"]
Bump = Literal["major", "minor", "patch"]
"""Which part of a version's number goes up."""


@dataclass(frozen=True, kw_only=True)
class ErrorRef:
    """Why something failed: the error's family and type, and one line for a person."""

    family: str
    type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a run used: CPU seconds, peak resident memory (GB = 1e9 bytes), GPU seconds, cost (USD).

    None means not measured.
    """

    cpu_s: float | None = None
    peak_memory_gb: float | None = None
    gpu_s: float | None = None
    cost: float | None = None


NOTHING_USED = Usage()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended. `result` is JSON text and only there when it succeeded.

    `waiting_for` tells what a parked flow waits for.
    """

    kind: OutcomeKind
    result: str | None = None
    error: ErrorRef | None = None
    usage: Usage = NOTHING_USED
    waiting_for: dict[str, Any] | None = None
    counts: dict[str, float] = field(default_factory=dict)
    """What the work has counted (`ctx.count`); it counts once the run has completed."""


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """One attempt at one run, as an executor gets it.

    `target` is "module:function" for functions, `argv` is there for commands. `log_path` takes the output of a child,
    whose processes may take `memory_gb` (10^9 bytes) together; 0 means any amount. They see the GPUs `devices` (UUIDs)
    alone, and may take `gpu_memory_gb` of each; without any, they see what everybody sees.
    """

    run_id: RunId
    token: Token
    task_id: TaskId
    attempt: int
    executor: ExecutorName
    args: dict[str, Any]
    target: str | None = None
    argv: tuple[str, ...] = ()
    project_dir: str = "."
    log_path: str | None = None
    memory_gb: float = 0.0
    devices: tuple[str, ...] = ()
    gpu_memory_gb: float = 0.0
    scheduled: str | None = None
    """The instant that the run is for, in ISO 8601; None where no schedule asked for it."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "WorkOrder":
        """Return the order whose fields came as JSON."""
        return cls(**{**values, "argv": tuple(values["argv"]), "devices": tuple(values["devices"])})
