"""The judge of candidate against champion: good enough, not good enough, or too few items to tell.

The gate answers one question about one candidate. Whoever tries many candidates on the same items shares `alpha` out
over the tries (`proof.multiple`); whoever looks again while items arrive asks for bounds that hold at any time. Items
count as independent; where several have one source, score the source (its mean), not the item.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from overnight.base.errors import UserMistake
from overnight.proof.anytime import bounds_at_any_time
from overnight.proof.distributions import normal_quantile
from overnight.proof.forms import Form, GateSpec, Looks, Required, bounds_of, required, signed
from overnight.proof.measures import Estimate
from overnight.proof.multiple import holm
from overnight.proof.paired import Comparison, check_pair, compare
from overnight.proof.power import POWER, detectable, items_needed

SMALL_EFFECT = 0.1
"""The smallest gain of interest when none is given, as a share of the typical (root mean square) difference.

Half of what Cohen (1988, Statistical Power Analysis, section 2.2.3) calls small, because versions of one model differ
little.
"""
SMALL_DIFFERENCE = 0.02
"""The same for a figure between 0 and 1 that is no mean over items: two points of a hundred."""
ANY_TIME = "betting, at any time"
"""The method whose bounds hold however often one looks; see `proof.anytime`."""


class Decision(StrEnum):
    """What the gate says; only ACCEPT lets a candidate serve."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    UNDERPOWERED = "UNDERPOWERED"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's answer, in the unit of the scores; differences are such that more is better.

    `candidate` and `against` are the two figures themselves. `difference` is the first minus the second, or, where a
    minimum gain is asked for, minus what the second one requires. `lower` is the one-sided bound that decides; `lower`
    and `upper` together are the two-sided interval of level `1 - 2 * alpha` for the report. `reason` is one sentence
    for a person. `more_items` and `detectable`, the smallest gain that these n items find in 80 % of cases, are there
    only when UNDERPOWERED, and only where they can be told. `worse_in` are the groups in which the candidate is worse.
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
    form: Form = Form.SUPERIORITY
    candidate: float | None = None
    against: float | None = None
    detectable: float | None = None
    worse_in: tuple[str, ...] = ()


def judge(
    candidate: Sequence[float],
    champion: Sequence[float],
    spec: GateSpec | None = None,
    *,
    groups: Sequence[str | None] | None = None,
) -> Verdict:
    """Judge a candidate by its scores and the champion's on the same items, in the same order.

    The first rule that holds decides, where the threshold is 0, or minus the margin of non-inferiority:

    1. REJECT: the candidate is worse in one of the `groups` (the name of each item's, None for none), with a chance of
       at most alpha that an equally good one is called so in any (Holm).
    2. ACCEPT: the lower bound of the mean difference is above the threshold. A candidate that does not deserve it gets
       here with a chance of about `alpha` at most.
    3. REJECT: no item differs.
    4. REJECT: the upper bound is below the threshold: the candidate is worse.
    5. REJECT: the upper bound is below the smallest effect of interest: no gain that matters is left.
    6. REJECT: there were enough items to find the smallest effect of interest in 80 % of cases.
    7. UNDERPOWERED: otherwise. `more_items` is how many more would find, in 80 % of cases, the smallest effect of
       interest or, when none was given and the observed difference is larger, a gain as large as the observed one.

    Where the candidate must only not be inferior, rules 3 and 5 do not apply, and the items are counted that would
    show it of one that is as good as the other.

    Raises:
        UserMistake: fewer than two pairs, unequal lengths, a score that is not finite or out of bounds, or a form that
            these scores cannot answer.
    """
    spec = GateSpec() if spec is None else spec
    check_pair(candidate, champion)
    sign = -1.0 if spec.lower_is_better else 1.0
    ours, theirs = [sign * score for score in candidate], [sign * score for score in champion]
    bounds = bounds_of(spec, ours, theirs)
    asked, claim = required(spec, theirs, bounds, _mean(theirs))
    wanted = theirs if asked is None else [asked(score) for score in theirs]
    if spec.looks is Looks.ANY_TIME:
        case = _at_any_time(spec, ours, wanted, bounds, asked)
    else:
        case = _of_comparison(spec, compare(ours, wanted, alpha=spec.alpha), bounds)
    worse_in = () if groups is None else _worse_in(spec, ours, theirs, groups, bounds)
    return _verdict(spec, case, claim, (sign * _mean(ours), sign * _mean(theirs)), worse_in)


def judge_estimate(
    seen: Estimate,
    spec: GateSpec | None = None,
    *,
    figures: tuple[float, float],
    same: bool,
    unit: str = "items",
    shrinks: bool = True,
    worse_in: tuple[str, ...] = (),
) -> Verdict:
    """Judge a candidate by the estimated gain in a figure that is no mean over items; see `proof.bootstrap`.

    The rules are those of `judge`. `figures` are the candidate's and the champion's; where a minimum gain is asked for,
    `seen` is the gain over `required_gain`. `same` says that both answer the same to every item, `unit` what was drawn,
    `shrinks` that the interval becomes narrower with more of them (one ranking's NDCG hardly does: then nothing is said
    about how many more would be enough), and `worse_in` in which groups the candidate is worse.

    Raises:
        UserMistake: the figure cannot be looked at again and again.
    """
    spec = GateSpec() if spec is None else spec
    if spec.looks is Looks.ANY_TIME:
        raise UserMistake(
            "looks = any_time: this metric is no mean over items, and nothing holds for it at any time; judge it once"
        )
    wanted = SMALL_DIFFERENCE if spec.smallest_effect is None else spec.smallest_effect
    case = _of_estimate(spec, seen, wanted, same=same, method="paired bootstrap", unit=unit, shrinks=shrinks)
    sign = -1.0 if spec.lower_is_better else 1.0
    claim = required(spec, (), signed(spec, spec.bounds), sign * figures[1])[1]
    return _verdict(spec, case, claim, figures, worse_in)


def _worse_in(
    spec: GateSpec,
    ours: Sequence[float],
    theirs: Sequence[float],
    groups: Sequence[str | None],
    bounds: tuple[float, float] | None,
) -> tuple[str, ...]:
    if len(groups) != len(ours):
        raise UserMistake(f"groups must name one group for each of the {len(ours)} items, got {len(groups)}")
    places: dict[str, list[int]] = {}
    for at, group in enumerate(groups):
        if group is not None:
            places.setdefault(group, []).append(at)

    def worse(group: str, level: float) -> bool:
        mine = [ours[at] for at in places[group]], [theirs[at] for at in places[group]]
        if spec.looks is Looks.ANY_TIME:
            return _bets(*mine, _span(bounds), level)[1] < 0
        return compare(*mine, alpha=level).upper < 0

    return holm(sorted(group for group, found in places.items() if len(found) > 1), worse, alpha=spec.alpha)


# What was seen.


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What decides. `gain` is the smallest one of interest, `given` says that a person named it.

    `needed` tells how many items find a gain, `detectable` which gain these items find.
    """

    difference: float
    lower: float
    upper: float
    n: int
    same: bool
    gain: float
    given: bool
    needed: Callable[[float], int]
    detectable: Callable[[], float | None]
    method: str
    unit: str = "items"
    shrinks: bool = True
    threshold: float = field(default=0.0)


def _of_comparison(spec: GateSpec, seen: Comparison, bounds: tuple[float, float] | None) -> _Case:
    threshold, gain = _aim(spec, SMALL_EFFECT * seen.size * seen.unit)
    z2 = normal_quantile(spec.alpha) ** 2
    if spec.form is Form.NON_INFERIORITY and not seen.untied and bounds is not None:
        # One more item could differ by as much as the bounds allow, and not only as the scores did among themselves.
        most = (bounds[1] - bounds[0]) * z2 / (seen.n + z2)
        seen = replace(seen, lower=-most, upper=most)

    def needed(wanted: float) -> int:
        if seen.untied:
            return items_needed(seen, wanted / seen.unit)
        # The bound of items that all tie is r z^2 / (n + z^2) for the range r of the scores.
        return math.ceil((seen.n + z2) * seen.upper / wanted - z2)

    def found() -> float | None:
        gain = detectable(seen) if seen.untied else None
        return None if gain is None else gain * seen.unit

    return _Case(
        difference=seen.difference,
        lower=seen.lower,
        upper=seen.upper,
        n=seen.n,
        same=not seen.untied,
        gain=gain,
        given=spec.smallest_effect is not None,
        needed=needed,
        detectable=found,
        method=seen.method.value,
        threshold=threshold,
    )


def _aim(spec: GateSpec, usual: float) -> tuple[float, float]:
    """Return what the lower bound must be above, and the gain over it that the items are counted for."""
    if spec.form is Form.NON_INFERIORITY and spec.margin is not None:
        return -spec.margin, spec.margin
    return 0.0, usual if spec.smallest_effect is None else spec.smallest_effect


def _of_estimate(
    spec: GateSpec, seen: Estimate, usual: float, *, same: bool, method: str, unit: str = "items", shrinks: bool = True
) -> _Case:
    """Return the case of an interval whose width shrinks with the square root of the number of items."""
    threshold, gain = _aim(spec, usual)
    return _Case(
        difference=seen.value,
        lower=seen.lower,
        upper=seen.upper,
        n=seen.n,
        same=same,
        gain=gain,
        given=spec.smallest_effect is not None,
        needed=lambda wanted: _items_for(seen, wanted),
        detectable=lambda: _needed_spread(seen) / math.sqrt(seen.n),
        method=method,
        unit=unit,
        shrinks=shrinks,
        threshold=threshold,
    )


def _items_for(seen: Estimate, gain: float) -> int:
    """Return how many items find a gain in 80 % of cases, at most 1e12.

    n (w / g)^2 items find a gain g, where w is the distance between value and bound, widened by the quantile of the
    power (the normal approximation; Lachin 1981, Controlled Clinical Trials 2:93, equation 1).
    """
    return min(math.ceil((_needed_spread(seen) / gain) ** 2), 10**12)


def _needed_spread(seen: Estimate) -> float:
    """Return the gain that one item would find."""
    z = normal_quantile(seen.alpha)
    return (seen.upper - seen.lower) / 2 * (1 + normal_quantile(1 - POWER) / z) * math.sqrt(seen.n)


def _at_any_time(
    spec: GateSpec,
    ours: Sequence[float],
    wanted: Sequence[float],
    bounds: tuple[float, float] | None,
    asked: Required | None,
) -> _Case:
    low, high = _span(bounds)
    if bounds is not None and asked is not None:
        low, high = bounds[0] - asked(bounds[1]), bounds[1] - asked(bounds[0])
    differences = [new - old for new, old in zip(ours, wanted, strict=True)]
    lower, upper = _bets(ours, wanted, (low, high), spec.alpha)
    value = _mean(differences)
    seen = Estimate(value=value, lower=min(lower, value), upper=max(upper, value), n=len(ours), alpha=spec.alpha)
    size = math.sqrt(_mean([one * one for one in differences]))
    usual = SMALL_EFFECT * size or high
    return _of_estimate(spec, seen, usual, same=not size, method=ANY_TIME)


def _span(bounds: tuple[float, float] | None) -> tuple[float, float]:
    """Return between what differences lie.

    Raises:
        UserMistake: nobody knows.
    """
    if bounds is None:
        raise UserMistake(
            "looks = any_time needs scores of 0 and 1, or their bounds: without, nothing holds at any time"
        )
    return bounds[0] - bounds[1], bounds[1] - bounds[0]


def _bets(
    ours: Sequence[float], theirs: Sequence[float], span: tuple[float, float], alpha: float
) -> tuple[float, float]:
    # Rounding may leave a difference an ulp outside of the span.
    values = [min(max(new - old, span[0]), span[1]) for new, old in zip(ours, theirs, strict=True)]
    return bounds_at_any_time(values, low=span[0], high=span[1], alpha=alpha)


def _mean(values: Sequence[float]) -> float:
    # Divided first, so that no sum overflows.
    return math.fsum(value / len(values) for value in values)


# What is said.


def _verdict(
    spec: GateSpec, case: _Case, claim: str, figures: tuple[float, float], worse_in: tuple[str, ...]
) -> Verdict:
    decision, finding, more = _decide(spec, case, claim)
    if worse_in:
        named = ", ".join(repr(name) for name in worse_in)
        decision, more = Decision.REJECT, None
        finding = f"The candidate is worse in {'group' if len(worse_in) == 1 else 'groups'} {named}"
    over = " over what is required" if spec.form is Form.MINIMUM_GAIN else ""
    kind = "difference" if case.method == "paired bootstrap" else "mean difference"
    return Verdict(
        decision=decision,
        difference=case.difference,
        lower=case.lower,
        upper=case.upper,
        n=case.n,
        alpha=spec.alpha,
        method=case.method,
        reason=(
            f"{finding}; {kind} {case.difference:+.4g}{over} over {case.n} {case.unit}, "
            f"{100 * (1 - 2 * spec.alpha):.4g} % interval {case.lower:+.4g} to {case.upper:+.4g}."
        ),
        more_items=more,
        form=spec.form,
        candidate=figures[0],
        against=figures[1],
        detectable=case.detectable() if decision is Decision.UNDERPOWERED and case.shrinks else None,
        worse_in=worse_in,
    )


def _decide(spec: GateSpec, case: _Case, claim: str) -> tuple[Decision, str, int | None]:
    """Return what `judge` decides, what was found, and how many more items are needed."""
    shown = f"{case.gain:.4g}"
    if case.lower > case.threshold:
        return Decision.ACCEPT, f"The candidate is {claim}", None
    if spec.form is not Form.NON_INFERIORITY and (refused := _refusal(spec, case, claim)) is not None:
        return Decision.REJECT, refused, None
    if case.upper < case.threshold:
        return Decision.REJECT, f"The candidate is not {claim}", None
    if not case.shrinks:
        return Decision.UNDERPOWERED, "It cannot be told from one ranking; name the queries as `group`", None
    if case.n >= case.needed(case.gain):
        found = f"not shown to be {claim}, with enough items to find {shown}"
        return Decision.REJECT, f"The candidate is {found}", None
    gain = case.gain
    if not case.given:
        gain = max(gain, case.difference - case.threshold)
    more = max(case.needed(gain) - case.n, 1)
    found = f"find a gain of {gain:.4g} in {100 * POWER:.0f} % of cases"
    if spec.form is Form.NON_INFERIORITY:
        found = f"show it in {100 * POWER:.0f} % of cases, if it is as good"
    return Decision.UNDERPOWERED, f"Too few items to tell: {more} more would {found}", more


def _refusal(spec: GateSpec, case: _Case, claim: str) -> str | None:
    """Return why no gain is left to find, where none is."""
    if case.same:
        # For a figure that is no mean, "answers" is what is the same; means are told by their scores.
        what = "answer the same to" if case.method == "paired bootstrap" else "score the same on"
        return f"Candidate and champion {what} every item"
    if case.upper < 0:
        return "The candidate is worse" if spec.form is Form.SUPERIORITY else f"The candidate is not {claim}"
    if case.upper < case.gain:
        beyond = "by" if spec.form is Form.SUPERIORITY else "and another"
        return f"The candidate is not {claim} {beyond} {case.gain:.4g}, the smallest gain of interest"
    return None
