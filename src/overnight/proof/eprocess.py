"""Evidence that a candidate fails more often than the champion beside it, valid however often one looks.

An e-process starts at 1 and, as long as the null hypothesis holds, is not expected to grow: it reaches 1 / alpha with a
chance of at most alpha over its whole life (Ville's inequality), so that every look may decide.

The relative one is conditional on failures. Given that a request failed while the candidate had a share `p` of them,
it was the candidate's with probability p if both fail at the same rate, and with r p / (r p + 1 - p) if the candidate
fails r times as often. What makes both fail at the same time, such as an outage, changes neither; nor does a change of
the share, because each failure is judged by the share of its own request. The ratio r is not known, so the wealth is
shared out over some (Robbins 1970, Ann. Math. Statist. 41:1397: the method of mixtures).

A fault that comes late would first have to win back what was lost while all was well. So a part of the wealth is kept
and begins later: some at each stage, a little at each failure (Herbster and Warmuth 1998, Machine Learning 32:151, the
fixed share, from a reserve that never bets twice). A mixture of e-processes that begin at different times is one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 100.0)
"""How many times as often the candidate may fail; each gets an equal part of what begins."""
FIRST = 0.5
"""Part of the wealth that begins with the rollout."""
STAGE = 0.3
"""Part of what is left that begins with each further stage."""
EACH = 0.01
"""Part of what is left that begins with each observation."""
MOST = 1e100
"""Wealth on one alternative is cut off here; less evidence than there is decides nothing wrongly."""


@dataclass(frozen=True, kw_only=True)
class Wealth:
    """An e-process: what is bet on each alternative, and what is left for later."""

    bets: tuple[float, ...]
    left: float

    @property
    def value(self) -> float:
        """Return the e-value."""
        return sum(self.bets) + self.left

    @classmethod
    def over(cls, alternatives: int, *, first: float = FIRST) -> Self:
        """Return the wealth of 1 with which a rollout begins."""
        return cls(bets=(first / alternatives,) * alternatives, left=1.0 - first)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: JSON
        """Return the wealth whose fields came as JSON."""
        return cls(bets=tuple(map(float, values["bets"])), left=float(values["left"]))

    def begin(self, part: float) -> Self:
        """Return it with this part of what is left shared out over the alternatives."""
        put = part * self.left
        each = put / len(self.bets)
        return replace(self, bets=tuple(bet + each for bet in self.bets), left=self.left - put)

    def times(self, factors: Sequence[float]) -> Self:
        """Return it after an observation that is so many times likelier under each alternative than under the null."""
        return replace(self, bets=tuple(min(MOST, bet * by) for bet, by in zip(self.bets, factors, strict=True)))


def failed(
    wealth: Wealth, failures: Iterable[tuple[bool, float]], *, ratios: Sequence[float] = RATIOS, each: float = EACH
) -> Wealth:
    """Return the evidence after failures: whether each was the candidate's, and the candidate's share of requests then.

    The null hypothesis: the candidate fails at most as often as the champion. Shares lie between 0 and 1.

    Raises:
        ValueError: the failure is of an arm that had no share.
    """
    for candidate, share in failures:
        if (share if candidate else 1.0 - share) <= 0.0:
            raise ValueError(f"a failure of an arm that had no requests (share {share!r})")
        wealth = wealth.begin(each).times(
            [(ratio if candidate else 1.0) / (share * ratio + 1.0 - share) for ratio in ratios]
        )
    return wealth


def rates_above(allowed: float) -> tuple[float, ...]:
    """Return the rates of failure that stand for 'more than is allowed': higher ones, up to all."""
    return tuple(allowed + (1.0 - allowed) * part for part in (0.02, 0.05, 0.1, 0.2, 0.5, 0.98))


def over_budget(wealth: Wealth, *, requests: int, failures: int, allowed: float, each: float = EACH) -> Wealth:
    """Return the evidence, after some more requests of the candidate, that more of them fail than the share `allowed`.

    The null hypothesis: each fails with a chance of `allowed` at most, whatever happened before. `wealth` is over the
    rates of `rates_above`.
    """
    factors = [
        _power(rate / allowed, failures) * _power((1.0 - rate) / (1.0 - allowed), requests - failures)
        for rate in rates_above(allowed)
    ]
    return wealth.begin(each).times(factors)


def _power(base: float, times: int) -> float:
    try:
        return min(MOST, base**times)
    except OverflowError:
        return MOST


def mismatch(drawn: Mapping[float, tuple[int, int]], *, shares: int) -> float:
    """Return the e-value of a sample-ratio mismatch: that keys were not drawn with the shares that were set.

    `drawn` gives for each share of the candidate, in 0..1, how many keys it got and how many the champion got. The
    beta mixture of Lindon and Malek (2022, Anytime-valid inference for multinomial count data, NeurIPS, equation 8)
    with as much weight as 100 keys have, averaged over the number of `shares` that there can be at the most, those
    that have not come yet counting as 1: so it stays an e-process.

    Raises:
        ValueError: there were more than `shares`.
    """
    told = [_mismatch(share, *counts) for share, counts in drawn.items() if 0.0 < share < 1.0]
    if len(told) > shares:
        raise ValueError(f"keys were drawn with {len(told)} shares, and only {shares} were expected")
    return (sum(told) + shares - len(told)) / shares if told else 1.0


WEIGHT = 100.0
"""How many keys the prior of `mismatch` is worth: it expects a share that is near the one that was set."""


def _mismatch(share: float, candidate: int, champion: int) -> float:
    a, b = WEIGHT * share, WEIGHT * (1.0 - share)
    told = _log_beta(a + candidate, b + champion) - _log_beta(a, b)
    told -= candidate * math.log(share) + champion * math.log1p(-share)
    return math.exp(min(told, math.log(MOST)))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
