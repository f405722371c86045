"""How sure a difference is in a figure that is not a mean over items: by drawing the items again and again.

Items (or whole groups, where several items share an origin) are drawn with replacement, both versions' answers
together, and the figure is computed anew. Each bound is the outer one of two:

- the percentile of the drawn differences, widened for small n (the expanded percentile interval of Hesterberg 2015, The
  American Statistician 69:371);
- the difference itself, minus or plus Student's t times the standard deviation of the drawn differences (the standard
  interval of Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 12 and 13), widened in the same way.

Either alone calls one of two equally good versions better too often somewhere: the first for macro-F1 of few items, the
second where a class is rare. `docs/concepts-proof.md` has the rates that were measured.
"""

import math
from collections.abc import Callable, Sequence
from statistics import stdev
from typing import Any, Protocol, TypeVar

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof.distributions import normal_tail, t_quantile
from overnight.proof.measures import Estimate
from overnight.proof.paired import check_alpha, check_finite, fewest_untied

_T = TypeVar("_T")
Answer = float | str
"""What is compared with the truth: a number, or a label."""
Gain = Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], float]
"""Takes the truths, the candidate's answers and the champion's; returns by how much the candidate is better."""
RESAMPLES = 1000
_FEWEST_RESAMPLES = 100


class Draws(Protocol):
    """Where chance comes from: a seeded `random.Random`."""

    def choices(self, population: Sequence[_T], *, k: int) -> list[_T]:
        """Return k members, drawn with replacement."""


def bootstrap_difference(
    gain: Gain,
    truths: Sequence[Answer],
    candidate: Sequence[Answer],
    champion: Sequence[Answer],
    *,
    random: Draws,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    alpha: float = 0.05,
) -> Estimate:
    """Return the candidate's gain in a figure that is not a mean over items, by drawing items with replacement.

    With `groups` (one for each item) all items of a group are drawn together, and `n` counts groups. For the bounds see
    the module; where so few units differ that all could be wins by luck, they include 0. A resample on which `gain`
    raises NotMeasured is left out. The same seed and the same items, in any order, give the same bounds.

    Raises:
        NotMeasured: there are fewer than 2 items or groups, or fewer than half of the resamples could be measured.
        UserMistake: the lengths differ, a number is not finite, alpha is not between 0 and 0.5, or there are fewer than
            100 resamples.
    """
    check_alpha(alpha)
    for name, values in (("candidate", candidate), ("champion", champion), ("groups", groups or truths)):
        if len(values) != len(truths):
            raise UserMistake(f"both sides must have the same length, got {len(truths)} and {len(values)} ({name})")
    for name, values in (("truths", truths), ("candidate", candidate), ("champion", champion)):
        check_finite(name, [value for value in values if not isinstance(value, str)])
    if resamples < _FEWEST_RESAMPLES:
        raise UserMistake(f"resamples must be at least {_FEWEST_RESAMPLES}, got {resamples!r}")
    units = _units(list(zip(truths, candidate, champion, strict=True)), groups)
    n = len(units)
    if n < 2:
        raise NotMeasured(f"a bootstrap needs at least 2 items or groups, got {n}")
    value = gain(truths, candidate, champion)
    drawn = []
    for _ in range(resamples):
        items = [item for unit in random.choices(units, k=n) for item in unit]
        try:
            drawn.append(gain(*zip(*items, strict=True)))
        except NotMeasured:
            continue
    if 2 * len(drawn) < resamples:
        raise NotMeasured(f"only {len(drawn)} of {resamples} resamples could be measured; more items are needed")
    drawn.sort()
    widened = math.sqrt(n / (n - 1)) * t_quantile(alpha, n - 1)
    margin, tail = widened * stdev(drawn), normal_tail(widened)
    lower = min(_quantile(drawn, tail), value - margin)
    upper = max(_quantile(drawn, 1 - tail), value + margin)
    if sum(any(new != old for _, new, old in unit) for unit in units) < fewest_untied(alpha):
        lower, upper = min(lower, 0.0), max(upper, 0.0)
    return Estimate(value=value, lower=lower, upper=upper, n=n, alpha=alpha)


def _units(items: Sequence[tuple[Any, Any, Any]], groups: Sequence[str] | None) -> list[list[tuple[Any, Any, Any]]]:
    """Return what is drawn as a whole, in an order that does not depend on that of the items."""
    if groups is None:
        return [[item] for item in sorted(items)]
    found: dict[str, list[tuple[Any, Any, Any]]] = {}
    for item, group in zip(items, groups, strict=True):
        found.setdefault(group, []).append(item)
    return [sorted(found[group]) for group in sorted(found)]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the point with this share of the values below it (Hyndman and Fan 1996, definition 6, clipped)."""
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
