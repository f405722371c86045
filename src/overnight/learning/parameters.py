"""How a model is trained: the named parameters of which a strategy for training consists. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion


@dataclass(frozen=True, kw_only=True)
class _Range:
    """The values that a parameter may have; `above` says that the least is not one of them."""

    least: float
    most: float
    above: bool = False
    whole: bool = False

    def holds(self, value: object) -> bool:
        kinds = (int,) if self.whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return False
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        what = "a whole number" if self.whole else "a number"
        least = f"above {self.least:g}, at most" if self.above else f"from {self.least:g} to"
        return f"{what} {least} {self.most:g}"


_RANGES: Mapping[str, _Range] = {
    "learning_rate": _Range(least=0, most=1, above=True),
    "regularisation": _Range(least=0, most=100),
    "early_stopping": _Range(least=0, most=1000, whole=True),
    "ensemble": _Range(least=1, most=64, whole=True),
    "epochs": _Range(least=1, most=1000, whole=True),
}


@dataclass(frozen=True, kw_only=True)
class TrainingParameters:
    """How a model is trained; each of these changes what an execution does and records.

    `learning_rate` is that of Adam, `regularisation` the weight of the squared weights in the loss, `early_stopping`
    how many epochs without a better loss on items set apart end the training (0: none), `ensemble` how many models are
    trained from other seeds and asked together, `epochs` how often, at most, each of them sees all its items.

    Raises:
        UserMistake: a value is outside its range; the message names the parameter.
    """

    learning_rate: float = 0.003
    regularisation: float = 1e-4
    early_stopping: int = 0
    ensemble: int = 1
    epochs: int = 30

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            value = getattr(self, name)
            if not allowed.holds(value):
                raise UserMistake(f"{name}: {value!r} is not {allowed}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: a person wrote it
        """Return the parameters with the defaults for those that are not named.

        Raises:
            UserMistake: a name is unknown, or a value is outside its range.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UserMistake(f"there is no parameter {name!r} of training{suggestion(str(name), known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, float]:
        """Return all parameters as JSON."""
        return asdict(self)
