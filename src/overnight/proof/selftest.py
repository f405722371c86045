"""Does the judge err as rarely as it says, on these very answers? Equal skill is played out, and a gain is planted.

Two versions that differ in nothing but their seed are of equal skill. In each trial units are drawn again, with
replacement, and each unit's two answers change roles at random: then neither side is better, whatever the answers are,
and every acceptance is an error. Afterwards one side is made better in the same trials, and has to be found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from overnight.base.errors import NotMeasured
from overnight.proof.distributions import beta_cdf, bisect
from overnight.proof.evidence import Evidence
from overnight.proof.flips import MOST
from overnight.proof.forms import Form, GateSpec, Looks
from overnight.proof.gate import Decision
from overnight.proof.measures import Estimate
from overnight.proof.metrics import metric_named
from overnight.proof.paired import compare
from overnight.proof.power import POWER, detectable

_T = TypeVar("_T")
LEAST_DIFFERING = 0.1
"""Share of units that both answer differently, at the least: versions that hardly differ test nothing."""
TRIALS, SLOW_TRIALS, PLANTED = 1000, 200, 100
"""How often equal skill is played out, also where each time takes long, and a planted gain."""
SURPLUS = 2.0
"""A planted gain is so many times the one that the gate promises to find in 80 % of cases."""
NEARLY_RIGHT = 0.9
"""How far planted answers are moved to the right ones, where answers and not scores are compared."""
PEEK_EVERY = 10
"""Items between two looks, where the bounds are to hold at any time."""


class Chance(Protocol):
    """Where chance comes from: a seeded `random.Random`."""

    def choices(self, population: Sequence[_T], *, k: int) -> list[_T]:
        """Return k members, drawn with replacement."""

    def random(self) -> float:
        """Return a number in [0, 1)."""


Accepts = Callable[[Evidence, GateSpec, Chance], bool]
"""Tells whether a judge accepts the candidate."""


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What came out. Rates have exact 95 % intervals (Clopper and Pearson 1934, Biometrika 26:404).

    `accepted` is the share of equally good candidates that were accepted, `found` that of candidates that are better by
    `planted`, in the unit of the scores (None: as good as right). `found` None: these are too few units for any gain.
    """

    units: int
    differing: float
    alpha: float
    trials: int
    accepted: Estimate
    planted: float | None
    found: Estimate | None

    @property
    def honest(self) -> bool:
        """Whether no more is accepted than alpha allows, as far as so many trials can tell."""
        return self.accepted.lower <= self.alpha

    @property
    def able(self) -> bool | None:
        """Whether the planted gain was found often enough; None where there are too few units."""
        return None if self.found is None else self.found.value >= POWER

    @property
    def finding(self) -> str:
        """What came out, in one sentence."""
        told = (
            f"of {self.trials} equally good candidates {_shown(self.accepted)} were accepted "
            f"(at most {100 * self.alpha:g} % may be)"
        )
        if self.found is None:
            return f"{told}; {self.units} items are too few to find any gain"
        gain = "that answer nearly all rightly" if self.planted is None else f"that are better by {self.planted:.3g}"
        return f"{told}; of {self.found.n} {gain} {_shown(self.found)} were found (at least {100 * POWER:g} % must be)"


def _shown(rate: Estimate) -> str:
    return f"{100 * rate.value:.1f} % (95 % interval {100 * rate.lower:.1f} to {100 * rate.upper:.1f} %)"


def accepts(evidence: Evidence, spec: GateSpec, random: Chance) -> bool:
    """Tell whether the gate accepts; where its bounds hold at any time, at any of many looks."""
    n = len(evidence.ids)
    looks = [*range(PEEK_EVERY, n, PEEK_EVERY), n] if spec.looks is Looks.ANY_TIME else [n]
    return any(_first(evidence, look).judged(spec, random).decision is Decision.ACCEPT for look in looks)


def self_test(
    evidence: Evidence,
    spec: GateSpec,
    random: Chance,
    *,
    judge: Accepts = accepts,
    trials: int | None = None,
    told: Callable[[float], None] = lambda share: None,
) -> SelfTest:
    """Test the judge on the answers of two versions of equal skill; `told` takes the share that is done.

    It is asked whether one is better (superiority), at the specification's alpha.

    Raises:
        NotMeasured: fewer than 2 units, or fewer than a tenth of them, differ.
    """
    spec = replace(spec, form=Form.SUPERIORITY)
    units = _units(evidence)
    differing = sum(any(new != old for new, old, _ in unit) for unit in units)
    if differing < max(2, LEAST_DIFFERING * len(units)):
        raise NotMeasured(
            f"the two versions differ on {differing} of {len(units)} items; at least {100 * LEAST_DIFFERING:g} % and 2 "
            "are needed to test the gate"
        )
    planted_gain, able = _gain(evidence, units, spec)
    first = trials or (SLOW_TRIALS if _is_slow(evidence, len(units)) else TRIALS)
    second = min(first, PLANTED) if able else 0
    counts = {False: 0, True: 0}
    for trial in range(first + second):
        planted = trial >= first
        drawn = _drawn(evidence, units, random)
        if planted:
            drawn = _better(drawn, planted_gain, random)
        counts[planted] += judge(drawn, spec, random)
        told((trial + 1) / (first + second))
    return SelfTest(
        units=len(units),
        differing=differing / len(units),
        alpha=spec.alpha,
        trials=first,
        accepted=_rate(counts[False], first),
        planted=planted_gain,
        found=_rate(counts[True], second) if second else None,
    )


def _is_slow(evidence: Evidence, units: int) -> bool:
    """Tell whether each verdict draws items many times, or counts out all signs."""
    if metric_named(evidence.metric).answers != "scores":
        return True
    return units <= MOST and not {*evidence.candidate, *evidence.against} <= {0.0, 1.0}


_Unit = list[tuple[Any, Any, Any]]
"""The candidate's answer, the other one's and the truth, of each item that belongs to the unit."""


def _units(evidence: Evidence) -> list[_Unit]:
    groups = evidence.ids if evidence.groups is None else evidence.groups
    truths = evidence.truths or [None] * len(evidence.ids)
    found: dict[str, _Unit] = {}
    for group, *item in zip(groups, evidence.candidate, evidence.against, truths, strict=True):
        found.setdefault(group, []).append((item[0], item[1], item[2]))
    return [found[group] for group in sorted(found)]


def _gain(evidence: Evidence, units: Sequence[_Unit], spec: GateSpec) -> tuple[float | None, bool]:
    """Return the gain to plant, None for answers that are nearly right, and whether so few units can show one."""
    if evidence.metric != "score":
        return None, True
    new, old = ([sum(item[side] for item in unit) / len(unit) for unit in units] for side in (0, 1))
    # Both ways round, as roles change: n items whose differences are as spread as these.
    seen = compare([*new, *old], [*old, *new], alpha=spec.alpha)
    found = detectable(replace(seen, n=len(units), untied=seen.untied // 2))
    return (0.0, False) if found is None else (SURPLUS * found * seen.unit, True)


def _drawn(evidence: Evidence, units: Sequence[_Unit], random: Chance) -> Evidence:
    """Return the answers to units that are drawn again, each unit with its roles as they are or changed."""
    rows = []
    for number, unit in enumerate(random.choices(units, k=len(units))):
        turned = random.random() < 0.5
        rows += [(f"{number:07}", (old, new, truth) if turned else (new, old, truth)) for new, old, truth in unit]
    return replace(
        evidence,
        ids=[f"{number} {at}" for at, (number, _) in enumerate(rows)],
        candidate=[item[0] for _, item in rows],
        against=[item[1] for _, item in rows],
        truths=None if evidence.truths is None else [item[2] for _, item in rows],
        groups=None if evidence.groups is None else [number for number, _ in rows],
        segments=None,
    )


def _better(drawn: Evidence, gain: float | None, random: Chance) -> Evidence:
    """Return the answers with a candidate that is better: by the gain, or nearly right on all items."""
    if gain is None:
        assert drawn.truths is not None, "answers are compared with truths"
        moved = [_towards(answer, truth, random) for answer, truth in zip(drawn.candidate, drawn.truths, strict=True)]
        return replace(drawn, candidate=moved)
    if {*drawn.candidate, *drawn.against} <= {0.0, 1.0}:
        pairs = [
            (1.0, 0.0) if random.random() < gain else pair for pair in zip(drawn.candidate, drawn.against, strict=True)
        ]
        return replace(drawn, candidate=[new for new, _ in pairs], against=[old for _, old in pairs])
    if drawn.bounds is None:
        return replace(drawn, candidate=[score + gain for score in drawn.candidate])
    # Within the bounds one side is raised as far as there is room, and the other lowered by the rest.
    low, high = drawn.bounds
    raised = [min(score + gain, high) for score in drawn.candidate]
    rest = [gain - (new - score) for new, score in zip(raised, drawn.candidate, strict=True)]
    return replace(
        drawn, candidate=raised, against=[max(low, old - more) for old, more in zip(drawn.against, rest, strict=True)]
    )


def _towards(answer: Any, truth: Any, random: Chance) -> Any:  # Any: a number or a label
    if isinstance(truth, str):
        return truth if random.random() < NEARLY_RIGHT else answer
    return answer + NEARLY_RIGHT * (truth - answer)


def _first(evidence: Evidence, count: int) -> Evidence:
    def some(values: Sequence[Any] | None) -> Any:  # Any: as many of the same
        return None if values is None else values[:count]

    return replace(
        evidence,
        ids=some(evidence.ids),
        candidate=some(evidence.candidate),
        against=some(evidence.against),
        truths=some(evidence.truths),
        groups=some(evidence.groups),
        segments=some(evidence.segments),
    )


def _rate(count: int, n: int, alpha: float = 0.025) -> Estimate:
    """Return a share with its exact interval."""
    lower = 0.0 if count == 0 else bisect(lambda p: beta_cdf(p, count, n - count + 1) >= alpha, 0.0, count / n)
    upper = 1.0 if count == n else bisect(lambda p: beta_cdf(p, count + 1, n - count) >= 1 - alpha, count / n, 1.0)
    return Estimate(value=count / n, lower=lower, upper=upper, n=n, alpha=alpha)
