"""The tasks of one project, as one value that has been checked: who comes after whom, when each is due, how it runs."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from overnight.base.backoff import Backoff
from overnight.base.errors import InvalidTask, NotJson, UnknownName, one_line
from overnight.base.files import to_json
from overnight.base.instants import US, iso
from overnight.base.refs import ExecutorName
from overnight.base.vocabulary import suggestion
from overnight.engine import graph
from overnight.engine.cron import Schedule, parse_cron, parse_every, parse_once
from overnight.engine.model import BUILT_IN, DEFAULT_TIMEOUT_S, Needs, Run, Task
from overnight.engine.ticks import CatchUpRule, parse_rate


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A task with everything that was left open decided."""

    task: Task
    executor: ExecutorName
    timeout_s: float | None
    trigger: Schedule | None
    trigger_text: str | None
    retry: Backoff
    target: str | None
    catch_up: CatchUpRule
    rate_us: int | None
    """The time between two starts at least; None where there is no rate limit."""
    dependants: tuple[str, ...] = ()

    def needs_of(self, run: Run) -> Needs:
        """Return what a run of the task needs."""
        return self.task.needs if run.needs is None else run.needs


class Book:
    """All tasks of a project. Immutable; made anew when the tasks change."""

    def __init__(self, tasks: Iterable[Task], retry: Backoff, *, whole: bool = True) -> None:
        """Check the tasks; with `whole` False each for itself, which is enough to end runs.

        Raises:
            InvalidTask: a task cannot work, two have one id, or `after` names none of them or goes round in a circle.
        """
        entries: dict[str, Entry] = {}
        for task in tasks:
            if task.task_id in entries:
                raise InvalidTask(f"task_id: there are two tasks {task.task_id!r}")
            entries[task.task_id] = _entry(task, retry)
        self.after: Mapping[str, tuple[str, ...]] = {name: entry.task.after for name, entry in entries.items()}
        if whole:
            graph.order(self.after)
        children = graph.dependants(self.after)
        self._entries = {name: replace(entry, dependants=tuple(children[name])) for name, entry in entries.items()}
        self.rated = frozenset(name for name, entry in entries.items() if entry.rate_us is not None)
        """The tasks with a rate limit."""
        self.reserving = frozenset(
            name for name, entry in entries.items() if entry.task.needs.negotiated or entry.task.yields
        )
        """The tasks whose runs reserve memory or GPUs; those that yield have needs of their own, run by run."""

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def own(self) -> list[Entry]:
        """Return the tasks that the project has written, without those that the program adds."""
        return [entry for entry in self if BUILT_IN not in entry.task.tags]

    def find(self, task_id: str) -> Entry | None:
        """Return the task, or None."""
        return self._entries.get(task_id)

    def get(self, task_id: str) -> Entry:
        """Return the task.

        Raises:
            UnknownName: there is none of that name; the message lists those that there are.
        """
        entry = self._entries.get(task_id)
        if entry is None:
            known = sorted(entry.task.task_id for entry in self.own())
            hint = suggestion(task_id, known) if known else "; the project has no tasks yet"
            raise UnknownName(f"there is no task {task_id!r}{hint}")
        return entry


def _entry(task: Task, retry: Backoff) -> Entry:
    _check_action(task)
    flow = task.flow or _asks_for_flow(task.action)
    if flow and not task.flow:
        task = replace(task, flow=True)
    executor = task.executor or _default_executor(task)
    if flow and executor not in ("thread", "inline"):
        raise InvalidTask(f"task {task.task_id!r}: executor: a flow runs in 'thread' or 'inline', not {executor!r}")
    limited = executor in ("process", "command")
    if task.needs.gpus and not limited:
        raise InvalidTask(f"task {task.task_id!r}: needs.gpus: executor {executor!r} has no GPUs; use 'process'")
    try:
        trigger, text = _trigger(task)
        rate_us = None if task.rate_limit is None else parse_rate(task.rate_limit)
    except InvalidTask as error:
        raise InvalidTask(f"task {task.task_id!r}: {one_line(error)}") from None
    return Entry(
        task=task,
        executor=executor,
        timeout_s=task.timeout_s if task.timeout_s is not None or not limited else DEFAULT_TIMEOUT_S,
        trigger=trigger,
        trigger_text=text,
        retry=task.retry or retry,
        target=_target(task) if executor == "process" else None,
        catch_up=CatchUpRule(
            policy=task.catch_up,
            window_us=None if task.catch_up_window_s is None else int(task.catch_up_window_s * US),
        ),
        rate_us=rate_us,
    )


def _check_action(task: Task) -> None:
    where, action = f"task {task.task_id!r}: action: {task.action!r}", task.action
    if isinstance(action, str):
        if not all(action.partition(":")):
            raise InvalidTask(f"{where} is not written 'module:function'")
    elif isinstance(action, tuple):
        if not action or not all(isinstance(word, str) for word in action):
            raise InvalidTask(f"{where} is not a command line (a tuple of words)")
    elif not callable(action):
        raise InvalidTask(f"{where} is not a function, 'module:function', or a command line as a tuple of words")
    if task.executor is not None and (task.executor == "command") != isinstance(action, tuple):
        raise InvalidTask(f"{where} cannot run in executor {task.executor!r}: 'command' is for command lines alone")
    try:
        to_json(dict(task.args))
    except (NotJson, TypeError, ValueError) as error:
        raise InvalidTask(f"task {task.task_id!r}: args: {error}") from error


def _default_executor(task: Task) -> ExecutorName:
    if task.flow:
        return "thread"
    return "command" if isinstance(task.action, tuple) else "process"


def _asks_for_flow(action: object) -> bool:
    if not callable(action):
        return False
    try:
        first = next(iter(inspect.signature(action).parameters), None)
    except (TypeError, ValueError):
        return False
    return first == "flow"


def _target(task: Task) -> str:
    """Return how a child process finds the function."""
    action = task.action
    if isinstance(action, str):
        return action
    found = (getattr(action, "__module__", None), getattr(action, "__qualname__", None))
    if not all(isinstance(part, str) for part in found) or "<" in str(found[1]):
        raise InvalidTask(
            f"task {task.task_id!r}: action: a child process cannot find {action!r} by name; "
            "move it to the top of a module, or give executor='thread'"
        )
    return f"{found[0]}:{found[1]}"


def _trigger(task: Task) -> tuple[Schedule | None, str | None]:
    if task.schedule is not None:
        return parse_cron(task.schedule, task.timezone), f"schedule {task.schedule} {task.timezone}"
    if task.every is not None:
        return parse_every(task.every), f"every {task.every}"
    if task.once is not None:
        once = parse_once(task.once, task.timezone)
        # The instant and not its text: in another time zone it is another one.
        return once, f"once {iso(once.at_us)}"
    return None, None
