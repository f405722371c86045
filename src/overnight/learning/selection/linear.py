"""A linear policy: Thompson sampling with a ridge regression for each arm. Needs NumPy."""

from collections.abc import Mapping, Sequence

import numpy as np

from overnight.learning.selection.encoding import Encoder, Numbers
from overnight.learning.selection.policy import FLOOR, Features, Trial, checked_arms, checked_floor, floored, place_of
from overnight.learning.selection.posterior import best_shares

RIDGE = 1.0
FIRST, GROWTH = 20, 1.5


class LinearThompson:
    """Each arm as often as a linear regression gives it the best reward (Agrawal and Goyal 2013, ICML, "Thompson
    sampling for contextual bandits with linear payoffs").

    Columns are those of the features so far, scaled to a mean of 0 and a spread of 1; they are made anew as trials come
    in. Before there are some, and where features are missing, all arms have the same chance.
    """

    def __init__(self, arms: Sequence[str], *, floor: float = FLOOR) -> None:
        self.arms = checked_arms(arms)
        self._floor = checked_floor(floor)
        self._trials: list[Trial] = []
        self._next = float(FIRST)
        self._encoder: Encoder | None = None

    def propensities(self, features: Features | None = None) -> Mapping[str, float]:
        """Return how likely each arm is to have the best reward, as the regressions see it."""
        if features is None or self._encoder is None:
            return dict.fromkeys(self.arms, 1 / len(self.arms))
        row = self._row(features)
        means = np.einsum("aij,aj,i->a", self._inverses, self._sums, row)
        deviations = self._spread * np.sqrt(np.einsum("i,aij,j->a", row, self._inverses, row)) + 1e-9
        return floored(self.arms, best_shares(means.tolist(), deviations.tolist()), self._floor)

    def learn(self, trial: Trial) -> None:
        """Take what came of a choice."""
        place = place_of(trial.arm, self.arms)
        if trial.features is None:
            return
        self._trials.append(trial)
        if len(self._trials) >= self._next:
            self._next *= GROWTH
            self._begin()
        elif self._encoder is not None:
            self._add(self._row(trial.features), place, trial.reward - self._middle)

    def _begin(self) -> None:
        known = [one.features or {} for one in self._trials]
        self._encoder = Encoder(known)
        points = np.array([self._encoder.encode(one) for one in known])
        self._mean, self._scale = points.mean(axis=0), points.std(axis=0) + 1e-9
        rewards = np.array([one.reward for one in self._trials])
        self._middle, self._spread = float(rewards.mean()), float(rewards.std()) + 1e-9
        width = points.shape[1] + 1
        self._inverses = np.stack([np.eye(width) / RIDGE] * len(self.arms))
        self._sums = np.zeros((len(self.arms), width))
        for one in self._trials:
            self._add(self._row(one.features or {}), place_of(one.arm, self.arms), one.reward - self._middle)

    def _add(self, row: Numbers, place: int, reward: float) -> None:
        """Add a row to a regression: Sherman and Morrison's update of the inverse."""
        seen = self._inverses[place] @ row
        self._inverses[place] -= np.outer(seen, seen) / (1 + row @ seen)
        self._sums[place] += row * reward

    def _row(self, features: Features) -> Numbers:
        assert self._encoder is not None
        scaled = np.clip((self._encoder.encode(features) - self._mean) / self._scale, -5, 5)
        row: Numbers = np.append(scaled, 1.0) / np.sqrt(len(scaled) + 1)
        return row
