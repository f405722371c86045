"""How good labels are, where some are rare."""

from collections import Counter
from collections.abc import Mapping, Sequence


def macro_f1(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the mean over the labels of F1 = 2 TP / (2 TP + FP + FN); each label that occurs on a side counts once.

    Opitz and Burst (2019, arXiv:1911.03347) call this the averaged F1, against the F1 of averages.
    """
    return macro_f1_of(Counter(zip(truths, predictions, strict=True)))


def macro_f1_of(counts: Mapping[tuple[str, str], int]) -> float:
    """Return the same from how often each pair of truth and prediction occurs."""
    right: Counter[str] = Counter()
    both: Counter[str] = Counter()
    for (truth, prediction), count in counts.items():
        both[truth] += count
        both[prediction] += count
        if truth == prediction:
            right[truth] += count
    # TP + FN and TP + FP of a label add up to what it occurs on both sides.
    return sum(2 * right[label] / both[label] for label in both) / len(both)
