"""The tasks of strategy learning, which every project has; what they call is loaded when the first one comes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from overnight.base.learning import CODING_EXERCISE, EXERCISE, LEARN
from overnight.engine.model import BUILT_IN, Task

if TYPE_CHECKING:
    from overnight.engine.flow import Flow
    from overnight.flows.learning.parts import Learning

_LONGEST_S = 600.0
"""Of one exercise with all its repeats, which take seconds."""


def tasks(learning: "Callable[[], Learning]") -> list[Task]:
    """Return the flow, and the task in which an exercise is executed."""

    def run(flow: "Flow", **wish: Any) -> Any:  # Any: JSON
        from overnight.flows.learning import flow as program

        return program.learn(flow, learning(), wish)

    return [
        Task(task_id=LEARN, action=run, tags=(BUILT_IN,)),
        Task(
            task_id=EXERCISE,
            action="overnight.learning.running:run_exercise",
            timeout_s=_LONGEST_S,
            max_concurrent=None,
            tags=(BUILT_IN,),
        ),
        Task(
            task_id=CODING_EXERCISE,
            action="overnight.learning.running:run_exercise",
            timeout_s=None,
            max_concurrent=None,
            tags=(BUILT_IN,),
        ),
    ]
