"""Callers that wait for runs to end: told at once in this process, by a doorbell from another one."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from overnight.base.clock import Clock
from overnight.engine.model import FINAL, Run

LOOK_EVERY_S = 5.0
"""Bounds how long the end of a run stays unnoticed where the ring was lost: its worker died before it rang."""
_FINAL = {state.lower() for state in FINAL}


class Waits:
    """Wakes the callers of `wait` when their run may have ended. Safe to use from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[int, set[threading.Event]] = {}

    def tell(self, events: Sequence[dict[str, Any]]) -> None:  # Any: see db.stream.Event
        """Wake those that wait for a run that one of the events ends."""
        if not self._waiting:
            return
        with self._lock:
            for event in events:
                if event.get("event") in _FINAL or event.get("event") == "blocked":
                    for waiter in self._waiting.get(event["run"], ()):
                        waiter.set()

    def wake_all(self) -> None:
        """Let every caller look: another process has rung."""
        with self._lock:
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.set()

    def wait(self, run_ids: Iterable[int], look: Callable[[], list[Run]], timeout_s: float | None) -> list[Run]:
        """Wait until all runs are final, or the time is over, and return what `look` says then."""
        waiter = threading.Event()
        wanted = list(run_ids)
        with self._lock:
            for run_id in wanted:
                self._waiting.setdefault(run_id, set()).add(waiter)
        try:
            return self._until_final(waiter, look, timeout_s)
        finally:
            with self._lock:
                for run_id in wanted:
                    self._waiting[run_id].discard(waiter)
                    if not self._waiting[run_id]:
                        del self._waiting[run_id]

    def _until_final(
        self, waiter: threading.Event, look: Callable[[], list[Run]], timeout_s: float | None
    ) -> list[Run]:
        until = None if timeout_s is None else self._clock.monotonic() + timeout_s
        while True:
            waiter.clear()
            found = look()
            left = None if until is None else until - self._clock.monotonic()
            if all(run.state.final for run in found) or (left is not None and left <= 0):
                return found
            waiter.wait(LOOK_EVERY_S if left is None else min(left, LOOK_EVERY_S))
