"""What counts when a source was asked: what it gives, that nothing changed, what it gave before, or nothing. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class Status(StrEnum):
    """How records of a source came to be at hand, from best to worst."""

    FRESH = "fresh"
    NOT_MODIFIED = "not modified"
    CACHE = "cache"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The status of one source and region, and the seconds since it last answered."""

    status: Status
    age_s: float = 0.0

    def stale(self, fresh_h: float) -> bool:
        """Tell whether what is at hand is too old for a result to be called whole, or is not there at all."""
        return self.status is Status.MISSING or self.age_s > fresh_h * 3600

    def later(self, seconds: float) -> "Standing":
        """Return how it stands so many seconds after the source was asked."""
        return replace(self, age_s=self.age_s + max(0.0, seconds))


def standing(
    *, failed: bool, changed: bool, checked_us: int | None, now_us: int, keep_days: float, force: bool
) -> Standing:
    """Return what counts now.

    `checked_us` is when the source last answered before (None: never, or with other settings). Who asks with `force`
    wants what the source says now, and nothing older in its place.
    """
    if not failed:
        return Standing(status=Status.FRESH if changed else Status.NOT_MODIFIED)
    if force or checked_us is None or now_us - checked_us > keep_days * DAY_US:
        return Standing(status=Status.MISSING)
    # A clock that was set back makes nothing younger than now.
    return Standing(status=Status.CACHE, age_s=max(0, now_us - checked_us) / 1_000_000)
