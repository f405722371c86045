"""Calling an agent safely: what it must offer, what it may see, and what it may answer.

An agent is a project's own class with `train(data[, ctx]) -> dict`. The rest is optional: `predict(items)` (a number
or a label for each), `rank(queries, documents)` (a score of each document for each query), `exemplars()` (the records
that it would show as examples), `evaluate(items)` (a score for each, higher is better), `act(input, ctx)`,
`save(folder)` and `load(folder)`. Nothing that it claims is believed: its dict is kept as reported by the agent, and
how good it is follows from what it answers about items that it never saw.
"""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError, NotMeasured, PermanentError, one_line
from overnight.base.files import to_json

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds


@dataclass(frozen=True, kw_only=True)
class TrainContext:
    """What an agent's `train` gets beside its data.

    `seed` is all the chance there is: the same data and seed must give the same agent. `target` is the column to
    predict, `inputs` are the columns that may be learnt from (in this order), `scale` the lowest and highest value of a
    target that is a number, `group` the column whose equal values belong together (the candidates of one query, say).
    Each is empty where the settings do not name it. `settings` are the agent's own, from `agents.NAME.settings`.
    `parents` are the folders into which the agents named in `after` were saved.
    """

    seed: int
    target: str | None = None
    scale: tuple[float, float] | None = None
    inputs: tuple[str, ...] = ()
    group: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: the agent's own TOML
    parents: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A finished training: on how many records, and what the agent says about it (JSON, not believed)."""

    records: int
    status: str
    reported: dict[str, Any]


ENTRY_POINTS = "overnight.agents"
"""The group of entry points by which an installed package offers agents."""


class Parents(dict[str, Path]):
    """The folders of the agents that this one comes after; one that has no version says so when it is asked for."""

    def __missing__(self, name: str) -> Path:
        raise NotMeasured(f"agent {name!r}, which it comes after, has no version that serves")


def load_class(name: str, spec: str, method: str = "train(data)") -> type:
    """Return the class that "module:Class", or the name of an entry point, stands for; `name` is the agent's.

    Raises:
        ConfigError: it cannot be imported, is no class or lacks the method.
    """
    key = f"agents.{name}.class"
    try:
        found = _imported(key, spec)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{key}: {spec!r} cannot be imported: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(found, type):
        raise ConfigError(f"{key}: {spec!r} is not a class")
    if not callable(getattr(found, method.partition("(")[0], None)):
        raise ConfigError(f"{key}: {spec!r} has no method {method}")
    return found


def _imported(key: str, spec: str) -> Any:
    module, colon, attribute = spec.partition(":")
    if colon and module and attribute:
        return getattr(importlib.import_module(module), attribute)
    offered = entry_points(group=ENTRY_POINTS, name=spec)
    if colon or not offered:
        raise ConfigError(f'{key}: {spec!r} is neither "module:Class" nor an entry point of the group {ENTRY_POINTS!r}')
    return next(iter(offered)).load()


def train_agent(agent: Any, data: Sequence[Record], ctx: TrainContext) -> TrainReport:
    """Train the agent on copies of the records and check what it answers. What `train` raises passes through.

    Raises:
        PermanentError: it answers None or anything but a dict of JSON with a `status`, says that it failed, or calls
            sys.exit.
    """
    if not callable(getattr(agent, "train", None)):
        raise PermanentError(f"{_who(agent)} has no method train(data)")
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


def predict_agent(agent: Any, items: Sequence[Record], method: str = "predict") -> list[float]:
    """Return one number per item; hand in items without their target.

    Raises:
        NotMeasured: the agent has no such method.
        PermanentError: it answers anything but one finite number per item.
    """
    return _numbers(agent, method, items)


def label_agent(agent: Any, items: Sequence[Record]) -> list[str]:
    """Return one label per item, as text; hand in items without their target.

    Raises:
        NotMeasured: the agent has no `predict`.
        PermanentError: it answers anything but one text, number or truth value per item.
    """
    labels = [_plain(label) for label in _answers(agent, "predict", "labels", items)]
    for item, label in zip(items, labels, strict=True):
        if not isinstance(label, str | int | float):
            raise PermanentError(
                f"{_who(agent)}.predict returned {_short(label)} for item {item.get('id')!r}; allowed are labels"
            )
    return [str(label) for label in labels]


def _plain(value: Any) -> Any:
    """Return the plain value of a NumPy scalar."""
    return value.item() if hasattr(value, "item") else value


def rank_agent(agent: Any, queries: Sequence[Record], documents: Sequence[str]) -> list[list[float]]:
    """Return for each query the scores of all documents, higher is better; hand in queries without their document.

    Raises:
        NotMeasured: the agent has no `rank`.
        PermanentError: it answers anything but one finite number per query and document.
    """
    rows = [
        _listed(agent, "rank", "scores", row, len(documents))
        for row in _answers(agent, "rank", "lists of scores", queries, list(documents))
    ]
    return [[_finite(agent, "rank", query, value) for value in row] for query, row in zip(queries, rows, strict=True)]


def exemplars_of(agent: Any) -> list[Record]:
    """Return the records that the agent has chosen as examples.

    Raises:
        NotMeasured: the agent has no `exemplars`.
        PermanentError: it answers anything but records.
    """
    function = getattr(agent, "exemplars", None)
    if not callable(function):
        raise NotMeasured(f"{_who(agent)} has no exemplars()")
    chosen = _call(function)
    if not isinstance(chosen, Sequence) or not all(isinstance(one, Mapping) for one in chosen) or not chosen:
        raise PermanentError(f"{_who(agent)}.exemplars must return a list of records, not {_short(chosen)}")
    return list(chosen)


def _numbers(agent: Any, method: str, items: Sequence[Record]) -> list[float]:
    values = _answers(agent, method, "numbers", items)
    return [_finite(agent, method, item, value) for item, value in zip(items, values, strict=True)]


def _answers(agent: Any, method: str, what: str, items: Sequence[Record], *more: Any) -> list[Any]:
    function = getattr(agent, method, None)
    if not callable(function):
        raise NotMeasured(f"{_who(agent)} has no {method}(items)")
    return _listed(agent, method, what, _call(function, [dict(item) for item in items], *more), len(items))


def _listed(agent: Any, method: str, what: str, answer: Any, wanted: int) -> list[Any]:
    try:
        values = list(answer)
    except TypeError:
        values = None
    if values is None or isinstance(answer, str | bytes | Mapping):
        raise PermanentError(f"{_who(agent)}.{method} must return a list of {what}, not {_short(answer)}")
    if len(values) != wanted:
        raise PermanentError(f"{_who(agent)}.{method} returned {len(values)} {what} for {wanted} items")
    return values


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
