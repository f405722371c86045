"""The Python API: a project, its tasks and runs, and its fleet."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.app import campaign_tasks, learning_tasks, schedule
from overnight.app.schedule import Backfilled
from overnight.app.workplace import Workplace
from overnight.base.jobs import DEFAULT_EPOCHS, DEFAULT_INTERVAL
from overnight.base.settings import user
from overnight.engine.model import Priority, Task

if TYPE_CHECKING:
    from overnight.app.collecting import Collected
    from overnight.app.experiences import Added
    from overnight.app.gate import GateCheck
    from overnight.app.job_status import JobStatus
    from overnight.app.models import Model
    from overnight.app.results import TrainingResult
    from overnight.base.refs import Bump
    from overnight.data.experiences import Held
    from overnight.flows.campaign.flow import Campaigns
    from overnight.registry.deployments import Deployment
    from overnight.registry.versions import Version


class Project(Workplace):
    """A folder with `overnight.toml`, its tasks, its fleet, and the durable state in its `.overnight/`.

    Any process may open a project, submit, look and cancel. One at a time (on PostgreSQL: any number) works on it:
    `run`, or `running` for the length of a block. Safe to use from any thread. Close it, or use it in a `with` block.
    """

    def _own_tasks(self) -> list[Task]:
        tasks = [
            *super()._own_tasks(),
            *campaign_tasks.tasks(lambda: self.campaigns),
            *learning_tasks.tasks(lambda: self.learning),
        ]
        if self.config.notify.stats.schedule is not None:
            from overnight.app import stats_mail

            tasks.append(stats_mail.task_of(self))
        if self.config.notify.morning.schedule is not None:
            from overnight.app import morning

            tasks.append(morning.task_of(self))
        return tasks

    def _spelled_out(self, task: Task) -> Task:
        if campaign_tasks.is_campaign(task):
            task = campaign_tasks.with_flow(task, self.campaign_names(), lambda: self.campaigns)
        return super()._spelled_out(task)

    def campaign_names(self) -> list[str]:
        """Return the campaigns that are described, or the plain one."""
        return sorted(self.config.campaigns) or [campaign_tasks.PLAIN]

    @property
    def campaigns(self) -> "Campaigns":
        """What the flow of a campaign works with, by the configuration of now."""
        from overnight.app.campaign_parts import parts_of

        def train(model_type: str, job_id: str, epochs: int, samples: Sequence[Mapping[str, Any]]) -> str:
            return self.submit_training(model_type, samples, job_id=job_id, epochs=epochs).job_id

        return parts_of(
            self.config,
            self.database,
            state_dir=self.state_dir,
            known=self.campaign_names(),
            clock=self.clock,
            train=train,
        )

    def train(
        self,
        *,
        agents: Sequence[str] = (),
        force: bool = False,
        verbose: bool = False,
        strategy: str | None = None,
    ) -> "TrainingResult":
        """Train the fleet now, see it through, and return what was measured; see `TrainingResult`.

        Only the named agents, if any are. With `force` what sources gave before does not count. With `verbose` each
        change is a line on stderr. A training that was interrupted goes on where it was. `strategy`, of those of
        strategy learning, is the one by which they are trained, or "learned": whichever executes the training of each.

        Raises:
            ConfigError: the project has no agents.
            UnknownName: there is no such strategy.
            UserMistake: there is no agent of that name, or the strategy is an ensemble.
            RunFailed: the training as a whole ended without a result.
        """
        from overnight.app.training import train

        return train(self, agents=agents, force=force, verbose=verbose, strategy=strategy)

    def learn(
        self,
        *,
        complexity: str = "medium",
        iterations: int = 3,
        validate: bool = True,
        focus: str | None = None,
        tasks: Sequence[Mapping[str, Any]] | None = None,
        budget_s: float | None = None,
    ) -> dict[str, Any]:  # Any: JSON
        """Have strategies execute exercises, apply what is proven, and return what came of it.

        That is the `candidate`, the `verdict`, whether it was `applied`, and the `reason`. `complexity` is easy, medium
        or hard; `focus` is the one type of task that counts, `tasks` are exercises of your own instead of those that
        ship, as their file holds them. What was interrupted goes on where it was.

        Raises:
            ConfigError, UserMistake: the settings, or what is asked for, do not go together.
            RunFailed: nothing could be executed.
        """
        from overnight.app import learning

        wish = {"focus": focus, "tasks": tasks, "budget_s": budget_s, "iterations": iterations, "validate": validate}
        return learning.learn(self, {"complexity": complexity, **wish})

    def loop_status(self) -> list[dict[str, Any]]:  # Any: JSON
        """Return of each model what serves, what was gathered, what follows next, and what the gate said last."""
        from overnight.app.loop_status import loop_status

        return loop_status(self)

    def strategies(self) -> dict[str, Any]:  # Any: JSON
        """Return what was measured of each strategy, which of them execute and why; see `GET /api/learning`."""
        from overnight.app import learning

        return learning.status(self)

    def tune(self, agent: str, *, trials: int = 50, seed: int = 0) -> dict[str, Any]:  # Any: JSON
        """Find better parameters for an agent, keep them where the gate accepts them, and return what came of it.

        That is the `verdict` of the gate (None where nothing was better), `adopted`, and all `trials`, the best first.

        Raises:
            UnknownName: there is no such agent.
            MissingExtra: Optuna is not installed.
            ConfigError, UserMistake: nothing of the agent may be tuned, or it has no version to be compared with.
            RunFailed: it ended without a result.
        """
        from overnight.app import tuning

        return tuning.tune(self, agent, trials=trials, seed=seed)

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
        experiences: Iterable[Mapping[str, Any]] | None = None,
        *,
        snapshot: str | None = None,
        job_id: str | None = None,
        epochs: int = DEFAULT_EPOCHS,
        priority: Priority | str | None = None,
        checkpoint_interval: int = DEFAULT_INTERVAL,
        memory_gb: float | None = None,
        gpus: int | None = None,
        gpu_memory_gb: float | None = None,
        settings: Mapping[str, Any] | None = None,
        bump: "Bump | None" = None,
        strategy: str | None = None,
    ) -> "JobStatus":
        """Ask for a training of a model and return how the job stands; whoever works on the project trains it.

        Each experience has `input` and `expected_output`; docs/reference/model_types.md says what the built-in
        model_types (nlu, voice, vision, embedding) take. Without experiences the job takes the buffer, and what it
        takes counts as used; see `add_experiences`. `snapshot` is the id of one that an earlier job was trained on, in
        the place of experiences. The same `job_id` twice is the same job. Every
        `checkpoint_interval` epochs (0: never) the training's place is written down. `memory_gb` (10^9 bytes) is what
        its processes may take, `gpu_memory_gb` what they may take of each of its `gpus` (None: all, alone). `settings`
        go to the trainer, beside those of `[training.models]`. `bump` ("major", "minor" or "patch") says which part of
        the version's number goes up, instead of what has changed.

        Raises:
            UserMistake: nobody knows how to train that model_type, or an argument or experience cannot be used, or the
                buffer is empty.
            MissingExtra: what the trainer needs is not installed.
        """
        from overnight.app import jobs

        return jobs.submit_training(
            self,
            model_type,
            experiences,
            snapshot=snapshot,
            job_id=job_id,
            epochs=epochs,
            priority=priority,
            checkpoint_interval=checkpoint_interval,
            memory_gb=memory_gb,
            gpus=gpus,
            gpu_memory_gb=gpu_memory_gb,
            settings=settings,
            bump=bump,
            strategy=strategy,
        )

    def add_experiences(
        self, model_type: str, experiences: Iterable[Mapping[str, Any]], *, batch_id: str | None = None
    ) -> "Added":
        """Keep experiences for the training of a model, all of them or none, and return how many are new.

        Each has `type`, `input`, `expected_output`, `success` and `confidence` (0 to 1), and may have `actual_output`,
        `metadata` and `timestamp`; docs/how-to-experiences.md says what they mean. The same batch twice, and the same
        experience in two batches, adds nothing. As soon as `training.min_experiences` of enough quality are unused, a
        job is submitted, which uses them.

        Raises:
            UserMistake: nobody knows how to train that model_type, or another batch has had this id.
            UnfitExperiences: some cannot be used; `details` says of each what is wrong.
            MissingExtra: what its trainer needs is not installed.
        """
        from overnight.app import intake
        from overnight.app.experiences import sequence_of
        from overnight.data.batches import Batch

        return intake.add(self, Batch(model_type=model_type, experiences=sequence_of(experiences), batch_id=batch_id))

    def experience_buffer(self) -> "list[Held]":
        """Return how many experiences there are of each model_type: unused, unused and below the quality, used."""
        from overnight.app.experiences import held

        return held(self)

    def job(self, job_id: str) -> "JobStatus":
        """Return how a training job stands.

        Raises:
            UnknownName: there is no such job.
        """
        from overnight.app import job_status

        return job_status.job_status(self, job_id)

    def jobs(self, *, limit: int = 20, model_type: str | None = None) -> "list[JobStatus]":
        """Return how the newest training jobs stand, newest first."""
        from overnight.app import job_status

        return job_status.list_jobs(self, limit=limit, model_type=model_type)

    def cancel_job(self, job_id: str) -> "JobStatus":
        """End a training job, queued or running, and return how it stands.

        Raises:
            UnknownName: there is no such job.
            InvalidTransition: it has ended already.
        """
        from overnight.app import jobs

        return jobs.cancel_job(self, job_id)

    def deploy(
        self,
        model: str,
        version: str,
        *,
        strategy: str | None = None,
        config: Mapping[str, Any] | None = None,  # Any: JSON
        by: str | None = None,
    ) -> "Deployment":
        """Begin to roll a version of a model out; whoever works on the project sees to it.

        `strategy` is gradual_rollout, canary, immediate, blue_green, ab_test or shadow; None: as `[models.NAME]` says.
        `config` are the settings of docs/concepts-rollout.md. `by` is written into the record; None: this user.

        Raises:
            UnknownName: there is no such model or version.
            UserMistake: strategy or settings cannot be used, or the version serves already.
            InvalidTransition: another rollout of this model has not ended.
            DamagedBlob: a file of the version is missing or altered.
        """
        from overnight.app import deployments

        return deployments.deploy(self, model, version, strategy=strategy, config=config, by=by)

    def rollback(self, model: str, version: str | None = None, *, by: str | None = None) -> str | None:
        """Take back what is being rolled out; else have the version before, or the named one, serve again.

        Return the version that serves then.

        Raises:
            UnknownName: there is no such model or version.
            UserMistake: nothing served before, or the version serves already.
            DamagedBlob: a file of the version is missing or altered.
        """
        from overnight.app import deployments

        told = deployments.rollback(self, model, version, by=by)
        return None if told["model_version"] is None else str(told["model_version"])

    def deployment(self, deployment_id: int) -> "Deployment":
        """Return how a deployment stands.

        Raises:
            UnknownName: there is no such deployment.
        """
        from overnight.app import deployments

        return deployments.deployment_of(self, deployment_id)

    def steer(self, deployment_id: int, what: str, *, by: str | None = None) -> "Deployment":
        """Have a deployment pause, resume, promote, abort or rollback, and return how it stands.

        Raises:
            UnknownName: there is no such deployment.
            UserMistake, InvalidTransition: there is no such command, or it changes nothing any longer.
        """
        from overnight.app import deployments

        return deployments.steer(self, deployment_id, what, by=by)

    def models(self) -> "list[Model]":
        """Return the models that have versions, by name: what serves, all versions, tags, and what has served."""
        from overnight.app import models

        return models.list_models(self)

    def model(self, name: str) -> "Model":
        """Return a model: what serves, all versions, tags, and what has served when, by whom and why.

        Raises:
            UnknownName: it has no version.
        """
        from overnight.app import models

        return models.find_model(self, name)

    def model_version(self, model: str, version: str = "newest") -> "Version":
        """Return a version by its number, a tag, or the words "champion", "previous" and "newest".

        Raises:
            UnknownName: there is no such model or version.
        """
        from overnight.app import models

        return models.find_version(self, model, version)

    def tag_model(self, model: str, version: str, name: str, *, force: bool = False) -> "Version":
        """Give a version a tag, which no other version of the model has; it keeps its artifact, and is found by it.

        Raises:
            UserMistake: the name cannot be a tag's.
            UnknownName: there is no such model or version.
            InvalidTransition: another version has the tag (with `force` it moves), or the artifact is gone.
        """
        from overnight.app import models

        return models.tag(self, model, version, name, by=f"Project.tag_model by {user()}", force=force)

    def export_model(self, model: str, version: str, target: str | Path) -> "Version":
        """Write a version, with all that is known of it, into a new folder or a new file that ends in .tar.

        Raises:
            UnknownName: there is no such model or version.
            UserMistake: the target is there already.
            PermanentError: its artifact was removed, is missing or altered.
        """
        from overnight.app import carrying

        return carrying.export(self, model, version, Path(target))

    def import_model(self, source: str | Path, *, name: str | None = None) -> "Version":
        """Take in what `export_model` wrote, verified, as a version of its own model or of the one that is named.

        It serves nobody until somebody lets it.

        Raises:
            UserMistake: it is none, was altered, or another version has its number here.
        """
        from overnight.app import carrying

        return carrying.import_version(self, Path(source), by=f"Project.import_model by {user()}", name=name)

    def collect_models(self, model: str | None = None, *, dry_run: bool = False) -> "Collected":
        """Remove the artifacts of versions that nobody needs any more; what is known of them stays.

        Those of the version that serves, of the one before it, of tagged ones and of the newest `registry.keep` stay.

        Raises:
            UnknownName: there is no such model.
        """
        from overnight.app import collecting

        return collecting.collect(self, model, dry_run=dry_run)

    def gate_check(
        self, model: str, *, candidate: str | None = None, against: str | None = None, final: bool = False
    ) -> "GateCheck":
        """Judge a version (the newest) against another one (the one that serves), and keep the verdict.

        Both answer about the held-out experiences of the candidate's job that neither was trained on, or with `final`,
        about those of the final hold-out. Versions are named like v1.2.3. What was asked before is answered from the
        record. Nothing begins to serve.

        Raises:
            UnknownName: there is no such version.
            UserMistake: no version serves, or both are the same one.
            NotMeasured, PermanentError: one of them cannot be measured.
        """
        from overnight.app import gate

        return gate.check(self, model, candidate=candidate, against=against, final=final)

    def health(self) -> dict[str, Any]:  # Any: JSON
        """Return how the fleet does, from what its trainings measured; see `reports.health`."""
        from overnight.app.training import stats

        return stats(self)
