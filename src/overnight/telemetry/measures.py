"""Counters and histograms of one process. Each is written by one thread and read by any."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class Histogram:
    """Counts values by the first bound that is not below them."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many values fell behind each bound before and up to this one; the last is for what is above all."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What writer and worker measure."""

    commit_s: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """Seconds from the begin of a transaction to its commit on disk."""
    commit_changes: Histogram = field(default_factory=lambda: Histogram(SIZES))
    """Changes that one transaction joined."""
    start_lag_s: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """Seconds from the instant at which a run was due to its first start."""
    events: Counter[str] = field(default_factory=Counter)
    """What happened to runs and tasks, by the name of the event."""
