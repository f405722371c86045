"""What the executors that run attempts in child processes have in common.

One starter thread spawns children and waits until they are recorded; one supervisor thread does everything else: it
reads what children print and say, measures their memory, and ends them.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from overnight.base.clock import Clock, SystemClock
from overnight.base.errors import InvalidTask, PermanentError
from overnight.base.ids import RunId, Token
from overnight.base.ports import Channel, StopReason
from overnight.base.refs import ErrorRef, Outcome, Usage, WorkOrder
from overnight.executors.calling import failed
from overnight.executors.supervisor import Supervisor
from overnight.processes import table, tree
from overnight.processes.capture import LineTap, RunLog
from overnight.processes.memory import TreeMemory
from overnight.processes.spawn import Child
from overnight.resources.probes.gpu import GpuProbe

GB = 1e9
_SAMPLE_S = 0.2
_SAMPLE_GPUS_S = 1.0
_STUCK_S = 3.0
_PIECE = 65_536
_DRAIN_PIECES = 64
_TAIL = 2_000

Key = tuple[RunId, Token]


@dataclass(kw_only=True, eq=False)
class Attempt:
    """One order on its way through a child. Belongs to the supervisor's thread once it has a child."""

    order: WorkOrder
    channel: Channel
    log: RunLog
    child: Child | None = None
    tap: LineTap | None = None
    tapped: int | None = None
    streams: list[int] = field(default_factory=list)
    tail: bytes = b""
    reason: StopReason | None = None
    memory: TreeMemory
    peak_bytes: int = 0
    outcome: Outcome | None = None
    finished: bool = False

    @property
    def key(self) -> Key:
        """What tells this attempt from all others."""
        return self.order.run_id, self.order.token


class ChildExecutor(ABC):
    """The common part of `process` and `command`; implements base/ports.Executor.

    Subclasses say how a child is started (`_open`), asked to stop (`_ask_to_stop`), what a child that is gone means
    (`_conclude`), and what to end beside the attempts (`_close_rest`).
    """

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self._name = name
        self._clock = clock or SystemClock()
        self._attempts: dict[Key, Attempt] = {}
        self._children: set[Child] = set()
        self._starts: SimpleQueue[Attempt | None] = SimpleQueue()
        # One lock for the state of all attempts; never held while a channel is called.
        self._lock = threading.RLock()
        self._empty = threading.Condition(self._lock)
        self._closed = False
        self._sampling = False
        self._gpus = GpuProbe()
        self._gpus_due_s = 0.0
        self._starter: threading.Thread | None = None
        self._supervisor: Supervisor | None = None

    def start(self, order: WorkOrder, channel: Channel) -> None:
        """Begin the attempt."""
        attempt = Attempt(order=order, channel=channel, log=RunLog(order.log_path), memory=TreeMemory(self._clock))
        with self._lock:
            outcome = Outcome(kind="cancelled") if self._closed else self._try_to_begin(attempt)
        if outcome is not None:
            self._drain(attempt)
            self._finish(attempt, outcome)

    def _try_to_begin(self, attempt: Attempt) -> Outcome | None:
        """Begin the attempt; where the machine has no thread or descriptor left, return how it has ended."""
        self._attempts[attempt.key] = attempt
        try:
            self._begin(attempt)
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt failed with it
            return failed(error)
        return None

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        """Ask the attempt to end; it and all that it started are killed after `grace_s`. The first reason stands."""
        with self._lock:
            attempt = self._attempts.get((order.run_id, order.token))
            if attempt is None:
                return
            attempt.reason = attempt.reason or reason
            if attempt.child is not None:
                self._loop().soon(lambda: self._stop(attempt, grace_s))

    def pids(self, order: WorkOrder) -> list[int]:
        """Return the attempt's processes now; none before its child works and after its end."""
        with self._lock:
            attempt = self._attempts.get((order.run_id, order.token))
            child = None if attempt is None else attempt.child
        return [] if child is None else table.pids_below(child.pid)

    def close(self, grace_s: float) -> None:
        """Stop all attempts and return when no child is left. Not to be called from a channel."""
        with self._lock:
            self._closed = True
            orders = [attempt.order for attempt in self._attempts.values()]
        for order in orders:
            self.stop(order, "cancelled", grace_s)
        with self._lock:
            # Every child has a keeper that kills it in time, and a stuck keeper is killed by `_kill_if_stuck`.
            self._empty.wait_for(lambda: not self._attempts)
            self._close_rest()
            self._empty.wait_for(lambda: not self._children)
            starter, self._starter = self._starter, None
            supervisor, self._supervisor = self._supervisor, None
        if starter is not None:
            self._starts.put(None)
            starter.join()
        if supervisor is not None:
            supervisor.close()
        self._gpus.close()

    @abstractmethod
    def _open(self, attempt: Attempt) -> Child:
        """Spawn the attempt's child and fill in its streams; the child must not work yet. Raises what it must."""

    @abstractmethod
    def _opened(self, attempt: Attempt, child: Child) -> None:
        """Let the recorded child work."""

    @abstractmethod
    def _ask_to_stop(self, attempt: Attempt, child: Child, grace_s: float) -> None:
        """Ask the child to end within the grace time; see to it that it is killed then."""

    @abstractmethod
    def _conclude(self, attempt: Attempt, child: Child) -> Outcome:
        """Return how the attempt of a child that is gone has ended."""

    def _close_rest(self) -> None:  # noqa: B027 - only children that are kept need it
        """End children that work on nothing."""

    def _forget(self, child: Child) -> None:  # noqa: B027 - only children that are kept need it
        """Let go of what belongs to a child that is gone; called under the lock."""

    def _begin(self, attempt: Attempt) -> None:
        """Start the attempt in a new child; called under the lock. What raises has begun nothing."""
        self._loop()
        if self._starter is None:
            starter = threading.Thread(target=self._start_children, name=f"overnight-{self._name}-starter")
            starter.start()
            self._starter = starter
        self._starts.put(attempt)

    def _loop(self) -> Supervisor:
        with self._lock:
            if self._supervisor is None:
                self._supervisor = Supervisor(f"overnight-{self._name}", self._clock)
            return self._supervisor

    def _start_children(self) -> None:
        while (attempt := self._starts.get()) is not None:
            if attempt.reason is not None:
                self._finish(attempt, Outcome(kind=attempt.reason))
                continue
            try:
                child = self._open(attempt)
            except Exception as error:  # noqa: BLE001 - whatever it is, the attempt failed with it
                self._drain(attempt)
                self._finish(attempt, failed(error))
                continue
            self._launch(attempt, child)

    def _launch(self, attempt: Attempt, child: Child) -> None:
        try:
            attempt.channel.child_started(attempt.order, child.pid, child.started)
        except Exception as error:  # noqa: BLE001 - a child that is not recorded must not work
            self._take_back(attempt, child, failed(error))
            return
        with self._lock:
            reason = attempt.reason
            if reason is None:
                self._set_going(attempt, child)
        if reason is not None:
            self._take_back(attempt, child, Outcome(kind=reason))

    def _set_going(self, attempt: Attempt, child: Child) -> None:
        self._children.add(child)
        attempt.child = child
        self._opened(attempt, child)
        child.line.setblocking(False)
        self._loop().watch(child.line, lambda: self._on_line(child))
        self._watch_streams(attempt)
        self._sample_later()

    def _take_back(self, attempt: Attempt, child: Child, outcome: Outcome) -> None:
        """End a child that has not worked yet."""
        child.abandon()
        self._drain(attempt)
        with self._lock:
            self._forget(child)
        self._finish(attempt, outcome)

    def _stop(self, attempt: Attempt, grace_s: float) -> None:
        child = attempt.child
        if attempt.finished or child is None:
            return
        self._ask_to_stop(attempt, child, grace_s)
        self._loop().later(grace_s + _STUCK_S, lambda: self._kill_if_stuck(child))

    def _kill_if_stuck(self, child: Child) -> None:
        """End the tree from here: somebody has stopped or broken the keeper."""
        if child in self._children and not child.gone and self._attempt_of(child) is not None:
            tree.end_tree(child.pid, child.started, 0)

    def _attempt_of(self, child: Child) -> Attempt | None:
        with self._lock:
            return next((attempt for attempt in self._attempts.values() if attempt.child is child), None)

    def _on_line(self, child: Child) -> None:
        """The keeper has said something; when it is gone, so is the child with all that it started."""
        if child.listen():
            return
        # Before it is closed: another thread may get its number for the line of a new child at once, and what is
        # watched is known by its number.
        self._loop().forget(child.line)
        child.collect()
        attempt = self._attempt_of(child)
        if attempt is not None:
            self._drain(attempt)
            self._finish(attempt, attempt.outcome or self._conclude_safely(attempt, child))
        with self._lock:
            self._children.discard(child)
            self._forget(child)
            self._empty.notify_all()

    def _conclude_safely(self, attempt: Attempt, child: Child) -> Outcome:
        try:
            return self._conclude(attempt, child)
        except Exception as error:  # noqa: BLE001 - an attempt without an end would never leave
            return failed(error)

    def _watch_streams(self, attempt: Attempt) -> None:
        for stream in attempt.streams:
            self._loop().watch(stream, self._reader(attempt, stream))

    def _reader(self, attempt: Attempt, stream: int) -> Callable[[], None]:
        def read() -> None:
            if self._read(attempt, stream) == b"":
                self._close_stream(attempt, stream)

        return read

    def _read(self, attempt: Attempt, stream: int) -> bytes | None:
        """Take one piece of output; empty at its end, None when there is nothing at the moment."""
        try:
            piece = os.read(stream, _PIECE)
        except BlockingIOError:
            return None
        attempt.log.write(piece)
        attempt.tail = (attempt.tail + piece)[-_TAIL:]
        if attempt.tap is not None and stream == attempt.tapped:
            attempt.tap.feed(piece)
        return piece

    def _close_stream(self, attempt: Attempt, stream: int) -> None:
        self._loop().forget(stream)
        attempt.streams.remove(stream)
        os.close(stream)

    def _drain(self, attempt: Attempt) -> None:
        """Take what is still in the pipes and close them."""
        if not self._drain_to_end(attempt):
            for stream in list(attempt.streams):
                self._close_stream(attempt, stream)

    def _drain_to_end(self, attempt: Attempt) -> bool:
        """Take what is in the pipes and close those at their end; False when somebody holds one open for writing."""
        for stream in list(attempt.streams):
            # Bounded: whoever holds the pipe open may write for ever.
            pieces = (self._read(attempt, stream) for _ in range(_DRAIN_PIECES))
            if next((piece == b"" for piece in pieces if not piece), False):
                self._close_stream(attempt, stream)
        return not attempt.streams

    def _sample_later(self) -> None:
        if not self._sampling:
            self._sampling = True
            self._loop().later(_SAMPLE_S, self._sample)

    def _sample(self) -> None:
        """Measure the memory of all attempts that run."""
        with self._lock:
            running = [attempt for attempt in self._attempts.values() if attempt.child is not None]
            self._sampling = False
            if running:
                self._sample_later()
        for attempt in running:
            if attempt.child is not None:
                allowed_gb = attempt.order.memory_gb
                attempt.peak_bytes = attempt.memory.most_bytes(attempt.child.members(), allowed_gb * GB)
                self._end_if_too_large(attempt, attempt.child, attempt.peak_bytes, allowed_gb)
        now_s = self._clock.monotonic()
        limited = [attempt for attempt in running if attempt.order.devices and attempt.order.gpu_memory_gb]
        if limited and now_s >= self._gpus_due_s:
            self._gpus_due_s = now_s + _SAMPLE_GPUS_S
            self._sample_gpus(limited)

    def _sample_gpus(self, attempts: list[Attempt]) -> None:
        """Measure what attempts take of their GPUs."""
        devices = self._gpus.look().devices or ()
        for attempt in attempts:
            child, order = attempt.child, attempt.order
            if child is not None:
                pids = table.pids_below(child.pid)
                used = max((one.held_bytes(pids) or 0 for one in devices if one.uuid in order.devices), default=0)
                self._end_if_too_large(attempt, child, used, order.gpu_memory_gb, of="GPU ")

    def _end_if_too_large(self, attempt: Attempt, child: Child, used: int, allowed_gb: float, *, of: str = "") -> None:
        """End an attempt that takes more memory than it may, before the kernel has to choose whom to end."""
        if allowed_gb and used > allowed_gb * GB and attempt.outcome is None:
            what, setting = (f" of {of}memory", "gpu_memory_gb") if of else ("", "memory_gb")
            error = PermanentError(f"needed {_gb(used)}{what}, reserved {_gb(allowed_gb * GB)}; set needs.{setting}")
            attempt.outcome = replace(failed(error), usage=self._usage(attempt, None, 0))
            child.end(0)

    def _usage(self, attempt: Attempt, cpu_s: float | None, peak_bytes: int | None) -> Usage:
        peak = max(attempt.peak_bytes, peak_bytes or 0)
        return Usage(cpu_s=cpu_s, peak_memory_gb=peak / GB if peak else None)

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        """Report the end, once; why it was ended from outside goes before what the child made of that."""
        with self._lock:
            if attempt.finished:
                return
            attempt.finished = True
        if attempt.reason is not None:
            outcome = Outcome(kind=attempt.reason, usage=outcome.usage)
        attempt.log.close()
        if attempt.log.problem is not None:
            attempt.channel.progress(attempt.order, {"log_problem": attempt.log.problem})
        with self._lock:
            self._attempts.pop(attempt.key, None)  # one that came after `close` is not there
            self._empty.notify_all()
        attempt.channel.done(attempt.order, outcome)


def env_of(order: WorkOrder, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an order's child, which sees the order's GPUs alone.

    By UUID, as NVIDIA's CUDA Programming Guide says of CUDA_VISIBLE_DEVICES.
    """
    return {**env, "CUDA_VISIBLE_DEVICES": ",".join(order.devices)} if order.devices else dict(env)


def _gb(count: float) -> str:
    """Return bytes as gigabytes, with so many digits that who took a little more is seen to have taken more."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / GB:.4g} GB"


def child_lost(what: str) -> Outcome:
    """Return the outcome for a child that ended without a word; it may go better the next time."""
    return Outcome(kind="failed", error=ErrorRef(family="transient", type="WorkerLost", message=what))


def not_started(what: str) -> Outcome:
    """Return the outcome for a program that cannot be started."""
    return failed(InvalidTask(what))
