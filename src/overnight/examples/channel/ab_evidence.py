"""Which of three variants is better, by evidence that holds however often anybody looks. Pure.

Three criteria are asked in turn: the click rate (views per time shown), the time watched per view, and both together:
the time watched per time shown. A chance of `ALPHA` to ever name a winner that is none is shared out over them, and
over the comparisons of each.

Click rates are compared in pairs, by e-processes (`overnight.proof.eprocess`). In each period between two readings, the
clicks of a pair belong to either variant in proportion to how often it was shown, where both are clicked alike; so a
week-end, or a day of much traffic, favours neither. How many of K clicks one gets is then hypergeometric, and what is
bet on them is convex in that number, so that its expectation is not above that of the binomial, which is 1 (Hoeffding
1963, J. Am. Stat. Assoc. 58:13, theorem 4). The two means have bounds that hold at any time
(`overnight.proof.anytime`): a winner's lower bound lies above the others' upper bounds.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

from overnight.base.errors import UserMistake
from overnight.proof.anytime import bounds_of_counts
from overnight.proof.eprocess import MOST, Wealth

ALPHA = 0.05
LEAST_VIEWS = 1000
"""Views that each variant has to have before anything is said."""
RATIOS = (1.05, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0)
"""How many times as often one variant may be clicked as the other; each gets an equal part of what is bet."""
CRITERIA = ("click rate", "time watched", "time watched per time shown")
TENTHS = 11
"""A view is counted by the tenths of the video that it lasted: 0, 1, ..., 10."""

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class Arm:
    """All that came of a variant so far: times shown, views of these, and views by tenths watched (none: not told)."""

    impressions: int
    views: int
    watched: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        whole = all(isinstance(one, int) and one >= 0 for one in (self.impressions, self.views, *self.watched))
        if not whole or self.views > self.impressions:
            raise UserMistake(
                f"impressions and views must be whole numbers, with views <= impressions; got {self.impressions!r} "
                f"and {self.views!r}"
            )
        if self.watched and (len(self.watched) != TENTHS or sum(self.watched) != self.views):
            raise UserMistake(
                f"watched must be {TENTHS} counts whose sum is the views ({self.views}): {self.watched!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the evidence says: a winner and by which criterion, or none yet; `why` in words, `figures` behind it."""

    winner: str | None
    criterion: str | None
    why: str
    figures: Mapping[str, object]


def begun(variants: tuple[str, ...]) -> Json:
    """Return the evidence before anything was read."""
    wealth = Wealth.over(len(RATIOS), first=1.0)
    return {
        "read": {name: asdict(Arm(impressions=0, views=0)) for name in variants},
        "wealth": {f"{one}>{other}": asdict(wealth) for one, other in permutations(variants, 2)},
    }


def gone_on(evidence: Json, arms: Mapping[str, Arm]) -> Json:
    """Return the evidence after a reading of all that came so far.

    Raises:
        UserMistake: a variant is missing, or has less than at an earlier reading.
    """
    before = {name: _arm(values) for name, values in evidence["read"].items()}
    for name, old in before.items():
        new = arms.get(name)
        if new is None:
            raise UserMistake(f"the metrics say nothing of variant {name!r}")
        if new.impressions < old.impressions or new.views < old.views:
            raise UserMistake(
                f"variant {name!r} had {old.impressions} impressions and {old.views} views, and now "
                f"{new.impressions} and {new.views}: give counts since the test began, which never fall"
            )
    wealth = {}
    for pair, values in evidence["wealth"].items():
        one, other = pair.split(">")
        wealth[pair] = asdict(_bet(Wealth.from_dict(values), *_new(before, arms, one), *_new(before, arms, other)))
    return {"read": {name: asdict(arms[name]) for name in before}, "wealth": wealth}


def verdict(evidence: Json) -> Verdict:
    """Return what the evidence says now; looking more often makes no error likelier."""
    arms = {name: _arm(values) for name, values in evidence["read"].items()}
    figures = {name: _figures(arm) for name, arm in arms.items()}
    few = {name: arm.views for name, arm in arms.items() if arm.views < LEAST_VIEWS}
    if few:
        told = ", ".join(f"{name} has {views:,}" for name, views in few.items())
        return Verdict(
            winner=None, criterion=None, why=f"{LEAST_VIEWS:,} views each are needed; {told}", figures=figures
        )
    beaten = _beaten(evidence)
    clicked = [name for name in arms if all(name != loser for _, loser in beaten) and _beats_all(name, arms, beaten)]
    if clicked:
        return _won(
            clicked[0], 0, f"clicked more often than each other variant (e-values {_e_values(evidence)})", figures
        )
    for place, counts in ((1, _watched(arms)), (2, _shown(arms))):
        best = _above_all(counts)
        if best is not None and all(loser != best for _, loser in beaten):
            return _won(best, place, "its lower bound lies above the upper bounds of the others", figures)
    return Verdict(winner=None, criterion=None, why="no criterion tells the variants apart yet", figures=figures)


def level(variants: int) -> float:
    """Return the chance of error that each comparison of each criterion has."""
    return ALPHA / len(CRITERIA) / (variants * (variants - 1))


def _arm(values: Mapping[str, Any]) -> Arm:
    return Arm(impressions=values["impressions"], views=values["views"], watched=tuple(values["watched"]))


def _new(before: Mapping[str, Arm], now: Mapping[str, Arm], name: str) -> tuple[int, int]:
    """Return how often a variant was shown and viewed since the reading before."""
    return now[name].impressions - before[name].impressions, now[name].views - before[name].views


def _bet(wealth: Wealth, shown: int, clicked: int, other_shown: int, other_clicked: int) -> Wealth:
    if not shown or not other_shown:
        return wealth  # nobody was beside it
    share, clicks = shown / (shown + other_shown), clicked + other_clicked
    logs = [clicked * math.log(ratio) - clicks * math.log1p(share * (ratio - 1)) for ratio in RATIOS]
    return wealth.times([math.exp(min(one, math.log(MOST))) for one in logs])


def _beaten(evidence: Json) -> list[tuple[str, str]]:
    """Return the pairs of which the first is shown to be clicked more often."""
    needed = 1 / level(len(evidence["read"]))
    found = []
    for pair, values in evidence["wealth"].items():
        if Wealth.from_dict(values).value >= needed:
            one, other = pair.split(">")
            found.append((one, other))
    return found


def _beats_all(name: str, arms: Mapping[str, Arm], beaten: list[tuple[str, str]]) -> bool:
    return all((name, other) in beaten for other in arms if other != name)


def _e_values(evidence: Json) -> str:
    return ", ".join(f"{pair} {Wealth.from_dict(one).value:.3g}" for pair, one in evidence["wealth"].items())


def _watched(arms: Mapping[str, Arm]) -> dict[str, Counter[float]]:
    """Return how often each share of the video was watched, per view; none where a variant does not tell."""
    if not all(arm.watched for arm in arms.values()):
        return {}
    tenths = [place / (TENTHS - 1) for place in range(TENTHS)]
    return {name: Counter(dict(zip(tenths, arm.watched, strict=True))) for name, arm in arms.items()}


def _shown(arms: Mapping[str, Arm]) -> dict[str, Counter[float]]:
    """Return the same per time shown: nothing was watched of what was not clicked."""
    found = _watched(arms)
    for name, counts in found.items():
        counts[0.0] += arms[name].impressions - arms[name].views
    return found


def _above_all(counts: Mapping[str, Counter[float]]) -> str | None:
    """Return the variant whose mean is shown to be above the others'; None where none is."""
    if not counts:
        return None
    alpha = level(len(counts))
    bounds = {name: bounds_of_counts(one, low=0.0, high=1.0, alpha=alpha) for name, one in counts.items()}
    best = max(bounds, key=lambda name: bounds[name][0])
    return best if all(bounds[best][0] > upper for name, (_, upper) in bounds.items() if name != best) else None


def _figures(arm: Arm) -> Json:
    watched = sum(place * count for place, count in enumerate(arm.watched)) / (TENTHS - 1)
    return {
        "impressions": arm.impressions,
        "views": arm.views,
        "click_rate": arm.views / arm.impressions if arm.impressions else None,
        "watched": watched / arm.views if arm.watched and arm.views else None,
        "watched_per_impression": watched / arm.impressions if arm.watched and arm.impressions else None,
    }


def _won(name: str, place: int, how: str, figures: Mapping[str, object]) -> Verdict:
    return Verdict(winner=name, criterion=CRITERIA[place], why=f"variant {name}: {how}", figures=figures)
