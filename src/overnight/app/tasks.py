"""From the `[tasks.NAME]` tables to tasks."""

from dataclasses import replace

from overnight.base.config import TaskSettings
from overnight.engine.model import Needs, Priority, Task


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
        needs=Needs(cpus=settings.needs.cpus, locks=settings.needs.locks),
        max_concurrent=settings.max_concurrent,
        executor=settings.executor,
        args=settings.args,
        enabled=settings.enabled,
    )
