"""What a task, a run and a question are."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal, NamedTuple, get_args

from overnight.base.backoff import Backoff
from overnight.base.errors import InvalidTask
from overnight.base.ids import Cycle, RunId, TaskId, Token, WorkerId
from overnight.base.instants import US
from overnight.base.refs import NOTHING_USED, ErrorRef, ExecutorName, Usage

LONGEST_S = 100 * 365 * 86400
"""No time limit is longer: what is added to an instant must stay one."""
LONGEST_JITTER_S = 86400
BUILT_IN = "built-in"
"""The tag of tasks that nobody has written: the program adds them, and lists leave them out."""
DEFAULT_TIMEOUT_S = 600.0
"""Time limit of a task that names none; flows, inline and thread tasks have no limit unless they can keep one."""


class State(StrEnum):
    """Where a run stands."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """True for the states that nothing leaves."""
        return self in FINAL


FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class Priority(StrEnum):
    """How urgent a run is. Each level moves its place in the queue forward by a fixed time: waiting counts too."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"

    @property
    def bonus_us(self) -> int:
        """How far before its due time the run is placed: 24 h, 4 h, 1 h, 0."""
        return BONUS_US[self]


BONUS_US = {
    Priority.CRITICAL: 24 * 3600 * US,
    Priority.HIGH: 4 * 3600 * US,
    Priority.NORMAL: 3600 * US,
    Priority.LOW: 0,
}


class Queue:
    """Why a run that is not being worked on waits; None in the run's field means that it does not wait."""

    TIME = 0
    READY = 1
    PARENTS = 2
    PAUSED = 3


class Overlap(StrEnum):
    """What a trigger does while an earlier run of its task has not ended."""

    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    QUEUE_ALL = "queue_all"
    CANCEL_OTHER = "cancel_other"


class CatchUp(StrEnum):
    """Which of the instants that nobody fired in time are made up for."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


class Cancel(IntEnum):
    """Who wants a run to end."""

    NOBODY = 0
    PERSON = 1
    PARENT = 2
    OVERLAP = 3

    @property
    def reason(self) -> str:
        """Return it in words."""
        return _REASONS[self]


_REASONS = {
    Cancel.NOBODY: "not cancelled",
    Cancel.PERSON: "cancelled by a person",
    Cancel.PARENT: "cancelled with the flow that started it",
    Cancel.OVERLAP: "cancelled by overlap = 'cancel_other': the next instant of its task came",
}


MemoryBasis = Literal["given", "estimated", "assumed"]
"""Where the memory that a run needs is known from."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a run reserves while it is worked on: cores, memory (0 = not counted), GPUs and exclusive named locks.

    `memory_gb` (1 GB = 10^9 bytes) is reserved on the machine, beside all other projects' runs and what services use.
    One that somebody has `given` is a limit too: where the processes of the run take more resident memory together,
    they are ended and the run has failed. One that was `estimated` from earlier runs, or `assumed`, is none.
    Of each of its `gpus` the run reserves `gpu_memory_gb`, a limit as well; where that is 0 it has the GPUs for itself.
    """

    cpus: float = 0.0
    memory_gb: float = 0.0
    locks: tuple[str, ...] = ()
    memory_basis: MemoryBasis = "given"
    gpus: int = 0
    gpu_memory_gb: float = 0.0

    def __post_init__(self) -> None:
        if type(self.cpus) not in (int, float) or not 0 <= self.cpus < math.inf:
            raise InvalidTask(f"needs.cpus: {self.cpus!r} is not a number of cores (0 or more)")
        if type(self.memory_gb) not in (int, float) or not 0 <= self.memory_gb < math.inf:
            raise InvalidTask(f"needs.memory_gb: {self.memory_gb!r} is not a number of gigabytes (0 or more)")
        if type(self.gpus) is not int or self.gpus < 0:
            raise InvalidTask(f"needs.gpus: {self.gpus!r} is not a number of GPUs (0 or more)")
        if type(self.gpu_memory_gb) not in (int, float) or not 0 <= self.gpu_memory_gb < math.inf:
            raise InvalidTask(f"needs.gpu_memory_gb: {self.gpu_memory_gb!r} is not a number of gigabytes (0 or more)")
        if self.gpu_memory_gb and not self.gpus:
            raise InvalidTask("needs.gpu_memory_gb: it is that of each GPU; set needs.gpus too")
        if not isinstance(self.locks, list | tuple) or not all(isinstance(lock, str) for lock in self.locks):
            raise InvalidTask(f"needs.locks: {self.locks!r} is not a list of names, such as ('gpu',)")
        if self.memory_basis not in get_args(MemoryBasis):
            known = ", ".join(get_args(MemoryBasis))
            raise InvalidTask(f"needs.memory_basis: {self.memory_basis!r} is not one of {known}")
        object.__setattr__(self, "locks", tuple(sorted(set(self.locks))))

    @property
    def negotiated(self) -> bool:
        """Return whether the run waits until it is granted what it needs; see `resources.negotiator`."""
        return self.memory_gb > 0 or self.gpus > 0

    @property
    def memory_limit_gb(self) -> float:
        """Return what the processes of the run may take; 0 means any amount."""
        return self.memory_gb if self.memory_basis == "given" else 0.0


Action = Callable[..., object] | str | tuple[str, ...]
Further = Callable[[Any], Mapping[str, Any]]  # Any: a database connection, which what is pure does not know; JSON
"""Finds further arguments out in the transaction that makes a run; raises nothing but what the database does."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A named definition of work.

    `action` is a function, "module:function", or a command line as a tuple of words. A function whose first parameter
    is named `flow` is a durable flow; for one that is named by text, say `flow=True`. `timezone` is that of
    `schedule`, and of `once` where it has no offset. `max_concurrent` None means no limit. `target_s` is
    how long a run should take; who completes later is told as an alert. `timeout_s` and `executor`
    None mean the default for this kind of action. `retry` None means the project's setting.

    `overlap` says what a trigger does while an earlier run has not ended: "skip" the instant, "queue_one" (one run
    waits behind it, further instants are skipped), "queue_all", or "cancel_other" (the new run takes its place). Of
    instants that were missed, `catch_up` runs the "latest" only, "all" of them one behind another, or "none" that is
    more than a minute late; never one that is older than `catch_up_window_s` (None = any age).
    Whatever does not run is recorded as missed. `jitter_s` delays each instant's run by a time below it, which follows
    from task and instant. `rate_limit`, such as "10/m", spaces starts evenly. With `pause_on_failure` a run that FAILED
    pauses the task. The newest `keep_last` finished runs are kept whatever their age, older ones for `keep_days`; None
    means the project's setting. `yields` says that its runs keep their place themselves, as a training does in its
    checkpoints: they are stopped at once when the worker closes, and go on with the next one. Where memory is short
    they are told to yield; who tells of no newer `checkpoint` (a figure of its progress) then waits as after a failure.
    `strategy` is one of strategy learning, or "learned": whichever executes such work; a run gets it as the argument
    `strategy`, as it is when the run is made. `further` finds that and the like out, and is left to the project.

    Raises:
        InvalidTask: a field cannot work; the message names it.
    """

    task_id: str
    action: Action
    flow: bool = False
    agent_name: str | None = None
    priority: Priority = Priority.NORMAL
    schedule: str | None = None
    every: str | None = None
    once: str | None = None
    timezone: str = "UTC"
    after: tuple[str, ...] = ()
    max_retries: int = 3
    timeout_s: float | None = None
    target_s: float | None = None
    needs: Needs = field(default_factory=Needs)
    max_concurrent: int | None = 1
    overlap: Overlap = Overlap.QUEUE_ONE
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window_s: float | None = None
    jitter_s: float = 0.0
    rate_limit: str | None = None
    pause_on_failure: bool = False
    executor: ExecutorName | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    tags: tuple[str, ...] = ()
    retry: Backoff | None = None
    keep_days: float | None = None
    keep_last: int | None = None
    yields: bool = False
    strategy: str | None = None
    further: Further | None = None

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "after", tuple(dict.fromkeys(self.after)))
        object.__setattr__(self, "tags", tuple(dict.fromkeys(self.tags)))
        for name, kind in _CHOICES:
            object.__setattr__(self, name, kind(getattr(self, name)))


_CHOICES: tuple[tuple[str, type[StrEnum]], ...] = (
    ("priority", Priority),
    ("overlap", Overlap),
    ("catch_up", CatchUp),
)


_KINDS: tuple[tuple[tuple[type, ...], str, tuple[str, ...]], ...] = (
    ((str,), "text", ("agent_name", "schedule", "every", "once", "timezone", "rate_limit", "strategy")),
    ((int,), "a whole number", ("max_retries", "max_concurrent", "keep_last")),
    ((int, float), "a number of seconds", ("timeout_s", "target_s", "catch_up_window_s", "jitter_s")),
    ((int, float), "a number of days", ("keep_days",)),
    ((bool,), "True or False", ("enabled", "flow", "pause_on_failure", "yields")),
    ((Backoff,), "Backoff(base_s=..., factor=..., cap_s=..., jitter=...)", ("retry",)),
)
_OPTIONAL = (
    "agent_name", "schedule", "every", "once", "max_concurrent", "timeout_s", "target_s", "retry", "rate_limit",
    "catch_up_window_s", "keep_days", "keep_last", "strategy",
)  # fmt: skip
_MOST = 2**31 - 1
_RANGES = (
    ("max_retries", 0, _MOST, "a number of tries"),
    ("max_concurrent", 1, _MOST, "a number of runs"),
    ("catch_up_window_s", 0, LONGEST_S, "a time (at most 100 years)"),
    ("jitter_s", 0, LONGEST_JITTER_S, "a delay (at most a day)"),
    ("keep_days", 0, LONGEST_S / 86400, "a number of days (at most 100 years)"),
    ("keep_last", 0, _MOST, "a number of runs"),
)


def _check_kinds(task: Task, where: str) -> None:
    if not isinstance(task.task_id, str):
        raise InvalidTask(f"task_id: {task.task_id!r} is not text")
    for what, given, example in (("after", task.after, "task ids"), ("tags", task.tags, "words")):
        if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
            raise InvalidTask(f"{where}: {what}: {given!r} is not a list of {example}, such as ('harvest',)")
    if not isinstance(task.needs, Needs):
        raise InvalidTask(f"{where}: needs: {task.needs!r} is not Needs(cpus=..., memory_gb=..., locks=(...,))")
    if task.executor is not None and task.executor not in get_args(ExecutorName):
        raise InvalidTask(f"{where}: executor: {task.executor!r} is not one of {', '.join(get_args(ExecutorName))}")
    for kinds, what, names in _KINDS:
        for name in names:
            value = getattr(task, name)
            fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            if not fits and not (value is None and name in _OPTIONAL):
                raise InvalidTask(f"{where}: {name}: {value!r} is not {what}")


def _check(task: Task) -> None:
    where = f"task {task.task_id!r}"
    _check_kinds(task, where)
    if not task.task_id or not all(c.isalnum() or c in "_-.:/" for c in task.task_id):
        raise InvalidTask(f"task_id: {task.task_id!r} is not a name (letters, digits and _ - . : /)")
    for name, kind in _CHOICES:
        if getattr(task, name) not in tuple(kind):
            raise InvalidTask(f"{where}: {name}: {getattr(task, name)!r} is not one of {', '.join(kind)}")
    if sum(trigger is not None for trigger in (task.schedule, task.every, task.once)) > 1:
        raise InvalidTask(f"{where}: give one of schedule, every and once, not several")
    _check_ranges(task, where)
    if task.catch_up == CatchUp.ALL and task.overlap in (Overlap.SKIP, Overlap.CANCEL_OTHER):
        raise InvalidTask(f"{where}: catch_up 'all' queues every instant; overlap '{task.overlap}' would drop them")
    if task.task_id in task.after:
        raise InvalidTask(f"{where}: after: a task cannot come after itself")


def _check_ranges(task: Task, where: str) -> None:
    for name in ("timeout_s", "target_s"):
        seconds = getattr(task, name)
        if seconds is not None and not 0 < seconds <= LONGEST_S:
            raise InvalidTask(f"{where}: {name}: {seconds!r} is not a time (more than 0 s, at most 100 years)")
    for name, lowest, highest, meant in _RANGES:
        value = getattr(task, name)
        if value is not None and not lowest <= value <= highest:
            below = value < lowest
            raise InvalidTask(f"{where}: {name}: {value!r} is {f'below {lowest}' if below else f'not {meant}'}")
    for name, limit in (("timeout_s", task.timeout_s), ("needs.memory_gb", task.needs.memory_gb)):
        if task.executor in ("inline", "thread") and limit:
            raise InvalidTask(f"{where}: executor {task.executor!r} cannot keep a {name}; use 'process'")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How many unfinished runs there are, by what they wait for, and since when the first ready one is.

    `later` wait for a time of their own, `waiting` for parents, other runs or an answer, `held` because their task is
    paused; `active` are worked on.
    """

    ready: int = 0
    later: int = 0
    waiting: int = 0
    held: int = 0
    active: int = 0
    oldest_ready_us: int | None = None

    def age_s(self, now_us: int) -> float:
        """Return how long the run has waited that has been ready for the longest; 0 where none is."""
        return 0.0 if self.oldest_ready_us is None else max(0.0, (now_us - self.oldest_ready_us) / US)


class Run(NamedTuple):
    """One execution of a task, as the database knows it. Instants are microseconds since the epoch, UTC.

    `token` fences: it grows with every claim. `attempt` counts tries, `losses` the times that the worker died.
    `waiting_for` says what a parked flow or a run with parents waits for. `active_us` is the working time of the
    present try before the present claim, `earlier_us` that of the tries before. `heard_us` is when its child last said
    that it lives, as far as that is written. `args`, `result`, `progress` are JSON text. `history` holds (event,
    microseconds since created, note). `needs` None means those of its task.

    A named tuple and not a dataclass: every transition makes a new one, and it does so five times as fast.
    """

    run_id: RunId
    task_id: TaskId
    state: State
    priority: Priority
    queue: int | None
    created_us: int
    due_us: int
    rank: int | None
    attempt: int = 0
    token: Token = Token(0)
    losses: int = 0
    worker_id: WorkerId | None = None
    cancel: Cancel = Cancel.NOBODY
    waiting_for: Mapping[str, Any] | None = None
    parent_id: RunId | None = None
    cycle: Cycle | None = None
    key: str | None = None
    forked_from: RunId | None = None
    args: str | None = None
    result: str | None = None
    error: ErrorRef | None = None
    started_us: int | None = None
    finished_us: int | None = None
    active_us: int = 0
    earlier_us: int = 0
    progress: str | None = None
    heard_us: int | None = None
    usage: Usage = NOTHING_USED
    history: tuple[tuple[Any, ...], ...] = ()
    needs: Needs | None = None

    @property
    def parked(self) -> bool:
        """True for a flow that waits: it holds no thread and no needs."""
        return self.state is State.IN_PROGRESS and self.worker_id is None

    @property
    def worked_us(self) -> int:
        """Working time of all tries together, up to the present claim."""
        return self.earlier_us + self.active_us


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something that a flow asks a person. `choices` are what may be answered; `answer` None means still open."""

    question_id: int
    run_id: RunId
    name: str
    prompt: str
    choices: tuple[str, ...]
    asked_us: int
    answer: str | None = None
    answered_us: int | None = None
    answered_by: str | None = None
