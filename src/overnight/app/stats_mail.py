"""The task that sends regularly how the fleet does (`[notify.stats]`)."""

from overnight.app.notifying import post_of
from overnight.app.training import stats
from overnight.app.workplace import Workplace
from overnight.base.errors import ConfigError
from overnight.engine.model import Task
from overnight.reports.health import lines

TASK = "notify-stats"


def task_of(project: Workplace) -> Task:
    """Return the task; `notify.stats.schedule` is set.

    Raises:
        ConfigError: there is a schedule, but no address.
    """
    notify = project.config.notify
    if not notify.urls:
        raise ConfigError("notify.stats.schedule is set, but notify.urls is empty: name an address to send to")

    def send() -> dict[str, int]:
        post = post_of(project.config)
        assert post is not None, "there are addresses"
        text = lines(stats(project))
        post(f"Overnight, {project.config.name}: how the fleet does", "\n".join(text))
        return {"lines": len(text)}

    return Task(
        task_id=TASK,
        action=send,
        executor="thread",
        schedule=notify.stats.schedule,
        timezone=project.config.project.timezone,
    )
