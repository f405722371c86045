"""Which videos do better or worse than the channel's others, with intervals, and only where that is sure. Pure.

Three figures are looked at, each by a judge of its own: the click rate (views of impressions), the share of a video
that a view lasts, and likes per view. All are means of values between 0 and 1, of which zeros and ones spread the most:
their bounds (`overnight.proof.anytime`) are too narrow for none of them, and hold however often the figures are read. A
video stands out where its interval meets neither that of all others together, nor those of more than half of the others
one by one: so a single odd video does not make all others stand out. That is asked of each video and figure at a level
which leaves a chance of `ALPHA` for even one false finding among them all (Holm's rule, `overnight.proof.multiple`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from metrics_reading import Row

from overnight.proof.anytime import bounds_of_counts
from overnight.proof.multiple import holm

ALPHA = 0.05
LEAST = 1000
"""Impressions (for click rates) or views that a video, and all others together, have to have."""
FIGURES = ("click rate", "share watched", "likes per view")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A figure of a video that lies above or below that of all others together; bounds at the level that was asked."""

    video_id: str
    figure: str
    direction: str
    value: float
    lower: float
    upper: float
    n: int
    others: float
    others_lower: float
    others_upper: float
    others_n: int

    @property
    def words(self) -> str:
        """The finding as a sentence."""
        return (
            f"{self.figure} {100 * self.value:.1f} % ({100 * self.lower:.1f} to {100 * self.upper:.1f} %, "
            f"n = {self.n:,}), the other videos {100 * self.others:.1f} % ({100 * self.others_lower:.1f} to "
            f"{100 * self.others_upper:.1f} %, n = {self.others_n:,})"
        )


Counted = tuple[float, int]
"""A sum of values between 0 and 1, and how many there are."""


def findings(rows: Sequence[Row]) -> list[Finding]:
    """Return what is sure about which videos; nothing is said of videos with too few impressions or views."""
    asked: dict[str, tuple[str, str, str, Counted, Counted]] = {}
    one_by_one: dict[str, list[Counted]] = {}
    for figure in FIGURES:
        counted = {row.video_id: one for row in rows if (one := _counted(row, figure)) is not None}
        total = sum(value for value, _ in counted.values()), sum(n for _, n in counted.values())
        for video_id, (value, n) in counted.items():
            others = total[0] - value, total[1] - n
            if n >= LEAST and others[1] >= LEAST:
                for direction in ("above", "below"):
                    name = f"{figure} {direction} {video_id}"
                    asked[name] = video_id, figure, direction, (value, n), others
                    one_by_one[name] = [one for other, one in counted.items() if other != video_id and one[1] >= LEAST]

    def significant(name: str, level: float) -> bool:
        _, _, direction, mine, others = asked[name]
        single = sum(_apart(direction, mine, one, level) for one in one_by_one[name])
        return _apart(direction, mine, others, level) and 2 * single > len(one_by_one[name])

    found = holm(asked, significant, alpha=ALPHA)
    return [_finding(*asked[name], level=ALPHA / len(asked) / 2) for name in found]


def too_few(rows: Sequence[Row]) -> list[str]:
    """Return the videos of which nothing is said yet, as they have too few views."""
    return [row.video_id for row in rows if row.views < LEAST]


def verdicts(found: Sequence[Finding]) -> dict[str, str]:
    """Return for each video that stands out: winner, underperformer, or split where its figures disagree."""
    sides: dict[str, set[str]] = {}
    for one in found:
        sides.setdefault(one.video_id, set()).add(one.direction)
    names = {frozenset({"above"}): "winner", frozenset({"below"}): "underperformer"}
    return {video_id: names.get(frozenset(told), "split") for video_id, told in sides.items()}


def by_trait(traits: Mapping[str, str], found: Sequence[Finding]) -> dict[str, dict[str, list[str]]]:
    """Return winners and underperformers by a trait of theirs, such as the topic: {trait: {"winner": [ids], ...}}."""
    told: dict[str, dict[str, list[str]]] = {}
    for video_id, verdict in verdicts(found).items():
        if video_id in traits:
            told.setdefault(traits[video_id], {}).setdefault(verdict, []).append(video_id)
    return told


def as_json(one: Finding) -> dict[str, Any]:
    """Return a finding as JSON, with its sentence."""
    return {**asdict(one), "words": one.words}


def _counted(row: Row, figure: str) -> Counted | None:
    if figure == "click rate":
        return None if row.impressions is None else (row.views, row.impressions)
    if figure == "likes per view":
        return None if row.likes is None else (row.likes, row.views)
    if row.watched:
        tenths = len(row.watched) - 1
        return sum(place * count for place, count in enumerate(row.watched)) / tenths, row.views
    return None if row.average_watched is None else (row.average_watched * row.views, row.views)


def _apart(direction: str, mine: Counted, others: Counted, level: float) -> bool:
    low, high = (others, mine) if direction == "above" else (mine, others)
    return _bounds(low, level / 2)[1] < _bounds(high, level / 2)[0]


@lru_cache(maxsize=4096)
def _bounds(counted: Counted, alpha: float) -> tuple[float, float]:
    """Return the bounds of a mean, each ever wrong with a chance of `alpha`."""
    total, n = counted
    ones = round(total)
    return bounds_of_counts({1.0: ones, 0.0: n - ones}, low=0.0, high=1.0, alpha=alpha)


def _finding(video_id: str, figure: str, direction: str, mine: Counted, others: Counted, *, level: float) -> Finding:
    own, rest = _bounds(mine, level), _bounds(others, level)
    return Finding(
        video_id=video_id,
        figure=figure,
        direction=direction,
        value=mine[0] / mine[1],
        lower=own[0],
        upper=own[1],
        n=mine[1],
        others=others[0] / others[1],
        others_lower=rest[0],
        others_upper=rest[1],
        others_n=others[1],
    )
