"""From which cells the next candidates are asked for: where the most is missing. Pure.

What is still to be accepted of a domain is shared out evenly over its cells, like water: each candidate goes to the
cell that stands lowest, and raises it by the share of its candidates that is expected to be accepted, (accepted + 1) /
(judged + 2): Laplace's rule of succession. A cell that can give no more, or of which nothing was accepted for long, is
left as long as others can be asked.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DRY = 60
"""Candidates of a cell, one after another, of which none was accepted: then it is left."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell: how many of its candidates were judged and accepted, how many of the newest were all refused.

    `over`: its generator can make no more there. `asked` are candidates that are being made.
    """

    name: str
    judged: int = 0
    accepted: int = 0
    dry: int = 0
    over: bool = False
    asked: int = 0

    @property
    def rate(self) -> float:
        """Return the share of further candidates that is expected to be accepted, above 0 and below 1."""
        return (self.accepted + 1) / (self.judged + 2)

    @property
    def expected(self) -> float:
        """Return how many will be accepted, with those that are being made."""
        return self.accepted + self.asked * self.rate


def ask(cells: Sequence[Cell], target: int, count: int) -> Mapping[str, int]:
    """Return how many further candidates to make of which cells, `count` together, by name; {} where nothing is left.

    `target` is how many accepted samples the cells are to have together. Fewer are asked for where fewer are lacking.
    """
    wet, missing = askable(cells, target)
    if missing <= 0:
        return {}
    asked = dict.fromkeys((cell.name for cell in wet), 0)
    # One at a time to the one that stands lowest, with what is expected of those that it has got.
    queue = [(cell.expected, place, cell) for place, cell in enumerate(wet)]
    heapq.heapify(queue)
    for _ in range(count if wet else 0):
        if missing <= 0:
            break
        height, place, cell = queue[0]
        asked[cell.name] += 1
        missing -= cell.rate
        heapq.heapreplace(queue, (height + cell.rate, place, cell))
    return {name: number for name, number in asked.items() if number}


def askable(cells: Sequence[Cell], target: int) -> tuple[Sequence[Cell], float]:
    """Return the cells that may be asked, and how many accepted samples are missing beside those that are expected."""
    live = [cell for cell in cells if not cell.over]
    wet = [cell for cell in live if cell.dry < DRY] or live
    return wet, target - sum(cell.expected for cell in cells)
