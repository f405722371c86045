"""A policy that looks at the work, once that has proved its worth, and at the arms alone until then.

What is known of an arm is its mean over all work, and over work like this one (`selection.regions`); both are joined by
how much each rests on, and the arms share out the choice by how likely each is the best one. Before a trial counts, its
reward is predicted in both ways; only where work like it has predicted better so far is it looked at. Where features
are missing, or the extra `ml` is, it never is: then this is `bandits.Thompson`, a little bolder.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from overnight.learning.selection.bandits import DISCOUNT, Belief, Tallies
from overnight.learning.selection.policy import FLOOR, Features, Trial, checked_arms, checked_floor, floored, place_of
from overnight.learning.selection.posterior import best_shares

if TYPE_CHECKING:
    from overnight.learning.selection.regions import Found, Regions

FIRST, GROWTH = 24, 1.25
"""Trials from which on trees are grown, and how many times as many until they are grown anew."""
BOLD = 0.5
"""Of the deviation of an arm's mean: draws by all of it try the worse arms more often than pays."""
WINDOW, ALARM = 12, -3.0
"""An arm has changed where so many rewards in a row are, on average, so many standard errors below the expected."""
PROVEN, LEAST_COMPARED, FORGET = 0.98, 20, 0.99
"""The share of the errors without regions that those with them are below, after so many; what older ones weigh."""


class Contextual:
    """Chooses by work like this one where that has predicted better, else by the arms alone."""

    def __init__(
        self, arms: Sequence[str], *, discount: float = DISCOUNT, floor: float = FLOOR, bold: float = BOLD
    ) -> None:
        """`bold` is the share of the deviation of an arm's mean that is drawn by.

        Less of it brings more now; all of it (1.0) finds the best arm more surely.
        """
        self.arms = checked_arms(arms)
        self._floor, self._discount, self._bold = checked_floor(floor), discount, bold
        self._tallies = Tallies(len(self.arms), discount)
        self._trials: list[Trial] = []
        self._told = 0
        self._next = float(FIRST)
        self._regions: Regions | None = None
        self._errors, self._compared = [0.0, 0.0], 0
        self._last: tuple[Features, Found] | None = None
        self._surprises = [deque[float](maxlen=WINDOW) for _ in self.arms]

    @property
    def proven(self) -> bool:
        """Whether work like this one has predicted rewards better than the arms alone."""
        plain, local = self._errors
        return self._compared >= LEAST_COMPARED and local < PROVEN * plain

    def propensities(self, features: Features | None = None) -> Mapping[str, float]:
        """Return how likely each arm is the best one for this work."""
        known = self._tallies.belief()
        if known is None:
            return dict.fromkeys(self.arms, 1 / len(self.arms))
        if features is not None and self._regions is not None and self.proven:
            here = self._regions.belief(self._find(self._regions, features), known)
            return floored(self.arms, best_shares(here.means, here.deviations), self._floor)
        return floored(self.arms, best_shares(known.means, [self._bold * one for one in known.deviations]), self._floor)

    def learn(self, trial: Trial) -> None:
        """Take what came of a choice."""
        place, reward = place_of(trial.arm, self.arms), trial.reward
        self._trials.append(trial)
        if trial.features is not None:
            self._told += 1
            known = self._tallies.belief()
            if self._regions is not None and known is not None:
                reward = self._compare(self._regions, trial, place, known)
        changed = self._has_changed(place, reward)
        self._tallies.add(place, reward)
        if changed:
            self._forget(place)
        if self._told >= self._next:
            self._next *= GROWTH
            self._grow()

    def _compare(self, regions: "Regions", trial: Trial, place: int, known: Belief) -> float:
        """Note how well both ways have predicted; return what is left of the reward without how hard the work is."""
        found = self._find(regions, trial.features or {})
        left = trial.reward - found.easier
        for at, one in enumerate((known, regions.belief(found, known))):
            self._errors[at] = FORGET * self._errors[at] + (left - one.means[place]) ** 2
        self._compared += 1
        regions.add(found, place, left)
        return left

    def _find(self, regions: "Regions", features: Features) -> "Found":
        """Return where the trees put a piece of work; what was chosen for is learned from next."""
        if self._last is None or self._last[0] is not features:
            self._last = features, regions.find(features)
        return self._last[1]

    def _has_changed(self, place: int, reward: float) -> bool:
        """Tell whether an arm has become worse: see ALARM."""
        known, surprises = self._tallies.belief(), self._surprises[place]
        if known is None:
            return False
        surprises.append((reward - known.means[place]) / known.spreads[place])
        if len(surprises) < WINDOW or sum(surprises) / WINDOW**0.5 > ALARM:
            return False
        surprises.clear()
        return True

    def _forget(self, place: int) -> None:
        """Forget what an arm has brought before it became worse."""
        mine = [one for one in self._trials if one.arm == self.arms[place]]
        old = {id(one) for one in mine[:-WINDOW]}
        self._trials = [one for one in self._trials if id(one) not in old]
        self._told = sum(one.features is not None for one in self._trials)
        self._grow()

    def _grow(self) -> None:
        """Grow the trees anew, and count all trials again without how hard their work was, where that is known."""
        told = [one for one in self._trials if one.features is not None]
        left: dict[int, float] = {}
        self._last = self._regions = None
        if told and self._next < math.inf:
            try:
                from overnight.learning.selection.regions import Regions

                places = [place_of(one.arm, self.arms) for one in told]
                self._regions = Regions(told, places, len(self.arms))
                left = {id(one): float(part) for one, part in zip(told, self._regions.left, strict=True)}
            except ImportError:  # the extra `ml` is not installed
                self._next = math.inf
        self._tallies = Tallies(len(self.arms), self._discount)
        for one in self._trials:
            self._tallies.add(place_of(one.arm, self.arms), left.get(id(one), one.reward))
