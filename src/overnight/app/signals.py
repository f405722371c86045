"""Ctrl-C and SIGTERM: the first asks for a graceful stop, the second for a quick one."""

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Stop:
    """How often somebody asked for a stop."""

    def __init__(self) -> None:
        self.count = 0
        # An Event would block for ever in a signal handler that interrupts its own `wait`; this queue may be put to.
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self) -> None:
        """Ask once more; a signal handler may call it."""
        self.count += 1
        self._asked.put(None)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until somebody asks once more, or the time is over; return whether somebody has."""
        try:
            self._asked.get(timeout=timeout_s)
        except queue.Empty:
            return False
        return True


@contextlib.contextmanager
def hearing_hangup(heard: Callable[[], None]) -> Iterator[None]:
    """Call `heard` at each SIGHUP, for the length of a block in the main thread."""
    before = signal.signal(signal.SIGHUP, lambda number, frame: heard())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Give a `Stop` that SIGINT and SIGTERM ask, for the length of a block; outside the main thread nothing does."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def asked(number: int, frame: FrameType | None) -> None:
        stop.ask()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
