"""Where a domain's accepted samples lie in the space of their texts, and from which cells what is rare there comes.

A generator that names few cells says little of what it makes: one of them may hold the same exercise a thousand times,
another a hundred different ones. So from `FROM` accepted samples on, their texts are parted into `REGIONS` regions, and
again each time that they have doubled, up to `LAST`: what is rare has a region of its own once some of it is there.
A region is what lies nearest to one of the centres of k-means (Lloyd 1982, begun as k-means++, Arthur and Vassilvitskii
2007). A text is a point of length 1: its words, but no numbers, hashed to `DIMENSIONS` numbers with a sign each
(Weinberger et al. 2009), weighted by their inverse document frequency.

Candidates are asked for such that the sum of log(1 + samples) over the regions grows most: one more in a region that
has few counts more than one in a region that has many. From which regions a cell's samples are is known from its
accepted ones, with `PRIOR` more shared out like all of them.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from overnight.campaigns.acquisition import Cell, ask, askable

REGIONS, FROM, LAST = 50, 100, 1600
DIMENSIONS = 256
PRIOR = 2.0
_ROUNDS = 25
_WORD = re.compile(r"[^\W\d]\w*")

Numbers = NDArray[np.float64]


class Regions:
    """The regions of one domain. Used by one thread at a time."""

    def __init__(self, seed: int | str) -> None:
        self._draw = Random(seed)  # noqa: S311 - not for secrets
        self._first: list[tuple[str, Numbers]] = []
        self._count, self._next = 0, FROM
        self._weights = np.ones(DIMENSIONS)
        self._centres: Numbers | None = None
        self._of_cell: dict[str, Numbers] = {}

    @property
    def counts(self) -> Numbers:
        """Return how many accepted samples each region has; all 0 where there are no regions yet."""
        return sum(self._of_cell.values(), start=np.zeros(REGIONS))

    def add(self, cell: str, text: str) -> None:
        """Take an accepted sample of a cell."""
        words = hashed(text)
        self._count += 1
        if self._count <= LAST:
            self._first.append((cell, words))
        if self._count == self._next:
            self._part()
        elif self._centres is not None:
            self._note(cell, _unit(words * self._weights), self._centres)

    def _part(self) -> None:
        """Part all samples so far into regions."""
        words = np.stack([words for _, words in self._first])
        self._weights = np.log((1 + len(words)) / (1 + np.count_nonzero(words, axis=0)))
        points = _unit(words * self._weights)
        self._centres, self._of_cell = centres_of(points, REGIONS, self._draw), {}
        for (cell, _), point in zip(self._first, points, strict=True):
            self._note(cell, point, self._centres)
        self._next *= 2
        if self._next > LAST:
            self._first = []

    def _note(self, cell: str, point: Numbers, centres: Numbers) -> None:
        nearest = int(np.argmax(centres @ point - (centres**2).sum(axis=1) / 2))
        self._of_cell.setdefault(cell, np.zeros(REGIONS))[nearest] += 1

    def ask(self, cells: Sequence[Cell], target: int, count: int) -> Mapping[str, int]:
        """Return how many further candidates to make of which cells; without regions, as `acquisition.ask` does."""
        wet, missing = askable(cells, target)
        if self._centres is None or not wet:
            return ask(cells, target, count)
        counts = self.counts
        rates = np.array([cell.rate for cell in wet])
        expected = rates[:, None] * np.stack([self._shares(cell.name, counts) for cell in wet])
        counts = counts + np.array([cell.asked for cell in wet]) @ expected
        asked = dict.fromkeys((cell.name for cell in wet), 0)
        for _ in range(count):
            if missing <= 0:
                break
            place = int(np.argmax(expected @ (1 / (1 + counts))))
            asked[wet[place].name] += 1
            counts = counts + expected[place]
            missing -= rates[place]
        return {name: number for name, number in asked.items() if number}

    def _shares(self, cell: str, counts: Numbers) -> Numbers:
        """Return the share of a cell's samples that is expected in each region."""
        mine = self._of_cell.get(cell, np.zeros(REGIONS))
        shares: Numbers = (mine + PRIOR * counts / counts.sum()) / (mine.sum() + PRIOR)
        return shares


def hashed(text: str) -> Numbers:
    """Return the words of a text as DIMENSIONS numbers; no word counts twice."""
    found = np.zeros(DIMENSIONS)
    for word in set(_WORD.findall(text.lower())):
        code = zlib.crc32(word.encode(errors="surrogatepass"))
        found[code % DIMENSIONS] += 1 if code & 0x80000000 else -1
    return found


def _unit(points: Numbers) -> Numbers:
    """Return points of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(points, axis=-1, keepdims=True)
    units: Numbers = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
    return units


def centres_of(points: Numbers, count: int, draw: Random) -> Numbers:
    """Return the centres of `count` regions of points, of the shape (points, dimensions): (count, dimensions)."""
    centres = points[[draw.randrange(len(points))]]
    for _ in range(count - 1):
        away = np.cumsum(_distances(points, centres).min(axis=1))
        # The farther from all centres, the likelier it is one; where all are on one, it does not matter which.
        chosen = min(int(np.searchsorted(away, draw.random() * away[-1], side="right")), len(points) - 1)
        centres = np.vstack([centres, points[chosen]])
    nearest = _distances(points, centres).argmin(axis=1)
    for _ in range(_ROUNDS):
        for place in np.unique(nearest):
            centres[place] = points[nearest == place].mean(axis=0)
        before, nearest = nearest, _distances(points, centres).argmin(axis=1)
        if (before == nearest).all():
            break
    return centres


def _distances(points: Numbers, centres: Numbers) -> Numbers:
    """Return the squared distances, of the shape (points, centres)."""
    squares: Numbers = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None, :] - 2 * points @ centres.T
    return np.maximum(squares, 0.0, out=squares)
