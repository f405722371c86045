"""A worker with everything around it: the lock, recovery, executors, doorbell and threads. Starts and stops as one."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from overnight.app.lock import ProjectLock
from overnight.base.config import Config
from overnight.base.errors import UnknownName, WorkerLost
from overnight.base.ids import WorkerId
from overnight.base.points import Hook, Point
from overnight.base.ports import Executor, RunContext
from overnight.base.refs import ExecutorName, WorkOrder
from overnight.base.settings import environment
from overnight.db.database import Database
from overnight.engine import recovery, scheduler
from overnight.engine.book import Book
from overnight.engine.flow import Flow
from overnight.engine.queue import Capacity
from overnight.engine.recovery import Presence, WorkerRef
from overnight.engine.worker import Looks, Worker
from overnight.executors.command import CommandExecutor
from overnight.executors.inline import InlineExecutor
from overnight.executors.process import ProcessExecutor
from overnight.executors.thread import ThreadExecutor
from overnight.processes.table import started_of
from overnight.processes.tree import end_tree

CLOSE_GRACE_S = 10.0
"""For children to end after the worker has stopped."""


class Runtime:
    """Works on a project from `start` to `stop`. One per project on a local database, any number on PostgreSQL.

    Raises:
        ProjectLocked: another process works on the project.
    """

    def __init__(
        self, config: Config, database: Database, book: Callable[[], Book], state_dir: Path, hook: Hook
    ) -> None:
        self._config = config
        self._database = database
        self._book = book
        self._hook = hook
        self._lock = None if database.dialect.shared else ProjectLock(state_dir / "lock", database.clock)
        self._state_dir = state_dir
        self._executors = self._make_executors(config.engine.max_concurrent)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._end_listening: Callable[[], None] = lambda: None
        self._told_before = database.writer.told
        self.failure: BaseException | None = None
        """What ended the loop against its will."""
        self._host = socket.gethostname()
        self._presence, self._me, self.worker = self._new_worker()

    def _new_worker(self) -> tuple[Presence, WorkerRef, Worker]:
        """Make a worker under a name of its own, which the kernel takes back when this process dies."""
        pid = os.getpid()
        presence = Presence(self._state_dir / "workers" / f"{pid}-{os.urandom(4).hex()}.lock")
        me = WorkerRef(
            worker_id=WorkerId(presence.path.stem),
            host=self._host,
            pid=pid,
            started=started_of(pid) or 0.0,
            lock_path=str(presence.path),
        )
        looks = Looks(
            worker_id=me.worker_id,
            capacity=Capacity(slots=self._config.engine.max_concurrent, cpus=float(os.cpu_count() or 1)),
            project_dir=str(self._config.project_dir),
            logs_dir=str(self._state_dir / "logs" / "runs"),
        )
        worker = Worker(self._database, self._book, self._executors, looks, recover=self.recover, hook=self._hook)
        return presence, me, worker

    def _make_executors(self, slots: int) -> dict[ExecutorName, Executor]:
        clock = self._database.clock
        env = environment()
        main_path = getattr(sys.modules.get("__main__"), "__file__", None)
        return {
            "inline": InlineExecutor(self._resolve, clock),
            "thread": ThreadExecutor(self._resolve, slots, clock),
            "process": ProcessExecutor(env, main_path=main_path, clock=clock),
            "command": CommandExecutor(env, clock=clock),
        }

    def _resolve(self, order: WorkOrder) -> Callable[..., object]:
        """Return the function of an order that runs in this process."""
        task = self._book().get(order.task_id).task
        action = task.action if callable(task.action) else load_function(str(task.action), self._config.project_dir)
        if not task.flow:
            return action
        closing = self.worker.closing.is_set

        def run_flow(ctx: RunContext, **args: object) -> object:
            flow = Flow(
                self._database,
                self._book(),
                order.run_id,
                order.token,
                # A flow that is to be stopped begins no further step; the executor knows the reason.
                closing=lambda: closing() or ctx.cancelled,
                hook=self._hook,
            )
            result = action(flow, **args)
            flow.finish()
            return result

        return run_flow

    def start(self, *, threads: bool = True) -> None:
        """Take over from dead workers, then work, in threads of its own if asked for."""
        database = self._database
        if threads:
            database.writer.start()
        database.writer.do(lambda tx: recovery.register(tx, self._me))
        database.writer.do(lambda tx: scheduler.sync(tx, self._book()))
        self.recover()
        database.writer.told = self._told
        if threads:
            self._end_listening = database.doorbell.listen(self._wake)
            self._thread = threading.Thread(target=self._work, name="overnight-engine", daemon=True)
            self._thread.start()

    def _told(self, events: Sequence[dict[str, object]], news: bool) -> None:
        self._told_before(events, news)
        if news:
            self._wake()

    def _wake(self) -> None:
        self.worker.wake()

    def recover(self) -> int:
        """Take over from workers that are gone and return how many runs went back into the queue."""
        self._hook(Point.RECOVERY_FOUND)
        count = recovery.recover(
            self._database,
            self._book(),
            host=self._host,
            own=self._me.worker_id,
            now_us=self._database.clock.now_us(),
            end_children=end_children,
        )
        self._hook(Point.RECOVERY_REQUEUED)
        return count

    def resync(self) -> None:
        """Take up changed tasks."""
        self._database.writer.do(lambda tx: scheduler.sync(tx, self._book()))
        self.worker.wake()

    def _work(self) -> None:
        try:
            self.worker.run()
            while self.worker.fenced and not self._stopping.is_set():
                self._join_again()
                self.worker.run()
            if self.worker.fenced:
                raise WorkerLost("this worker was silent for too long and others have taken its runs; start it again")
        except BaseException as error:  # noqa: BLE001  # told to whoever waits for the worker
            self.failure = error
            self.worker.closing.set()

    def _join_again(self) -> None:
        """Go on under a new name: this process was silent for so long that others took its runs."""
        self._presence.release()
        self._presence, self._me, self.worker = self._new_worker()
        self._database.writer.do(lambda tx: recovery.register(tx, self._me))

    @property
    def ended(self) -> bool:
        """True once the loop has ended, as it was asked to or not."""
        return self._thread is not None and not self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the loop to end; return whether it has.

        Raises whatever ended it against its will.
        """
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
        if self.failure is not None:
            raise self.failure
        return True

    def stop(self, grace_s: float) -> None:
        """Take nothing new, wait for what runs up to `grace_s`, put the rest back into the queue, end all children."""
        self._stopping.set()
        self.worker.closing.set()
        self.worker.wake()
        try:
            if not self.join(grace_s):
                self.worker.give_back()
                self.worker.wake()
                self.join(2 * CLOSE_GRACE_S)
        finally:
            self._close()

    def _close(self) -> None:
        self._end_listening()
        self._database.writer.told = self._told_before
        for executor in self._executors.values():
            executor.close(CLOSE_GRACE_S)
        worker_id = self._me.worker_id
        self._database.writer.do(lambda tx: recovery.take_over(tx, self._book(), worker_id))
        self._presence.release()
        if self._lock is not None:
            self._lock.release()


def end_children(children: Sequence[recovery.Child]) -> None:
    """End the processes that a dead worker left behind, and everything below them."""
    for pid, started in children:
        end_tree(pid, started, grace_s=0.0)


def load_function(target: str, project_dir: Path) -> Callable[..., object]:
    """Return the function that "module:function" names, with the project's folder first among the places to look.

    Raises:
        UnknownName: there is no such module or function.
    """
    from importlib import import_module

    module_name, _, name = target.partition(":")
    import_from(project_dir)
    try:
        found = getattr(import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        found = None
    if not callable(found):
        raise UnknownName(f"action: there is no function {target!r} (looked in {project_dir} too)")
    return found  # type: ignore[no-any-return]  # a callable of the project's own


def import_from(folder: Path) -> None:
    """Look for modules in this folder first, as Python does in the folder of a script."""
    path = str(folder)
    if path not in sys.path:
        sys.path.insert(0, path)
