"""The Python API: a project, its tasks and runs, and its fleet."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from overnight.app import schedule
from overnight.app.schedule import Backfilled
from overnight.app.workplace import Workplace
from overnight.engine.model import Priority, Task

if TYPE_CHECKING:
    from overnight.app.jobs import JobStatus
    from overnight.app.results import TrainingResult


class Project(Workplace):
    """A folder with `overnight.toml`, its tasks, its fleet, and the durable state in its `.overnight/`.

    Any process may open a project, submit, look and cancel. One at a time (on PostgreSQL: any number) works on it:
    `run`, or `running` for the length of a block. Safe to use from any thread. Close it, or use it in a `with` block.
    """

    def _own_tasks(self) -> list[Task]:
        tasks = super()._own_tasks()
        if self.config.notify.stats.schedule is not None:
            from overnight.app import stats_mail

            tasks.append(stats_mail.task_of(self))
        return tasks

    def train(self, *, agents: Sequence[str] = (), force: bool = False, verbose: bool = False) -> "TrainingResult":
        """Train the fleet now, see it through, and return what was measured; see `TrainingResult`.

        Only the named agents, if any are. With `force` what sources gave before does not count. With `verbose` each
        change is a line on stderr. A training that was interrupted goes on where it was.

        Raises:
            ConfigError: the project has no agents.
            UserMistake: there is no agent of that name.
            RunFailed: the training as a whole ended without a result.
        """
        from overnight.app.training import train

        return train(self, agents=agents, force=force, verbose=verbose)

    def pause(self, task_id: str, why: str = "paused by a person") -> bool:
        """Pause a task: its triggers do not fire, its scheduled runs do not start; runs by hand still work.

        Return False where it was paused already.

        Raises:
            UnknownName: there is no such task.
        """
        return schedule.pause(self, task_id, why)

    def resume(self, task_id: str) -> bool:
        """Let a paused task go on from now; return False where it was not paused.

        Raises:
            UnknownName: there is no such task.
        """
        return schedule.resume(self, task_id)

    def backfill(self, task_id: str, from_us: int, to_us: int) -> Backfilled:
        """Make a run for each instant of a task's trigger, from `from_us` on and before `to_us`, that has none.

        Instants are microseconds since the epoch, UTC.

        Raises:
            UnknownName: there is no such task.
            InvalidTask: no trigger starts it.
            UserMistake: the span is empty, reaches into the future, or holds more than 10,000 instants.
        """
        return schedule.backfill(self, task_id, from_us, to_us)

    def submit_training(
        self,
        model_type: str,
        experiences: Iterable[Mapping[str, Any]],
        *,
        job_id: str | None = None,
        epochs: int = 20,
        priority: Priority | str | None = None,
        checkpoint_interval: int = 10,
        memory_gb: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> "JobStatus":
        """Ask for a training of a model and return how the job stands; whoever works on the project trains it.

        Each experience has `input` and `expected_output`; docs/reference/model_types.md says what the built-in
        model_types (nlu, voice, vision, embedding) take. The same `job_id` twice is the same job. Every
        `checkpoint_interval` epochs (0: never) the training's place is written down. `memory_gb` (10^9 bytes) is what
        its processes may take. `settings` go to the trainer, beside those of `[training.models]`.

        Raises:
            UserMistake: nobody knows how to train that model_type, or an argument or experience cannot be used.
            MissingExtra: what the trainer needs is not installed.
        """
        from overnight.app import jobs

        return jobs.submit_training(
            self,
            model_type,
            experiences,
            job_id=job_id,
            epochs=epochs,
            priority=priority,
            checkpoint_interval=checkpoint_interval,
            memory_gb=memory_gb,
            settings=settings,
        )

    def job(self, job_id: str) -> "JobStatus":
        """Return how a training job stands.

        Raises:
            UnknownName: there is no such job.
        """
        from overnight.app import jobs

        return jobs.job_status(self, job_id)

    def jobs(self, *, limit: int = 20, model_type: str | None = None) -> "list[JobStatus]":
        """Return how the newest training jobs stand, newest first."""
        from overnight.app import jobs

        return jobs.list_jobs(self, limit=limit, model_type=model_type)

    def cancel_job(self, job_id: str) -> "JobStatus":
        """End a training job, queued or running, and return how it stands.

        Raises:
            UnknownName: there is no such job.
            InvalidTransition: it has ended already.
        """
        from overnight.app import jobs

        return jobs.cancel_job(self, job_id)

    def health(self) -> dict[str, Any]:  # Any: JSON
        """Return how the fleet does, from what its trainings measured; see `reports.health`."""
        from overnight.app.training import stats

        return stats(self)
