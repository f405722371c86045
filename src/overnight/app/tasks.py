"""From the `[tasks.NAME]` tables to tasks."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from overnight.app.runtime import import_from, load_function
from overnight.base.config import Config, TaskSettings
from overnight.base.errors import ConfigError, said_by
from overnight.base.settings import FILE
from overnight.engine.model import Needs, Priority, Task
from overnight.flows import production as production_flow
from overnight.flows.nightly import flow as nightly
from overnight.flows.nightly.night import Nightly
from overnight.flows.production import Production


def configured_tasks(night: Nightly) -> list[Task]:
    """Return the tasks that the configuration describes: its own, the nightly training's, the production's.

    Raises:
        ConfigError, InvalidTask: a table is wrong.
    """
    config = night.config
    production = Production(
        config=config,
        database=night.database,
        blobs=night.blobs,
        environment=night.environment,
        state_dir=night.state_dir,
    )
    own = [task_from(name, settings, config.project.timezone) for name, settings in config.tasks.items()]
    return [*own, *nightly.tasks(night), *production_flow.tasks(production)]


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
        priority=Priority(settings.priority),
        schedule=settings.schedule,
        every=settings.every,
        once=settings.once,
        timezone=timezone,
        after=settings.after,
        max_retries=settings.max_retries,
        timeout_s=settings.timeout_s,
        needs=Needs(cpus=settings.needs.cpus, memory_gb=settings.needs.memory_gb, locks=settings.needs.locks),
        max_concurrent=settings.max_concurrent,
        executor=settings.executor,
        args=settings.args,
        enabled=settings.enabled,
    )
