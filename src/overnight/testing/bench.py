"""A real project that a test works on by hand: no engine thread, a clock that stands still, and crashes on request."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from overnight.app.project import Project
from overnight.app.runtime import Runtime
from overnight.app.schema import METADATA
from overnight.base.clock import SystemClock
from overnight.base.points import Point
from overnight.engine.model import Run, State, Task
from overnight.testing.clock import FakeClock

PATIENCE_S = 30.0


class Crash(BaseException):
    """The process is gone at this instant. Not an Exception, so that nobody handles it."""


class CrashHook:
    """A hook that crashes at the n-th visit of a point, once."""

    def __init__(self) -> None:
        self.visited: list[Point] = []
        self.at: dict[Point, Callable[[], object]] = {}
        """What else to do at the next visit of a point: how a test puts something between two effects."""
        self._crash: tuple[Point, int] | None = None
        self._dead = False

    def crash_at(self, point: Point, visit: int = 1) -> None:
        """Crash when the point is visited for the n-th time from now on."""
        self._crash, self._dead = (point, visit), False

    def revive(self) -> None:
        """Belong to a new process."""
        self._crash, self._dead = None, False

    def __call__(self, point: Point) -> None:
        """Take note of a visit; after a crash every point crashes, as an executor may take the first for a failure."""
        self.visited.append(point)
        action = self.at.pop(point, None)
        if action is not None:
            action()
        if self._crash is not None and self._crash[0] is point:
            self._crash = (point, self._crash[1] - 1)
            self._dead = self._crash[1] == 0
        if self._dead:
            raise Crash(point)


class Bench:
    """One process of a project, as far as a test is concerned: a `Project`, and a worker that is stepped by hand.

    Tasks run in executor `inline` unless they say otherwise, so a step ends when everything that it started has ended.
    """

    def __init__(
        self, folder: Path, url: str, *, clock: FakeClock | None = None, slots: int = 3, hook: CrashHook | None = None
    ) -> None:
        self.folder = folder
        self.url = url
        self.clock = clock or FakeClock()
        self.slots = slots
        self.hook = hook or CrashHook()
        self.calls: list[Any] = []
        self.project = self._open()
        self._runtime: Runtime | None = None

    def _open(self) -> Project:
        options = {"engine.database": self.url, "engine.max_concurrent": self.slots}
        return Project.create(self.folder, overrides=options, clock=self.clock, hook=self.hook)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop working and close the project."""
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            runtime.stop(0.0)
        self.project.close()

    def add(self, task_id: str, action: Any = None, **values: Any) -> Task:
        """Add a task; without an action it notes its id in `calls`."""

        def noting() -> None:
            self.calls.append(task_id)

        if "executor" not in values:
            values["executor"] = "inline"
        return self.project.add_task(Task(task_id=task_id, action=action or noting, **values))

    def note(self, name: str) -> None:
        """Note the name in `calls`: an action for tasks."""
        self.calls.append(name)

    @property
    def runtime(self) -> Runtime:
        """The worker, started at its first use, when the tasks are known."""
        if self._runtime is None:
            project = self.project
            self._runtime = Runtime(
                project.config, project.database, lambda: project.book, project.state_dir, self.hook
            )
            self._runtime.start(threads=False)
        return self._runtime

    def step(self, wait_s: float = 0.0) -> bool:
        """Let the worker look once."""
        turned = self.runtime.worker.step(wait_s)
        writer = self.project.database.writer
        if writer.waiting:
            writer.do(lambda tx: None)
        return turned

    def work(self) -> None:
        """Step until there is nothing to do at this instant."""
        self.runtime.worker.wake()
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError("the worker finds something to do for ever")

    def work_until(self, done: Callable[[], object]) -> None:
        """Step, with work going on in threads or children, until `done` holds."""
        until = SystemClock().monotonic() + PATIENCE_S
        while not done():
            assert SystemClock().monotonic() < until, f"not within {PATIENCE_S} s; runs: {self.project.runs(limit=5)}"
            self.step(0.02)

    def after(self, seconds: float) -> None:
        """Let time pass, then work."""
        self.clock.advance(seconds)
        self.work()

    def state(self, run_id: int) -> State:
        """Return where the run stands."""
        return self.get(run_id).state

    def get(self, run_id: int) -> Run:
        """Return the run as it is on disk."""
        return self.project.get(run_id)

    def result(self, run_id: int) -> Any:
        """Return what the run's function has returned; RunFailed if it did not, or has not ended."""
        return self.project.result(run_id, timeout_s=0)

    def tell(self) -> list[dict[str, Any]]:
        """Return all events so far."""
        return [event for batch in self.project.events(limit=100_000) for event in batch.events]

    @contextlib.contextmanager
    def crashing(self, point: Point, visit: int = 1) -> Iterator[None]:
        """Expect that the block crashes at the point, then start again as a new process with the same tasks."""
        self.hook.crash_at(point, visit)
        try:
            yield
        except Crash:
            self.hook.revive()
            self.crash()
        else:
            raise AssertionError(f"nothing came by {point} {visit} times")

    def crash(self) -> None:
        """Throw away everything that is only in memory, as SIGKILL does, and open the project anew."""
        tasks = list(self.project._tasks.values())
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            # What the kernel does for a dead process: its locks are free, its connections are closed.
            os.close(runtime._presence._handle)
            if runtime._lock is not None:
                runtime._lock.release()
        self.project._end_to_listen()
        self.project.database.writer.drop_connection()
        self.project.database.doorbell.close()
        self.project.database.engine.dispose()
        self.project = self._open()
        for task in tasks:
            self.project.add_task(task)


def empty(url: str) -> None:
    """Delete all rows of a project's database on PostgreSQL, so that the next test need not make a new one."""
    engine = sa.create_engine(url)
    names = [table.name for metadata in METADATA for table in metadata.tables.values()]
    with engine.begin() as connection:
        if sa.inspect(connection).has_table(names[0]):
            connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
    engine.dispose()
