"""Checks: what is expected of an execution, and how well one does. Pure.

There are two kinds. One holds a bound against a metric that every execution of a kind measures. The other one is a
program that looks at what a coding agent has left: its exit code says whether it is passed, or a figure that it prints.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from overnight.base.argv import names_in
from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion

TIMEOUT_S = 60.0
"""Seconds for a program that says nothing else."""
PLACEHOLDERS = ("python",)
"""What a word of a check's command can stand for, in braces."""
_LONGEST_SHOWN = 100
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a metric is: whether more is better, and the best that it can be."""

    more: bool
    best: float


METRICS: Mapping[str, Measured] = {
    "accuracy": Measured(more=True, best=1.0),
    "macro_f1": Measured(more=True, best=1.0),
    "time_s": Measured(more=False, best=0.0),
    "memory_mb": Measured(more=False, best=0.0),
    "calibration_error": Measured(more=False, best=0.0),
    "cost_usd": Measured(more=False, best=0.0),
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a check says of an execution: whether it is passed, how well (0 to 100), and the value that was measured.

    Where nothing was measured, `value` is None, and it is not passed; `detail` is what was said instead of a figure.
    """

    passed: bool
    score: float
    value: float | None
    detail: str | None = None


def unmeasured(detail: str) -> Judged:
    """Return what is said where nothing could be measured: not passed."""
    return Judged(passed=False, score=0.0, value=None, detail=detail)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A check: `metric` is at least (or at most) `bound`; the metrics are those of `METRICS`."""

    name: str
    metric: str
    bound: float
    at_least: bool

    @property
    def said(self) -> str:
        """What is expected, for a person."""
        return f"{self.metric} {'at least' if self.at_least else 'at most'} {self.bound:g}"

    def judge(self, value: float) -> Judged:
        """Judge what was measured.

        The score is 50 at the bound and 100 at the metric's best, on a straight line between them and on beyond the
        bound with a slope of its own: for `at_least` 0 at 0, for `at_most` 0 at twice the bound and above. So it never
        falls as the value gets better, and is at least 50 exactly where the check is passed.
        """
        if self.at_least:
            best = METRICS[self.metric].best
            passed = value >= self.bound
            over = (value - self.bound) / (best - self.bound) if best > self.bound else 1.0
            score = 50 + 50 * over if passed else 50 * value / self.bound
        else:
            passed = value <= self.bound
            score = 100 - 50 * value / self.bound
        return Judged(passed=passed, score=min(100.0, max(0.0, score)), value=value)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the check as JSON."""
        return {"name": self.name, "metric": self.metric, "bound": self.bound, "at_least": self.at_least}

    @classmethod
    def from_dict(cls, found: object, where: str) -> Self:
        """Return the check that stands at a place of a file, which is named in what is said of it.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be.
        """
        values = table(found, where, ("name", "metric", "bound", "at_least"))
        name, metric, bound, at_least = (values[key] for key in ("name", "metric", "bound", "at_least"))
        text(name, f"{where}.name")
        if not isinstance(metric, str) or metric not in METRICS:
            raise UserMistake(f"{where}.metric: there is no {metric!r}{suggestion(str(metric), METRICS)}")
        _positive(bound, f"{where}.bound")
        about = METRICS[metric]
        if about.more and bound > about.best:
            raise UserMistake(f"{where}.bound: {metric} is never above {about.best:g}, got {bound!r}")
        if at_least is not about.more:
            raise UserMistake(
                f"{where}.at_least: {at_least!r}, but of {metric} {'more' if about.more else 'less'} is better"
            )
        return cls(name=name, metric=metric, bound=float(bound), at_least=at_least)


@dataclass(frozen=True, kw_only=True)
class ProgramCheck:
    """A check by a program, which runs where the answer is: no shell, no network.

    Without a `pattern`, it is passed where the program ends with code 0. With one, the last match in what it prints
    tells a figure, in the group `value`, that is at least (or at most) `bound`. A word `{python}` stands for the
    interpreter. A program that takes more than `timeout_s` seconds is ended, and has told nothing.
    """

    name: str
    command: tuple[str, ...]
    pattern: str | None = None
    bound: float = 0.0
    at_least: bool = False
    timeout_s: float = TIMEOUT_S

    @property
    def said(self) -> str:
        """What is expected, for a person."""
        figure = f", which says {'at least' if self.at_least else 'at most'} {self.bound:g}" if self.pattern else ""
        return f"{' '.join(self.command)}{figure}"

    def judge(self, code: int, printed: str) -> Judged:
        """Judge a program that ended with this code and printed this text.

        The score of a figure is 100 where the check is passed, and in proportion to how near the figure is where not.
        """
        if self.pattern is None:
            return Judged(passed=code == 0, score=0.0 if code else 100.0, value=float(code))
        value = last_figure(self.pattern, "value", printed)
        if value is None:
            return unmeasured("it has printed no figure")
        passed = value >= self.bound if self.at_least else value <= self.bound
        near = 0.0 if passed else (value / self.bound if self.at_least else self.bound / value)
        return Judged(passed=passed, score=100.0 if passed else 100 * max(0.0, near), value=value)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the check as JSON."""
        told: dict[str, Any] = {"name": self.name, "command": list(self.command), "timeout_s": self.timeout_s}
        if self.pattern is not None:
            told |= {"pattern": self.pattern, "bound": self.bound, "at_least": self.at_least}
        return told

    @classmethod
    def from_dict(cls, found: object, where: str) -> Self:
        """Return the check that stands at a place of a file, which is named in what is said of it.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be.
        """
        figures = ("pattern", "bound", "at_least")
        values = table(found, where, ("name", "command"), (*figures, "timeout_s"))
        text(values["name"], f"{where}.name")
        command = values["command"]
        _check_command(command, f"{where}.command")
        given = [key for key in figures if key in values]
        if given and given != list(figures):
            missing = next(key for key in figures if key not in given)
            raise UserMistake(f"{where}.{missing}: missing; a figure needs {', '.join(figures)}")
        timeout_s = values.get("timeout_s", TIMEOUT_S)
        _positive(timeout_s, f"{where}.timeout_s")
        told = {"name": values["name"], "command": tuple(command), "timeout_s": float(timeout_s)}
        if not given:
            return cls(**told)
        check_pattern(values["pattern"], "value", f"{where}.pattern")
        _positive(values["bound"], f"{where}.bound")
        if not isinstance(values["at_least"], bool):
            raise UserMistake(f"{where}.at_least: {values['at_least']!r} is neither true nor false")
        return cls(**told, **{key: values[key] for key in figures})


Check = Expected | ProgramCheck


def checks_of(found: object, where: str) -> tuple[Check, ...]:
    """Return the checks that a place of a file lists: at least one, no name twice.

    Raises:
        UserMistake: there is none, or one cannot be.
    """
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise UserMistake(f"{where}: {found!r} is not a list of at least 1 check")
    checks: list[Check] = []
    for place, one in enumerate(found):
        kind = ProgramCheck if isinstance(one, Mapping) and "command" in one else Expected
        checks.append(kind.from_dict(one, f"{where}[{place}]"))
    names = [check.name for check in checks]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserMistake(f"{where}[{place}].name: {name!r} is there twice")
    return tuple(checks)


def last_figure(pattern: str, group: str, printed: str) -> float | None:
    """Return the figure of the last match of a pattern in a text; None where there is none, or no finite number."""
    told = [found[group] for found in re.finditer(pattern, printed, re.MULTILINE)]
    try:
        value = float(told[-1] or "nan") if told else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def check_pattern(pattern: object, group: str, where: str) -> None:
    """Check a pattern by which a figure is found.

    Raises:
        UserMistake: it is no pattern that can be stored, or has no group of that name.
    """
    text(pattern, where)
    try:
        groups = re.compile(str(pattern), re.MULTILINE).groupindex
    except re.error as error:
        raise UserMistake(f"{where}: {pattern!r} is no pattern: {error}") from error
    if group not in groups:
        raise UserMistake(f"{where}: {pattern!r} names no figure; write one as (?P<{group}>[0-9.]+)")


def _check_command(command: object, where: str) -> None:
    """Check that a program can be called so. Braces inside of a word are its own, as in code that is handed over."""
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise UserMistake(f"{where}: {shown(command)} is not a list of words")
    text(command[0], f"{where}[0]")
    for place, word in enumerate(command):
        storable(word, f"{where}[{place}]")
        [*names] = names_in([word])
        if names and word == f"{{{names[0]}}}" and names[0] not in PLACEHOLDERS:
            raise UserMistake(f"{where}[{place}]: there is no {word}{suggestion(names[0], PLACEHOLDERS)}")


def _positive(value: object, where: str) -> None:
    found = finite(value)
    if found is None or found <= 0:
        raise UserMistake(f"{where}: {shown(value)} is not a number above 0")


def finite(value: object) -> float | None:
    """Return a number as a float; None for what is no number, or one that no float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return found if math.isfinite(found) else None


def shown(value: object) -> str:
    """Return what somebody has written as a message tells it: of what is long, the beginning."""
    told = repr(value)
    return told if len(told) <= _LONGEST_SHOWN else f"{told[:_LONGEST_SHOWN]}…"


def table(
    found: object, where: str, keys: Sequence[str], further: Sequence[str] = ()
) -> Mapping[str, Any]:  # Any: a person wrote it
    """Return what stands at a place of a file: a table that has all of the keys, and of the `further` ones some.

    Raises:
        UserMistake: it is no table, or a key is missing or unknown.
    """
    if not isinstance(found, Mapping):
        raise UserMistake(f"{where}: {found!r} is not a table")
    known = [*keys, *further]
    for key in found:
        if key not in known:
            raise UserMistake(f"{where}: there is no {key!r}{suggestion(str(key), known)}")
    for key in keys:
        if key not in found:
            raise UserMistake(f"{where}.{key}: missing")
    return found


def text(value: object, where: str) -> None:
    """Check what stands at a place of a file.

    Raises:
        UserMistake: it is no text, an empty one, or one that cannot be stored.
    """
    if not isinstance(value, str) or not value.strip():
        raise UserMistake(f"{where}: {shown(value)} is not a text")
    storable(value, where)


def storable(value: str, where: str) -> None:
    """Check that files, databases and command lines can hold a text.

    Raises:
        UserMistake: it holds NUL, or half of a surrogate pair.
    """
    if _UNSTORABLE.search(value):
        raise UserMistake(f"{where}: {shown(value)} cannot be stored; give text without NUL and lone surrogates")
