"""When several judges agree, and when they do not: the one rule of all committees. Pure.

Consensus is 1 less a fifth of the standard deviation of the scores (0 to 10), and never below 0. A committee is split
where its highest and its lowest score lie more than 2 apart: then a person decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev

APPROVE, FLAG = 8.0, 6.0
"""From these scores on something is approved, or flagged for a person; below the second it is rejected."""
WIDEST = 2.0
"""How far scores may lie apart."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """What one judge says: a score from 0 to 10, how much it weighs, what it was measured from, and why."""

    name: str
    profile: str
    weight: float
    score: float
    measurements: Mapping[str, object]
    reasons: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """What the judges say together; `decision` is approve, split, flag or reject."""

    mean: float
    consensus: float
    range: float
    decision: str
    why: str


def decide(members: Sequence[Member]) -> Consensus:
    """Return what the judges, one or more, say together."""
    scores = [member.score for member in members]
    mean = sum(member.score * member.weight for member in members) / sum(member.weight for member in members)
    consensus, apart = max(0.0, 1 - pstdev(scores) / 5), max(scores) - min(scores)
    lowest, highest = min(members, key=lambda one: one.score), max(members, key=lambda one: one.score)
    if apart > WIDEST:
        decision = "split"
        why = (
            f"{highest.name} gives {highest.score:.1f} and {lowest.name} {lowest.score:.1f}, "
            f"more than {WIDEST:g} apart: {'; '.join(lowest.reasons) or 'no reason given'}"
        )
    else:
        decision = graded(mean)
        why = f"{len(scores)} judges within {apart:.1f} of each other give {mean:.1f}"
    return Consensus(mean=mean, consensus=consensus, range=apart, decision=decision, why=why)


def graded(score: float) -> str:
    """Return what a score from 0 to 10 means: approve, flag or reject."""
    if score >= APPROVE:
        return "approve"
    return "flag" if score >= FLAG else "reject"
