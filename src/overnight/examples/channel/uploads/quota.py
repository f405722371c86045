"""What may still be asked of YouTube today: a bucket of uploads, and a bucket of units for all else.

Both are filled at midnight Pacific time. What is asked for is counted on disk before it is asked, so that a crash never
makes the count too small. A bucket that the server says is spent is spent until the next day, whatever was counted.
Counts are kept by the day, so that a clock that is put back, and forward again, fills no bucket twice.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from overnight.base.errors import PermanentError, TransientError, said_by
from overnight.base.files import write_json

KEPT_DAYS = 7
"""Days that are kept, and by which a clock may be put back and still be noticed."""
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
        self._today = now.astimezone(PACIFIC).date()

    def take(self, bucket: str, amount: int = 1) -> None:
        """Take this much out of a bucket.

        Raises:
            Spent: there is not enough in it; nothing was taken.
            PermanentError: the file is damaged.
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
        """Return what is left in each bucket.

        Raises:
            PermanentError: the file is damaged.
        """
        used = self._used()
        return {bucket: limit - used[bucket] for bucket, limit in self._limits.items()}

    def _used(self) -> dict[str, int]:
        days = self._days()
        return days.get(self._day(days), dict.fromkeys(self._limits, 0))

    def _day(self, days: Iterable[str]) -> str:
        """Return the day that counts: the clock's, or a later one that was counted, if the clock was put back."""
        latest = (self._today + timedelta(days=KEPT_DAYS)).isoformat()
        return max([self._today.isoformat(), *(day for day in days if day <= latest)])

    def _days(self) -> dict[str, dict[str, int]]:
        """Return what was used of each bucket, by the day."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))["days"]
            return {
                date.fromisoformat(day).isoformat(): {bucket: int(used[bucket]) for bucket in self._limits}
                for day, used in told.items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise PermanentError(
                f"{self._path}: is damaged: {said_by(error)}; what was used today is not known: remove it after the "
                "next midnight Pacific time"
            ) from None

    def _write(self, used: dict[str, int]) -> None:
        days = self._days()
        day = self._day(days)
        days |= {day: used}
        kept = {one: days[one] for one in sorted(days)[-KEPT_DAYS:]}
        write_json(self._path, {"days": kept | {day: used}})
