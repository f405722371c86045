"""How much memory a service will use, from its own series of samples. Pure.

Serving memory is still for minutes, then moves by gigabytes within one. What it will be in two hours nobody can tell
from one look; what it can reach within the seconds that a checkpoint takes is bounded: by its slope, and by how fast a
service that has been as restless as this one may begin to rise. How restless it was, and how high it went, it tells
itself; what follows from that for the rise (`Rules`) was fitted on real series (docs/adr/0019).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

MINUTE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What to expect of a service. Rises are those of a minute; shares are of the recent peak: the highest use within
    `recent_s`, or `peak_share` of the highest use ever, if that is more.
    """

    peak_share: float = 0.5

    still_share: float = 0.12
    """Rise to expect of a service that was still for `still_s`,"""
    calm_share: float = 0.25
    """of one that was still for `unrest_s`,"""
    restless_share: float = 0.5
    """and of one that was not,"""
    unrest_factor: float = 5.0
    """with so much more for each byte by which it moved within `unrest_s`;"""
    return_share: float = 1.0
    """but at least this share of the way back to its recent peak;"""
    over_share: float = 0.4
    """and never more than this beyond its recent peak,"""
    below_factor: float = 1.75
    """with so much more for each byte that it is below it,"""
    fastest_share: float = 1.0
    """nor more than this, which is also expected of a service that is not yet known for `unrest_s`."""
    caution: float = 1.0
    """Times all of these: with more of it fewer jobs run out of memory, and fewer run."""
    moved_share: float = 0.003
    """What moves less is still."""
    unrest_s: float = 120.0
    still_s: float = 1200.0
    recent_s: float = 1800.0
    settle_s: float = 20.0
    """A job starts only where the slope lets it stay for so long before it has to yield."""
    later_quantile: float = 0.95
    """For jobs that cannot yield: the share of past windows, as long as the job, that stayed below."""
    history_s: float = 24 * 3600.0


RULES = Rules()


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The largest use to expect.

    `soon_bytes`: until a job that is told to yield now or at the next look has gone; `start_bytes`: until one that
    starts now could have settled and gone; `later_bytes`: while one that cannot yield runs.
    """

    soon_bytes: int
    start_bytes: int
    later_bytes: int


class Extreme:
    """The highest of what was added within the last seconds (of negated values: the lowest)."""

    __slots__ = ("_kept", "_within_s")

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._kept: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, value: int) -> int:
        """Add a value, the newest; return the highest."""
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        kept.append((at_s, value))
        oldest = at_s - self._within_s
        while kept[0][0] < oldest:
            kept.popleft()
        return kept[0][1]


class Series:
    """The samples of one service, in the order of time; it keeps what the forecast needs of them."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.first_s = self.at_s = 0.0
        self.used_bytes: int | None = None
        """The newest sample; None before the first."""
        self.peak_bytes = 0
        """The highest use ever seen."""
        self.slope_bytes_per_s = 0.0
        self.recent_bytes = 0
        """The recent peak, as `Rules` says."""
        self.unrest_bytes = 0
        """By how much it moved within `unrest_s`."""
        self.still_since_s = 0.0
        self._still_high = self._still_low = 0
        self._recent = Extreme(rules.recent_s)
        self._high = Extreme(rules.unrest_s)
        self._low = Extreme(rules.unrest_s)
        self._minutes: deque[tuple[int, int]] = deque()

    def add(self, at_s: float, used_bytes: int) -> None:
        """Add a sample; one that is not newer than the last is left out."""
        before = self.used_bytes
        if before is None:
            self.first_s = at_s
            self._still_from(at_s, used_bytes)
        elif at_s <= self.at_s:
            return
        else:
            self.slope_bytes_per_s = (used_bytes - before) / (at_s - self.at_s)
        self.at_s, self.used_bytes = at_s, used_bytes
        self.peak_bytes = max(self.peak_bytes, used_bytes)
        self.recent_bytes = max(self._recent.add(at_s, used_bytes), int(self.rules.peak_share * self.peak_bytes))
        self.unrest_bytes = self._high.add(at_s, used_bytes) + self._low.add(at_s, -used_bytes)
        self._still_high = max(self._still_high, used_bytes)
        self._still_low = min(self._still_low, used_bytes)
        if self._still_high - self._still_low > self.rules.moved_share * self.recent_bytes:
            self._still_from(at_s, used_bytes)
        self._note_minute(int(at_s // MINUTE_S), used_bytes)

    def rise_bytes_per_s(self) -> float:
        """Return how fast the use may rise from now on."""
        rules, recent = self.rules, self.recent_bytes
        rise = rules.fastest_share * recent
        if self.at_s - self.first_s >= rules.unrest_s:
            below = recent - (self.used_bytes or 0)
            still_s = self.at_s - self.still_since_s
            share = rules.restless_share if still_s < rules.unrest_s else rules.calm_share
            moved = (rules.still_share if still_s >= rules.still_s else share) * recent
            moved += rules.unrest_factor * self.unrest_bytes
            rise = min(
                rise, max(moved, rules.return_share * below), rules.over_share * recent + rules.below_factor * below
            )
        return max(self.slope_bytes_per_s, rules.caution * rise / MINUTE_S)

    def window_peak_bytes(self, window_s: float) -> int:
        """Return below what the use stayed in most past windows of this length; the peak while few are known."""
        length = max(1, int(window_s / MINUTE_S))
        highs = [high for _, high in self._minutes]
        if len(highs) < 2 * length:
            return self.peak_bytes
        peaks = sorted(_window_peaks(highs, length))
        return peaks[min(len(peaks) - 1, int(self.rules.later_quantile * len(peaks)))]

    def _still_from(self, at_s: float, used_bytes: int) -> None:
        self.still_since_s = at_s
        self._still_high = self._still_low = used_bytes

    def _note_minute(self, minute: int, used_bytes: int) -> None:
        minutes = self._minutes
        if minutes and minutes[-1][0] == minute:
            if used_bytes > minutes[-1][1]:
                minutes[-1] = (minute, used_bytes)
            return
        minutes.append((minute, used_bytes))
        while minutes[0][0] < minute - self.rules.history_s / MINUTE_S:
            minutes.popleft()


def series_of(samples: Iterable[tuple[float, int]], rules: Rules = RULES) -> Series:
    """Return the series of these samples (seconds, bytes)."""
    series = Series(rules)
    for at_s, used_bytes in samples:
        series.add(at_s, used_bytes)
    return series


def forecast(series: Series, *, now_s: float, yield_s: float, look_s: float = 1.0, job_s: float = 7200.0) -> Forecast:
    """Return what to expect of a service.

    A job that is told to yield holds its memory for `yield_s`; whoever decides looks every `look_s`; a job that cannot
    yield runs for `job_s`. The older the newest sample, the farther ahead all of it lies.
    """
    if series.used_bytes is None:
        raise ValueError("a service without a sample has no forecast")
    soon, start = outlook_bytes(series, now_s=now_s, yield_s=yield_s, look_s=look_s)
    later = max(start, series.window_peak_bytes(job_s))
    return Forecast(soon_bytes=soon, start_bytes=start, later_bytes=later)


def outlook_bytes(series: Series, *, now_s: float, yield_s: float, look_s: float = 1.0) -> tuple[int, int]:
    """Return the forecast for jobs that can yield: `soon_bytes` and `start_bytes`."""
    used = series.used_bytes or 0
    # Who is not told now, but at the next look, has gone by then.
    ahead_s = (now_s - series.at_s) + look_s + yield_s
    soon = used + ahead_s * series.rise_bytes_per_s()
    start = used + (ahead_s + series.rules.settle_s) * series.slope_bytes_per_s
    return int(soon), int(max(soon, start))


def _window_peaks(highs: list[int], length: int) -> list[int]:
    """Return the highest of each `length` neighbours."""
    extreme = Extreme(length - 1)
    return [extreme.add(place, high) for place, high in enumerate(highs)][length - 1 :]
