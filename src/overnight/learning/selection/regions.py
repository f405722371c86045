"""How hard work is for all arms, and what an arm has brought for work like some other: trees grown from trials.

Needs the extra `ml`. How hard work is, is predicted by trees that have not seen it: those of each half of the trials
speak for the other half (cross-fitting: Chernozhukov et al. 2018, Econometrics Journal 21:C1). What is left of a reward
says more of the arm than of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overnight.learning.selection.bandits import Belief
from overnight.learning.selection.encoding import Encoder
from overnight.learning.selection.forest import Forest, Places, grow
from overnight.learning.selection.policy import Features, Trial

Numbers = NDArray[np.float64]
TREES, LEAF = 30, 4
SHRINK = 2.0
"""Trials that the mean of an arm over all work counts for, beside those of its leaf."""
BOLD = 0.4
"""Of the deviation that so few trials of a leaf would have alone: many trees say more together."""
WORTH = 0.98
"""The share of the squared errors that is left at the most, for the prediction of how hard work is to be used."""
_OUTER = 0.05
"""Share of the rewards at either end that are cut off for growing trees: one odd trial would be a region."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where trees put a piece of work: its leaf in each, and by how much its rewards are better for all arms."""

    leaves: Places
    easier: float


class Regions:
    """Trees that are grown from trials, and what was counted in their leaves."""

    def __init__(self, trials: Sequence[Trial], places: Sequence[int], arms: int) -> None:
        self._encoder = Encoder([one.features or {} for one in trials])
        points = np.array([self._encoder.encode(one.features or {}) for one in trials])
        rewards, arm = np.array([one.reward for one in trials]), np.array(places)
        self._hardness = _Hardness(points, rewards - _means(rewards, arm, arms)[arm])
        self.left = rewards - self._hardness.of_grown
        """Of the reward of each trial, what is left without how hard its work is."""
        self._forest = grow(points, _targets(self.left, arm, arms), trees=TREES, leaf=LEAF, seed=len(trials))
        self._counts = np.zeros((self._forest.nodes, arms))
        self._sums = np.zeros_like(self._counts)
        for left, place, leaves in zip(self.left, places, self._forest.leaves(points), strict=True):
            self._count(leaves, place, left)

    def find(self, features: Features) -> "Found":
        """Return where the trees put a piece of work."""
        point = self._encoder.encode(features)
        return Found(leaves=self._forest.leaves(point), easier=self._hardness.of(point))

    def add(self, found: "Found", place: int, left: float) -> None:
        """Count what an arm has brought for that work, without how hard it is."""
        self._count(found.leaves, place, left)

    def _count(self, leaves: Places, place: int, left: float) -> None:
        self._counts[leaves, place] += 1
        self._sums[leaves, place] += left

    def belief(self, found: "Found", known: Belief) -> Belief:
        """Return what is known of the arms for that work; `known` is what is known of them for all work."""
        leaves = found.leaves
        counts, sums = self._counts[leaves].mean(axis=0), self._sums[leaves].mean(axis=0)
        means = (SHRINK * np.array(known.means) + sums) / (SHRINK + counts)
        deviations = BOLD * np.array(known.spreads) / np.sqrt(SHRINK + counts)
        return Belief(means=means.tolist(), deviations=deviations.tolist(), spreads=known.spreads)


class _Hardness:
    """Predicts rewards (their arms' means taken out) from the features alone, as far as that has shown to be of use."""

    def __init__(self, points: Numbers, targets: Numbers) -> None:
        halves = [np.arange(len(targets)) % 2 == half for half in (0, 1)]
        self._parts = [
            _averaged(points[mine], targets[mine], seed=len(targets) + half) for half, mine in enumerate(halves)
        ]
        told = np.zeros(len(targets))
        for (forest, values), mine in zip(self._parts, halves, strict=True):
            told[~mine] = values[forest.leaves(points[~mine])].mean(axis=1)
        slope = float(np.clip((told @ targets) / (told @ told + 1e-12), 0.0, 1.0))
        left = float(((targets - slope * told) ** 2).sum())
        self._slope = slope if left <= WORTH * float((targets**2).sum()) else 0.0
        self.of_grown = self._slope * told

    def of(self, point: Numbers) -> float:
        """Return how much better than others work is for all arms."""
        told = [float(values[forest.leaves(point)].mean()) for forest, values in self._parts]
        return self._slope * sum(told) / len(told)


def _averaged(points: Numbers, targets: Numbers, *, seed: int) -> tuple[Forest, Numbers]:
    """Return trees with the mean of the targets in each of their leaves."""
    forest = grow(points, targets, trees=TREES // 2, leaf=LEAF, seed=seed)
    sums, counts = np.zeros(forest.nodes), np.zeros(forest.nodes)
    for leaves, target in zip(forest.leaves(points), targets, strict=True):
        sums[leaves] += target
        counts[leaves] += 1
    return forest, sums / np.maximum(counts, 1)


def _means(values: Numbers, arm: NDArray[np.int64], arms: int) -> Numbers:
    counts = np.bincount(arm, minlength=arms)
    return np.bincount(arm, weights=values, minlength=arms) / np.maximum(counts, 1)


def _targets(left: Numbers, arm: NDArray[np.int64], arms: int) -> Numbers:
    """Return a column for each arm that was tried: how much better than its mean it was in its own trials, else 0."""
    off = left - _means(left, arm, arms)[arm]
    off = np.clip(off, *np.quantile(off, [_OUTER, 1 - _OUTER]))
    tried = np.unique(arm)
    columns = np.where(arm[:, None] == tried[None, :], off[:, None], 0.0)
    return columns if len(tried) > 1 else columns[:, 0]
