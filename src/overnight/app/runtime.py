"""A worker with everything around it: the lock, recovery, executors, doorbell and threads. Starts and stops as one."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from overnight.app.lock import ProjectLock
from overnight.app.memory import negotiator_of
from overnight.app.signals import Stop
from overnight.base.config import Config
from overnight.base.errors import InvalidTask, OvernightError, UnknownName, WorkerLost
from overnight.base.ids import RunId, Token, WorkerId
from overnight.base.points import Hook, Point
from overnight.base.ports import Channel, Executor, RunContext, StopReason
from overnight.base.refs import ExecutorName, Outcome, WorkOrder
from overnight.base.settings import environment
from overnight.db.database import Database
from overnight.engine import recovery, scheduler
from overnight.engine.book import Book
from overnight.engine.flow import Flow
from overnight.engine.idle import can_move
from overnight.engine.neighbours import Neighbours
from overnight.engine.queue import Capacity
from overnight.engine.recovery import Presence, WorkerRef
from overnight.engine.worker import Looks, Worker
from overnight.executors.calling import misfit
from overnight.executors.command import CommandExecutor
from overnight.executors.inline import InlineExecutor
from overnight.executors.parcels import Parcels
from overnight.executors.process import ProcessExecutor
from overnight.executors.thread import ThreadExecutor
from overnight.processes.table import started_of
from overnight.processes.tree import end_tree

CLOSE_GRACE_S = 10.0
"""For children to end after the worker has stopped."""
_LOOK_EVERY_S = 0.1
"""How long a caller who is in a hurry all of a sudden waits for what runs."""
_LOOK_ALIVE_S = 0.5
_LOOK_SOON_S = 0.05
"""Between two looks at whether the worker still works, and at whether it has ended its last run."""


def _at_once() -> bool:
    return True


class Runtime:
    """Works on a project from `start` to `stop`. One per project on a local database, any number on PostgreSQL.

    Raises:
        ProjectLocked: another process works on the project.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        book: Callable[[], Book],
        state_dir: Path,
        hook: Hook,
        *,
        failed: Callable[[], None] = lambda: None,
        parcels: Parcels | None = None,
    ) -> None:
        """`failed` is called in the loop's thread when that has ended against its will; `parcels` go to children."""
        self._config = config
        self._database = database
        self._book = book
        self._hook = hook
        self._failed = failed
        self._parcels = parcels or Parcels()
        self._state_dir = state_dir
        self._locks = state_dir / "workers"
        self._working_here: set[tuple[RunId, Token]] = set()
        self._executors = self._make_executors(config.engine.max_concurrent)
        self._stopping = threading.Event()
        self._exchange = threading.Lock()
        """Held while one worker takes the place of another: a stop reaches the one that goes on."""
        self._thread: threading.Thread | None = None
        self._end_listening: Callable[[], None] = lambda: None
        self._told_before = database.writer.told
        self.failure: BaseException | None = None
        """What ended the loop against its will."""
        self._host = recovery.this_host()
        self.negotiator = negotiator_of(
            config,
            database.clock,
            granted=self._wake,
            stop_run=self._stop_run,
        )
        self._lock = None if database.dialect.shared else ProjectLock(state_dir / "lock", database.clock)
        try:
            self._presence, self._me, self.worker = self._new_worker()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _new_worker(self) -> tuple[Presence, WorkerRef, Worker]:
        """Make a worker under a name of its own, which the kernel takes back when this process dies."""
        pid = os.getpid()
        worker_id = WorkerId(f"{pid}-{os.urandom(4).hex()}")
        presence = Presence(recovery.lock_of(self._locks, worker_id))
        me = WorkerRef(
            worker_id=worker_id,
            host=self._host,
            pid=pid,
            started=started_of(pid) or 0.0,
            lock_path=str(presence.path),
        )
        looks = Looks(
            worker_id=me.worker_id,
            capacity=Capacity(
                slots=self._config.engine.max_concurrent,
                cpus=float(os.cpu_count() or 1),
                memory_gb=self.negotiator.room_gb,
            ),
            project_dir=str(self._config.project_dir),
            logs_dir=str(self._state_dir / "logs" / "runs"),
            timezone=self._config.project.timezone,
        )
        self._neighbours = Neighbours(presence.path)
        worker = Worker(
            self._database,
            self._book,
            self._executors,
            looks,
            recover=self.recover,
            neighbour_gone=self._neighbours.anyone_gone,
            admission=self.negotiator,
            hook=self._hook,
        )
        return presence, me, worker

    def _make_executors(self, slots: int) -> dict[ExecutorName, Executor]:
        clock = self._database.clock
        env = environment()
        main_path = getattr(sys.modules.get("__main__"), "__file__", None)
        return {
            "inline": _Here(InlineExecutor(self._resolve, clock), self._working_here),
            "thread": _Here(ThreadExecutor(self._resolve, slots, clock), self._working_here),
            "process": ProcessExecutor(env, main_path=main_path, clock=clock, parcels=self._parcels),
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
            try:
                result = action(flow, **args)
            except TypeError as error:
                raise misfit(order, action, error) or error from None
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
            self.negotiator.start_for_services()
            self._end_listening = database.doorbell.listen(self._wake)
            self._thread = threading.Thread(target=self._work, name="overnight-engine", daemon=True)
            self._thread.start()

    def _told(self, events: Sequence[dict[str, object]], news: bool) -> None:
        self._told_before(events, news)
        if news:
            self._wake()

    def _wake(self) -> None:
        self.worker.wake()

    def _stop_run(self, run_id: int, why: str) -> None:
        # Of now: another worker may have taken the place of the first one.
        self.worker.stop_run(run_id, why)

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
            locks=None if self._database.dialect.shared else self._locks,
            lives=self._neighbours.lives,
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
            self._failed()

    def _join_again(self) -> None:
        """Go on under a new name: this process was silent for so long that others took its runs."""
        presence, me, worker = self._new_worker()
        try:
            self._database.writer.do(lambda tx: recovery.register(tx, me))
        except BaseException:
            presence.release()
            raise
        with self._exchange:
            self._presence.release()
            self._presence, self._me, self.worker = presence, me, worker
            if self._stopping.is_set():
                worker.closing.set()

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

    def watch(self, stop: Stop, *, until_idle: bool) -> None:
        """Return when somebody asks for a stop, the loop has ended or, `until_idle`, nothing is left to do."""
        look_s = _LOOK_SOON_S
        while not stop.wait(look_s) and not self.ended:
            # While something is worked on, nothing in the database has to be asked.
            busy = not self.worker.idle
            if until_idle and not busy and not can_move(self._database, self._book()):
                return
            look_s = _LOOK_SOON_S if until_idle and busy else _LOOK_ALIVE_S

    def stop(self, grace_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Take nothing new, wait for what runs up to `grace_s`, put the rest back into the queue, end all children.

        `hurry` is asked several times a second; the grace time is over as soon as it says so, and services that sleep
        stay asleep.

        Raises:
            OvernightError: functions in threads of this process did not return and nobody can end them; the project
                stays locked until this process ends, so that no run works twice at the same time.
            DatabaseBusy: the database cannot be reached; the next worker puts the runs back into the queue.
        """
        with self._exchange:
            self._stopping.set()
            self.worker.closing.set()
        self.worker.wake()
        try:
            if not self._join_unless(hurry, grace_s):
                self.worker.give_back()
                self.worker.wake()
                self.join(2 * CLOSE_GRACE_S)
        except KeyboardInterrupt:
            hurry = _at_once
            raise
        finally:
            self._close(hurry)

    def _join_unless(self, hurry: Callable[[], bool], timeout_s: float) -> bool:
        left_s = timeout_s
        while not self.join(max(0.0, min(left_s, _LOOK_EVERY_S))):
            left_s -= _LOOK_EVERY_S
            if left_s <= 0 or hurry():
                return False
        return True

    def _close(self, hurry: Callable[[], bool]) -> None:
        try:
            # The last comes first, and each gets its turn even where another one fails.
            with contextlib.ExitStack() as ends:
                # When no child has memory any more.
                ends.callback(self.negotiator.stop, hurry)
                for executor in self._executors.values():
                    ends.callback(executor.close, CLOSE_GRACE_S)
                ends.callback(self._be_told_nothing)
            if self._working_here:
                runs = ", ".join(str(run_id) for run_id, _ in sorted(self._working_here))
                raise OvernightError(
                    f"the functions of runs {runs} go on in threads, which cannot be ended; "
                    f"nobody else can work on the project until this process ({self._me.pid}) ends"
                )
            worker_id = self._me.worker_id
            self._database.writer.do(lambda tx: recovery.take_over(tx, self._book(), worker_id))
        finally:
            if not self._working_here:
                self._let_go()

    def abandon(self) -> None:
        """Give up after a start that failed: nothing is being worked on yet."""
        self._be_told_nothing()
        self.negotiator.stop(_at_once)
        self._let_go()

    def _be_told_nothing(self) -> None:
        self._database.writer.told = self._told_before
        self._end_listening()

    def _let_go(self) -> None:
        """Let others take over what is left, and work on the project."""
        try:
            self._presence.release()
        finally:
            if self._lock is not None:
                self._lock.release()


class _Here:
    """An executor of this process, with a record of what its functions have not come back from."""

    def __init__(self, executor: Executor, working: set[tuple[RunId, Token]]) -> None:
        self._executor = executor
        self._working = working

    def start(self, order: WorkOrder, channel: Channel) -> None:
        """Begin the attempt."""
        self._working.add((order.run_id, order.token))
        self._executor.start(order, _Back(channel, self._working))

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        """Ask the attempt to end."""
        self._executor.stop(order, reason, grace_s)

    def pids(self, order: WorkOrder) -> list[int]:
        """Return the attempt's processes."""
        return self._executor.pids(order)

    def close(self, grace_s: float) -> None:
        """Ask all attempts to end."""
        self._executor.close(grace_s)


class _Back:
    """The channel of such an executor."""

    def __init__(self, channel: Channel, working: set[tuple[RunId, Token]]) -> None:
        self._channel = channel
        self._working = working
        self.child_started = channel.child_started
        self.progress = channel.progress
        self.heartbeat = channel.heartbeat

    def done(self, order: WorkOrder, outcome: Outcome) -> None:
        """Report how the attempt ended."""
        self._working.discard((order.run_id, order.token))
        self._channel.done(order, outcome)


def check_threaded(book: Book, *, shared: bool) -> None:
    """Check that the tasks may run where the worker has a thread of its own.

    Raises:
        InvalidTask: with several workers, a run in the worker's own thread keeps it from extending its lease.
    """
    for entry in book:
        if shared and entry.executor == "inline":
            raise InvalidTask(
                f"task {entry.task.task_id!r}: executor: 'inline' would keep this worker from telling others that it "
                "lives; on PostgreSQL use 'thread'"
            )


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
