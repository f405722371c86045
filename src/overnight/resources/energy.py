"""What counters of energy say that was used between two looks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_S = 600.0
"""Between two looks. A processor's counter may wrap after some twenty minutes, and nobody sees how often it did."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a counter shows: the energy, in joules, since an instant that nobody knows.

    From `wraps_at_j` on it begins at 0 again; None is one that does so only when its driver is loaded anew.
    """

    source: str
    joules: float
    wraps_at_j: float | None = None


def used_j(before: Sequence[Reading], after: Sequence[Reading], elapsed_s: float) -> float | None:
    """Return what was used between two looks, in joules; None where no counter tells.

    A counter that is in one look only, or that has begun anew, tells nothing.
    """
    if elapsed_s > LONGEST_S:
        return None
    was = {reading.source: reading.joules for reading in before}
    told = [_more(was[reading.source], reading) for reading in after if reading.source in was]
    known = [joules for joules in told if joules is not None]
    return sum(known) if known else None


def _more(was_j: float, now: Reading) -> float | None:
    if now.joules >= was_j:
        return now.joules - was_j
    return None if now.wraps_at_j is None else now.joules + now.wraps_at_j - was_j
