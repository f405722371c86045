"""Calling an agent safely: what it must offer, what it may see, and what it may answer.

An agent is a project's own class with `train(data[, ctx]) -> dict`; `evaluate(items)`, `predict(items)`, `save(folder)`
and `load(folder)` are optional. Nothing that it claims is believed: its dict is kept as reported by the agent, and how
good it is follows from `evaluate` on items that it never saw.
"""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError, NotMeasured, PermanentError, one_line
from overnight.base.files import to_json

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds


@dataclass(frozen=True, kw_only=True)
class TrainContext:
    """What an agent's `train` gets beside its data.

    `seed` is all the chance there is: the same data and seed must give the same agent. `target` is the column to
    predict, `scale` its lowest and highest value. `parents` are the folders into which the agents named in `after` were
    saved.
    """

    seed: int
    target: str
    scale: tuple[float, float]
    parents: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A finished training: on how many records, and what the agent says about it (JSON, not believed)."""

    records: int
    status: str
    reported: dict[str, Any]


def load_class(name: str, spec: str) -> type:
    """Return the class that "module:Class" names; `name` is the agent's, for the message.

    Raises:
        ConfigError: it cannot be imported, is no class or has no `train`.
    """
    key = f"agents.{name}.class"
    module, _, attribute = spec.partition(":")
    if not module or not attribute:
        raise ConfigError(f'{key}: {spec!r} is not "module:Class"')
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ConfigError(f"{key}: {spec!r} cannot be imported: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(found, type):
        raise ConfigError(f"{key}: {spec!r} is not a class")
    if not callable(getattr(found, "train", None)):
        raise ConfigError(f"{key}: {spec!r} has no method train(data)")
    return found


def train_agent(agent: Any, data: Sequence[Record], ctx: TrainContext) -> TrainReport:
    """Train the agent on copies of the records and check what it answers. What `train` raises passes through.

    Raises:
        PermanentError: it answers None or anything but a dict of JSON with a `status`, says that it failed, or calls
            sys.exit.
    """
    arguments = [[dict(record) for record in data], ctx][: _arguments_of(agent.train)]
    answer = _call(agent.train, *arguments)
    if not isinstance(answer, dict):
        raise PermanentError(f"{_who(agent)}.train must return a dict with a status, not {_short(answer)}")
    status = answer.get("status")
    if not isinstance(status, str) or not status:
        raise PermanentError(f"{_who(agent)}.train must return a dict with a text as status, not {_short(status)}")
    to_json(answer, what=f"what {_who(agent)}.train returned")
    if status in ("failed", "error"):
        raise PermanentError(f"{_who(agent)}.train says {status!r}: {_short(answer.get('error', 'no reason given'))}")
    return TrainReport(records=len(data), status=status, reported=answer)


def evaluate_agent(agent: Any, items: Sequence[Record]) -> list[float]:
    """Return one score per item, higher is better.

    Raises:
        NotMeasured: the agent has no `evaluate`.
        PermanentError: it answers anything but one finite number per item.
    """
    return _numbers(agent, "evaluate", items)


def predict_agent(agent: Any, items: Sequence[Record]) -> list[float]:
    """Return one prediction per item; hand in items without their target.

    Raises:
        NotMeasured: the agent has no `predict`.
        PermanentError: it answers anything but one finite number per item.
    """
    return _numbers(agent, "predict", items)


def _numbers(agent: Any, method: str, items: Sequence[Record]) -> list[float]:
    function = getattr(agent, method, None)
    if not callable(function):
        raise NotMeasured(f"{_who(agent)} has no {method}(items)")
    answer = _call(function, [dict(item) for item in items])
    try:
        values = list(answer)
    except TypeError:
        values = None
    if values is None or isinstance(answer, str | bytes | Mapping):
        raise PermanentError(f"{_who(agent)}.{method} must return a list of numbers, not {_short(answer)}")
    if len(values) != len(items):
        raise PermanentError(f"{_who(agent)}.{method} returned {len(values)} numbers for {len(items)} items")
    return [_finite(agent, method, item, value) for item, value in zip(items, values, strict=True)]


def _finite(agent: Any, method: str, item: Record, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise PermanentError(
            f"{_who(agent)}.{method} returned {_short(value)} for item {item.get('id')!r}; allowed are finite numbers"
        )
    return number


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it; sys.exit in a learner must not look like a process that ended well."""
    try:
        return function(*arguments)
    except SystemExit as error:
        raise PermanentError(f"{function.__qualname__} called sys.exit({error.code!r})") from error


def _arguments_of(train: Callable[..., Any]) -> int:
    """Return 2 if `train` takes a context beside the data, else 1."""
    parameters = inspect.signature(train).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 2
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _who(agent: Any) -> str:
    return type(agent).__name__


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
