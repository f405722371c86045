"""Which strategy could be a better default, and whether it is one. Pure.

A candidate is the one with the best average score of those that are measured. That it is better, fresh exercises have
to show, which both executed by the same seeds: `proof.gate` with a minimum gain, and with a veto of each type of task
in which the candidate is worse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overnight.learning.profiles import Execution, Rate, by_strategy, profile_of
from overnight.proof.forms import Form, GateSpec
from overnight.proof.gate import Verdict, judge

LEAST_PAIRS = 2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A strategy that could be a better default; `name` is None where there is none. `measured`: whether any is."""

    name: str | None
    reason: str
    measured: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The scores, 0 to 100, of one exercise of a type of task as the candidate and as the default executed it."""

    type: str
    candidate: float
    champion: float


def candidate_of(
    executions: Sequence[Execution], *, rate: Rate, minimum: int, champion: Callable[[str], str]
) -> Candidate:
    """Return the candidate; `champion` returns the default of a type of task. Of equal ones, the default is best."""
    profiles = {name: profile_of(some, rate=rate, minimum=minimum) for name, some in by_strategy(executions).items()}
    scores = {name: one.score for name, one in profiles.items() if one.measured and one.score is not None}
    if not scores:
        return Candidate(name=None, reason="no strategy is measured yet; more iterations are needed", measured=False)
    champions = {champion(one.type) for one in executions}
    best = max(sorted(scores), key=lambda name: (scores[name], name in champions))
    if champions == {best}:
        return Candidate(name=None, reason=f"{best} has the best score, and is the default already", measured=True)
    return Candidate(name=best, reason=f"{best} has the best average score, {scores[best]:.1f}", measured=True)


def verdict_of(pairs: Sequence[Pair], *, minimum_gain: float, alpha: float = 0.05) -> Verdict | None:
    """Return what the gate says of the candidate, at a level; None where there are fewer than LEAST_PAIRS."""
    if len(pairs) < LEAST_PAIRS:
        return None
    spec = GateSpec(form=Form.MINIMUM_GAIN, minimum_gain=minimum_gain, alpha=alpha, bounds=(0.0, 100.0))
    ours, theirs = [one.candidate for one in pairs], [one.champion for one in pairs]
    return judge(ours, theirs, spec, groups=[one.type for one in pairs])
