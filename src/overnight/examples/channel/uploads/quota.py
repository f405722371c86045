"""What may still be asked of YouTube today: a bucket of uploads, and a bucket of units for all else.

Both are filled at midnight Pacific time. What is asked for is counted on disk before it is asked, so that a crash never
makes the count too small. A bucket that the server says is spent is spent until the next day, whatever was counted.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from overnight.base.errors import TransientError
from overnight.base.files import write_json

PACIFIC = ZoneInfo("America/Los_Angeles")
UPLOADS, UNITS = "uploads", "units"
COSTS = {"captions": 400, "thumbnail": 50, "update": 50, "list": 1}
"""Units of each request but uploads (developers.google.com/youtube/v3/determine_quota_cost)."""


class Spent(TransientError):
    """A bucket is empty until midnight Pacific time; what waits goes on then."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a day brings."""

    uploads: int = 100
    units: int = 10_000


class Quota:
    """The buckets, in a file. For one process at a time."""

    def __init__(self, path: Path, limits: Limits, now: datetime) -> None:
        self._path, self._limits = path, {UPLOADS: limits.uploads, UNITS: limits.units}
        self._day = now.astimezone(PACIFIC).date().isoformat()

    def take(self, bucket: str, amount: int = 1) -> None:
        """Take this much out of a bucket.

        Raises:
            Spent: there is not enough in it; nothing was taken.
        """
        used = self._used()
        if used[bucket] + amount > self._limits[bucket]:
            raise Spent(
                f"the day's {bucket} of YouTube are spent ({used[bucket]:,} of {self._limits[bucket]:,}, {amount:,} "
                "needed); the queue goes on after midnight Pacific time"
            )
        self._write(used | {bucket: used[bucket] + amount})

    def spent(self, bucket: str) -> Spent:
        """Write down that the server says a bucket is empty, and return the error to raise."""
        self._write(self._used() | {bucket: self._limits[bucket]})
        return Spent(f"YouTube says that the day's {bucket} are spent; the queue goes on after midnight Pacific time")

    def left(self) -> dict[str, int]:
        """Return what is left in each bucket."""
        used = self._used()
        return {bucket: limit - used[bucket] for bucket, limit in self._limits.items()}

    def _used(self) -> dict[str, int]:
        try:
            told = json.loads(self._path.read_text())
        except FileNotFoundError:
            told = {}
        same_day = told.get("day") == self._day
        return {bucket: int(told["used"][bucket]) if same_day else 0 for bucket in self._limits}

    def _write(self, used: dict[str, int]) -> None:
        write_json(self._path, {"day": self._day, "used": used})
