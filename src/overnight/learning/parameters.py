"""How a model is trained, and how a coding agent is asked: the named parameters of which a strategy consists. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

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
    "temperature": _Range(least=0, most=2),
    "attempts": _Range(least=1, most=16, whole=True),
    "verification_depth": _Range(least=0, most=3, whole=True),
}


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            allowed = _RANGES.get(name)
            if allowed is not None and not allowed.holds(value):
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
                raise UserMistake(f"there is no parameter {name!r} of {cls.OF}{suggestion(str(name), known)}")
        return cls(**values)

    OF: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return all parameters as JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainingParameters(_Parameters):
    """How a model is trained; each of these changes what an execution does and records.

    `learning_rate` is that of Adam, `regularisation` the weight of the squared weights in the loss, `early_stopping`
    how many epochs without a better loss on items set apart end the training (0: none), `ensemble` how many models are
    trained from other seeds and asked together, `epochs` how often, at most, each of them sees all its items.

    Raises:
        UserMistake: a value is outside its range; the message names the parameter.
    """

    OF: ClassVar[str] = "training"

    learning_rate: float = 0.003
    regularisation: float = 1e-4
    early_stopping: int = 0
    ensemble: int = 1
    epochs: int = 30


@dataclass(frozen=True, kw_only=True)
class AgentParameters(_Parameters):
    """How a coding agent is asked; each of these changes what an execution does and records.

    `model` and `temperature` are handed to the agent's command. `attempts` is how often, at most, it is asked for the
    same: again where its command fails or where what it left does not pass. `verification_depth` is how much of what it
    left is looked at before the next attempt: nothing (0), whether all is there and Python can read it (1), and the
    first one or two of the exercise's own checks for that (2, 3). With `self_review` it is asked once more, to go
    through its work.

    Raises:
        UserMistake: a value is outside its range; the message names the parameter.
    """

    OF: ClassVar[str] = "agents"

    model: str = ""
    temperature: float = 0.2
    attempts: int = 2
    self_review: bool = False
    verification_depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.model, str):
            raise UserMistake(f"model: {self.model!r} is not a text")
        if not isinstance(self.self_review, bool):
            raise UserMistake(f"self_review: {self.self_review!r} is neither true nor false")
