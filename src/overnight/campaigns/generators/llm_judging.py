"""Whether a judge is one: its scores of samples that were damaged on purpose, beside those of good ones. Pure.

A score is the least that the judge gives of any criterion. The threshold is chosen on every other sample, as the one
that parts good from bad best (W. J. Youden, Index for rating diagnostic tests, 1950), and tried out on the rest: there
it must refuse nearly all bad ones of every kind and keep most good ones. A judge that does not is none, and abstains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from overnight.campaigns.gate import FEWEST_PLANTED, LET_THROUGH
from overnight.campaigns.planted import TRUNCATED, WRONG

KINDS = (TRUNCATED, WRONG)
"""Of damage that a judge has to see; an answer that is empty or copied is refused without one."""
KEPT = 0.8
"""The share of good samples that a judge has to keep."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a judge was found to be: from which score on it accepts, and None where it is no judge; and why."""

    threshold: float | None
    seen: str


def calibrated(good: Sequence[float], bad: Mapping[str, Sequence[float]]) -> Calibration:
    """Return what the scores (0 to 1) of good samples and of bad ones, by kind, say of a judge."""
    counts = {"good": len(good), **{kind: len(bad.get(kind, ())) for kind in KINDS}}
    for name, count in counts.items():
        if count < FEWEST_PLANTED:
            return Calibration(threshold=None, seen=f"{name} samples: {count} of {FEWEST_PLANTED} could be made")
    threshold = _parting(good[::2], [score for kind in KINDS for score in bad[kind][::2]])
    kept = _share(good[1::2], threshold)
    passed = {kind: _share(bad[kind][1::2], threshold) for kind in KINDS}
    seen = f"from {threshold:.3f} on, it keeps {kept:.0%} of the good samples" + "".join(
        f" and lets {share:.0%} of the {kind} ones through" for kind, share in passed.items()
    )
    fine = kept >= KEPT and all(share <= LET_THROUGH for share in passed.values())
    return Calibration(threshold=threshold if fine else None, seen=seen)


def _parting(good: Sequence[float], bad: Sequence[float]) -> float:
    """Return the threshold that parts them best; in the middle of the widest gap, where several do so equally."""
    scores = sorted({0.0, *good, *bad, 1.0})
    gaps = [((low + high) / 2, high - low) for low, high in pairwise(scores)]
    return max(gaps, key=lambda gap: (_share(good, gap[0]) - _share(bad, gap[0]), gap[1]))[0]


def _share(scores: Sequence[float], threshold: float) -> float:
    return sum(score >= threshold for score in scores) / len(scores)
