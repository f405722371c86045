"""When to stop asking a server that does not answer. Pure.

Closed: everything is asked. Open, after so many failures in a row: nothing is asked for a while. Half open, after that:
one request is let through, and what becomes of it decides (M. Nygard, Release It!, 2007, "Circuit Breaker").
"""

from dataclasses import dataclass, replace

FAILURES = 5
OPEN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """How it stands. Instants are seconds on a clock that only moves forward."""

    failures: int = 0
    """In a row."""
    open_until_s: float | None = None
    trying: bool = False
    """True while one request is under way that decides."""

    def left_s(self, now_s: float) -> float:
        """Return for how long nothing may be asked; 0 where something may."""
        if self.open_until_s is None:
            return 0.0
        return max(0.0, self.open_until_s - now_s)

    def asks(self, now_s: float) -> "Breaker | None":
        """Return how it stands once a request is under way; None where none may be made now."""
        if self.open_until_s is None:
            return self
        if self.trying or self.left_s(now_s):
            return None
        return replace(self, trying=True)

    def succeeded(self) -> "Breaker":
        """Return how it stands after an answer."""
        return Breaker()

    def failed(self, now_s: float) -> "Breaker":
        """Return how it stands after a request without an answer, or with one that tells of a fault of the server."""
        failures = self.failures + 1
        if failures < FAILURES:
            return Breaker(failures=failures)
        return Breaker(failures=failures, open_until_s=now_s + OPEN_S)
