"""A real project that a test works on by hand: no engine thread, a clock that stands still, and crashes on request."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from overnight.app.project import Project
from overnight.app.runtime import Runtime
from overnight.base.points import Hook, Point
from overnight.engine.model import Run, State, Task
from overnight.testing.clock import FakeClock

PATIENCE_S = 30.0


class Crash(BaseException):
    """The process is gone at this instant. Not an Exception, so that nobody handles it."""


class CrashHook:
    """A hook that crashes at the n-th visit of a point, once."""

    def __init__(self) -> None:
        self.visited: list[Point] = []
        self._at: tuple[Point, int] | None = None

    def crash_at(self, point: Point, visit: int = 1) -> None:
        """Crash when the point is visited for the n-th time from now on."""
        self._at = (point, visit)

    def __call__(self, point: Point) -> None:
        """Take note of a visit."""
        self.visited.append(point)
        if self._at is not None and self._at[0] is point:
            self._at = None if self._at[1] == 1 else (point, self._at[1] - 1)
            if self._at is None:
                raise Crash(point)


class Bench:
    """One process of a project, as far as a test is concerned: a `Project`, and a worker that is stepped by hand.

    Tasks run in executor `inline` unless they say otherwise, so a step ends when everything that it started has ended.
    """

    def __init__(
        self, folder: Path, url: str, *, clock: FakeClock | None = None, slots: int = 3, hook: Hook | None = None
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
        return self.runtime.worker.step(wait_s)

    def work(self) -> None:
        """Step until there is nothing to do at this instant."""
        self.runtime.worker.wake()
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError("the worker finds something to do for ever")

    def work_until(self, done: Callable[[], object]) -> None:
        """Step, with work going on in threads or children, until `done` holds."""
        until = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < until, f"not within {PATIENCE_S} s; runs: {self.project.runs(limit=5)}"
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

    def tell(self) -> list[dict[str, Any]]:
        """Return all events so far."""
        return [event for batch in self.project.events(limit=100_000) for event in batch.events]

    @contextlib.contextmanager
    def crashing(self, point: Point, visit: int = 1) -> Iterator[None]:
        """Expect that the block crashes at the point, then start again as a new process with the same tasks."""
        assert isinstance(self.hook, CrashHook)
        self.hook.crash_at(point, visit)
        try:
            yield
        except Crash:
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
        self.project.database.writer._drop_connection()
        self.project.database.doorbell.close()
        self.project.database.engine.dispose()
        self.project = self._open()
        for task in tasks:
            self.project.add_task(task)
