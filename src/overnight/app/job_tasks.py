"""The tasks of training jobs, which every project has; what they call is loaded when the first job comes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from overnight.engine.model import BUILT_IN, LONGEST_S, Task

if TYPE_CHECKING:
    from overnight.engine.flow import Flow
    from overnight.flows.train_job import Trainings

JOB, TRAINING = "overnight:job", "overnight:training"
"""Names that no project is likely to give to tasks of its own."""


def tasks(trainings: "Callable[[], Trainings]", *, max_retries: int) -> list[Task]:
    """Return the flow of a job, and the task in which a model is trained."""

    def train_job(flow: "Flow", job_id: str) -> Any:  # Any: JSON
        from overnight.flows import train_job as program

        return program.train_job(flow, trainings(), job_id)

    return [
        Task(
            task_id=TRAINING,
            action="overnight.training.model_job:train_model",
            timeout_s=LONGEST_S,
            max_concurrent=None,
            max_retries=max_retries,
            yields=True,
            tags=(BUILT_IN,),
        ),
        Task(task_id=JOB, action=train_job, max_concurrent=None, tags=(BUILT_IN,)),
    ]
