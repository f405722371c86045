"""Which strategies execute an exercise, once something is known of them. Pure.

In the first iteration all do. From the second on, `EACH` of them are drawn for each exercise by discounted Thompson
sampling, which looks at the features of an exercise once that has proved its worth (`selection.contextual`), so that
those that may be the best are executed most; two, so that scores can be compared on one exercise. The chance that each
had is kept with its execution. What came of work elsewhere counts as it does here; evidence of other projects comes
before all that, and counts for less.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overnight.learning.evidence import Evidence, weighed
from overnight.learning.selection.contextual import Contextual
from overnight.learning.selection.policy import Features, Trial

if TYPE_CHECKING:
    from random import Random

EACH = 2


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A strategy that executes an exercise, and the chance that it was among those that do."""

    strategy: str
    propensity: float


def allocated(
    strategies: Sequence[str], trials: Iterable[Trial], exercises: Sequence[Features | None], draw: "Random"
) -> list[list[Drawn]]:
    """Return by which strategies each of the exercises is executed, which are told by their features.

    `trials` is what is known, oldest first.
    """
    if len(strategies) <= EACH:
        return [[Drawn(strategy=name, propensity=1.0) for name in strategies] for _ in exercises]
    # What exercises bring is worth nothing but what is learned from it.
    policy = Contextual(strategies, bold=1.0)
    for trial in trials:
        if trial.arm in strategies:
            policy.learn(trial)
    return [_drawn(strategies, policy.propensities(one), draw) for one in exercises]


def _drawn(strategies: Sequence[str], chances: Mapping[str, float], draw: "Random") -> list[Drawn]:
    """Return the strategies of one exercise: one by the chances, and another one by those of the rest."""
    first = draw.choices(strategies, weights=[chances[name] for name in strategies])[0]
    others = [name for name in strategies if name != first]
    second = draw.choices(others, weights=[chances[name] for name in others])[0]
    included = {
        name: chance + sum(other * chance / (1 - other) for one, other in chances.items() if one != name)
        for name, chance in chances.items()
    }
    return [Drawn(strategy=name, propensity=min(1.0, included[name])) for name in (first, second)]


def trials_of(evidence: Iterable[Evidence], scores: Iterable[tuple[str, float, Features | None]]) -> list[Trial]:
    """Return what is known as trials: evidence of other projects first, then scores (0 to 100), oldest first.

    Evidence is as many trials as it weighs, around its mean with its spread.
    """
    found = []
    for one, weight in weighed(evidence):
        for place in range(weight):
            reward = one.score + (one.spread if place % 2 else -one.spread)
            found.append(Trial(arm=one.strategy, reward=reward, propensity=1.0))
    return found + [
        Trial(arm=name, reward=score, propensity=1.0, features=features) for name, score, features in scores
    ]
