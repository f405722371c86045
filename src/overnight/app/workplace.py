"""A project without its fleet: its tasks, its runs, its records and the durable state; see `app.project`."""

import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from overnight.app import job_tasks, registering, rollout_tasks, schema, times
from overnight.app.lock import is_held
from overnight.app.runs import Runs
from overnight.app.runtime import Runtime, check_threaded, import_from
from overnight.app.tasks import (
    by_strategy,
    configuration_of,
    configured_tasks,
    fresh_modules,
    load_setting,
    spelled_out,
    without_parents,
)
from overnight.base.backoff import Backoff
from overnight.base.clock import Clock, SystemClock
from overnight.base.config import Config
from overnight.base.errors import InvalidTransition
from overnight.base.files import replace_file
from overnight.base.points import Hook, no_hook
from overnight.base.settings import FILE, STATE_FOLDER, environment, find_project, load_config
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.engine.book import Book
from overnight.engine.model import Task
from overnight.executors.parcels import Parcels
from overnight.training import stays

if TYPE_CHECKING:
    from overnight.app.pools import Keeper
    from overnight.data.harvest import Harvest, Harvester, Told
    from overnight.flows.learning.parts import Learning
    from overnight.flows.nightly.night import Nightly
    from overnight.flows.rollout import Residence, Rollouts
    from overnight.flows.train_job import Trainings


class Workplace(Runs):
    """A folder with `overnight.toml`, its tasks, and the durable state in its `.overnight/`.

    Any process may open a project, submit, look and cancel. One at a time (on PostgreSQL: any number) works on it:
    `run`, or `running` for the length of a block. Safe to use from any thread. Close it, or use it in a `with` block.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        hook: Hook = no_hook,
        instances: Collection[str] = (),
    ) -> None:
        """`instances` are the agents that are handed over as objects; see `overnight.Fleet`."""
        self.config = config
        self.folder = config.project_dir
        self.state_dir = self.folder / STATE_FOLDER
        self.clock = clock or SystemClock()
        self.state_dir.mkdir(exist_ok=True)
        super().__init__(Database(config.database_url, self.clock, self.state_dir, hook=hook))
        self._hook = hook
        self._tasks: dict[str, Task] = {}
        self._book: Book | None = None
        self._adding = threading.RLock()
        self._drafting = False
        self._overrides: Mapping[str, Any] = {}
        self._instances = frozenset(instances)
        self.parcels = Parcels()
        self._keeper: Keeper | None = None
        self.residence: Residence | None = None
        """Where versions are resident while they are rolled out; None: nowhere, somebody else loads them."""
        self.blobs = Blobs(str(self.state_dir / "blobs"))
        try:
            self.artifacts = registering.artifacts_of(config, self.blobs)
            """Where the files of model versions are kept."""
            _check(config)
            schema.prepare(self.database)
            for task in self._own_tasks():
                self.add_task(task)
        except BaseException:
            self.database.close()
            raise

    def _own_tasks(self) -> list[Task]:
        """Return the tasks that the configuration describes."""
        return [
            *job_tasks.tasks(
                lambda: self.trainings, max_retries=self.config.training.max_retries, pools=self.config.pools
            ),
            *rollout_tasks.tasks(lambda: self.rollouts),
            *configured_tasks(self.config, lambda: self.nightly),
            *registering.tasks(self.config, self.database),
        ]

    @property
    def nightly(self) -> "Nightly":
        """What the nightly training works with, by the configuration of now."""
        from overnight.flows.nightly.night import Nightly

        return Nightly(
            config=self.config,
            database=self.database,
            blobs=self.blobs,
            registry=registering.registry_of(self.config, self.artifacts),
            harvest=self.harvest,
            load=lambda key, spec: load_setting(key, spec, self.folder),
            environment=environment,
            state_dir=self.state_dir,
            instances=self._instances,
        )

    @property
    def trainings(self) -> "Trainings":
        """What the flow of a training job works with, by the configuration of now."""
        from overnight.flows.train_job import Trainings

        return Trainings(
            config=self.config,
            database=self.database,
            blobs=self.blobs,
            registry=registering.registry_of(self.config, self.artifacts),
        )

    @property
    def learning(self) -> "Learning":
        """What the flow of strategy learning works with."""
        from overnight.app.learning_production import produced
        from overnight.app.workflows import takers
        from overnight.flows.learning.files import WORKFLOWS
        from overnight.flows.learning.parts import Learning

        return Learning(
            database=self.database,
            folder=self.state_dir / "learning",
            settings=lambda: self.config.learning,
            tasks=lambda: takers(self.config, f"{STATE_FOLDER}/learning/{WORKFLOWS}"),
            production=lambda: produced(self.database, self.book),
        )

    @property
    def rollouts(self) -> "Rollouts":
        """What the flow of a rollout works with."""
        from overnight.flows.rollout import Rollouts, Stored

        stored = Stored(self.database, self.artifacts.verify)
        return Rollouts(database=self.database, book=lambda: self.book, residence=self.residence or stored)

    @classmethod
    def open(
        cls,
        path: str | Path = ".",
        *,
        overrides: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        hook: Hook = no_hook,
        instances: Collection[str] = (),
    ) -> Self:
        """Open the project of this folder, or of the nearest one above it, with its tasks.

        `overrides` are settings by dotted key, such as {"engine.max_concurrent": 8}.

        Raises:
            NotAProject, ConfigError: there is no project, or its configuration is wrong.
            NewerDatabase, DatabaseBroken: its database cannot be used.
        """
        config = load_config(find_project(Path(path)), overrides)
        project = cls(config, clock=clock, hook=hook, instances=instances)
        project._overrides = overrides or {}
        try:
            own = configuration_of(project.config)
            if own is not None:
                own(project)
        except BaseException:
            project.close()
            raise
        return project

    @classmethod
    def create(cls, path: str | Path, **options: Any) -> Self:  # Any: see `open`
        """Open the project of this folder; where there is none, make an empty one first."""
        folder = Path(path)
        if not (folder / FILE).exists():
            replace_file(folder / FILE, f"[project]\nname = {json.dumps(folder.resolve().name)}\n")
        return cls.open(folder, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop working, if this process does, and close the database."""
        try:
            self.stop()
        finally:
            self._end_to_listen()
            self.database.close()

    # Tasks.

    def add_task(self, task: Task) -> Task:
        """Add a task to this project object, or replace the one of the same id.

        Before the work begins, `after` may name tasks that are added later. A task that does not fit is not added.

        Raises:
            InvalidTask: the task cannot work; the message names the field.
        """
        task = self._spelled_out(task)
        Book([without_parents(task)], self._retry())
        with self._adding:
            if self._drafting:
                self._tasks[task.task_id] = task
                return task
            if self._runtime is None:
                # In place: copying what is there for each further task would take a minute for 100,000 of them.
                self._tasks[task.task_id], self._book = task, None
            else:
                tasks = {**self._tasks, task.task_id: task}
                self._tasks, self._book = tasks, self._checked(tasks)
        if self._runtime is not None:
            self._runtime.resync()
        return task

    def _spelled_out(self, task: Task) -> Task:
        """Return the task with the flow that its action names by a word, and what finds its strategy out."""
        return by_strategy(spelled_out(task, lambda: self.nightly), lambda: self.config.learning)

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Let no reload take away modules of the project while they are loaded within the block."""
        with self._adding:
            import_from(self.folder)
            yield

    def reload(self) -> None:
        """Read configuration and module again and take up what they say now, all of it or, where it is wrong, nothing.

        Runs that are worked on end as they began. Tasks that were added by `add_task` from outside are gone.

        Raises:
            ConfigError, InvalidTask: something is wrong; everything stays as it was. The module may raise anything.
        """
        config = load_config(self.folder, self._overrides)
        with self._adding, fresh_modules(self.folder):
            before = (self.config, self._tasks, self.artifacts)
            self._tasks, self._drafting = {}, True
            try:
                self.config = config
                self.artifacts = registering.artifacts_of(config, self.blobs)
                _check(config)
                for task in self._own_tasks():
                    self.add_task(task)
                own = configuration_of(config)
                if own is not None:
                    own(self)
                book = self._checked(self._tasks)
            except BaseException:
                self.config, self._tasks, self.artifacts = before
                raise
            finally:
                self._drafting = False
            self._book = book
            self.__dict__.pop("harvester", None)
            self._keep_pools()
        if self._runtime is not None:
            self._runtime.resync()

    def _checked(self, tasks: Mapping[str, Task]) -> Book:
        """Return the book of tasks that may be worked on in threads."""
        book = Book(list(tasks.values()), self._retry())
        check_threaded(book, shared=self.database.dialect.shared)
        return book

    @property
    def book(self) -> Book:
        """All tasks, checked together.

        Raises:
            InvalidTask: `after` names a task that does not exist, or goes round in a circle.
        """
        if self._book is None:
            # A list, made in one piece: another thread may add a task meanwhile.
            self._book = Book(list(self._tasks.values()), self._retry())
        return self._book

    def _loose_book(self) -> Book:
        return self._book or Book(list(self._tasks.values()), self._retry(), whole=False)

    def _retry(self) -> Backoff:
        retry = self.config.engine.retry
        return Backoff(base_s=retry.base_s, factor=retry.factor, cap_s=retry.cap_s, jitter=retry.jitter)

    # Data.

    @cached_property
    def harvester(self) -> "Harvester":
        """What asks the sources of this project; loaded on first use, because most commands harvest nothing."""
        from overnight.app.harvesting import harvester_of

        return harvester_of(self.config, self.database, self.blobs, self.state_dir)

    def harvest(self, category: str, *, force: bool = False, told: "Told" = lambda *_: None) -> "Harvest":
        """Ask the sources of a category and make what they gave, judged and ranked, its newest snapshot.

        What a source gave before stands in for one that fails, for `data.keep_days` at the most; with `force` every
        source is asked for all it has, and nothing stands in. `told` takes (source, region, rows read since) while the
        sources are read, from several threads.

        Raises:
            ConfigError: there is no such category, or a setting of it is wrong; nothing was changed.
        """
        return self.harvester.harvest(category, force=force, told=told)

    # Working.

    def start(self) -> None:
        """Begin to work on the project in threads of this process.

        Raises:
            ProjectLocked: another process does already; the message names it.
            InvalidTask: `after` names a task that does not exist or goes round in a circle, or, on PostgreSQL, a task
                has the executor 'inline'.
        """
        if self._runtime is not None:
            raise InvalidTransition("this project object works already")
        # A mistake in the tasks is told before anything is locked.
        self._book = self._checked(self._tasks)
        runtime = Runtime(
            self.config,
            self.database,
            lambda: self.book,
            self.state_dir,
            self._hook,
            failed=self._waits.wake_all,
            parcels=self.parcels,
        )
        try:
            runtime.start()
        except BaseException:
            runtime.abandon()
            raise
        self._runtime = runtime
        self._end_to_listen()
        self._keep_pools()

    def stop(self, grace_s: float | None = None) -> None:
        """Stop working: start nothing new, let what runs end in the grace time, put the rest back into the queue.

        Raises whatever ended the work against its will.

        Raises:
            OvernightError: functions in threads did not return; the project stays locked until this process ends.
            DatabaseBusy: the database cannot be reached; whoever works next puts the runs back into the queue.
        """
        self._stop(self.config.engine.grace_s if grace_s is None else grace_s, lambda: False)

    def stop_unless(self, hurry: Callable[[], bool]) -> None:
        """Stop working as `stop` does, within the configured grace time; at once when `hurry` says so."""
        self._stop(self.config.engine.grace_s, hurry)

    def _stop(self, grace_s: float, hurry: Callable[[], bool]) -> None:
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            try:
                runtime.stop(grace_s, hurry)
            finally:
                keeper, self._keeper = self._keeper, None
                if keeper is not None:
                    keeper.close(hurry)

    def _keep_pools(self) -> None:
        """Look after the machines that jobs bring up, where they may: the pools of now, and what is still up."""
        if self._runtime is None or self._keeper is not None:
            return
        with self.database.read() as connection:
            left = stays.unended(connection)
        if left or any(pool.up or pool.max_hours is not None for pool in self.config.pools.values()):
            from overnight.app.pools import Keeper

            self._keeper = Keeper(self.database, self._loose_book)
            self._keeper.start()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Work on the project for the length of a `with` block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def run(self, *, until_idle: bool = False) -> None:
        """Work on the project until stopped by Ctrl-C, SIGTERM or `stop` from another thread.

        With `until_idle`, also until no run is ready, being worked on, waiting for an answer, or due later (the next
        try of a run that failed, and a run that was submitted with `due`, however far that is). What is left then
        waits for a task that is not there, or for parents. A second Ctrl-C does not wait for runs any longer.

        Raises:
            ProjectLocked: another process works on the project; the message names it.
        """
        from overnight.app.signals import stopping

        with stopping() as stop:
            self.start()
            try:
                runtime = self._runtime
                if runtime is not None:
                    runtime.watch(stop, until_idle=until_idle)
            finally:
                self.stop_unless(lambda: stop.count > 1)

    @property
    def runtime(self) -> Runtime | None:
        """What works on the project in this process; None while nothing does."""
        return self._runtime

    @property
    def is_worked_on(self) -> bool:
        """True while some process works on the project (on a local database)."""
        return self._runtime is not None or is_held(self.state_dir / "lock")


def _check(config: Config) -> None:
    times.check(config)
    _check_sources(config)
    if config.targets:
        from overnight.reports.targets import check_targets

        check_targets(config.targets)
    if config.loop:
        from overnight.flows.continuous import check as check_loop

        check_loop(config)
    if any(one.rollout for one in config.models.values()):
        from overnight.app.beginning import check

        check(config)


def _check_sources(config: Config) -> None:
    if config.sources:
        # Loaded by projects that have some alone.
        from overnight.data.sources.kinds import check

        for name, source in config.sources.items():
            check(name, source)
