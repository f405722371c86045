"""Policies that know nothing of the work: what each arm has brought so far is all that counts. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overnight.learning.profiles import RATE
from overnight.learning.selection.policy import FLOOR, Features, Trial, checked_arms, checked_floor, floored, place_of
from overnight.learning.selection.posterior import best_shares

DISCOUNT = 0.998
"""What a trial counts after the next one. After 350 further ones it counts half."""
_PRIOR = 2.0
_ALIKE = 0.1
_NO_SPREAD = 1e-9


class EmaGreedy:
    """The arm with the greatest exponential average of its rewards; those never tried come first, in their order."""

    def __init__(self, arms: Sequence[str], *, rate: float = RATE, floor: float = FLOOR) -> None:
        self.arms = checked_arms(arms)
        self._rate, self._floor = rate, checked_floor(floor)
        self._averages: list[float | None] = [None] * len(self.arms)

    def propensities(self, features: Features | None = None) -> Mapping[str, float]:
        """Return 1 less the floor for that arm."""
        return only_best(self.arms, [math.inf if one is None else one for one in self._averages], self._floor)

    def learn(self, trial: Trial) -> None:
        """Take what came of a choice."""
        place = place_of(trial.arm, self.arms)
        before = self._averages[place]
        self._averages[place] = trial.reward if before is None else before + self._rate * (trial.reward - before)


class Ucb1:
    """The arm with the greatest upper confidence bound: Auer, Cesa-Bianchi and Fischer 2002, Machine Learning 47:235.

    Rewards are brought to [0, 1] by the least and the greatest seen so far, since their scale is not known before.
    """

    def __init__(self, arms: Sequence[str], *, floor: float = FLOOR) -> None:
        self.arms = checked_arms(arms)
        self._floor = checked_floor(floor)
        self._counts, self._sums = [0] * len(self.arms), [0.0] * len(self.arms)
        self._least, self._most = math.inf, -math.inf

    def propensities(self, features: Features | None = None) -> Mapping[str, float]:
        """Return 1 less the floor for that arm; those never tried come first, in their order."""
        tries, width = sum(self._counts), self._most - self._least
        bounds = [
            total / count + width * math.sqrt(2 * math.log(tries) / count) if count else math.inf
            for total, count in zip(self._sums, self._counts, strict=True)
        ]
        return only_best(self.arms, bounds, self._floor)

    def learn(self, trial: Trial) -> None:
        """Take what came of a choice."""
        place = place_of(trial.arm, self.arms)
        self._counts[place] += 1
        self._sums[place] += trial.reward
        self._least, self._most = min(self._least, trial.reward), max(self._most, trial.reward)


def only_best(arms: Sequence[str], values: Sequence[float], floor: float) -> dict[str, float]:
    """Return all but the floor for the arm with the greatest value; of equal ones, the first."""
    best = max(range(len(arms)), key=values.__getitem__)
    return floored(arms, [float(place == best) for place in range(len(arms))], floor)


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What is known of the arms, each in its place: the mean of each, how unsure it is, and how rewards spread."""

    means: Sequence[float]
    deviations: Sequence[float]
    spreads: Sequence[float]


class Tallies:
    """Discounted counts, means and squared deviations of the rewards of each arm, and what follows from them.

    The mean of an arm is normal around the mean of all arms, as the rewards of an arm are around its mean: empirical
    Bayes, Efron and Morris 1973, J. Am. Stat. Assoc. 68:117. So an arm that was never tried is expected to be one like
    the others, and no more. The variance of an arm's rewards is unknown: a scaled inverse chi-squared prior, worth
    `_PRIOR` rewards, at the variance of all arms within (Gelman et al. 2013, Bayesian Data Analysis, section 2.6).
    A discount of all that was counted follows what changes: Raj and Kalyani 2017, arXiv:1707.09727.
    """

    def __init__(self, count: int, discount: float) -> None:
        self._discount = discount
        self._counts, self._means, self._squares = [0.0] * count, [0.0] * count, [0.0] * count

    def add(self, place: int, reward: float) -> None:
        """Count a reward of the arm in that place."""
        self._counts = [one * self._discount for one in self._counts]
        self._squares = [one * self._discount for one in self._squares]
        off = reward - self._means[place]
        self._counts[place] += 1
        self._means[place] += off / self._counts[place]
        self._squares[place] += off * (reward - self._means[place])

    def belief(self) -> Belief | None:
        """Return what is known; None where nothing was counted yet."""
        tried = [(n, mean) for n, mean in zip(self._counts, self._means, strict=True) if n > 0]
        if not tried:
            return None
        middle = math.fsum(mean for _, mean in tried) / len(tried)
        apart = math.fsum((mean - middle) ** 2 for _, mean in tried) / len(tried)
        degrees = math.fsum(n for n, _ in tried) - len(tried)
        within = math.fsum(self._squares) / degrees if degrees >= 1 else apart
        between = max(apart, _ALIKE * within, _NO_SPREAD)
        means, deviations, spreads = [], [], []
        for n, mean, squares in zip(self._counts, self._means, self._squares, strict=True):
            variance = max((_PRIOR * within + squares) / (_PRIOR + n), _NO_SPREAD)
            precision = 1 / between + n / variance
            means.append((middle / between + n * mean / variance) / precision)
            deviations.append(precision**-0.5)
            spreads.append(math.sqrt(variance))
        return Belief(means=means, deviations=deviations, spreads=spreads)


class Thompson:
    """Each arm as often as it is the best one by what is known of its mean: see `Tallies` and `best_shares`."""

    def __init__(self, arms: Sequence[str], *, discount: float = DISCOUNT, floor: float = FLOOR) -> None:
        self.arms = checked_arms(arms)
        self._floor = checked_floor(floor)
        self._tallies = Tallies(len(self.arms), discount)

    def propensities(self, features: Features | None = None) -> Mapping[str, float]:
        """Return how likely each arm is the best one."""
        known = self._tallies.belief()
        if known is None:
            return dict.fromkeys(self.arms, 1 / len(self.arms))
        return floored(self.arms, best_shares(known.means, known.deviations), self._floor)

    def learn(self, trial: Trial) -> None:
        """Take what came of a choice."""
        self._tallies.add(place_of(trial.arm, self.arms), trial.reward)
