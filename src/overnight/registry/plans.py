"""How a version is to be rolled out: what a person or a setting asks for, checked and spelled out. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from overnight.base.errors import UserMistake

Strategy = Literal["immediate", "gradual_rollout", "canary", "ab_test", "blue_green", "shadow"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
GuardName = Literal["eprocess", "threshold"]
WithoutRoom = Literal["replay", "swap"]
SWAPPING: tuple[Strategy, ...] = ("gradual_rollout", "canary", "blue_green")
"""Strategies that can do without a champion beside the candidate."""

ERRORS, TIMEOUTS, SLOW, INVALID = "errors", "timeouts", "slow", "invalid"
ALPHA_SHARES = {ERRORS: 0.5, TIMEOUTS: 0.2, SLOW: 0.2, INVALID: 0.1}
"""How the chance of a false rollback is shared out over the guards."""
AB_PERCENTAGE = 50.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a rollout does, stage by stage. Percentages are of assignment keys, 0 to 100.

    `steps` are the percentages of the stages; at 100, `hold_back` percent stay with the champion until the soak ends.
    `dwell_s` is how long each stage lasts at the least, `min_requests` how many requests the candidate answers in it.
    `alpha` is the chance of taking back a candidate that is no worse, over the whole rollout; `allowed` the share of
    errors that a candidate may have; `slow_ms` the longest answer that is not slow (None: none is).

    `without_room` is what is done where both versions do not fit into memory: recorded requests are put to both in
    turns, and a person decides (replay); or, after that, the candidate takes the champion's place, watched (swap).
    """

    strategy: Strategy
    steps: tuple[float, ...]
    dwell_s: float
    min_requests: int
    allowed: float = 0.05
    auto_rollback: bool = True
    hold_back: float = 2.0
    guard: GuardName = "eprocess"
    alpha: float = 0.01
    slow_ms: float | None = None
    replay: bool = True
    confidence: float = 0.95
    without_room: WithoutRoom = "replay"

    @property
    def shadow(self) -> bool:
        """Return whether users never see the candidate's answers."""
        return self.strategy == "shadow"

    @property
    def swaps(self) -> bool:
        """Return whether the candidate takes the champion's place where there is room for one only."""
        return self.without_room == "swap" or self.strategy == "immediate"

    def percentage(self, stage: int) -> float:
        """Return the candidate's percentage in a stage."""
        step = self.steps[stage]
        return step - self.hold_back if step == 100 else step

    def alpha_of(self, guard: str) -> float:
        """Return a guard's part of `alpha`."""
        return self.alpha * ALPHA_SHARES[guard]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: JSON
        """Return the plan whose fields came as JSON."""
        return cls(**{**values, "steps": tuple(values["steps"])})

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the fields as JSON-able values."""
        return {**asdict(self), "steps": list(self.steps)}


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """What may be said of a rollout; the defaults are those of a gradual one."""

    initial_percentage: float | None = None
    """Percent of the keys that get the candidate first: 10, and 50 in an A/B test."""
    rollout_steps: Sequence[float] = (10, 25, 50, 75, 100)
    rollback_on_error_rate: float = 0.05
    auto_rollback: bool = True
    monitor_duration_seconds: float = 300.0
    """How long each stage lasts at the least, and the soak."""
    min_requests: int = 100
    """Requests that the candidate answers in a stage before the next one."""
    hold_back_percentage: float = 2.0
    guard: GuardName = "eprocess"
    alpha: float = 0.01
    latency_objective_ms: float | None = None
    """An answer that takes longer is slow; without it none is."""
    replay: bool = True
    """Whether recorded requests are put to both versions before any user is."""
    confidence: float = 0.95
    """Of the intervals of an A/B test."""
    without_room: WithoutRoom = "replay"
    """What is done where both versions do not fit into memory: see `Plan`."""


def plan_of(strategy: str, config: Mapping[str, Any] | None = None, *, ab_min_requests: int = 50) -> Plan:  # Any: JSON
    """Return the plan for what was asked for.

    Raises:
        UserMistake: an unknown strategy or setting, percentages that do not rise or lie outside 0 to 100, a number out
            of its range.
    """
    if strategy not in STRATEGIES:
        raise UserMistake(f"strategy: {strategy!r} is not one of {', '.join(STRATEGIES)}")
    wish = _read(config or {})
    first = wish.initial_percentage
    steps: tuple[float, ...] = tuple(wish.rollout_steps)
    if strategy == "gradual_rollout" and first is not None and "rollout_steps" not in (config or {}):
        steps = (first, *(step for step in steps if step > first))
    elif strategy == "canary":
        steps = (10.0 if first is None else first, 100.0)
    elif strategy == "ab_test":
        steps = (AB_PERCENTAGE if first is None else first,)
    elif strategy in ("blue_green", "immediate"):
        steps = (100.0,)
    elif strategy == "shadow":
        steps = (0.0,)
    if wish.without_room == "swap" and strategy not in SWAPPING:
        raise UserMistake(f"config.without_room: swap goes with {', '.join(SWAPPING)}; {strategy} is none of them")
    if strategy not in ("shadow", "immediate"):
        _check_steps(steps, wish.hold_back_percentage)
    least = ab_min_requests if strategy == "ab_test" and "min_requests" not in (config or {}) else wish.min_requests
    return Plan(
        strategy=strategy,
        steps=tuple(float(step) for step in steps),
        dwell_s=0.0 if strategy == "immediate" else wish.monitor_duration_seconds,
        min_requests=0 if strategy == "immediate" else least,
        allowed=wish.rollback_on_error_rate,
        auto_rollback=wish.auto_rollback,
        hold_back=0.0 if strategy == "immediate" else wish.hold_back_percentage,
        guard=wish.guard,
        alpha=wish.alpha,
        slow_ms=wish.latency_objective_ms,
        replay=wish.replay and strategy != "immediate",
        confidence=wish.confidence,
        without_room=wish.without_room,
    )


_RANGES: Mapping[str, tuple[float, float]] = {
    "initial_percentage": (0.0, 100.0),
    "rollback_on_error_rate": (0.0, 1.0),
    "monitor_duration_seconds": (0.0, 30 * 86_400.0),
    "min_requests": (0, 10**9),
    "hold_back_percentage": (0.0, 50.0),
    "alpha": (0.0, 0.5),
    "latency_objective_ms": (0.0, 10**9),
    "confidence": (0.5, 1.0),
}
_OPEN = frozenset(("initial_percentage", "rollback_on_error_rate", "alpha", "confidence", "latency_objective_ms"))
"""Whose ends do not count."""


def _read(config: Mapping[str, Any]) -> RolloutConfig:  # Any: JSON
    known = {field.name for field in fields(RolloutConfig)}
    for name in config:
        if name not in known:
            raise UserMistake(f"config.{name}: there is no such setting ({', '.join(sorted(known))})")
    for name, (least, most) in _RANGES.items():
        value = config.get(name)
        if value is not None:
            _check_number(name, value, least, most)
    _check_choices(config)
    if not isinstance(config.get("min_requests", 0), int):
        raise UserMistake(f"config.min_requests: {config['min_requests']!r} is not a whole number")
    steps = config.get("rollout_steps", ())
    if not isinstance(steps, list | tuple):
        raise UserMistake(f"config.rollout_steps: {steps!r} is not a list of percentages such as [10, 50, 100]")
    return RolloutConfig(**config)


def _check_choices(config: Mapping[str, Any]) -> None:  # Any: JSON
    for name in ("auto_rollback", "replay"):
        if not isinstance(config.get(name, True), bool):
            raise UserMistake(f"config.{name}: {config[name]!r} is neither true nor false")
    for name, kind in (("guard", GuardName), ("without_room", WithoutRoom)):
        choices = get_args(kind)
        if config.get(name, choices[0]) not in choices:
            raise UserMistake(f"config.{name}: {config[name]!r} is not one of {', '.join(choices)}")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if fits and name in _OPEN:
        fits = least < float(value) < most or (name == "initial_percentage" and value == most)  # type: ignore[arg-type]  # a number
    elif fits:
        fits = least <= float(value) <= most  # type: ignore[arg-type]  # a number
    if not fits:
        between = "above" if name in _OPEN else "from"
        raise UserMistake(f"config.{name}: {value!r} is not a number {between} {least:g} and up to {most:g}")


MOST_STEPS = 20


def _check_steps(steps: Sequence[object], hold_back: float) -> None:
    if not 0 < len(steps) <= MOST_STEPS:
        raise UserMistake(f"config.rollout_steps: give 1 to {MOST_STEPS} percentages, such as [10, 50, 100]")
    before = 0.0
    for step in steps:
        if not isinstance(step, int | float) or isinstance(step, bool) or not 0 < step <= 100:
            raise UserMistake(f"config.rollout_steps: {step!r} is not a percentage above 0 and up to 100")
        if step <= before:
            raise UserMistake(f"config.rollout_steps: {step:g} does not rise above {before:g}")
        if step == 100 and 100 - hold_back <= before:
            raise UserMistake(
                f"config.hold_back_percentage: with {hold_back:g} the last step would be {100 - hold_back:g} %, "
                f"which does not rise above {before:g}"
            )
        before = float(step)
