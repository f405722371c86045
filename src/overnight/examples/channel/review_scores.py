"""How measurements become the five scores of a review. Pure.

Each part of a score says what it measures, from where on it is worth nothing, and from where on all 10 points; between
the two it rises on a straight line. What was not measured is worth nothing, and the reasons say so. A score is the mean
of its parts by weight; `WEIGHTS` makes the sum of the five.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WEIGHTS = {"educational": 0.30, "engagement": 0.25, "accuracy": 0.25, "visual": 0.15, "accessibility": 0.05}
Measured = Mapping[str, float | None]
"""Figures by name; None where there was nothing to measure."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a score is made of: the figure `name`, worth 0 points at `bad` and 10 at `good`.

    With `most`, figures above `good` are worth 10 up to `most`, and fall again as far beyond it as they rose before.
    """

    name: str
    words: str
    bad: float
    good: float
    most: float | None = None
    weight: float = 1.0
    unit: str = ""
    only_with: str = ""
    """A figure; where it is 0 there is nothing to measure, and the part is left out."""

    def points(self, value: float | None) -> float:
        """Return what a figure is worth, 0 to 10."""
        if value is None:
            return 0.0
        if self.most is not None and value > self.most:
            value = self.good - (value - self.most)
        return 10 * max(0.0, min(1.0, (value - self.bad) / (self.good - self.bad)))

    def told(self, value: float | None) -> str:
        """Return in words what was measured, and what would be worth all points."""
        if value is None:
            return f"{self.words}: not measured"
        up_to = "" if self.most is None else f" to {self.most:g}"
        return f"{self.words}: {value:.4g}{self.unit} (full points at {self.good:g}{up_to}{self.unit})"


PARTS: Mapping[str, tuple[Part, ...]] = {
    "educational": (
        Part(name="objectives", words="objectives", bad=0, good=2),
        Part(name="objectives_covered", words="share of objectives that the text takes up", bad=0, good=0.6),
        Part(name="examples", words="examples", bad=0, good=1),
        Part(name="summary_points", words="points of the summary", bad=0, good=2),
        Part(name="sections_cited", words="share of sections that cite a source", bad=0.4, good=1.0, weight=2),
        Part(name="flesch", words="reading ease (Flesch)", bad=20, good=50, weight=2),
        Part(name="words_per_minute", words="words per minute", bad=80, good=115, most=185),
    ),
    "engagement": (
        Part(name="hook_words", words="words of the hook", bad=0, good=5, most=45),
        Part(name="hook_pull", words="signs of pull in the hook (a question, a number, a 'you')", bad=0, good=1),
        Part(name="changes_per_minute", words="planned changes of the picture per minute", bad=0.5, good=3, weight=2),
        Part(name="stillest_s", words="longest time that a picture stood still", bad=60, good=25, weight=2, unit=" s"),
        Part(name="scene_kinds", words="kinds of pictures", bad=0, good=3),
        Part(name="manners", words="ways of speaking", bad=0, good=2),
    ),
    "accuracy": (
        Part(
            name="claims_supported",
            words="share of claims that their sources support",
            bad=0.7,
            good=1.0,
            weight=3,
            only_with="claims",
        ),
        Part(name="wrong_claims", words="claims that their sources contradict", bad=2, good=0, weight=2),
        Part(name="sections_cited", words="share of sections that cite a source", bad=0.4, good=1.0),
    ),
    "visual": (
        Part(name="black_s", words="longest black run", bad=1, good=0.2, unit=" s"),
        Part(name="frozen_s", words="longest freeze where a change was planned", bad=3, good=0.5, unit=" s"),
        Part(name="overflows", words="texts that do not fit", bad=1, good=0, weight=2),
        Part(name="contrast", words="lowest contrast of text as drawn", bad=2.5, good=4.5, unit=":1"),
        Part(name="seen_contrast", words="lowest contrast of text in decoded frames", bad=1.5, good=3, unit=":1"),
    ),
    "accessibility": (
        Part(name="captioned_share", words="share of spoken words in the captions", bad=0.7, good=0.98, weight=2),
        Part(
            name="caption_late_s", words="distance of captions from what is heard", bad=1, good=0.4, weight=2, unit=" s"
        ),
        Part(name="contrast", words="lowest contrast of text as drawn", bad=2.5, good=4.5, unit=":1"),
        Part(name="loudness_off_lu", words="distance from -16 LUFS", bad=4, good=1, unit=" LU"),
    ),
}


def score(parts: Sequence[Part], measured: Measured) -> float:
    """Return the mean of the parts by weight, 0 to 10."""
    asked = _asked(parts, measured)
    return sum(part.weight * part.points(measured.get(part.name)) for part in asked) / sum(p.weight for p in asked)


def reasons(parts: Iterable[Part], measured: Measured) -> list[str]:
    """Return in words what cost points, the most first."""
    lost = [(part.weight * (10 - part.points(measured.get(part.name))), part) for part in _asked(parts, measured)]
    return [part.told(measured.get(part.name)) for cost, part in sorted(lost, key=lambda one: -one[0]) if cost > 0.5]


def _asked(parts: Iterable[Part], measured: Measured) -> list[Part]:
    return [part for part in parts if not part.only_with or measured.get(part.only_with) != 0]


def overall(scores: Mapping[str, float]) -> float:
    """Return the sum of the five scores by `WEIGHTS`."""
    return sum(weight * scores[name] for name, weight in WEIGHTS.items())
