"""Whether somebody will succeed at a type of task, from what came of it before. Pure.

reliability: an exponential average of successes (0 to 1), average += 0.1 x (success - average), from 0.5 on. What is
predicted is 0.7 x reliability + 0.3 x success rate. How much that is to be trusted follows from the 95 % interval of
the success rate: confidence = 1 - its width, so that few outcomes, and outcomes that differ, say little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from overnight.proof.measures import Estimate, interval_of_share

RATE, START = 0.1, 0.5
OTHER_BELOW, CHECKS_BELOW, TRUSTED_FROM = 0.5, 0.75, 0.6
Recommendation = Literal["use_different_agent", "add_additional_checks", "low_confidence", "proceed"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is predicted, 0 to 1, from `n` outcomes; None without any."""

    n: int
    reliability: float
    success_rate: float | None
    predicted: float | None
    interval: Estimate | None
    confidence: float
    recommendation: Recommendation


def prediction_of(successes: Sequence[float]) -> Prediction:
    """Return what the successes (0 to 1), oldest first, predict of the next one."""
    reliability = START
    for success in successes:
        reliability += RATE * (success - reliability)
    rate = sum(successes) / len(successes) if successes else None
    predicted = None if rate is None else 0.7 * reliability + 0.3 * rate
    interval = None if rate is None else interval_of_share(rate, len(successes))
    confidence = 0.0 if interval is None else 1 - (interval.upper - interval.lower)
    return Prediction(
        n=len(successes),
        reliability=reliability,
        success_rate=rate,
        predicted=predicted,
        interval=interval,
        confidence=confidence,
        recommendation=_recommended(predicted, confidence),
    )


def _recommended(predicted: float | None, confidence: float) -> Recommendation:
    if predicted is None:
        return "low_confidence"
    if predicted < OTHER_BELOW:
        return "use_different_agent"
    if predicted < CHECKS_BELOW:
        return "add_additional_checks"
    return "proceed" if confidence >= TRUSTED_FROM else "low_confidence"
