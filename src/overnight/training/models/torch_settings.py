"""The settings that every trainer in PyTorch has, and what may be said in them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from overnight.base.errors import ConfigError
from overnight.base.vocabulary import suggestion

Settings = Mapping[str, Any]  # Any: JSON

SETTINGS: Settings = {
    "batch_size": 64,
    "accumulate": 1,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warm_up": 0.05,
    "clip": 1.0,
    "precision": "float32",
    "device": "auto",
}
"""`batch_size` items go through the model at once, and the weights change after `accumulate` such batches.
`learning_rate` is the highest of the `schedule` ("cosine" or "constant"), which rises to it over a share `warm_up` of
all steps. Gradients longer than `clip` are shortened to it (0: never). `precision` is "float32", or "bfloat16" or
"float16" for what of the forward pass can be computed in it; weights stay as the model has them. `device` is "auto"
(CUDA where there is one), "cpu", "cuda" or "cuda:N"."""


def settled(given: Settings, more: Settings) -> dict[str, Any]:
    """Return the settings: those of every trainer, over them `more` (a trainer's own defaults), over them `given`.

    Raises:
        ConfigError: there is no such setting, or its value cannot be used; the message names both.
    """
    defaults = {**SETTINGS, **more}
    for name, value in given.items():
        if name not in defaults:
            raise ConfigError(f"settings: this trainer has no {name!r}{suggestion(name, defaults)}")
        fits, what = _RULES.get(name) or _like(defaults[name])
        if not fits(value):
            raise ConfigError(f"settings.{name}: {value!r} is not {what}")
    return {**defaults, **given}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_device(value: Any) -> bool:
    if value in ("auto", "cpu", "cuda"):
        return True
    return isinstance(value, str) and value.startswith("cuda:") and value[5:].isdecimal() and value.isascii()


Rule = tuple[Callable[[Any], bool], str]
"""What tells whether a value can be used, and how to say what can."""

_COUNT: Rule = (lambda value: _is_whole(value) and value >= 1, "a whole number from 1 on")
_POSITIVE: Rule = (lambda value: _is_number(value) and value > 0, "a number above 0")
_NOT_NEGATIVE: Rule = (lambda value: _is_number(value) and value >= 0, "a number from 0 on")
_SHARE: Rule = (lambda value: _is_number(value) and 0 <= value <= 1, "a share from 0 to 1")


def _one_of(*words: str) -> Rule:
    return (lambda value: value in words, f"one of {', '.join(words)}")


_RULES: dict[str, Rule] = {
    "batch_size": _COUNT,
    "accumulate": _COUNT,
    "learning_rate": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "schedule": _one_of("cosine", "constant"),
    "warm_up": _SHARE,
    "clip": _NOT_NEGATIVE,
    "precision": _one_of("float32", "bfloat16", "float16"),
    "device": (_is_device, "one of auto, cpu, cuda, cuda:N"),
    "dropout": (lambda value: _is_number(value) and 0 <= value < 1, "a share from 0 on and below 1"),
}


def _like(default: Any) -> Rule:
    """Return the rule for a setting of a trainer's own: a value of the kind that its default has."""
    if isinstance(default, bool):
        return (lambda value: isinstance(value, bool), "true or false")
    if isinstance(default, int):
        return (_is_whole, "a whole number")
    if isinstance(default, float):
        return (_is_number, "a number")
    kind = type(default)
    return (lambda value: isinstance(value, kind), f"of the kind of {default!r}")


def rate_at(step: int, steps: int, *, warm_up: float, schedule: str) -> float:
    """Return which share of `learning_rate` the step (from 0) of so many has: it rises, then falls as half a cosine.

    The cosine is that of Loshchilov and Hutter (2017, arXiv:1608.03983), without restarts.
    """
    rising = round(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))
