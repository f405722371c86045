"""How long a job will take and how much memory it will need, from what earlier ones took. Pure.

Time grows with items x epochs, memory with items; what a straight line through the recorded runs says about a new one
is the estimate (least squares, Legendre 1805, neither its start nor its slope below 0), and its error is what the same
method misses when it is asked about each recorded run without having seen it (leave-one-out, Stone 1974, JRSS B 36).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FEWEST = 2
"""Recorded runs below which nothing is estimated."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a job took: `seconds` of work, and the peak of its memory (GB = 10^9 bytes; None: not measured)."""

    items: int
    epochs: int
    seconds: float
    peak_memory_gb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate and its error: a share of the value, the root of the mean square over the recorded runs."""

    value: float
    error_share: float
    runs: int


def duration_s(recorded: Sequence[Recorded], *, items: int, epochs: int) -> Estimate | None:
    """Return the seconds that so many epochs over so many items will take; None with fewer than two runs."""
    points = [(float(run.items * run.epochs), run.seconds) for run in recorded]
    return _estimate(points, float(items * epochs))


def memory_gb(recorded: Sequence[Recorded], *, items: int) -> Estimate | None:
    """Return the peak memory that a job on so many items will need; None with fewer than two measured runs."""
    points = [(float(run.items), run.peak_memory_gb) for run in recorded if run.peak_memory_gb is not None]
    # A process takes memory before it has read anything: few items need no less than was ever seen.
    return _estimate(points, float(items), floor=True)


Points = Sequence[tuple[float, float]]


def _estimate(points: Points, at: float, *, floor: bool = False) -> Estimate | None:
    if len(points) < FEWEST:
        return None

    def said(known: Points, x: float) -> float:
        least = min(y for _, y in known) if floor else 0.0
        return max(least, _line(known)(x))

    misses = []
    for place, (x, y) in enumerate(points):
        other = [*points[:place], *points[place + 1 :]]
        misses.append((said(other, x) - y) / y if y > 0 else 0.0)
    error = math.sqrt(sum(miss * miss for miss in misses) / len(misses))
    return Estimate(value=said(points, at), error_share=error, runs=len(points))


def _line(points: Points) -> Callable[[float], float]:
    """Return the best line with start and slope of 0 or more; through 0 where all points lie at one place."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread > 0:
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
        start = mean_y - slope * mean_x
        if slope < 0:
            return lambda at: mean_y
        if start >= 0:
            return lambda at: start + slope * at
    squares = sum(x * x for x, _ in points)
    ratio = sum(x * y for x, y in points) / squares if squares > 0 else 0.0
    return lambda at: ratio * at
