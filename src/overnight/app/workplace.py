"""A project without its fleet: its tasks, its runs, its records and the durable state; see `app.project`."""

import contextlib
import getpass
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from overnight.app import schema
from overnight.app.lock import is_held
from overnight.app.runtime import Runtime, check_threaded
from overnight.app.tasks import configuration_of, configured_tasks, load_setting, spelled_out, without_parents
from overnight.app.waits import Waits
from overnight.base.backoff import Backoff
from overnight.base.clock import Clock, SystemClock
from overnight.base.config import Config
from overnight.base.errors import InvalidTransition, RunFailed, UnknownName, UserMistake
from overnight.base.files import replace_file
from overnight.base.ids import RunId
from overnight.base.points import Hook, no_hook
from overnight.base.settings import FILE, environment, find_project, load_config
from overnight.data.sources.kinds import check as check_source
from overnight.db import stream
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import approvals, moves, store
from overnight.engine.book import Book
from overnight.engine.forks import check_fork, fork
from overnight.engine.model import Priority, Question, Run, State, Task
from overnight.engine.submit import Request, args_text, due_instant, submit
from overnight.executors.parcels import Parcels
from overnight.flows.nightly.night import Nightly

if TYPE_CHECKING:
    from overnight.data.harvest import Harvest, Harvester, Told

STATE_FOLDER = ".overnight"


class Workplace:
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
        self.database = Database(config.database_url, self.clock, self.state_dir, hook=hook)
        self._hook = hook
        self._tasks: dict[str, Task] = {}
        self._book: Book | None = None
        self._adding = threading.Lock()
        self._runtime: Runtime | None = None
        self._waits = Waits(self.clock)
        self.parcels = Parcels()
        self._end_listening: Callable[[], None] | None = None
        self._listening = threading.Lock()
        self.database.writer.told = lambda events, news: self._waits.tell(events)
        self.blobs = Blobs(str(self.state_dir / "blobs"))
        try:
            for name, source in config.sources.items():
                check_source(name, source)
            self.nightly = Nightly(
                config=config,
                database=self.database,
                blobs=self.blobs,
                harvest=self.harvest,
                load=lambda key, spec: load_setting(key, spec, self.folder),
                environment=environment,
                state_dir=self.state_dir,
                instances=frozenset(instances),
            )
            schema.prepare(self.database)
            for task in configured_tasks(self.nightly):
                self.add_task(task)
        except BaseException:
            self.database.close()
            raise

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
        task = spelled_out(task, self.nightly)
        Book([without_parents(task)], self._retry())
        with self._adding:
            tasks = {**self._tasks, task.task_id: task}
            book = None
            if self._runtime is not None:
                book = self._checked(tasks)
            self._tasks, self._book = tasks, book
        if self._runtime is not None:
            self._runtime.resync()
        return task

    def _checked(self, tasks: Mapping[str, Task]) -> Book:
        """Return the book of tasks that may be worked on in threads."""
        book = Book(tasks.values(), self._retry())
        check_threaded(book, shared=self.database.dialect.shared)
        return book

    @property
    def book(self) -> Book:
        """All tasks, checked together.

        Raises:
            InvalidTask: `after` names a task that does not exist, or goes round in a circle.
        """
        if self._book is None:
            self._book = Book(self._tasks.values(), self._retry())
        return self._book

    def _retry(self) -> Backoff:
        retry = self.config.engine.retry
        return Backoff(base_s=retry.base_s, factor=retry.factor, cap_s=retry.cap_s, jitter=retry.jitter)

    # Runs.

    def submit(
        self,
        task_id: str,
        args: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        priority: Priority | str | None = None,
        due: Any = None,  # Any: a datetime, checked below
        with_dependants: bool = False,
    ) -> RunId:
        """Ask for a run and return its id once the wish is on disk.

        Two submits with one `key` give one run. `due` (an aware datetime) is the earliest start.

        Raises:
            UnknownName: there is no such task.
            UserMistake: the arguments are no mapping, or the priority, due time or key cannot be used.
            NotJson: the arguments are not JSON.
            DatabaseBusy, DatabaseBroken, CommitInDoubt: nothing was acknowledged; with a `key` it is safe to ask again.
        """
        request = self._request(task_id, args, key=key, priority=priority, due=due, with_dependants=with_dependants)
        writer = self.database.writer
        return writer.wait(writer.join(_submit_all, request))

    def _request(
        self,
        task_id: str,
        args: Mapping[str, Any] | None,
        *,
        key: str | None,
        priority: Priority | str | None,
        due: Any,  # Any: a datetime, checked here
        with_dependants: bool,
    ) -> Request:
        entry = self.book.get(task_id)
        if priority is not None and priority not in tuple(Priority):
            raise UserMistake(f"priority: {priority!r} is not one of {', '.join(Priority)}")
        return Request(
            task_id=task_id,
            priority=entry.task.priority if priority is None else Priority(priority),
            args=args_text(task_id, args),
            key=key,
            due_us=due_instant(due),
            own_cycle=with_dependants,
        )

    def get(self, run_id: int) -> Run:
        """Return the run as it is on disk.

        Raises:
            UnknownName: there is no such run.
        """
        with self.database.read() as connection:
            run = store.get(connection, run_id)
        if run is None:
            raise UnknownName(f"there is no run {run_id}; `overnight runs list` shows the newest")
        return run

    def runs(self, *, limit: int = 20, task_id: str | None = None, state: State | str | None = None) -> list[Run]:
        """Return the newest runs, newest first."""
        with self.database.read() as connection:
            return store.newest(connection, limit=limit, task_id=task_id, state=state)

    def wait(self, run_id: int, timeout_s: float | None = None) -> Run:
        """Wait until the run has ended, or the time is over, and return it as it is then.

        Raises whatever has ended the work in this process against its will, if the run has not ended before.
        """
        self._listen()
        before = self._runtime

        def look() -> list[Run]:
            run = self.get(run_id)
            runtime = self._runtime or before
            if not run.state.final and runtime is not None and runtime.failure is not None:
                raise runtime.failure
            return [run]

        return self._waits.wait([run_id], look, timeout_s)[0]

    @property
    def failure(self) -> BaseException | None:
        """What has ended the work in this process against its will; `stop` raises it too."""
        return None if self._runtime is None else self._runtime.failure

    def result(self, run_id: int, timeout_s: float | None = None) -> Any:  # Any: whatever JSON the run returned
        """Wait for the run and return what its function returned.

        Raises:
            RunFailed: it ended FAILED or CANCELLED, or has not ended in time.
        """
        run = self.wait(run_id, timeout_s)
        if run.state is not State.COMPLETED:
            reason = run.error.message if run.error is not None else "it has not ended yet"
            raise RunFailed(f"run {run_id} of task {run.task_id!r} is {run.state}: {reason}")
        return None if run.result is None else json.loads(run.result)

    def _listen(self) -> None:
        """Hear the worker of another process."""
        with self._listening:
            if self._end_listening is None and self._runtime is None:
                self._end_listening = self.database.doorbell.listen(self._waits.wake_all)

    def _end_to_listen(self) -> None:
        with self._listening:
            end, self._end_listening = self._end_listening, None
        if end is not None:
            end()

    def cancel(self, run_id: int) -> Run:
        """End a run, in whatever state it is, and return it as it is now.

        Raises:
            UnknownName: there is no such run.
            InvalidTransition: it has ended already.
        """

        # Also while `after` of some task is wrong.
        book = self._book or Book(self._tasks.values(), self._retry(), whole=False)

        def change(tx: Tx) -> None:
            tx.news = True
            moves.cancel(tx, book, run_id)

        self.database.writer.do(change)
        return self.get(run_id)

    def fork(self, run_id: int, step: int = 0) -> RunId:
        """Start a new run of an ended one, which takes the recorded steps before the ordinal `step` as done.

        Raises:
            UnknownName: there is no such run, or its task is gone.
            InvalidTransition: it has not ended yet.
            UserMistake: it has recorded fewer steps.
        """
        source = self.get(run_id)
        self.book.get(source.task_id)
        check_fork(self.database, source, step)
        return self.database.writer.do(lambda tx: fork(tx, source, step))

    def questions(self) -> list[Question]:
        """Return what flows have asked and nobody has answered yet."""
        with self.database.read() as connection:
            return approvals.open_questions(connection)

    def answer(self, question_id: int, choice: str, *, by: str | None = None) -> None:
        """Answer a flow's question.

        Raises:
            UnknownName, InvalidTransition, UserMistake: no such question, answered already, not one of the choices.
        """
        name = by or getpass.getuser()

        def change(tx: Tx) -> None:
            tx.news = True
            approvals.answer(tx, self.book, question_id, choice, name)

        self.database.writer.do(change)

    def events(self, after: int = 0, limit: int = 1000) -> list[stream.Batch]:
        """Return what happened behind the cursor `after`, oldest first; go on after the last batch's cursor."""
        with self.database.read() as connection:
            return list(stream.read(connection, self.database.dialect, after, limit))

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

    def stop(self, grace_s: float | None = None) -> None:
        """Stop working: start nothing new, let what runs end in the grace time, put the rest back into the queue.

        Raises whatever ended the work against its will.

        Raises:
            OvernightError: functions in threads did not return; the project stays locked until this process ends.
            DatabaseBusy: the database cannot be reached; whoever works next puts the runs back into the queue.
        """
        self._stop(self.config.engine.grace_s if grace_s is None else grace_s, lambda: False)

    def _stop(self, grace_s: float, hurry: Callable[[], bool]) -> None:
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            runtime.stop(grace_s, hurry)

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
                self._stop(self.config.engine.grace_s, lambda: stop.count > 1)

    @property
    def is_worked_on(self) -> bool:
        """True while some process works on the project (on a local database)."""
        return self._runtime is not None or is_held(self.state_dir / "lock")


def _submit_all(tx: Tx, requests: Sequence[Request]) -> list[RunId]:
    tx.news = True
    return submit(tx, requests)
