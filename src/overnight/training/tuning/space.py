"""What may be tuned of a learner: its space of parameters. Pure.

A class says so by an attribute `tunable`, plain data by the names of its settings (it reads them as `ctx.settings`):

    tunable = {"penalty": (0.01, 1000.0, "log"), "depth": (1, 8), "kernel": ["linear", "rbf"]}

A tuple holds the lowest and the highest value, whole numbers or not; with "log" values are as likely between 1 and 10
as between 10 and 100. A list holds the values to choose from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from overnight.base.errors import ConfigError

ATTRIBUTE = "tunable"
Parameters = Mapping[str, Any]  # Any: a number, or a value to choose


@dataclass(frozen=True, kw_only=True)
class Range:
    """The values that one parameter may have: `choices`, or else all from `low` to `high`, with `whole` those alone."""

    low: float = 0
    high: float = 0
    whole: bool = False
    log: bool = False
    choices: tuple[str | int | float | bool, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the range whose fields came as JSON."""
        return cls(**{**values, "choices": tuple(values["choices"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {**asdict(self), "choices": list(self.choices)}

    def holds(self, value: Any) -> bool:  # Any: a person may have set it
        """Tell whether the value is one of them."""
        if self.choices:
            return any(value == one and type(value) is type(one) for one in self.choices)
        return _is_number(value) and self.low <= value <= self.high and (not self.whole or value == int(value))

    @property
    def count(self) -> float:
        """How many values there are; infinity where they lie on a line."""
        if self.choices:
            return len(self.choices)
        return self.high - self.low + 1 if self.whole else math.inf


Space = Mapping[str, Range]


def space_of(name: str, learner: type) -> dict[str, Range]:
    """Return what may be tuned of the class of an agent.

    Raises:
        ConfigError: nothing may, or it is not written as it should be; the message names the agent and the parameter.
    """
    spec = f"{learner.__module__}:{learner.__qualname__}"
    told = getattr(learner, ATTRIBUTE, None)
    if told is None or told == {}:
        raise ConfigError(
            f"agent {name!r} has nothing that could be tuned: {spec} has no {ATTRIBUTE}, such as "
            f'{ATTRIBUTE} = {{"depth": (1, 8)}}'
        )
    if not isinstance(told, Mapping) or not all(isinstance(key, str) for key in told):
        raise ConfigError(f"{spec}.{ATTRIBUTE} must be a dict of ranges by the names of settings, not {told!r}")
    return {key: _range(f"{spec}.{ATTRIBUTE}[{key!r}]", value) for key, value in told.items()}


def _range(where: str, value: Any) -> Range:
    if isinstance(value, list):
        return _choices(where, value)
    if not isinstance(value, tuple) or len(value) not in (2, 3) or value[2:] not in ((), ("log",)):
        raise ConfigError(f'{where} must be (low, high), (low, high, "log") or a list of values, not {value!r}')
    low, high, log = value[0], value[1], len(value) == 3
    if not (_is_number(low) and _is_number(high) and low < high):
        raise ConfigError(f"{where}: {value!r} must begin with two numbers, the lower one first")
    if log and low <= 0:
        raise ConfigError(f"{where}: {value!r} must begin above 0, because it is on a log scale")
    return Range(low=low, high=high, whole=isinstance(low, int) and isinstance(high, int), log=log)


def _choices(where: str, values: Sequence[Any]) -> Range:
    if not all(isinstance(one, str | int | float) for one in values):
        raise ConfigError(f"{where}: {values!r} must hold texts, numbers or truth values")
    if len({(type(one), one) for one in values}) < max(2, len(values)):
        raise ConfigError(f"{where}: {values!r} must hold two different values at least, each once")
    return Range(choices=tuple(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def size_of(space: Space) -> float:
    """Return how many different sets of parameters there are; infinity where a parameter lies on a line."""
    return math.prod(one.count for one in space.values())


def lies_in(space: Space, parameters: Parameters) -> bool:
    """Tell whether the parameters name a value of the space for each of its names."""
    return all(name in parameters and one.holds(parameters[name]) for name, one in space.items())
