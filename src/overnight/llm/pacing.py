"""How many requests may be in flight at an endpoint, learnt from what it says. Pure.

Additive increase, multiplicative decrease (D.-M. Chiu and R. Jain, Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks, 1989): a round of answers allows one request more, an endpoint that is
overloaded halves the limit. As in TCP (RFC 5681) the limit grows by one with each answer until the first overload, and
one overload that meets many requests in flight halves it once.
"""

from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

FIRST_LIMIT = 4


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How an endpoint stands. Instants are seconds on a clock that only moves forward.

    `limit` is from 1 to `most`; its whole part counts. Nothing starts before `not_before_s`.
    """

    most: int
    limit: float = FIRST_LIMIT
    in_flight: int = 0
    not_before_s: float | None = None
    cut_s: float | None = None
    """When the limit was halved last."""

    def __post_init__(self) -> None:
        """Keep the limit in its range."""
        object.__setattr__(self, "limit", max(1.0, min(float(self.limit), float(self.most))))

    def left_s(self, now_s: float) -> float:
        """Return for how long the endpoint wants to be left alone; 0 where it does not."""
        return 0.0 if self.not_before_s is None else max(0.0, self.not_before_s - now_s)

    def begins(self, now_s: float) -> "Pace | None":
        """Return how it stands once one more request is in flight; None where none may be now."""
        if self.in_flight >= int(self.limit) or self.left_s(now_s) > 0:
            return None
        return replace(self, in_flight=self.in_flight + 1)

    def succeeded(self) -> "Pace":
        """Return how it stands after an answer. A limit that was not reached says nothing, and does not grow."""
        used = self.in_flight >= int(self.limit)
        more = (1.0 if self.cut_s is None else 1.0 / self.limit) if used else 0.0
        return replace(self, in_flight=self.in_flight - 1, limit=self.limit + more)

    def overloaded(self, now_s: float, *, began_s: float, wait_s: float = 0.0) -> "Pace":
        """Return how it stands after a request, begun at `began_s`, for which the endpoint had no room or no time.

        It wants to be left alone for `wait_s`.
        """
        known = self.cut_s is not None and began_s < self.cut_s
        after = replace(self, in_flight=self.in_flight - 1)
        if wait_s > 0:
            after = replace(after, not_before_s=max(self.not_before_s or 0.0, now_s + wait_s))
        return after if known else replace(after, limit=self.limit / 2, cut_s=now_s)

    def failed(self) -> "Pace":
        """Return how it stands after a request whose end says nothing of how busy the endpoint is."""
        return replace(self, in_flight=self.in_flight - 1)


def retry_after_s(told: str | None, now_us: int) -> float | None:
    """Return how long a `Retry-After` (RFC 9110, 10.2.3: seconds, or a date) asks to wait; None where it says nothing.

    `now_us` is the civil time in microseconds since the Unix epoch.
    """
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - now_us / 1e6
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
