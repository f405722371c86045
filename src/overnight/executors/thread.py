"""Runs attempts in threads of this process: cheap, for flows and for functions that need no limits."""

import threading
from queue import SimpleQueue

from overnight.base.clock import Clock, SystemClock
from overnight.base.ids import RunId, Token
from overnight.base.ports import Channel, StopReason
from overnight.base.refs import Outcome, WorkOrder
from overnight.executors.calling import Resolve, failed, perform_here
from overnight.executors.context import Context
from overnight.executors.tracebacks import write_traceback

_Job = tuple[WorkOrder, Channel, Context]


class ThreadExecutor:
    """Implements base/ports.Executor on at most `size` threads, which are started when they are needed.

    A thread cannot be killed: `stop` sets `ctx.cancelled`, the grace time has no effect, and the attempt counts as
    stopped when the function returns. What functions print is not captured; tracebacks go to the run's log.
    """

    def __init__(self, resolve: Resolve, size: int, clock: Clock | None = None) -> None:
        self._resolve = resolve
        self._size = size
        self._clock = clock or SystemClock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._contexts: dict[tuple[RunId, Token], Context] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def start(self, order: WorkOrder, channel: Channel) -> None:
        """Queue the attempt for the next free thread."""
        ctx = Context(
            order,
            clock=self._clock,
            send=lambda figures: channel.progress(order, figures),
        )
        with self._lock:
            refusal = Outcome(kind="cancelled") if self._closed else self._begin(order, channel, ctx)
        if refusal is not None:
            channel.done(order, refusal)

    def _begin(self, order: WorkOrder, channel: Channel, ctx: Context) -> Outcome | None:
        """Queue the attempt; where a thread is needed for it and cannot be had, return how it has ended."""
        try:
            if len(self._threads) < min(self._size, len(self._contexts) + 1):
                self._grow()
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt failed with it
            return failed(error)
        self._contexts[order.run_id, order.token] = ctx
        self._jobs.put((order, channel, ctx))
        return None

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        """Set `ctx.cancelled`; the first reason stands."""
        with self._lock:
            ctx = self._contexts.get((order.run_id, order.token))
            if ctx is not None:
                ctx.reason = ctx.reason or reason

    def pids(self, order: WorkOrder) -> list[int]:
        """Return none: what runs in this process has none of its own."""
        return []

    def close(self, grace_s: float) -> None:
        """Ask all attempts to end and wait for the threads, in all at most `grace_s`."""
        with self._lock:
            self._closed = True
            for ctx in list(self._contexts.values()):
                ctx.reason = ctx.reason or "cancelled"
            threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        until = self._clock.monotonic() + grace_s
        for thread in threads:
            thread.join(max(0.0, until - self._clock.monotonic()))

    def _grow(self) -> None:
        thread = threading.Thread(target=self._work, name=f"overnight-thread-{len(self._threads)}")
        thread.start()
        self._threads.append(thread)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._perform(*job)
            del job  # an idle thread must not keep the last attempt's arguments alive

    def _perform(self, order: WorkOrder, channel: Channel, ctx: Context) -> None:
        outcome = Outcome(kind="cancelled")
        if ctx.reason is None:
            outcome = perform_here(order, self._resolve, ctx, lambda text: write_traceback(order, text))
            ctx.finish()
        del self._contexts[order.run_id, order.token]  # one step of the interpreter: needs no lock
        if ctx.reason is not None:
            outcome = Outcome(kind=ctx.reason, usage=outcome.usage)
        channel.done(order, outcome)
