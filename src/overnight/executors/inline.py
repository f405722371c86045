"""Runs attempts in the thread that starts them: for flows in tests and for programs that want no threads."""

from overnight.base.clock import Clock, SystemClock
from overnight.base.ids import RunId, Token
from overnight.base.ports import Channel, StopReason
from overnight.base.refs import Outcome, WorkOrder
from overnight.executors.calling import Resolve, perform_here
from overnight.executors.context import Context
from overnight.executors.tracebacks import write_traceback


class InlineExecutor:
    """Implements base/ports.Executor, but `start` returns when the attempt has ended.

    `stop`, from another thread or from the function itself, sets `ctx.cancelled`; a function cannot be killed.
    """

    def __init__(self, resolve: Resolve, clock: Clock | None = None) -> None:
        self._resolve = resolve
        self._clock = clock or SystemClock()
        self._contexts: dict[tuple[RunId, Token], Context] = {}
        self._closed = False

    def start(self, order: WorkOrder, channel: Channel) -> None:
        """Perform the attempt."""
        if self._closed:
            channel.done(order, Outcome(kind="cancelled"))
            return
        ctx = Context(
            order,
            clock=self._clock,
            send=lambda figures: channel.progress(order, figures),
        )
        self._contexts[order.run_id, order.token] = ctx
        outcome = perform_here(order, self._resolve, ctx, lambda text: write_traceback(order, text))
        ctx.finish()
        del self._contexts[order.run_id, order.token]
        if ctx.reason is not None:
            outcome = Outcome(kind=ctx.reason, usage=outcome.usage)
        channel.done(order, outcome)

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        """Set `ctx.cancelled`; the first reason stands."""
        ctx = self._contexts.get((order.run_id, order.token))
        if ctx is not None:
            ctx.reason = ctx.reason or reason

    def pids(self, order: WorkOrder) -> list[int]:
        """Return none: what runs in this process has none of its own."""
        return []

    def close(self, grace_s: float) -> None:
        """Ask what runs to end, and take no more."""
        self._closed = True
        for ctx in list(self._contexts.values()):
            ctx.reason = ctx.reason or "cancelled"
