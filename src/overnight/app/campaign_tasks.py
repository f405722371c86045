"""The tasks of campaigns, which every project has; what they call is loaded when the first one comes."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from overnight.base.campaigns import CAMPAIGN, FOLLOWING, SAMPLES
from overnight.base.errors import InvalidTask
from overnight.base.vocabulary import suggestion
from overnight.engine.model import BUILT_IN, LONGEST_S, Task

if TYPE_CHECKING:
    from overnight.engine.flow import Flow
    from overnight.flows.campaign.flow import Campaigns

MADE_BY = {
    SAMPLES: "overnight.campaigns.making:make_samples",
    FOLLOWING: "overnight.campaigns.following:follow_generator",
}
PLAIN = "campaign"
"""What the campaign of a project is called that describes none."""
PREFIX = "campaign:"
"""What stands before the name of a campaign in a task's action."""


def tasks(campaigns: "Callable[[], Campaigns]") -> list[Task]:
    """Return the flow of a campaign, and the tasks in which samples are made, here or by an external generator."""

    def run(flow: "Flow", name: str, **wish: Any) -> Any:  # Any: JSON
        from overnight.flows.campaign import flow as program

        return program.campaign(flow, campaigns(), name, wish)

    return [
        Task(task_id=CAMPAIGN, action=run, max_concurrent=None, tags=(BUILT_IN,)),
        *(
            Task(
                task_id=task_id, action=action, timeout_s=LONGEST_S, max_concurrent=None, yields=True, tags=(BUILT_IN,)
            )
            for task_id, action in MADE_BY.items()
        ),
    ]


def is_campaign(task: Task) -> bool:
    """Return whether the action of a task names a campaign."""
    return isinstance(task.action, str) and task.action.startswith(PREFIX)


def with_flow(task: Task, known: list[str], campaigns: "Callable[[], Campaigns]") -> Task:
    """Return the task with the flow of the campaign that its action names.

    Raises:
        InvalidTask: there is no such campaign.
    """
    name = str(task.action).removeprefix(PREFIX)
    if name not in known:
        raise InvalidTask(f"task {task.task_id!r}: action: there is no campaign {name!r}{suggestion(name, known)}")

    def run(flow: "Flow", **wish: Any) -> Any:  # Any: JSON
        from overnight.flows.campaign import flow as program

        return program.campaign(flow, campaigns(), name, {"by": f"task {task.task_id}", **wish})

    return replace(task, action=run, flow=True)
