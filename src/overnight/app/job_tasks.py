"""The tasks of training jobs, which every project has; what they call is loaded when the first job comes."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from overnight.base.errors import ConfigError
from overnight.base.jobs import COMPARING, JOB, TRAINING
from overnight.engine.model import BUILT_IN, LONGEST_S, Task
from overnight.processes.spawn import ROOT
from overnight.resources.placement import LOCAL

if TYPE_CHECKING:
    from overnight.base.pool_settings import PoolSettings
    from overnight.engine.flow import Flow
    from overnight.engine.model import Run
    from overnight.flows.train_job import Trainings

_DRIVE = "import sys; sys.path.append(sys.argv.pop(1)); from overnight.training.remote import main; main()"


def tasks(trainings: "Callable[[], Trainings]", *, max_retries: int, pools: "Mapping[str, PoolSettings]") -> list[Task]:
    """Return the flow of a job, the tasks in which a model is trained here and compared, and one for each pool.

    Raises:
        ConfigError: a pool's settings do not go together.
    """

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
        Task(
            task_id=COMPARING,
            action="overnight.training.comparing:compare_versions",
            timeout_s=LONGEST_S,
            max_concurrent=None,
            max_retries=max_retries,
            # It is begun anew at little cost, and need not wait for what services may use at their most.
            yields=True,
            tags=(BUILT_IN,),
        ),
        Task(task_id=JOB, action=train_job, max_concurrent=None, tags=(BUILT_IN,)),
        *(_remote(name, pool, max_retries) for name, pool in pools.items()),
    ]


def training_of(children: "Sequence[Run]") -> "Run | None":
    """Return the training among the runs that a job has started, oldest first; None before it."""
    return next((run for run in reversed(children) if run.task_id != COMPARING), None)


def _remote(name: str, pool: "PoolSettings", max_retries: int) -> Task:
    if name == LOCAL:
        raise ConfigError(f"pools.{LOCAL}: this is the name of this machine; give the pool another one")
    if bool(pool.up) != bool(pool.down):
        lacking, there = ("down", "up") if pool.up else ("up", "down")
        raise ConfigError(f"pools.{name}: {there} without {lacking}: what is brought up has to be taken down again")
    return Task(
        task_id=f"{TRAINING}/{name}",
        action=(sys.executable, "-P", "-c", _DRIVE, ROOT, "{folder}", "{token}"),
        timeout_s=LONGEST_S,
        max_concurrent=pool.jobs,
        max_retries=max_retries,
        yields=True,
        tags=(BUILT_IN,),
    )
