"""From the `[tasks.NAME]` tables to tasks."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.app.runtime import import_from, load_function
from overnight.base.config import Config
from overnight.base.engine_settings import TaskSettings
from overnight.base.errors import ConfigError, InvalidTask, UnknownName, UserMistake, one_line, said_by
from overnight.base.learning import TASKS
from overnight.base.settings import FILE
from overnight.engine.model import CatchUp, Needs, Overlap, Priority, Task

if TYPE_CHECKING:
    import sqlalchemy as sa

    from overnight.base.learning_settings import LearningSettings
    from overnight.flows.nightly.night import Nightly

OF_THE_FLEET = frozenset({"nightly", "act"})
"""Actions by a word of their own; see `app.fleet_tasks`."""


def configured_tasks(config: Config, night: "Callable[[], Nightly]") -> list[Task]:
    """Return the tasks that the configuration describes: its own, and those of the fleet.

    Raises:
        ConfigError, InvalidTask: a table is wrong.
    """
    own = [task_from(name, settings, config.project.timezone) for name, settings in config.tasks.items()]
    if not config.agents:
        return own
    from overnight.app import fleet_tasks

    return [*own, *fleet_tasks.tasks(night())]


def spelled_out(task: Task, night: "Callable[[], Nightly]") -> Task:
    """Return the task with the flow of the fleet that its action names by a word; other tasks as they are.

    Raises:
        InvalidTask: the project has no such agent.
    """
    action = task.action
    if action not in OF_THE_FLEET:
        return task
    from overnight.app import fleet_tasks

    return fleet_tasks.with_flow(task, night())


def by_strategy(task: Task, settings: "Callable[[], LearningSettings]") -> Task:
    """Return the task with what finds out by which strategy a run of it executes, where it has one.

    Raises:
        ConfigError, InvalidTask: it cannot execute by that one.
    """
    strategy = task.strategy
    if strategy is None or task.further is not None:
        return task
    from overnight.learning import choosing

    try:
        choosing.check(settings(), strategy)
    except (UnknownName, UserMistake) as error:
        raise InvalidTask(f"task {task.task_id!r}: strategy: {one_line(error).removeprefix('strategy: ')}") from None

    def found(connection: "sa.Connection") -> dict[str, Any]:
        chosen = choosing.choose(connection, settings(), f"{TASKS}{task.task_id}", strategy)
        return {"strategy": chosen.to_args()}

    return replace(task, further=found)


def load_setting(key: str, spec: str, folder: Path) -> Callable[..., Any]:
    """Return the function of the project that a setting names as "module:function".

    Raises:
        ConfigError: there is none; the message names the setting.
    """
    try:
        return load_function(spec, folder)
    except Exception as error:
        raise ConfigError(f"{key}: {spec!r} cannot be loaded: {said_by(error)}") from error


def configuration_of(config: Config) -> Callable[[Any], object] | None:
    """Return the function `configure(project)` of the module that the project names; None where it names none.

    Raises:
        ConfigError: there is no such module or function.
    """
    name = config.project.module
    if name is None:
        return None
    import_from(config.project_dir)
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(f"{FILE}: project.module: there is no module {name!r} in {config.project_dir}") from error
    configure = getattr(module, "configure", None)
    if not callable(configure):
        raise ConfigError(f"{FILE}: project.module: {name!r} has no function configure(project)")
    return configure  # type: ignore[no-any-return]  # a callable of the project's own


@contextmanager
def fresh_modules(folder: Path) -> Iterator[None]:
    """Let the modules of the folder be loaded anew within the block; where it fails, those from before stay."""
    own = {
        name: module
        for name, module in list(sys.modules.items())
        if name != "__main__" and Path(getattr(module, "__file__", None) or "/").is_relative_to(folder)
    }
    own = {name: module for name, module in own.items() if ".venv" not in str(module.__file__)}
    for name in own:
        del sys.modules[name]
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        sys.modules.update(own)
        raise


def without_parents(task: Task) -> Task:
    """Return the task without its parents, to check it before they are known."""
    return replace(task, after=()) if task.after else task


def task_from(name: str, settings: TaskSettings, timezone: str) -> Task:
    """Return the task that a `[tasks.NAME]` table describes."""
    return Task(
        task_id=name,
        action=settings.action,
        flow=settings.flow,
        agent_name=settings.agent_name,
        strategy=settings.strategy,
        priority=Priority(settings.priority),
        schedule=settings.schedule,
        every=settings.every,
        once=settings.once,
        timezone=settings.timezone or timezone,
        after=settings.after,
        max_retries=settings.max_retries,
        timeout_s=settings.timeout_s,
        target_s=settings.target_s,
        needs=Needs(
            cpus=settings.needs.cpus,
            memory_gb=settings.needs.memory_gb,
            locks=settings.needs.locks,
            gpus=settings.needs.gpus,
            gpu_memory_gb=settings.needs.gpu_memory_gb,
        ),
        max_concurrent=settings.max_concurrent,
        overlap=Overlap(settings.overlap),
        catch_up=CatchUp(settings.catch_up),
        catch_up_window_s=settings.catch_up_window_s,
        jitter_s=settings.jitter_s,
        rate_limit=settings.rate_limit,
        pause_on_failure=settings.pause_on_failure,
        keep_days=settings.keep_days,
        keep_last=settings.keep_last,
        tags=settings.tags,
        executor=settings.executor,
        args=settings.args,
        enabled=settings.enabled,
    )
