"""The judge of candidate against champion: better, not better, or too few items to tell.

The gate answers one question about one candidate. It does not correct for many candidates tried on the same items, nor
for asking again while items arrive: whoever does that must share `alpha` out over the tries. Items count as
independent; where several have one source, score the source (its mean), not the item.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from overnight.base.errors import UserMistake
from overnight.proof.distributions import normal_quantile
from overnight.proof.measures import Estimate
from overnight.proof.paired import Comparison, check_finite, compare
from overnight.proof.power import POWER, items_needed

SMALL_EFFECT = 0.1
"""The smallest gain of interest when none is given, as a share of the typical (root mean square) difference.

Half of what Cohen (1988, Statistical Power Analysis, section 2.2.3) calls small, because versions of one model differ
little.
"""


class Decision(StrEnum):
    """What the gate says; only ACCEPT lets a candidate serve."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    UNDERPOWERED = "UNDERPOWERED"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's answer. Differences are candidate minus champion, in the unit of the scores.

    `lower` is the one-sided bound that decides; `lower` and `upper` together are the two-sided interval of level
    `1 - 2 * alpha` for the report. `reason` is one sentence for a person. `more_items` is there only when UNDERPOWERED.
    """

    decision: Decision
    difference: float
    lower: float
    upper: float
    n: int
    alpha: float
    method: str
    reason: str
    more_items: int | None


def judge(
    candidate: Sequence[float],
    champion: Sequence[float],
    *,
    alpha: float = 0.05,
    smallest_effect: float | None = None,
) -> Verdict:
    """Judge a candidate by its scores and the champion's on the same items, in the same order (higher is better).

    The first rule that holds decides:

    1. ACCEPT: the lower bound of the mean difference is above zero. An equally good candidate gets here with a chance
       of about `alpha` at most.
    2. REJECT: no item differs.
    3. REJECT: the upper bound is below zero: the candidate is worse.
    4. REJECT: the upper bound is below the smallest effect of interest: no gain that matters is left.
    5. REJECT: there were enough items to find the smallest effect of interest in 80 % of cases.
    6. UNDERPOWERED: otherwise. `more_items` is how many more would find, in 80 % of cases, the smallest effect of
       interest or, when none was given and the observed difference is larger, a gain as large as the observed one.

    `smallest_effect` is in the unit of the scores; None stands for a tenth of the typical (root mean square)
    difference, which about 620 items are enough to find.

    Raises:
        UserMistake: fewer than two pairs, unequal lengths, a score that is not finite, alpha not between 0 and 0.5, or
            a smallest effect that is not a positive finite number.
    """
    if smallest_effect is not None:
        check_finite("smallest_effect", [smallest_effect])
        if smallest_effect <= 0:
            raise UserMistake(f"smallest_effect must be above 0, got {smallest_effect!r}")
    seen = compare(candidate, champion, alpha=alpha)
    decision, finding, more_items = _decide(seen, smallest_effect)
    return Verdict(
        decision=decision,
        difference=seen.difference,
        lower=seen.lower,
        upper=seen.upper,
        n=seen.n,
        alpha=alpha,
        method=seen.method.value,
        reason=(
            f"{finding}; mean difference {seen.difference:+.4g} over {seen.n} items, "
            f"{100 * (1 - 2 * alpha):.4g} % interval {seen.lower:+.4g} to {seen.upper:+.4g}."
        ),
        more_items=more_items,
    )


def _decide(seen: Comparison, smallest_effect: float | None) -> tuple[Decision, str, int | None]:
    """Return what `judge` decides, what was found, and how many more items are needed."""
    if seen.lower > 0:
        return Decision.ACCEPT, "The candidate is better", None
    if not seen.untied:
        return Decision.REJECT, "Candidate and champion score the same on every item", None
    if seen.upper < 0:
        return Decision.REJECT, "The candidate is worse", None
    gain = SMALL_EFFECT * seen.size if smallest_effect is None else smallest_effect / seen.unit
    shown = f"{gain * seen.unit:.4g}"
    if seen.upper < gain * seen.unit:
        return Decision.REJECT, f"The candidate is not better by {shown}, the smallest gain of interest", None
    if seen.n >= items_needed(seen, gain):
        return Decision.REJECT, f"The candidate is not shown to be better, with enough items to find {shown}", None
    if smallest_effect is None:
        gain = max(gain, seen.difference / seen.unit)
    more = max(items_needed(seen, gain) - seen.n, 1)
    found = f"find a gain of {gain * seen.unit:.4g} in {100 * POWER:.0f} % of cases"
    return Decision.UNDERPOWERED, f"Too few items to tell: {more} more would {found}", more


SMALL_DIFFERENCE = 0.02
"""The smallest gain of interest in a figure between 0 and 1 when none is given: two points of a hundred."""


def judge_estimate(
    seen: Estimate, *, same: bool, smallest_effect: float | None = None, unit: str = "items", shrinks: bool = True
) -> Verdict:
    """Judge a candidate by the estimated gain in a figure that is no mean over items; see `proof.bootstrap`.

    The rules are those of `judge`; `same` says that both answer the same to every item, `unit` what was drawn, and
    `shrinks` that the interval becomes narrower with more of them (one ranking's NDCG hardly does: then nothing is said
    about how many more would be enough). How many items are enough
    follows from the width of the interval, which shrinks with the square root of their number: n (w / g)^2 items find a
    gain g in 80 % of cases, where w is the distance between value and bound, widened by the quantile of the power (the
    normal approximation; Lachin 1981, Controlled Clinical Trials 2:93, equation 1).

    Raises:
        UserMistake: the smallest effect is not a positive finite number.
    """
    wanted = SMALL_DIFFERENCE if smallest_effect is None else smallest_effect
    check_finite("smallest_effect", [wanted])
    if wanted <= 0:
        raise UserMistake(f"smallest_effect must be above 0, got {wanted!r}")
    decision, finding, more = _decide_estimate(
        seen, same=same, gain=wanted, given=smallest_effect is not None, shrinks=shrinks
    )
    return Verdict(
        decision=decision,
        difference=seen.value,
        lower=seen.lower,
        upper=seen.upper,
        n=seen.n,
        alpha=seen.alpha,
        method="paired bootstrap",
        reason=(
            f"{finding}; difference {seen.value:+.4g} over {seen.n} {unit}, "
            f"{100 * (1 - 2 * seen.alpha):.4g} % interval {seen.lower:+.4g} to {seen.upper:+.4g}."
        ),
        more_items=more,
    )


def _decide_estimate(
    seen: Estimate, *, same: bool, gain: float, given: bool, shrinks: bool
) -> tuple[Decision, str, int | None]:
    if seen.lower > 0:
        return Decision.ACCEPT, "The candidate is better", None
    if same or seen.upper < gain:
        return Decision.REJECT, _refusal(seen, same=same, gain=gain), None
    if not shrinks:
        return Decision.UNDERPOWERED, "It cannot be told from one ranking; name the queries as `group`", None
    if seen.n >= _items_for(seen, gain):
        return Decision.REJECT, f"The candidate is not shown to be better, with enough items to find {gain:.4g}", None
    if not given:
        gain = max(gain, seen.value)
    more = max(_items_for(seen, gain) - seen.n, 1)
    found = f"find a gain of {gain:.4g} in {100 * POWER:.0f} % of cases"
    return Decision.UNDERPOWERED, f"Too few items to tell: {more} more would {found}", more


def _refusal(seen: Estimate, *, same: bool, gain: float) -> str:
    if same:
        return "Candidate and champion answer the same to every item"
    if seen.upper < 0:
        return "The candidate is worse"
    return f"The candidate is not better by {gain:.4g}, the smallest gain of interest"


def _items_for(seen: Estimate, gain: float) -> int:
    z = normal_quantile(seen.alpha)
    spread = (seen.upper - seen.lower) / 2 / z
    return min(math.ceil(seen.n * ((z + normal_quantile(1 - POWER)) * spread / gain) ** 2), 10**12)
