"""How good a generated sample is, from 0 to 1, as a weighted mean of what was measured of it. Pure.

Diversity is what a sample adds to those that are there; the other terms come from its check (`ports.TERMS`). What was
not measured is not counted, neither as good nor as bad: the weights of the others are scaled up. A term that is the
same for all samples of a pilot tells none from another: it is printed as constant and has no weight.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overnight.base.errors import UserMistake
from overnight.campaigns.ports import COHERENCE, CONSISTENCY, GROUNDEDNESS, Checked

DIVERSITY = "diversity"
WEIGHTS: Mapping[str, float] = {DIVERSITY: 0.30, CONSISTENCY: 0.20, GROUNDEDNESS: 0.30, COHERENCE: 0.20}
"""The weight of each term, where nothing else is set."""

Terms = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What a term was over a pilot: how often it was measured, its least and greatest value."""

    measured: int
    least: float
    most: float

    @property
    def constant(self) -> bool:
        """Return whether it tells no sample from another."""
        return self.least == self.most


def checked_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of all terms; those that are left out have the default.

    Raises:
        UserMistake: an unknown term, a weight that is negative or no number, or all are 0.
    """
    for name, weight in weights.items():
        if name not in WEIGHTS:
            raise UserMistake(f"weights.{name}: there is no such term ({', '.join(WEIGHTS)})")
        if not (math.isfinite(weight) and weight >= 0):
            raise UserMistake(f"weights.{name}: {weight!r} is not 0 or greater")
    found = {**WEIGHTS, **weights}
    if not any(found.values()):
        raise UserMistake("weights: at least one must be greater than 0")
    return found


def terms_of(checked: Checked, diversity: float) -> dict[str, float]:
    """Return all that was measured of a sample.

    Raises:
        ValueError: a term is unknown, or no number from 0 to 1; the check is at fault.
    """
    found = {DIVERSITY: diversity, **checked.terms}
    for name, value in found.items():
        if name not in WEIGHTS or not 0 <= value <= 1:
            raise ValueError(f"a check gave {name} = {value!r}")
    return found


def quality(terms: Terms, weights: Mapping[str, float]) -> float | None:
    """Return the weighted mean of the terms; None where none that has a weight was measured."""
    total = math.fsum(weights[name] for name in terms)
    if total <= 0:
        return None
    return math.fsum(weights[name] * value for name, value in terms.items()) / total


def spreads(samples: Sequence[Terms]) -> dict[str, Spread]:
    """Return what each term was over the samples, in the order of `WEIGHTS`; one that nobody measured is left out."""
    found = {}
    for name in WEIGHTS:
        values = [terms[name] for terms in samples if name in terms]
        if values:
            found[name] = Spread(measured=len(values), least=min(values), most=max(values))
    return found


def telling(weights: Mapping[str, float], seen: Mapping[str, Spread]) -> dict[str, float]:
    """Return the weights without those of terms that were constant, or that nobody measured."""
    return {name: 0.0 if name not in seen or seen[name].constant else weight for name, weight in weights.items()}


def constants(seen: Mapping[str, Spread]) -> tuple[str, ...]:
    """Return the terms that tell no sample from another: constant over the pilot, or measured of none."""
    return tuple(name for name in WEIGHTS if name not in seen or seen[name].constant)


def replayed(
    pilot: Mapping[str, Sequence[tuple[Terms, float | None]]], weights: Mapping[str, Mapping[str, float]]
) -> tuple[dict[str, list[float | None]], tuple[str, ...]]:
    """Return what the candidates of a pilot are worth by the terms that tell them apart, and the terms that do not.

    `pilot` holds by domain what was measured of each and what it was worth when it was judged, which is 0 for one with
    a fault, and stays so. Where no term tells, nothing is measured: a check that says the same of all is no check.
    """
    seen = spreads([terms for some in pilot.values() for terms, _ in some])
    found: dict[str, list[float | None]] = {}
    for domain, some in pilot.items():
        weighed = telling(weights.get(domain, WEIGHTS), seen)
        found[domain] = [0.0 if worth == 0 else quality(terms, weighed) for terms, worth in some]
    return found, constants(seen)
