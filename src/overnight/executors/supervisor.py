"""One thread that watches all children of an executor: descriptors, timers and calls from other threads."""

import heapq
import itertools
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from overnight.base.clock import Clock

_log = logging.getLogger(__name__)
Handler = Callable[[], None]


class Supervisor:
    """A small event loop. `watch`, `forget`, `soon` and `later` may be called from any thread; handlers run in its own.

    A handler that raises is logged and the loop goes on: one broken attempt must not leave all others alone.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Handler]] = []
        self._count = itertools.count()
        self._calls: deque[Handler] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, (self._drain, None))
        self._thread = threading.Thread(target=self._run, name=name)
        try:
            self._thread.start()
        except RuntimeError:  # the machine gives no thread
            self._release()
            raise

    def watch(self, source: socket.socket | int, on_read: Handler, on_write: Handler | None = None) -> None:
        """Call `on_read` whenever there is something to read, and `on_write` (if given) when there is room to write."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if on_write is not None else 0)
        with self._lock:
            # A known descriptor is changed in place. The selector is one of the kernel's (epoll, kqueue): it sees
            # changes while it waits.
            try:
                self._selector.modify(source, events, (on_read, on_write))
            except KeyError:
                self._selector.register(source, events, (on_read, on_write))

    def forget(self, source: socket.socket | int) -> None:
        """Watch the source no more; harmless when it is not watched."""
        with self._lock, suppress(KeyError, ValueError):
            self._selector.unregister(source)

    def soon(self, handler: Handler) -> None:
        """Call the handler in the supervisor's thread."""
        self._calls.append(handler)
        self._rouse()

    def later(self, delay_s: float, handler: Handler) -> None:
        """Call the handler after `delay_s`."""
        with self._lock:
            heapq.heappush(self._timers, (self._clock.monotonic() + delay_s, next(self._count), handler))
        if threading.current_thread() is not self._thread:
            self._rouse()

    def close(self) -> None:
        """Stop the thread; not to be called from a handler."""
        self._closed = True
        self._rouse()
        self._thread.join()
        self._release()

    def _release(self) -> None:
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _rouse(self) -> None:
        with suppress(BlockingIOError):  # when it has been woken often enough
            self._wake.send(b"x")

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)

    def _run(self) -> None:
        while not self._closed:
            for key, events in self._selector.select(self._patience_s()):
                on_read, on_write = key.data
                if events & selectors.EVENT_WRITE and on_write is not None and self._still(key):
                    self._safely(on_write)
                if events & selectors.EVENT_READ and self._still(key):
                    self._safely(on_read)
            while self._calls:
                self._safely(self._calls.popleft())
            for handler in self._due():
                self._safely(handler)

    def _still(self, key: selectors.SelectorKey) -> bool:
        """False when an earlier handler of the same round has closed the descriptor or given it to somebody else."""
        now = self._selector.get_map().get(key.fd)
        return now is not None and now.data[0] is key.data[0]

    def _patience_s(self) -> float | None:
        with self._lock:
            if self._calls:
                return 0
            return max(0.0, self._timers[0][0] - self._clock.monotonic()) if self._timers else None

    def _due(self) -> list[Handler]:
        due = []
        with self._lock:
            now = self._clock.monotonic()
            while self._timers and self._timers[0][0] <= now:
                due.append(heapq.heappop(self._timers)[2])
        return due

    def _safely(self, handler: Handler) -> None:
        try:
            handler()
        except Exception:  # noqa: BLE001 - whatever it is, the other attempts go on
            _log.exception("the supervisor of child processes met an unexpected error and goes on")
