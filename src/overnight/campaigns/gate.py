"""Whether a campaign may go on after its pilot. Pure.

What is asked for is fixed before the first sample (`Specification`) and has a version; what was seen (`Pilot`) is
judged by it, and by nothing else. What was not measured does not pass.

The quality of a pilot is the mean over all candidates that were judged, where one with a fault counts 0: a generator
that is wrong in three of ten is not good because its mistakes were found. Its interval is Student's; the chance that
such a pilot passes takes the mean and the spread that were seen for the true ones: it is 1/2 for one that just passes.

Which terms are the same for all is known after the pilot alone, so qualities are weighed then (`quality.replayed`).
Planted bad samples are judged in every domain: a check that is blind does not hide behind the others' keen ones.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Literal, get_args

from overnight.base.errors import UserMistake
from overnight.campaigns.planted import KINDS
from overnight.campaigns.quality import WEIGHTS
from overnight.proof.distributions import normal_tail, t_quantile

Rule = Literal["point", "lower_bound", "upper_bound"]
RULES: tuple[Rule, ...] = get_args(Rule)
RULES_VERSION = 2
"""Of what is written here: another one judges otherwise, and what an earlier one has approved is not approved."""
CONFIDENCE = 0.95
LET_THROUGH = 0.05
"""The share of planted bad samples of a kind that may pass; more, and the check is worth nothing."""
FEWEST_PLANTED = 8
"""Of each kind in each domain; fewer say too little."""
ONE_BY_CHANCE = 1
"""So many of a kind may pass in a domain: where the answer to another task is right here too."""
NOT_PLANTED = "planted samples: not checked, the generator is external"


class Decision(StrEnum):
    """What a pilot gate says."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, kw_only=True)
class Specification:
    """What a pilot has to reach, fixed before it. Qualities are from 0 to 1.

    `rule`: what is compared with the threshold, the estimate or an end of its interval. `domains` are thresholds of
    single domains beside the one of all together. `planted` asks that planted bad samples are found, which nobody can
    say of a generator whose checks are its own: without it, each verdict says that this was not checked.
    """

    quality_threshold: float = 0.75
    min_samples: int = 150
    pilot_size: int = 190
    rule: Rule = "point"
    domains: Mapping[str, float] = field(default_factory=dict)
    planted: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be reached, or asks for nothing.

        Raises:
            UserMistake: a number is out of its range, or the rule is unknown.
        """
        for name, value in {"quality_threshold": self.quality_threshold, **self.domains}.items():
            if not 0 < value <= 1:
                raise UserMistake(f"{name}: {value!r} is not a quality above 0 and up to 1")
        if self.rule not in RULES:
            raise UserMistake(f"gate: {self.rule!r} is not one of {', '.join(RULES)}")
        if not 2 <= self.min_samples <= self.pilot_size:
            raise UserMistake(f"min_pilot_samples: {self.min_samples} is not from 2 to pilot_size ({self.pilot_size})")

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the fields as JSON-able values."""
        return {**asdict(self), "domains": dict(sorted(self.domains.items()))}

    @property
    def version(self) -> str:
        """Return the version of this gate: of its rules, and of what is asked for."""
        told = json.dumps(self.to_dict(), sort_keys=True).encode()
        return f"{RULES_VERSION}-{hashlib.sha256(told).hexdigest()[:12]}"


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What a pilot has shown. `qualities` are those of all candidates that were judged, by domain; 0 is a fault.

    A quality that could not be measured is None. `planted` tells for each domain and kind of bad sample how many were
    let through, and of how many; domains that are not there are not asked for. `constant` are terms without a weight.
    """

    qualities: Mapping[str, Sequence[float | None]]
    planted: Mapping[str, Mapping[str, tuple[int, int]]]
    complete: bool
    constant: Sequence[str] = ()

    @property
    def judged(self) -> list[float | None]:
        """Return the qualities of all domains."""
        return [one for some in self.qualities.values() for one in some]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean quality of some candidates, with its interval, and the chance that such a pilot passes."""

    samples: int
    mean: float
    lower: float
    upper: float
    passes: float


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was asked for: its name, whether it is met, and what was seen, in words."""

    name: str
    met: bool
    seen: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate says of a pilot, by which version of it, and why.

    `constant` are terms that carried no weight, `unchecked` tells what nobody has looked at.
    """

    decision: Decision
    version: str
    checks: tuple[Check, ...]
    quality: Estimate | None
    unchecked: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()

    @property
    def approved(self) -> bool:
        """Return whether the campaign may go on."""
        return self.decision is Decision.APPROVED

    @property
    def reason(self) -> str:
        """Return in one line why it was decided so."""
        told = [one for one in self.checks if (one.name == "quality" if self.approved else not one.met)]
        return "; ".join([*(check.seen for check in told), *self.unchecked])


def judge(specification: Specification, pilot: Pilot) -> Verdict:
    """Return whether the campaign may go on. All checks must be met; none is left out because another one failed."""
    judged = pilot.judged
    why = partial(_lacking, constant=pilot.constant)
    estimate = _estimate(judged, specification.quality_threshold, specification.rule)
    checks = [
        Check(name="completion", met=pilot.complete, seen=_completion(pilot, specification)),
        Check(
            name="min_samples",
            met=len(judged) >= specification.min_samples,
            seen=f"{len(judged)} samples were judged, {specification.min_samples} are asked for",
        ),
        _quality_check("quality", estimate, specification, specification.quality_threshold, why(judged)),
    ]
    for domain, threshold in sorted(specification.domains.items()):
        qualities = pilot.qualities.get(domain, ())
        of_domain = _estimate(qualities, threshold, specification.rule)
        checks.append(_quality_check(f"quality of {domain}", of_domain, specification, threshold, why(qualities)))
    if specification.planted:
        checks += [_planted_check(kind, pilot.planted) for kind in KINDS]
    met = all(check.met for check in checks)
    return Verdict(
        decision=Decision.APPROVED if met else Decision.REJECTED,
        version=specification.version,
        checks=tuple(checks),
        quality=estimate,
        unchecked=() if specification.planted else (NOT_PLANTED,),
        constant=tuple(pilot.constant),
    )


def _completion(pilot: Pilot, specification: Specification) -> str:
    return f"the pilot of {specification.pilot_size} {'is complete' if pilot.complete else 'is not complete'}"


def _estimate(qualities: Sequence[float | None], threshold: float, rule: Rule) -> Estimate | None:
    """Return the estimate; None where one of the samples was not measured, or there are fewer than two."""
    known = _known(qualities)
    if len(known) < 2 or len(known) < len(qualities):
        return None
    mean = math.fsum(known) / len(known)
    error = math.sqrt(math.fsum((one - mean) ** 2 for one in known) / (len(known) - 1) / len(known))
    reach = t_quantile((1 - CONFIDENCE) / 2, len(known) - 1) * error
    least = threshold + {"point": 0.0, "lower_bound": reach, "upper_bound": -reach}[rule]
    passes = normal_tail((least - mean) / error) if error > 0 else float(mean >= threshold)
    lower, upper = max(0.0, mean - reach), min(1.0, mean + reach)
    return Estimate(samples=len(known), mean=mean, lower=lower, upper=upper, passes=passes)


def _known(qualities: Sequence[float | None]) -> list[float]:
    return [one for one in qualities if one is not None and math.isfinite(one)]


def _lacking(qualities: Sequence[float | None], constant: Sequence[str]) -> str:
    """Return why a quality is unmeasured."""
    if set(WEIGHTS) <= set(constant):
        return ": each of its terms is the same for all samples of the pilot"
    lacking = len(qualities) - len(_known(qualities))
    return f" in {lacking} of {len(qualities)} samples" if lacking else ""


def _quality_check(name: str, estimate: Estimate | None, asked: Specification, threshold: float, why: str) -> Check:
    if estimate is None:
        return Check(name=name, met=False, seen=f"{name} is unmeasured{why}")
    compared = {"point": estimate.mean, "lower_bound": estimate.lower, "upper_bound": estimate.upper}[asked.rule]
    which = {"point": "", "lower_bound": "the lower end of ", "upper_bound": "the upper end of "}[asked.rule]
    met = compared >= threshold
    seen = (
        f"{name} {estimate.mean:.3f} (95 % interval {estimate.lower:.3f} to {estimate.upper:.3f}): {which}it is "
        f"{'not ' if not met else ''}at least {threshold:g}; such a pilot passes with a chance of {estimate.passes:.2f}"
    )
    return Check(name=name, met=met, seen=seen)


def _planted_check(kind: str, planted: Mapping[str, Mapping[str, tuple[int, int]]]) -> Check:
    """Return whether so few pass as may, in each domain and in all together, and that there were enough in each."""
    name = f"planted {kind} samples"
    found = {domain: kinds.get(kind, (0, 0)) for domain, kinds in sorted(planted.items())}
    passed, among = sum(count for count, _ in found.values()), sum(count for _, count in found.values())
    if among < FEWEST_PLANTED:
        return Check(name=name, met=False, seen=f"{name} are unmeasured: {among} of {FEWEST_PLANTED} could be made")
    wrong = [
        f"{domain}: {name} are unmeasured: {of} of {FEWEST_PLANTED} could be made"
        if of < FEWEST_PLANTED
        else f"{domain}: {through} of {of} {name} were let through"
        for domain, (through, of) in found.items()
        if of < FEWEST_PLANTED or through > max(ONE_BY_CHANCE, LET_THROUGH * of)
    ]
    if wrong and len(found) > 1:
        return Check(name=name, met=False, seen="; ".join(wrong))
    return Check(name=name, met=passed <= LET_THROUGH * among, seen=f"{passed} of {among} {name} were let through")
