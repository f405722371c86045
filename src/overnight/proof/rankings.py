"""How good an order is: of the items of one query, and of the one right document among others."""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist

from overnight.base.errors import NotMeasured


def ndcg(truths: Sequence[float], scores: Sequence[float], k: int) -> float:
    """Return the normalised discounted cumulative gain of the first k items by their scores, 0 to 1.

    Järvelin and Kekäläinen (2002, ACM TOIS 20:422), with the discount 1 / log2(rank + 1). The gain of an item is how
    far its truth lies above the lowest of the query. Items of one score get the mean of their gains, as if their order
    were drawn (McSherry and Najork 2008, ECIR, section 3): a constant score gains nothing by the order of the items.

    Raises:
        NotMeasured: all truths are equal, so that every order is as good.
    """
    lowest = min(truths)
    gains = [truth - lowest for truth in truths]
    best = math.fsum(gain * weight for gain, weight in zip(sorted(gains, reverse=True), _discounts(k), strict=False))
    if best <= 0:
        raise NotMeasured("NDCG needs at least 2 different truths in a query")
    tied: dict[float, list[float]] = defaultdict(list)
    for gain, score in zip(gains, scores, strict=True):
        tied[score].append(gain)
    found, rank = [], 0
    discounts = _discounts(min(k, len(gains)))
    for score in sorted(tied, reverse=True):
        equal = tied[score]
        found.append(math.fsum(equal) / len(equal) * math.fsum(discounts[rank : rank + len(equal)]))
        rank += len(equal)
    return min(1.0, math.fsum(found) / best)


def _discounts(k: int) -> list[float]:
    return [1 / math.log2(rank + 1) for rank in range(1, k + 1)]


def reciprocal_rank(scores: Sequence[float], right: int) -> float:
    """Return 1 / rank of the document at the place `right`, the best score first.

    Among documents of one score it is the mean over their order, as in `ndcg`: a score that says little neither gains
    nor loses by it.
    """
    above = sum(score > scores[right] for score in scores)
    equal = sum(score == scores[right] for score in scores)
    return math.fsum(1 / rank for rank in range(above + 1, above + equal + 1)) / equal


def normal_scores(values: Sequence[float]) -> list[float]:
    """Return the normal score of each value: the normal quantile of (rank - 3/8) / (n + 1/4); ties share a mean rank.

    Blom (1958), Statistical Estimates and Transformed Beta-Variables.
    """
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered, 1)))}
    last = {value: place for place, value in enumerate(ordered, 1)}
    normal = NormalDist()
    return [normal.inv_cdf(((first[one] + last[one]) / 2 - 0.375) / (len(values) + 0.25)) for one in values]
