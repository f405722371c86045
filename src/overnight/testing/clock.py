"""A clock that moves only when a test says so."""

import threading


class FakeClock:
    """Implements base/clock.Clock: civil time that may jump, and a second clock that never goes back. Thread-safe."""

    def __init__(self, start_us: int = 1_780_000_000_000_000) -> None:
        self._lock = threading.Lock()
        self._civil_us = start_us
        self._passed_us = 0

    def now_us(self) -> int:
        """Return the civil time in microseconds since the Unix epoch."""
        with self._lock:
            return self._civil_us

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        with self._lock:
            return self._passed_us / 1e6

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time does not run backwards; use `jump` to set the civil time"
        with self._lock:
            self._civil_us += round(seconds * 1e6)
            self._passed_us += round(seconds * 1e6)

    def jump(self, seconds: float) -> None:
        """Set the civil time forward or back, as a person or a time server does."""
        with self._lock:
            self._civil_us += round(seconds * 1e6)
