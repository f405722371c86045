"""What is known of a campaign at an instant, for reports and for looking at its samples. Pure.

`campaigns.reading` takes it from the ledger. Nothing here is a default: what the rows do not tell is None.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from overnight.base.instants import US
from overnight.campaigns.gate import Specification
from overnight.campaigns.intake import CONTAMINATED, FULL, NEAR, REPLACED, SAME, TOO_LOW, UNMEASURED
from overnight.campaigns.ports import Message
from overnight.campaigns.quality import Spread

WITHOUT_A_FAULT = frozenset({UNMEASURED, TOO_LOW, SAME, NEAR, FULL, CONTAMINATED, REPLACED})
"""Reasons that say nothing against the sample itself: it is worth too little, not needed, or out of date."""
BINS = 20
"""Of the histogram of qualities, each 1 / BINS wide; the last one holds 1 too."""
DECILES = 10
RECENT_S = 600
"""Seconds that the newest rate is taken over."""
MOST_POINTS = 200
"""Of a curve."""

Point = tuple[int, int]
"""Of a curve of coverage: candidates judged until then, and cells that had an accepted sample."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A candidate that was judged, whole; `reason` is None for one that is accepted."""

    sample_id: str
    domain: str
    generator: str
    cell: str
    number: int
    pilot: bool
    reason: str | None
    detail: str | None
    quality: float | None
    terms: Mapping[str, float]
    skeleton: str
    messages: Sequence[Message]
    source: Mapping[str, str]
    at_us: int


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What became of a domain's candidates.

    `allocation` is how many accepted samples it is to give; None where it was not told. `reasons` counts what was
    refused, the commonest first. `skeletons` are those of its accepted samples, `most_of_one` is how many samples the
    commonest of them has.
    """

    name: str
    allocation: int | None
    judged: int = 0
    accepted: int = 0
    reasons: Mapping[str, int]
    skeletons: int = 0
    most_of_one: int = 0

    @property
    def without_a_fault(self) -> int:
        """Return how many of its candidates their check has passed."""
        return self.accepted + sum(count for reason, count in self.reasons.items() if reason in WITHOUT_A_FAULT)


@dataclass(frozen=True, kw_only=True)
class Decile:
    """A tenth of the accepted samples by their quality, 1 is the worst: its least and greatest quality, some of it."""

    number: int
    least: float
    most: float
    samples: Sequence[Sample]


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What a pilot is asked for, since when, and who said so."""

    specification: Specification
    by: str
    at_us: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What there is of a campaign. `target` is how many accepted samples it is to have.

    `judged_by_quality` and `accepted_by_quality` have BINS places; `unmeasured` counts those without a quality, which
    are in neither. `spreads` are of the terms over the pilot. `rate` and `rate_in_all` are accepted samples per second,
    of the last RECENT_S and from the first to the last instant; `left_s` follows from `rate`.
    """

    target: int
    domains: Sequence[Domain]
    judged_by_quality: Sequence[int]
    accepted_by_quality: Sequence[int]
    unmeasured: int
    spreads: Mapping[str, Spread]
    first_us: int | None
    last_us: int | None
    rate: float | None
    rate_in_all: float | None
    deciles: Sequence[Decile]
    coverage: Sequence[Point]

    @property
    def judged(self) -> int:
        """Return how many candidates were judged."""
        return sum(one.judged for one in self.domains)

    @property
    def accepted(self) -> int:
        """Return how many of them were accepted."""
        return sum(one.accepted for one in self.domains)

    @property
    def without_a_fault(self) -> int:
        """Return how many of them their check has passed."""
        return sum(one.without_a_fault for one in self.domains)

    @property
    def skeletons(self) -> int:
        """Return how many skeletons the accepted samples have; those of two domains are never the same."""
        return sum(one.skeletons for one in self.domains)

    @property
    def most_of_one(self) -> int:
        """Return how many accepted samples the commonest skeleton has."""
        return max((one.most_of_one for one in self.domains), default=0)

    @property
    def left_s(self) -> float | None:
        """Return how many seconds it takes to accept what is missing; None where nothing was accepted lately."""
        missing = max(0, self.target - self.accepted)
        return 0.0 if not missing else missing / self.rate if self.rate else None


def per_second(count: int, length_us: int) -> float | None:
    """Return the rate; None where no time has passed, in which nothing can be measured."""
    return count * US / length_us if length_us > 0 else None


def curve(judged: Sequence[Point], firsts: Sequence[int]) -> list[Point]:
    """Return the coverage from its beginning.

    `judged` are instants in their order, with how many candidates were judged at each; `firsts` are the instants at
    which the cells got their first accepted sample. In which order candidates of one instant came is not known.
    """
    covered = sorted(firsts)
    so_far = accumulate(count for _, count in judged)
    points = [(total, bisect_right(covered, at)) for (at, _), total in zip(judged, so_far, strict=True)]
    return thinned([(0, 0), *points])


def by_chance(cells: Sequence[tuple[str, int, int]]) -> list[Point]:
    """Return the coverage that is expected where each candidate of a domain comes from any of its cells alike.

    `cells` are the domain, candidates judged and accepted of each cell. It follows from the share that was accepted of
    each, as if no cell could run out: after n candidates of k cells one is covered with 1 - (1 - share / k)^n.
    """
    domains: dict[str, list[tuple[int, int]]] = {}
    for domain, judged, accepted in cells:
        domains.setdefault(domain, []).append((judged, accepted))
    every = sum(judged for _, judged, _ in cells)
    points = []
    for place in range(MOST_POINTS) if every else ():
        # Closer to each other at the beginning, where most cells are reached.
        total = round(every * (place / (MOST_POINTS - 1)) ** 3)
        parts = (_expected(some, total / every * sum(judged for judged, _ in some)) for some in domains.values())
        points.append((total, int(sum(parts))))
    return points


def _expected(cells: Sequence[tuple[int, int]], candidates: float) -> float:
    shares = (accepted / judged / len(cells) for judged, accepted in cells if judged)
    return math.fsum(1 - (1 - share) ** candidates for share in shares)


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Return at most so many of the points: the first, the last, and before all those between which cells came."""
    kept = [
        here
        for place, here in enumerate(points)
        if not 0 < place < len(points) - 1 or not points[place - 1][1] == here[1] == points[place + 1][1]
    ]
    if len(kept) <= most:
        return kept
    return [kept[place * (len(kept) - 1) // (most - 1)] for place in range(most)]


def needed_for(points: Sequence[Point], cells: float) -> int | None:
    """Return after how many candidates a curve has so many cells; None where it has them nowhere."""
    return next((total for total, covered in points if covered >= cells), None)
