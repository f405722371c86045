"""What recorded requests say of a candidate before any user is at its mercy."""

from overnight.flows.rollout import Tried
from overnight.proof.paired import compare
from overnight.serving.replay import Pair, Side

WORSE_ALPHA = 0.01
"""The chance that a candidate that does no worse on recorded requests is called worse."""


def tried(pairs: list[Pair]) -> Tried | None:
    """Return what pairs of answers say of the candidate; None where there are too few to say anything.

    A hard failure says enough: whoever it answered next would meet the same.
    """
    hard = next((pair.candidate for pair in pairs if pair.candidate.hard), None)
    if hard is not None:
        return Tried(worse=True, message=f"it failed for good at a recorded request: {hard.error}")
    broken = next((pair.candidate.error for pair in pairs if pair.candidate.error and not pair.champion.error), None)
    if len(pairs) < 2:
        return None
    told = f"of {len(pairs)} recorded requests it failed at {_failed(pairs, mine=True)}, "
    told += f"the champion at {_failed(pairs, mine=False)}"
    known = [pair for pair in pairs if None not in (pair.candidate.score, pair.champion.score)]
    if known:
        right = [
            sum(_points(side) for side in sides)
            for sides in ([p.candidate for p in known], [p.champion for p in known])
        ]
        told += f"; where it is known, {right[0]:g} and {right[1]:g} of {len(known)} answers are right"
    mine, theirs = [_points(pair.candidate) for pair in pairs], [_points(pair.champion) for pair in pairs]
    worse = compare(mine, theirs, alpha=WORSE_ALPHA).upper < 0
    return Tried(worse=worse, message=told + (f" ({broken})" if worse and broken else ""))


def _failed(pairs: list[Pair], *, mine: bool) -> int:
    return sum(not (pair.candidate if mine else pair.champion).ok for pair in pairs)


def _points(side: Side) -> float:
    """Return what an answer is worth: nothing where there is none, its score where that is known."""
    if not side.ok:
        return 0.0
    return 1.0 if side.score is None else side.score
