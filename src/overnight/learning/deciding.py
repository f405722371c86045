"""Which strategy could be a better default, and whether it is one. Pure.

A candidate is the one with the best average score of those that are measured and have had any success. Types of task
differ in difficulty, and not all strategies execute the same ones as often: so scores are averaged within each type,
and then over the types that all of them have executed. That it is better, fresh exercises have to show, which both
executed by the same seeds: `proof.gate` with a minimum gain, with a veto of each type of task in which the candidate
is worse, and with one where it passes fewer checks: no speed makes up for that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from overnight.learning.profiles import Execution, Rate, average, by_strategy, by_type
from overnight.proof.forms import Form, GateSpec
from overnight.proof.gate import Decision, Verdict, judge
from overnight.proof.paired import compare

LEAST_PAIRS = 2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A strategy that could be a better default; `name` is None where there is none. `measured`: whether any is."""

    name: str | None
    reason: str
    measured: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What one exercise of a type of task came to, as the candidate and as the default executed it.

    `candidate` and `champion` are the scores, 0 to 100; `successes` the shares of checks that they have passed.
    """

    type: str
    candidate: float
    champion: float
    successes: tuple[float, float]


def candidate_of(
    executions: Sequence[Execution], *, rate: Rate, minimum: int, champion: Callable[[str], str]
) -> Candidate:
    """Return the candidate; `champion` returns the default of a type of task. Of equal ones, the default is best."""
    scored = by_strategy(one for one in executions if one.score is not None)
    measured = {name: some for name, some in scored.items() if len(some) >= minimum}
    if not measured:
        return Candidate(name=None, reason="no strategy is measured yet; more iterations are needed", measured=False)
    successful = {name: some for name, some in measured.items() if any(one.success_rate > 0 for one in some)}
    if not successful:
        return Candidate(name=None, reason="no strategy has passed any check yet", measured=False)
    scores = _compared(successful, rate)
    if not scores:
        reason = "no type of task was executed by all strategies that are measured; more iterations are needed"
        return Candidate(name=None, reason=reason, measured=False)
    champions = {champion(one.type) for one in executions}
    best = max(sorted(scores), key=lambda name: (scores[name], name in champions))
    if champions == {best}:
        return Candidate(name=None, reason=f"{best} has the best score, and is the default already", measured=True)
    return Candidate(name=best, reason=f"{best} has the best average score, {scores[best]:.1f}", measured=True)


def _compared(executions: Mapping[str, Sequence[Execution]], rate: Rate) -> dict[str, float]:
    """Return the average score of each strategy, over types that all have executed; none where there is no such."""
    types = {name: by_type(some) for name, some in executions.items()}
    common = set.intersection(*(set(some) for some in types.values()))

    def within(some: Sequence[Execution]) -> float:
        found = average((one.score for one in some if one.score is not None), rate)
        assert found is not None, "each type has executions, which are scored"
        return found

    return {name: fmean(within(some[type_]) for type_ in sorted(common)) for name, some in types.items() if common}


def verdict_of(pairs: Sequence[Pair], *, minimum_gain: float, alpha: float = 0.05) -> Verdict | None:
    """Return what the gate says of the candidate, at a level; None where there are fewer than LEAST_PAIRS.

    One that passes fewer checks than the default, which is told at the same level, is refused whatever its score.
    """
    if len(pairs) < LEAST_PAIRS:
        return None
    spec = GateSpec(form=Form.MINIMUM_GAIN, minimum_gain=minimum_gain, alpha=alpha, bounds=(0.0, 100.0))
    ours, theirs = [one.candidate for one in pairs], [one.champion for one in pairs]
    verdict = judge(ours, theirs, spec, groups=[one.type for one in pairs])
    passed = compare([one.successes[0] for one in pairs], [one.successes[1] for one in pairs], alpha=alpha)
    if passed.upper >= 0 or verdict.decision is not Decision.ACCEPT:
        return verdict
    reason = f"The candidate passes fewer checks: {100 * -passed.difference:.3g} of 100 less over {passed.n} exercises."
    return replace(verdict, decision=Decision.REJECT, reason=reason)
