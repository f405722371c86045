"""What a tree of processes holds, looked at again and again at a cost that nobody would notice."""

import math
from collections.abc import Sequence

from overnight.base.clock import Clock
from overnight.processes import table

PSS_SHARE = 0.02
"""Share of the time that may go into reading PSS, for which the kernel walks over every page."""
_HURRIED_SHARE = 0.2
"""The same while a tree may hold more than it is allowed to."""


class TreeMemory:
    """What the processes of one tree hold, look after look. Used by one thread at a time.

    The sum of RSS is cheap and never too low, but counts what forked processes share once for each. PSS is exact and
    is read as often as that takes no more than `PSS_SHARE` of the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at_s, self._took_s = -math.inf, 0.0
        self._pids = frozenset[int]()
        self._shared = 0
        self._most = 0

    def used_bytes(self, pids: Sequence[int]) -> int:
        """Return what these processes hold now; 0 where they are gone.

        Between two readings of PSS, the sum of RSS stands in, less what was shared then; nothing less where the
        processes are others. So it may be too much for a moment, and hardly too little.
        """
        resident = table.resident_bytes(list(pids))
        if len(pids) <= 1 or not self._due(PSS_SHARE):
            return resident - (self._shared if self._pids == frozenset(pids) else 0)
        return self._read(pids, resident)

    def most_bytes(self, pids: Sequence[int], allowed: float) -> int:
        """Return the most that the tree was seen to hold so far: measured, never estimated from RSS.

        PSS is read when it is due and could be a new maximum; ten times as often while it could be above `allowed`
        (0: anything is).
        """
        resident = table.resident_bytes(list(pids))
        if resident > self._most:
            if len(pids) <= 1:
                self._most = resident
            elif self._due(_HURRIED_SHARE if 0 < allowed < resident else PSS_SHARE):
                self._most = max(self._most, self._read(pids, resident))
        return self._most

    def _due(self, share: float) -> bool:
        return self._clock.monotonic() >= self._read_at_s + self._took_s / share

    def _read(self, pids: Sequence[int], resident: int) -> int:
        self._read_at_s = self._clock.monotonic()
        used = table.memory_bytes(list(pids))
        self._pids, self._shared = frozenset(pids), max(0, resident - used)
        self._took_s = self._clock.monotonic() - self._read_at_s
        return used
