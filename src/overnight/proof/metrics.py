"""The metrics by which agents are measured and compared, by their names in the settings.

A metric turns the answers about the held-out items into one figure, higher is better. Where that figure is a mean over
independent units (items, or the queries of a ranking), versions are compared unit by unit (`overnight.proof.paired`);
where it is not (macro-F1, Spearman's correlation, one ranking of all items), by drawing the items again
(`overnight.proof.bootstrap`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from overnight.base.errors import UserMistake
from overnight.proof.bootstrap import RESAMPLES, Draws, bootstrap_difference
from overnight.proof.gate import Verdict, judge, judge_estimate
from overnight.proof.labels import macro_f1
from overnight.proof.measures import absolute_errors, mean, spearman
from overnight.proof.rankings import ndcg

Answers = Sequence[Any]
"""A number, a label or a score for each item."""
NO_ORDER = 0.0
"""The rank correlation of answers that are all equal: they say nothing about the order."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What an agent is measured by.

    `answers` is what it takes: numbers or labels, which are compared with a truth, or scores (one for each item, higher
    is better) that were measured already. `best` is the best value; None where only the agent knows. `k` is how many of
    a ranking count.
    """

    name: str
    title: str
    answers: Literal["numbers", "labels", "scores"]
    best: float | None
    k: int = 0


_KNOWN = {
    metric.name: metric
    for metric in (
        Metric(name="absolute_error", title="mean absolute error", answers="numbers", best=0.0),
        Metric(name="accuracy", title="accuracy", answers="labels", best=1.0),
        Metric(name="macro_f1", title="macro-F1", answers="labels", best=1.0),
        Metric(name="spearman", title="Spearman", answers="numbers", best=1.0),
        Metric(name="reciprocal_rank", title="MRR", answers="scores", best=1.0),
        Metric(name="exemplar_accuracy", title="nearest-exemplar accuracy", answers="scores", best=1.0),
        Metric(name="score", title="own score", answers="scores", best=None),
    )
}
_NDCG = re.compile(r"ndcg@([1-9]\d{0,5})")


def metric_named(name: str) -> Metric:
    """Return the metric of that name; "ndcg@K" stands for any number K of places.

    Raises:
        UserMistake: there is none; the message lists those that there are.
    """
    ranking = _NDCG.fullmatch(name)
    if ranking is not None:
        return Metric(name=name, title=f"NDCG@{ranking[1]}", answers="numbers", best=1.0, k=int(ranking[1]))
    if name not in _KNOWN:
        known = [*_KNOWN, "ndcg@10"]
        near = get_close_matches(name, known, n=1)
        raise UserMistake(
            f"{name!r} is not a metric" + (f"; did you mean {near[0]}?" if near else "") + f" ({', '.join(known)})"
        )
    return _KNOWN[name]


def measure(metric: Metric, truths: Answers | None, answers: Answers, groups: Sequence[str] | None = None) -> float:
    """Return the metric of the answers, higher is better: an error is negative.

    `truths` are needed for numbers and labels. With `groups` (the query of each item), NDCG is the mean over those
    queries in which the truths differ.

    Raises:
        NotMeasured: there are no items, or no query in which the truths differ.
    """
    units = unit_scores(metric, truths, answers, groups)
    return _figure(metric)(_needed(truths), answers) if units is None else mean(units)


def unit_scores(
    metric: Metric, truths: Answers | None, answers: Answers, groups: Sequence[str] | None
) -> list[float] | None:
    """Return the scores of the independent units whose mean the metric is; None where it is no mean.

    Units are items, or groups where they are given, in the order of their names.
    """
    if metric.k:
        return None if groups is None else _by_query(metric, _needed(truths), answers, groups)
    if metric.name in ("macro_f1", "spearman"):
        return None
    scores = _item_scores(metric, truths, answers)
    if groups is None:
        return scores
    return [mean([scores[place] for place in places]) for places in _places(groups).values()]


def _item_scores(metric: Metric, truths: Answers | None, answers: Answers) -> list[float]:
    if metric.answers == "scores":
        return [float(score) for score in answers]
    if metric.answers == "labels":
        return [float(truth == answer) for truth, answer in zip(_needed(truths), answers, strict=True)]
    return [-error for error in absolute_errors(_needed(truths), answers)]


def _by_query(metric: Metric, truths: Answers, answers: Answers, groups: Sequence[str]) -> list[float]:
    found = []
    for places in _places(groups).values():
        mine = [truths[place] for place in places]
        if len(set(mine)) > 1:
            found.append(ndcg(mine, [answers[place] for place in places], metric.k))
    return found


def _places(groups: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {group: [] for group in sorted(set(groups))}
    for place, group in enumerate(groups):
        found[group].append(place)
    return found


def _needed(truths: Answers | None) -> Answers:
    assert truths is not None, "numbers and labels come with their truths"
    return truths


def _figure(metric: Metric) -> Callable[[Answers, Answers], float]:
    """Return what computes a metric that is no mean from truths and answers."""
    if metric.k:
        return lambda truths, answers: ndcg(truths, answers, metric.k)
    return macro_f1 if metric.answers == "labels" else _order


def _order(truths: Answers, answers: Answers) -> float:
    return NO_ORDER if len(set(answers)) < 2 and len(set(truths)) > 1 else spearman(truths, answers)


def judge_answers(
    metric: Metric,
    truths: Answers | None,
    candidate: Answers,
    champion: Answers,
    *,
    random: Draws,
    groups: Sequence[str] | None = None,
    alpha: float = 0.05,
    smallest_effect: float | None = None,
    resamples: int = RESAMPLES,
) -> Verdict:
    """Let the gate judge a candidate by its answers and the champion's to the same items, in the same order.

    `random` and `resamples` only count where the metric is no mean; a seed gives one verdict. See `gate.judge` and
    `gate.judge_estimate`.

    Raises:
        NotMeasured, UserMistake: see there.
    """
    ours = unit_scores(metric, truths, candidate, groups)
    theirs = unit_scores(metric, truths, champion, groups)
    if ours is not None and theirs is not None:
        return judge(ours, theirs, alpha=alpha, smallest_effect=smallest_effect)
    figure = _figure(metric)

    def gain(true: Answers, new: Answers, old: Answers) -> float:
        return figure(true, new) - figure(true, old)

    seen = bootstrap_difference(
        gain, _needed(truths), candidate, champion, random=random, groups=groups, alpha=alpha, resamples=resamples
    )
    same = list(candidate) == list(champion)
    unit = "items" if groups is None else "groups"
    return judge_estimate(seen, same=same, smallest_effect=smallest_effect, unit=unit, shrinks=metric.k == 0)
