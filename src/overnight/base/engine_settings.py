"""The tables of `overnight.toml` that describe tasks and how their runs are executed; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from overnight.base.refs import ExecutorName
from overnight.base.table import Table

PriorityName = Literal["CRITICAL", "HIGH", "NORMAL", "LOW"]


@dataclass(frozen=True, kw_only=True)
class RetrySettings(Table):
    """`[engine.retry]`: how long a failed run waits before its next try."""

    base_s: Annotated[float, Ge(0)] = 60.0
    """Wait after the first failure, in seconds."""

    factor: Annotated[float, Ge(1)] = 2.0
    """How much longer each further wait is."""

    cap_s: Annotated[float, Ge(0)] = 3600.0
    """Longest wait, in seconds."""

    jitter: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the wait by which it is made longer or shorter at random."""


@dataclass(frozen=True, kw_only=True)
class RetentionSettings(Table):
    """`[engine.retention]`: how long finished runs are kept, with their steps and what they printed."""

    days: Annotated[float, Ge(0)] = 90.0
    """Days after which a finished run is deleted; those that a version or a training's figures name stay."""

    last: Annotated[int, Ge(0)] = 100
    """Finished runs of each task that are kept whatever their age."""


@dataclass(frozen=True, kw_only=True)
class EngineSettings(Table):
    """`[engine]`: how runs are executed."""

    max_concurrent: Annotated[int, Ge(1)] = 3
    """Runs at once in this project; parked flows do not count."""

    database: Annotated[str, MinLen(1)] = "sqlite:///.overnight/overnight.db"
    """URL of the database that holds all state: SQLite (relative to the project folder) or PostgreSQL."""

    grace_s: Annotated[float, Ge(0)] = 300.0
    """Seconds that running work gets when the project is stopped, before it goes back to the queue."""

    disk_reserve_gb: Annotated[float, Ge(0)] = 1.0
    """Gigabytes (10^9 bytes) of free disk below which the project counts as unhealthy."""

    retry: RetrySettings = field(default_factory=RetrySettings)
    """Waits between tries."""

    retention: RetentionSettings = field(default_factory=RetentionSettings)
    """How long finished runs are kept."""


@dataclass(frozen=True, kw_only=True)
class NeedsSettings(Table):
    """`[tasks.NAME.needs]`: what a run reserves while it is worked on."""

    cpus: Annotated[float, Ge(0)] = 0.0
    """Cores; 0 means not counted."""

    memory_gb: Annotated[float, Ge(0)] = 0.0
    """Gigabytes (10^9 bytes) of memory that its processes may take before they are ended; 0 means any amount."""

    gpus: Annotated[int, Ge(0)] = 0
    """GPUs of this machine; its processes see these alone (CUDA_VISIBLE_DEVICES)."""

    gpu_memory_gb: Annotated[float, Ge(0)] = 0.0
    """Gigabytes (10^9 bytes) that its processes may take of each of the GPUs before they are ended; 0 means that it has
    the GPUs for itself."""

    locks: tuple[str, ...] = ()
    """Names of locks that only one run holds at a time."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Table):
    """`[tasks.NAME]`: a definition of work; NAME is the task's id."""

    action: str | tuple[str, ...]
    """What to run: "module:function", a command as a list of words, "act" (what the agent `agent_name` does), or
    "nightly" (a training of the fleet; of `agent_name` alone, if it is given)."""

    flow: bool = False
    """True if the function is a durable flow: its first parameter is then a `Flow`."""

    agent_name: str | None = None
    """The agent that the work is for."""

    strategy: str | None = None
    """The strategy of strategy learning that its runs execute by, or "learned": whichever executes this task; each run
    gets it as the argument `strategy`. With "nightly" the agents are trained by it."""

    priority: PriorityName = "NORMAL"
    """How urgent its runs are: CRITICAL, HIGH, NORMAL or LOW."""

    schedule: str | None = None
    """When it starts: minute, hour, day of month, month, day of week, as in cron."""

    every: str | None = None
    """The time between two starts, such as "30s"."""

    once: str | None = None
    """The one instant at which it starts, in ISO 8601."""

    timezone: str | None = None
    """Time zone of `schedule`, by its IANA name; without it, the project's."""

    after: tuple[str, ...] = ()
    """Tasks that must have COMPLETED in the same cycle."""

    max_retries: Annotated[int, Ge(0)] = 3
    """Tries after the first one."""

    timeout_s: Annotated[float, Gt(0)] | None = None
    """Seconds after which a run is stopped; without it, the default for this kind of action."""

    target_s: Annotated[float, Gt(0)] | None = None
    """Seconds that a run should take; one that completes later is told by `[notify]`."""

    needs: NeedsSettings = field(default_factory=NeedsSettings)
    """What a run reserves."""

    max_concurrent: Annotated[int, Ge(1)] | None = 1
    """Runs of this task at once."""

    overlap: Literal["skip", "queue_one", "queue_all", "cancel_other"] = "queue_one"
    """What a trigger does while an earlier run has not ended: let the instant pass, queue one run, queue all, or cancel
    the other."""

    catch_up: Literal["latest", "all", "none"] = "latest"
    """Which instants that were missed are made up for: the latest, all one behind another, or none that is more than a
    minute late."""

    catch_up_window_s: Annotated[float, Ge(0)] | None = None
    """Age in seconds beyond which a missed instant is not made up for; without it, any age is."""

    jitter_s: Annotated[float, Ge(0)] = 0.0
    """Seconds below which each start by a trigger is delayed, by a time that follows from task and instant."""

    rate_limit: str | None = None
    """How often its runs start at the most, such as "10/m": evenly spaced, over all workers."""

    pause_on_failure: bool = False
    """Whether a run that FAILED pauses the task until somebody resumes it."""

    keep_days: Annotated[float, Ge(0)] | None = None
    """Days for which its finished runs are kept; without it, `engine.retention.days`."""

    keep_last: Annotated[int, Ge(0)] | None = None
    """Finished runs that are kept whatever their age; without it, `engine.retention.last`."""

    tags: tuple[str, ...] = ()
    """Words to find it by."""

    enabled: bool = True
    """Whether its triggers fire; a run by hand always works."""

    executor: ExecutorName | None = None
    """Where its runs execute: inline, thread, process or command; without it, what suits the action."""

    args: Mapping[str, Any] = field(default_factory=dict)  # Any: the task's own JSON
    """What the function is called with."""
