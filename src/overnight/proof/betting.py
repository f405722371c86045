"""How much better a candidate scores than the champion beside it, with an interval that holds at every look.

Each request goes to the candidate with a known share p, by chance. So z = (s - 1/2) (1/p) for a candidate's score s in
0..1, and z = -(s - 1/2) / (1 - p) for a champion's, has the difference of the means as its expectation, whatever the
mean itself does meanwhile (Horvitz and Thompson 1952, JASA 47:663). Whoever bets that the difference is above d has
the wealth prod(1 + b (z - d)), which is not expected to grow if it is not; an interval holds all d against which no bet
has won 1 / alpha (Waudby-Smith and Ramdas 2024, J. R. Statist. Soc. B 86:1, section 4: the betting approach). As the
best bet is not known, the wealth is shared out over some.

Each key may count once: one that comes again has the version that it had, and is no draw of its own.

Scores count in steps of a hundredth: so what has come is a count for each arm, share and step, and the order plays no
part.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overnight.proof.distributions import bisect

STEPS = 100
"""Steps between the scores 0 and 1."""
BETS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
"""Parts of the largest bet that can never lose everything."""
_HALVINGS = 15
"""Of the differences from -1 to 1, to come within a ten-thousandth of a bound."""

Cells = Mapping[tuple[bool, float], Mapping[int, int]]
"""How often each score, in steps, was seen, by arm (True: the candidate) and the candidate's share then (0..1)."""


@dataclass(frozen=True, kw_only=True)
class Lift:
    """The difference of mean scores, candidate minus champion, and an interval that holds at every look."""

    difference: float
    lower: float
    upper: float
    n: int


def step_of(score_0_1: float) -> int:
    """Return the score in steps."""
    return round(min(1.0, max(0.0, score_0_1)) * STEPS)


def lift(cells: Cells, *, alpha: float) -> Lift | None:
    """Return the difference with its interval of level 1 - alpha; None as long as an arm has no score."""
    seen = _seen(cells)
    n = sum(count for _, _, count in seen)
    if {candidate for (candidate, _), steps in cells.items() if any(steps.values())} != {True, False}:
        return None
    mean = math.fsum(z * count for z, _, count in seen) / n
    return Lift(
        difference=min(1.0, max(-1.0, mean)),
        lower=_bound(seen, alpha / 2),
        upper=-_bound([(-z, most, count) for z, most, count in seen], alpha / 2),
        n=n,
    )


def evidence_worse(cells: Cells) -> float:
    """Return the e-value against 'the candidate scores at least as well as the champion'."""
    return math.exp(min(_log_wealth([(-z, most, count) for z, most, count in _seen(cells)], 0.0), 700.0))


_Seen = Sequence[tuple[float, float, int]]
"""What one request says, the most that it can be away from a difference, and how often it came."""


def _seen(cells: Cells) -> _Seen:
    found = []
    for (candidate, share), steps in cells.items():
        if not 0.0 < share < 1.0:
            # Nobody was beside it.
            continue
        weight = 1.0 / share if candidate else -1.0 / (1.0 - share)
        most = 0.5 / min(share, 1.0 - share) + 1.0
        found += [((step / STEPS - 0.5) * weight, most, count) for step, count in steps.items() if count]
    return found


def _log_wealth(seen: _Seen, difference: float) -> float:
    """Return the logarithm of what bets on 'more than this difference' have made of 1."""
    logs = [math.fsum(count * math.log1p(bet / most * (z - difference)) for z, most, count in seen) for bet in BETS]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs) / len(logs))


def _bound(seen: _Seen, alpha: float) -> float:
    """Return the smallest difference against which no bet on more has won 1 / alpha, to a ten-thousandth."""
    won = -math.log(alpha)
    if _log_wealth(seen, -1.0) < won:
        return -1.0
    return bisect(lambda difference: _log_wealth(seen, difference) < won, -1.0, 1.0, steps=_HALVINGS)
