"""The task of rollouts, which every project has; what it calls is loaded when the first one comes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from overnight.engine.model import BUILT_IN, Task

if TYPE_CHECKING:
    from overnight.engine.flow import Flow
    from overnight.flows.rollout import Rollouts

ROLLOUT = "overnight:rollout"


def tasks(rollouts: "Callable[[], Rollouts]") -> list[Task]:
    """Return the flow of a rollout."""

    def roll_out(flow: "Flow", deployment_id: int) -> Any:  # Any: JSON
        from overnight.flows import rollout as program

        return program.run(flow, rollouts(), deployment_id)

    return [Task(task_id=ROLLOUT, action=roll_out, max_concurrent=None, max_retries=10, tags=(BUILT_IN,))]
