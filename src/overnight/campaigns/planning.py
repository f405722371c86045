"""Which candidates are made next of which domain, and when a domain has all that it is to have. Pure.

A candidate is a number in a cell. Numbers of a cell are asked for in their order, but none lies `WINDOW` or more beyond
one that is still being made or not yet written down: so whoever goes on later has to look for gaps among the newest
`WINDOW` numbers of each cell alone, to make nothing twice and leave nothing out.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from overnight.campaigns import acquisition

if TYPE_CHECKING:
    from random import Random

    from overnight.campaigns.regions import Regions

WINDOW = 64
NOTHING = 10_000
"""Numbers of a cell, one after another, of which there is no sample: then it is thought to have no more."""


@dataclass(kw_only=True)
class _Cell:
    """`open` are numbers that are being made or not yet written down; `next` is the first that was never asked for.

    `gaps` are numbers below it that were not judged when the work began; `count` None means that there is no end.
    `nothing` counts the newest numbers of which there was no sample.
    """

    name: str
    count: int | None
    next: int = 0
    gaps: list[int] = field(default_factory=list)
    judged: int = 0
    accepted: int = 0
    dry: int = 0
    nothing: int = 0
    open: set[int] = field(default_factory=set)
    making: set[int] = field(default_factory=set)

    @property
    def left(self) -> int:
        """Return how many numbers may be asked for now."""
        most = self.next if self.nothing >= NOTHING else math.inf if self.count is None else self.count
        reach = min(most, min(self.open) + WINDOW if self.open else math.inf, self.next + WINDOW)
        return len(self.gaps) + max(0, int(reach) - self.next)

    @property
    def over(self) -> bool:
        """Return whether no further number may be asked for, at least now."""
        return self.left == 0

    def take(self) -> int:
        """Return the next number."""
        if self.gaps:
            number = self.gaps.pop(0)
        else:
            number, self.next = self.next, self.next + 1
        self.open.add(number)
        self.making.add(number)
        return number

    def seen(self) -> acquisition.Cell:
        """Return the cell as acquisition sees it."""
        return acquisition.Cell(
            name=self.name,
            judged=self.judged,
            accepted=self.accepted,
            dry=self.dry,
            over=self.over,
            asked=len(self.making),
        )


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was judged of a cell before: how many, how many accepted, how many since the newest accepted one.

    `pilot` are those of the judged ones that belong to the pilot. `newest` are the numbers among the newest `WINDOW`
    that were judged; all are below `next_number`.
    """

    judged: int
    accepted: int
    pilot: int
    dry: int
    next_number: int
    newest: Collection[int]


class DomainPlan:
    """What is asked for of a domain. `accepted` and `judged` count those of all its cells."""

    def __init__(
        self,
        counts: Mapping[str, int | None],
        known: Mapping[str, Known],
        *,
        target: float,
        most: float = math.inf,
        pilot: bool = False,
        random: "Random | None" = None,
        regions: "Regions | None" = None,
    ) -> None:
        """`counts` are the numbers that each cell has; `target` accepted samples are wanted, of `most` candidates.

        Of a `pilot` those alone count as judged that belong to it.

        `random` chooses the cells by chance, instead of where the most is missing; with `regions`, that is where these
        lack some.
        """
        self._cells = {name: _cell(name, count, known.get(name)) for name, count in counts.items()}
        self._random = random
        self._ask = acquisition.ask if regions is None else regions.ask
        self.target = target
        self.most = most
        # Those of cells that are no longer there count too.
        self.judged = sum(one.pilot if pilot else one.judged for one in known.values())
        self.accepted = sum(one.accepted for one in known.values())
        self.making = 0

    @property
    def full(self) -> bool:
        """Return whether it has all that it is to have."""
        return self.accepted >= self.target or self.judged >= self.most

    @property
    def dry(self) -> bool:
        """Return whether no cell has a number left, and none is being made."""
        return not self.making and all(cell.over for cell in self._cells.values())

    @property
    def share(self) -> float:
        """Return how much of it is there, with what is expected of those that are being made; below 1 it wants more."""
        if self.full:
            return 1.0
        rate = (self.accepted + 1) / (self.judged + 2)
        return max((self.accepted + self.making * rate) / self.target, (self.judged + self.making) / self.most)

    def ask(self, count: int) -> list[tuple[str, int]]:
        """Return up to so many candidates to make next, each a cell and a number."""
        count = int(min(count, self.most - self.judged - self.making))
        if self.full or count <= 0:
            return []
        chosen = []
        for pair in self._chosen(count):
            # One by one: a choice by chance looks at it, and ends where no more are wanted.
            self.making += 1
            chosen.append(pair)
        return chosen

    def _chosen(self, count: int) -> Iterator[tuple[str, int]]:
        if self._random is not None:
            yield from self._by_chance(count, self._random)
            return
        wanted = self._ask([cell.seen() for cell in self._cells.values()], _finite(self.target), count)
        for name, number in wanted.items():
            cell = self._cells[name]
            for _ in range(min(number, cell.left)):
                yield name, cell.take()

    def _by_chance(self, count: int, random: "Random") -> Iterator[tuple[str, int]]:
        for _ in range(count):
            live = [cell for cell in self._cells.values() if not cell.over]
            if not live or self.share >= 1:
                return
            cell = random.choice(live)
            yield cell.name, cell.take()

    def made(self, cell: str, number: int) -> bool:
        """Note that the candidate is made; return whether it is still to be judged."""
        self.making -= 1
        self._cells[cell].making.discard(number)
        return not self.full

    def none(self, cell: str) -> None:
        """Note that there is no sample of a number that was made."""
        self._cells[cell].nothing += 1

    def judge(self, cell: str, *, accepted: bool) -> None:
        """Note that a candidate was judged."""
        one = self._cells[cell]
        one.nothing = 0
        self.judged += 1
        one.judged += 1
        self.accepted += accepted
        one.accepted += accepted
        one.dry = 0 if accepted else one.dry + 1

    def written(self, cell: str, number: int) -> None:
        """Note that what became of the candidate is written down, or that there is nothing to write."""
        self._cells[cell].open.discard(number)


def _cell(name: str, count: int | None, known: Known | None) -> _Cell:
    if known is None:
        return _Cell(name=name, count=count)
    first = max(0, known.next_number - WINDOW)
    return _Cell(
        name=name,
        count=count,
        next=known.next_number,
        gaps=[number for number in range(first, known.next_number) if number not in set(known.newest)],
        judged=known.judged,
        accepted=known.accepted,
        dry=known.dry,
    )


def _finite(target: float) -> int:
    return int(min(target, 1e15))


def seed_of(seed: int, domain: str, known: Mapping[str, Known]) -> str:
    """Return what the cells of a domain are drawn by: who goes on later does not draw the first ones again."""
    return f"{seed}/{domain}/{sum(one.judged for one in known.values())}"


def neediest(plans: Mapping[str, DomainPlan], able: Collection[str]) -> str | None:
    """Return the domain that lacks the largest share of what it is to have; None where none wants more."""
    wanting = [name for name in able if plans[name].share < 1]
    return min(wanting, key=lambda name: plans[name].share, default=None)


def pilot_shares(targets: Mapping[str, int], total: int, judged: Mapping[str, int]) -> dict[str, int]:
    """Return how many candidates of a pilot each domain is to have, where some of it was judged by other targets.

    What a domain has beyond its share is not taken back: others have so many fewer, but for those that they have.
    """
    found = shares(targets, total)
    for name, size in found.items():
        found[name] = max(size, judged.get(name, 0))
    while sum(found.values()) > total:
        able = [name for name, size in found.items() if size > judged.get(name, 0)]
        if not able:
            break
        found[max(able, key=lambda name: found[name] - judged.get(name, 0))] -= 1
    return found


def shares(targets: Mapping[str, float], total: int) -> dict[str, int]:
    """Return `total` shared out like the targets, as whole numbers that sum up to it (largest remainders)."""
    everything = sum(targets.values())
    exact = {name: total * target / everything for name, target in targets.items()}
    found = {name: int(value) for name, value in exact.items()}
    rest: Sequence[str] = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in rest[: total - sum(found.values())]:
        found[name] += 1
    return found
