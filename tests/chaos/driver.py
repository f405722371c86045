"""The processes of the SIGKILL tests: workers, which the test kills, and a client, which outlives them all.

A worker stops at the point that it is told, says so and stands still. The client submits and waits through a project
object of its own, and writes down what it was told, forced to disk.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import chaos_tasks

from overnight.app.project import Project
from overnight.base.points import Point, no_hook
from overnight.engine.model import State, Task
from overnight.testing.chaos import append_line, both

TOLD, CLAIMS = "told.txt", "claims.txt"
PATIENCE_S = 90


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the project is, and what marks the processes that its workers start."""

    folder: Path
    database: str
    mark: dict[str, str]

    def enter(self):
        """Leave the process that this one was forked from: another session, environment and output."""
        os.setsid()
        os.environ.update(self.mark)
        output = os.open(self.folder / "output.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output, stream.fileno())
        os.close(output)

    def opened(self, hook=no_hook):
        overrides = {"engine.database": self.database, "engine.max_concurrent": 4}
        project = Project.create(self.folder, overrides=overrides, hook=hook)
        free = {"max_concurrent": None, "max_retries": 0}
        project.add_task(Task(task_id="flow", action=chaos_tasks.three_steps, **free))
        project.add_task(Task(task_id="work", action=chaos_tasks.work, **free))
        project.add_task(Task(task_id="small", action=chaos_tasks.small, executor="thread", **free))
        return project


class StopAt:
    """A hook that tells of the n-th visit of a point and never returns from it: somebody else kills this process."""

    def __init__(self, point: Point, visit: int, reached: Connection):
        self._point = point
        self._left = visit
        self._reached = reached

    def __call__(self, point):
        if point is self._point:
            self._left -= 1
            if self._left == 0:
                self._reached.send(point)
                threading.Event().wait()


def work(place: Place, stop: tuple[Point, int, Connection] | None):
    place.enter()

    def tell(point):
        if point is Point.ENGINE_CLAIMED:
            append_line(place.folder / CLAIMS, repr(time.monotonic()))

    with place.opened(both(tell, StopAt(*stop) if stop else no_hook)) as project:
        project.run(until_idle=True)


def ask(place: Place, crowd: int, enough: Event):
    """Ask for flows one after another until it is enough, with a crowd of threads that ask for small runs beside."""
    place.enter()
    with place.opened() as project:
        client = Client(project, place.folder)
        # While a run is due later, no worker thinks that all work is done.
        later = client.submit("small", {}, due=datetime.now(UTC) + timedelta(hours=1))
        threads = [threading.Thread(target=client.small_runs, args=(name, enough)) for name in range(crowd)]
        for thread in threads:
            thread.start()
        client.flows(enough)
        for thread in threads:
            thread.join()
        project.cancel(later)
        client.note("cancelled", later, "small")


class Client:
    def __init__(self, project: Project, folder: Path):
        self._project = project
        self._folder = folder

    def note(self, *words):
        append_line(self._folder / TOLD, " ".join(map(str, words)))

    def submit(self, task_id, args, **options):
        run_id = self._project.submit(task_id, {"folder": str(self._folder), **args}, **options)
        self.note("submitted", run_id, task_id)
        return run_id

    def wait(self, run_id):
        run = self._project.wait(run_id, PATIENCE_S)
        assert run.state is State.COMPLETED, run
        self.note("completed", run_id, run.finished_us)

    def flows(self, enough):
        number = 0
        while number == 0 or not enough.is_set():
            key = f"flow-{os.getpid()} {number}"
            run_id = self.submit("flow", {}, key=key)
            self.wait(run_id)
            assert self.submit("flow", {}, key=key) == run_id
            number += 1

    def small_runs(self, name, enough):
        number = 0
        while not enough.is_set():
            self.wait(self.submit("small", {"line": f"small-{os.getpid()}-{name} {number}"}))
            number += 1
