"""The metrics by which agents are measured and compared, by their names in the settings.

A metric turns the answers about the held-out items into one figure, higher is better. Where that figure is a mean over
independent units (items, or the queries of a ranking), versions are compared unit by unit (`overnight.proof.paired`);
where it is not (macro-F1, Spearman's correlation, one ranking of all items), by drawing the items again
(`overnight.proof.bootstrap`).
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof.bootstrap import RESAMPLES, Draws, bootstrap_difference
from overnight.proof.forms import GateSpec, Looks, required_gain
from overnight.proof.gate import Verdict, judge, judge_estimate
from overnight.proof.labels import macro_f1
from overnight.proof.measures import Estimate, absolute_errors, interval_of_mean, mean, spearman
from overnight.proof.multiple import holm
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
NO_MEANS = ("macro_f1", "spearman")
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


def interval_of(
    metric: Metric, truths: Answers | None, answers: Answers, groups: Sequence[str] | None, *, random: Draws
) -> Estimate:
    """Return the metric of the answers, higher is better, with its 95 % interval.

    That of a mean over units, or where the metric is none, that of drawing the items (or groups) again, by `random`; it
    ends where the values of the metric do.

    Raises:
        NotMeasured: there are fewer than 2 units, or too few of the draws could be measured.
    """
    found = _interval(metric, truths, answers, groups, random)
    lowest, best = (_known(metric, GateSpec()).bounds or (-math.inf, math.inf))[0], metric.best
    upper = found.upper if best is None else min(found.upper, best)
    return replace(found, lower=max(found.lower, lowest), upper=upper)


def _interval(
    metric: Metric, truths: Answers | None, answers: Answers, groups: Sequence[str] | None, random: Draws
) -> Estimate:
    units = unit_scores(metric, truths, answers, groups)
    if units is not None:
        return interval_of_mean(units)
    figure = _figure(metric)
    # The estimate is of a gain: here over nothing, which answers nothing.
    nothing = [""] * len(answers)
    return bootstrap_difference(
        lambda true, new, _: figure(true, new),
        _needed(truths),
        answers,
        nothing,
        random=random,
        groups=groups,
        alpha=0.025,
    )


def unit_scores(
    metric: Metric, truths: Answers | None, answers: Answers, groups: Sequence[str] | None
) -> list[float] | None:
    """Return the scores of the independent units whose mean the metric is; None where it is no mean.

    Units are items, or groups where they are given, in the order of their names.
    """
    if metric.k:
        return None if groups is None else _by_query(metric, _needed(truths), answers, groups)
    if metric.name in NO_MEANS:
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
    segments: Sequence[str | None] | None = None,
    spec: GateSpec | None = None,
    resamples: int = RESAMPLES,
) -> Verdict:
    """Let the gate judge a candidate by its answers and the champion's to the same items, in the same order.

    `groups` name what belongs together and is one unit, `segments` (None: no one) the parts of the items in none of
    which the candidate may be worse; a group whose items are of several is of none. Of `spec`, what the metric knows
    better counts as the metric has it: its bounds, and that errors are better the lower they are. `random` and
    `resamples` only count where the metric is no mean; a seed gives one verdict. See `gate.judge` and
    `gate.judge_estimate`.

    Raises:
        NotMeasured, UserMistake: see there.
    """
    spec = _known(metric, GateSpec() if spec is None else spec)
    ours = unit_scores(metric, truths, candidate, groups)
    theirs = unit_scores(metric, truths, champion, groups)
    if ours is not None and theirs is not None:
        sign = -1.0 if spec.lower_is_better else 1.0
        new, old = ([sign * score for score in side] for side in (ours, theirs))
        return judge(new, old, spec, groups=_of_units(metric, truths, groups, segments))
    return _Drawn(
        metric=metric,
        truths=_needed(truths),
        sides=(candidate, champion),
        groups=groups,
        spec=spec,
        random=random,
        resamples=resamples,
    ).verdict(segments)


def _known(metric: Metric, spec: GateSpec) -> GateSpec:
    """Return the specification with what the metric knows: its range, and whether it is an error."""
    if metric.best is None:
        return spec
    if metric.best == 0:
        return replace(spec, lower_is_better=True, bounds=None)
    return replace(spec, lower_is_better=False, bounds=(-1.0, 1.0) if metric.name == "spearman" else (0.0, 1.0))


def _of_units(
    metric: Metric, truths: Answers | None, groups: Sequence[str] | None, segments: Sequence[str | None] | None
) -> list[str | None] | None:
    """Return the segment of each unit, in the order of `unit_scores`."""
    if segments is None or groups is None:
        return None if segments is None else list(segments)
    found = []
    for places in _places(groups).values():
        if not metric.k or len({_needed(truths)[place] for place in places}) > 1:
            mine = {segments[place] for place in places}
            found.append(mine.pop() if len(mine) == 1 else None)
    return found


def check_asked(metric: Metric, spec: GateSpec, *, grouped: bool) -> None:
    """Refuse what this metric can never answer; `grouped` says whether its items have groups.

    Raises:
        UserMistake: no bounds of it hold at any time, or any version would do.
    """
    known = _known(metric, spec)
    if spec.looks is Looks.FIXED or metric.best is None:
        return
    no_mean = metric.name in NO_MEANS or (metric.k > 0 and not grouped)
    if no_mean or known.bounds is None:
        why = "no mean over items" if no_mean else "an error without bounds"
        raise UserMistake(f"looks = any_time: {metric.name} is {why}, and nothing holds for it at any time")


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A comparison by drawing items again, of all of them or of a segment."""

    metric: Metric
    truths: Answers
    sides: tuple[Answers, Answers]
    groups: Sequence[str] | None
    spec: GateSpec
    random: Draws
    resamples: int

    def verdict(self, segments: Sequence[str | None] | None) -> Verdict:
        """Return the gate's verdict."""
        figure = _figure(self.metric)
        candidate, champion = self.sides
        return judge_estimate(
            self.gain(self.spec, range(len(self.truths))),
            self.spec,
            figures=(figure(self.truths, candidate), figure(self.truths, champion)),
            same=list(candidate) == list(champion),
            unit="items" if self.groups is None else "groups",
            shrinks=self.metric.k == 0,
            worse_in=() if segments is None else self.worse_in(segments),
        )

    def gain(self, spec: GateSpec, places: Sequence[int]) -> Estimate:
        """Return the estimated gain over what is required, on the items at these places."""
        figure = _figure(self.metric)

        def gain(true: Answers, new: Answers, old: Answers) -> float:
            was = figure(true, old)
            return figure(true, new) - was - required_gain(spec, was)

        truths, candidate, champion = ([side[at] for at in places] for side in (self.truths, *self.sides))
        groups = None if self.groups is None else [self.groups[at] for at in places]
        return bootstrap_difference(
            gain,
            truths,
            candidate,
            champion,
            random=self.random,
            groups=groups,
            alpha=spec.alpha,
            resamples=self.resamples,
        )

    def worse_in(self, segments: Sequence[str | None]) -> tuple[str, ...]:
        """Return the segments in which the candidate is worse, where that can be measured."""

        def worse(segment: str, level: float) -> bool:
            places = [at for at, one in enumerate(segments) if one == segment]
            try:
                return self.gain(GateSpec(alpha=level), places).upper < 0
            except NotMeasured:
                return False

        return holm(sorted({one for one in segments if one is not None}), worse, alpha=self.spec.alpha)
