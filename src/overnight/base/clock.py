"""The only place that asks what time it is. Instants are those of `base.instants`."""

import time
from typing import Protocol

from overnight.base.instants import US, from_datetime, iso, to_datetime

__all__ = ["US", "Clock", "SystemClock", "cpu_s", "from_datetime", "iso", "to_datetime"]


class Clock(Protocol):
    """Where time comes from. Safe to call from any thread; `monotonic` never goes back, `now_us` may."""

    def now_us(self) -> int:
        """Return the civil time in microseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Return seconds on a clock that only moves forward."""


class SystemClock:
    """The clock of this machine."""

    def now_us(self) -> int:
        """Return the civil time in microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds on a clock that only moves forward."""
        return time.monotonic()


def cpu_s() -> float:
    """Return the CPU seconds that this thread has used."""
    return time.thread_time()
