"""What may be asked of a candidate, and what that means for each score of the champion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from overnight.base.errors import UserMistake
from overnight.proof.paired import check_alpha, check_finite

SHARES = (0.0, 1.0)
"""The range of scores that are all 0 or 1."""


class Form(StrEnum):
    """What a candidate has to show."""

    SUPERIORITY = "superiority"
    MINIMUM_GAIN = "minimum_gain"
    NON_INFERIORITY = "non_inferiority"


class Looks(StrEnum):
    """Whether one looks once, at a number of items that was fixed before, or as often as one likes."""

    FIXED = "fixed"
    ANY_TIME = "any_time"


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """What is asked of a candidate.

    `alpha` is the largest chance of accepting one that does not deserve it. `minimum_gain` is a share: 0.05 asks for
    5 % more than the champion's score; on scores within `bounds` (lowest, highest) whose mean is nearer to the best
    than to the worst, for 5 % of what is left to the best. `margin` is how much worse, in the unit of the scores,
    a candidate may be that must not be inferior. `smallest_effect`, in that unit too, is the smallest gain that
    matters; None stands for a tenth of the typical (root mean square) difference, which about 620 items can find.

    Raises:
        UserMistake: a value cannot be used; the message names it.
    """

    form: Form = Form.SUPERIORITY
    alpha: float = 0.05
    minimum_gain: float = 0.05
    margin: float | None = None
    lower_is_better: bool = False
    bounds: tuple[float, float] | None = None
    smallest_effect: float | None = None
    looks: Looks = Looks.FIXED

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        for name in ("minimum_gain", "margin", "smallest_effect"):
            value = getattr(self, name)
            if value is not None:
                check_finite(name, [value])
                if value <= 0:
                    raise UserMistake(f"{name} must be above 0, got {value!r}")
        if self.form is Form.NON_INFERIORITY and self.margin is None:
            raise UserMistake("margin: missing; it says how much worse a candidate may be that must not be inferior")
        if self.bounds is not None:
            check_finite("bounds", self.bounds)
            if not self.bounds[0] < self.bounds[1]:
                raise UserMistake(f"bounds must go up, got {self.bounds[0]!r} and {self.bounds[1]!r}")
            worst = self.bounds[1] - self.bounds[0]
            if self.form is Form.NON_INFERIORITY and self.margin is not None and self.margin >= worst:
                raise UserMistake(
                    f"margin must be less than the range of the scores, {self.bounds[0]:g} to {self.bounds[1]:g}, "
                    f"got {self.margin!r}: any version would do"
                )


Required = Callable[[float], float]
"""Takes a score of the champion (more is better) and returns what it requires."""


def required_gain(spec: GateSpec, champion: float) -> float:
    """Return by how much a figure must be above the champion's, both such that more is better; 0 without such a form.

    Raises:
        UserMistake: a share of it means nothing, because it is below 0 and has no bounds.
    """
    asked, _ = required(spec, [champion], signed(spec, spec.bounds), champion)
    return 0.0 if asked is None else asked(champion) - champion


def required(
    spec: GateSpec, champion: Sequence[float], bounds: tuple[float, float] | None, mean: float
) -> tuple[Required | None, str]:
    """Return what a minimum gain requires of each score, and what is asked for in words."""
    if spec.form is Form.SUPERIORITY:
        return None, "better"
    if spec.form is Form.NON_INFERIORITY:
        return None, f"at most {spec.margin:.4g} worse than the best version so far"
    gain = spec.minimum_gain
    shown = f"better by {100 * gain:.4g} %"
    if bounds is None:
        if spec.lower_is_better and max(champion, default=mean) <= 0:
            return (lambda score: (1 - gain) * score), f"{shown} of the champion's figure"
        if not spec.lower_is_better and min(champion, default=mean) >= 0:
            return (lambda score: (1 + gain) * score), f"{shown} of the champion's figure"
        raise UserMistake(
            "minimum_gain: a share of scores below 0 means nothing; give their bounds, or say that lower is better"
        )
    worst, best = bounds
    if spec.lower_is_better or mean - worst > best - mean:
        end = -best if spec.lower_is_better else best
        return (lambda score: score + gain * (best - score)), f"{shown} of the champion's distance to the best, {end:g}"
    whole = "figure" if worst == 0 else f"distance from the worst, {worst:g}"
    return (lambda score: score + gain * (score - worst)), f"{shown} of the champion's {whole}"


def of_scores(spec: GateSpec, best: float | None, scores: Sequence[float]) -> GateSpec:
    """Return the specification with what the best value of scores tells: 1 of shares, 0 of errors with a minus."""
    if best == 0 and max(scores) <= 0:
        return replace(spec, lower_is_better=True)
    if best == 1 and all(0 <= score <= 1 for score in scores):
        return replace(spec, bounds=SHARES)
    return spec


def signed(spec: GateSpec, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the bounds such that more is better."""
    return (-bounds[1], -bounds[0]) if spec.lower_is_better and bounds is not None else bounds


def bounds_of(spec: GateSpec, ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    """Return the range of the scores, such that more is better, where it is known."""
    bounds = spec.bounds
    right = -1.0 if spec.lower_is_better else 1.0
    if bounds is None and {*ours, *theirs} <= {0.0, right}:
        bounds = SHARES
    if bounds is None:
        return None
    found = signed(spec, bounds)
    assert found is not None
    for name, scores in (("candidate", ours), ("champion", theirs)):
        outside = next((at for at, score in enumerate(scores) if not found[0] <= score <= found[1]), None)
        if outside is not None:
            raise UserMistake(f"{name}[{outside}] lies outside the bounds {bounds[0]:g} to {bounds[1]:g}")
    return found
