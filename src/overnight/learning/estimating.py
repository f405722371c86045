"""What each strategy would bring if it executed everything, from executions that were drawn by chance. Pure.

Two estimates stand beside each other (`selection.off_policy`): the self-normalised one, and the doubly robust one,
whose model of the score is the mean of the strategy at that type of task. An exercise for which several strategies were
drawn counts as that many choices, so the chance of each is its chance to be among them, divided by how many. Executions
of one exercise, by several strategies or in several iterations, share how hard it is, which the intervals allow for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from overnight.learning.selection.off_policy import Logged, Valued, doubly_robust, snips

MOST_SCORE = 100.0


@dataclass(frozen=True, kw_only=True)
class Executed:
    """A strategy that has executed a piece of work of a type.

    `score` is 0 to 100, `chance` that with which it was among the `together` strategies that were drawn for it at once.
    `exercise` is the name of the work; None for work of which there was no other execution.
    """

    type: str
    strategy: str
    score: float
    chance: float
    together: int = 1
    exercise: str | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a strategy would bring: mean score, 0 to 100, both ways."""

    snips: Valued
    doubly_robust: Valued


def estimates(executions: Sequence[Executed]) -> dict[str, Estimate]:
    """Return the estimate of each strategy that has executed anything."""
    return {name: _estimate(name, executions) for name in sorted({one.strategy for one in executions})}


def _estimate(strategy: str, executions: Sequence[Executed]) -> Estimate:
    log = [
        Logged(
            reward=one.score,
            propensity=one.chance / one.together,
            wanted=float(one.strategy == strategy),
            about=one.exercise,
        )
        for one in executions
    ]
    means = _means(executions)
    overall = fmean(one.score for one in executions if one.strategy == strategy)
    predicted = [means[one.type, one.strategy] for one in executions]
    expected = [means.get((one.type, strategy), overall) for one in executions]
    return Estimate(snips=_possible(snips(log)), doubly_robust=_possible(doubly_robust(log, predicted, expected)))


def _possible(one: Valued) -> Valued:
    """Return it within what a mean of scores can be."""
    value, lower, upper = (min(MOST_SCORE, max(0.0, figure)) for figure in (one.value, one.lower, one.upper))
    return replace(one, value=value, lower=lower, upper=upper)


def _means(executions: Sequence[Executed]) -> Mapping[tuple[str, str], float]:
    scores: dict[tuple[str, str], list[float]] = {}
    for one in executions:
        scores.setdefault((one.type, one.strategy), []).append(one.score)
    return {key: fmean(some) for key, some in scores.items()}
