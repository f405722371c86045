"""Whether a model is right as often as it says. Pure."""

import math
from collections.abc import Sequence

BINS = 10


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Return the expected calibration error, 0 (best) to 1.

    `confidences` are the probabilities, 0 to 1, that were given to the answers, `right` tells which of these were.
    Answers are put into bins of equal width by their confidence; the error is the mean over all answers of how far, in
    the answer's bin, the share of right ones is from the mean confidence. Naeini, Cooper and Hauskrecht (2015,
    Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI, ECE) for two labels; Guo, Pleiss, Sun and
    Weinberger (2017, On Calibration of Modern Neural Networks, arXiv:1706.04599, section 2, equation 3) for the
    confidence in the label that was answered, which is what is taken here. Ten bins as in the former: the latter's
    fifteen would leave too few of some hundred answers in each.

    The error of a few answers is too high by chance: sums of absolute differences do not cancel out. So it is fit to be
    held against a bound with room for that, as an exercise does, and not to tell which of two good models is better.

    Raises:
        ValueError: the lengths differ, or there are no answers.
    """
    if not confidences:
        raise ValueError("a calibration error needs at least 1 answer, got 0")
    gaps: list[list[float]] = [[] for _ in range(BINS)]
    for confidence, is_right in zip(confidences, right, strict=True):
        gaps[min(int(confidence * BINS), BINS - 1)].append(confidence - is_right)
    return math.fsum(abs(math.fsum(found)) for found in gaps) / len(confidences)
