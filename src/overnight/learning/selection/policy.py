"""What chooses among strategies (arms), whichever way it does. Pure.

A policy says how likely it is to choose which arm, is told what came of the choice, and keeps nothing else: whoever
hands it the trials that are on record, oldest first, has it as it was.

    policy = Contextual(["conservative", "balanced"])     # of `overnight.learning.selection.contextual`
    for trial in recorded:
        policy.learn(trial)
    choice = choose(policy, {"type": "tabular_noisy", "items": 400}, Random(seed))
    ...                                                          # execute it, record it with choice.propensity
    policy.learn(Trial(arm=choice.arm, reward=score, propensity=choice.propensity, features=features))
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from overnight.base.errors import UnknownName, UserMistake
from overnight.base.vocabulary import suggestion

if TYPE_CHECKING:
    from random import Random

Features = Mapping[str, float | str | None]
"""What is known of a piece of work before it is done: numbers, words, and None for what is missing."""

FLOOR = 0.01
"""All arms together are tried at least so often by chance alone, each as often as the others."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A choice and what came of it.

    `reward` is better the higher it is, on any scale, the same for all arms. `propensity` is the probability, above 0
    and up to 1, with which the arm was chosen; 1 where a person has chosen it.
    """

    arm: str
    reward: float
    propensity: float
    features: Features | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.reward):
            raise UserMistake(f"a reward has to be a finite number, got {self.reward!r} for {self.arm!r}")
        if not 0 < self.propensity <= 1:
            raise UserMistake(f"a propensity has to be above 0 and up to 1, got {self.propensity!r} for {self.arm!r}")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An arm, and the probability with which it was chosen."""

    arm: str
    propensity: float


class Policy(Protocol):
    """What chooses; used by one thread at a time, and a function of the trials that it was told, in their order."""

    @property
    def arms(self) -> Sequence[str]:
        """Return the arms, in the order in which they were given."""
        ...

    def propensities(self, features: Features | None = None) -> Mapping[str, float]:
        """Return with which probability each arm is chosen; together 1. Asking changes nothing."""
        ...

    def learn(self, trial: Trial) -> None:
        """Take what came of a choice.

        Raises:
            UnknownName: there is no such arm.
        """
        ...


def choose(policy: Policy, features: Features | None, draw: "Random") -> Choice:
    """Return an arm, drawn by the propensities of a policy."""
    shares = policy.propensities(features)
    arms = list(shares)
    arm = draw.choices(arms, weights=[shares[arm] for arm in arms])[0]
    return Choice(arm=arm, propensity=shares[arm])


def checked_arms(arms: Sequence[str]) -> tuple[str, ...]:
    """Return the arms.

    Raises:
        UserMistake: there are none, or one is named twice.
    """
    if not arms:
        raise UserMistake("there is nothing to choose among: name at least one arm")
    if len(set(arms)) < len(arms):
        raise UserMistake(f"an arm is named twice: {', '.join(arms)}")
    return tuple(arms)


def place_of(arm: str, arms: Sequence[str]) -> int:
    """Return the place of an arm.

    Raises:
        UnknownName: it is none of them.
    """
    if arm not in arms:
        raise UnknownName(f"there is no arm {arm!r}{suggestion(arm, arms)}")
    return arms.index(arm)


def floored(arms: Sequence[str], shares: Sequence[float], floor: float) -> dict[str, float]:
    """Return shares, which add up to 1, with `floor` of them spread evenly over all arms."""
    return {arm: floor / len(arms) + (1 - floor) * share for arm, share in zip(arms, shares, strict=True)}


def checked_floor(floor: float) -> float:
    """Return the floor.

    Raises:
        UserMistake: it is not between 0 and 1.
    """
    if not 0 < floor < 1:
        raise UserMistake(f"a floor has to be between 0 and 1, got {floor!r}")
    return floor
