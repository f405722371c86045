"""Any training program as the trainer of a job: a TRL, Lightning or llama.cpp script, coordinated as it is.

The program is started with the words of a template. What it prints goes into the run's log and is read for figures:
lines that are JSON objects, or what a pattern finds in a line. It keeps its place in a checkpoint folder of its own and
gets further words where there is something to go on from. It leaves its model in a folder.
"""

import contextlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overnight.base.argv import filled, names_in
from overnight.base.errors import ConfigError, PermanentError, TransientError
from overnight.processes.call import started
from overnight.processes.spawn import Child

Figures = dict[str, float | str]

WORDS = ("data", "validation", "epochs", "seed", "checkpoints", "model", "job_id", "python")
"""What a template may name in braces."""
ALIASES = {
    "train_loss": "loss",
    "eval_loss": "val_loss",
    "validation_loss": "val_loss",
    "val_accuracy": "val_metric",
    "eval_accuracy": "val_metric",
    "accuracy": "val_metric",
}
"""What training programs call the figures of a job."""
_KNOWN = frozenset({"epoch", "loss", "val_loss", "val_metric", "total_epochs"})
_LONGEST_LINE = 65_536
_LOOK_EVERY_S = 0.2
LEAVE_S = 50.0
"""For the program to write its place down after SIGTERM; whoever stops the job may be more in a hurry."""
_HUNG_GRACE_S = 5.0
_TAIL = 3


@dataclass(frozen=True, kw_only=True)
class Program:
    """How a program is called and understood.

    `argv` are the words of its command line; `resume` come behind them where its checkpoint folder holds something.
    `pattern` finds figures in a line, by the names of its groups; without one, lines that are JSON objects hold them.
    An exit code among `retry_codes` is worth another try; so is an end by a signal.
    """

    argv: Sequence[str]
    resume: Sequence[str] = ()
    pattern: str | None = None
    retry_codes: Sequence[int] = ()
    metric: str = "accuracy"

    def check(self, where: str) -> None:
        """Refuse a template or pattern that cannot work.

        Raises:
            ConfigError: the message names the setting.
        """
        for key, words in (("command", self.argv), ("resume", self.resume)):
            for name in names_in(words):
                if name not in WORDS:
                    raise ConfigError(f"{where}.{key}: there is no {{{name}}}; known are {', '.join(WORDS)}")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groupindex
            except re.error as error:
                raise ConfigError(f"{where}.pattern: {self.pattern!r} is no pattern: {error}") from error
            if not groups.keys() & (_KNOWN | ALIASES.keys()):
                raise ConfigError(
                    f"{where}.pattern: names no figure; name groups, such as (?P<epoch>\\d+) and (?P<loss>[\\d.]+)"
                )


def figures_in(line: str, pattern: "re.Pattern[str] | None") -> Figures:
    """Return the figures that a line of output tells, by the names that jobs have for them."""
    if pattern is not None:
        match = pattern.search(line)
        found: Mapping[str, Any] = {} if match is None else match.groupdict()
    else:
        found = _object(line)
    told: Figures = {}
    for name, value in found.items():
        known = ALIASES.get(name, name)
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            number = float(value)
            if known in _KNOWN and not isinstance(value, bool) and math.isfinite(number):
                told[known] = number
    return told


def _object(line: str) -> Mapping[str, Any]:
    if line.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            return found if isinstance(found, dict) else {}
    return {}


@dataclass(kw_only=True)
class Run:
    """One call of the program, in the folder of this process.

    `told` takes the figures as they come, `asked` says that it is to stop. One that prints nothing for `stall_s` counts
    as hung. `now_s` is a clock that only moves forward.
    """

    program: Program
    values: Mapping[str, str]
    env: Mapping[str, str]
    stall_s: float
    now_s: Callable[[], float]
    told: Callable[[Figures], None]
    asked: Callable[[], bool]
    tail: list[str] = field(default_factory=list)
    resumed: bool = False
    """Whether it had something to go on from."""

    def perform(self) -> None:
        """Run the program to its end.

        Raises:
            TransientError: it was asked to stop, hung, killed by a signal, or ended with a code that is worth another
                try.
            PermanentError: it could not be started, or ended with another code than 0.
        """
        self.resumed = any(Path(self.values["checkpoints"]).iterdir())
        argv = filled([*self.program.argv, *(self.program.resume if self.resumed else ())], self.values)
        with started(argv, env=self.env) as (child, pieces):
            why = self._follow(child, pieces)
        if why is not None:
            raise TransientError(f"{argv[0]!r} {why}")
        self._judge(argv[0], child)

    def _follow(self, child: Child, pieces: Iterator[bytes]) -> str | None:
        """Read what the program prints until it is gone; return why it was made to end, if it was."""
        pattern = None if self.program.pattern is None else re.compile(self.program.pattern)
        lines, why, heard_s = _Lines(), None, self.now_s()
        for piece in pieces:
            if piece:
                heard_s = self.now_s()
            for line in lines.take(piece):
                self._hear(line, pattern)
            if why is None and self.asked():
                why = "was asked to stop"
                child.end(LEAVE_S)
            if why is None and self.now_s() - heard_s > self.stall_s:
                why = f"printed nothing for {self.stall_s:g} s (training.stall_s)"
                child.end(_HUNG_GRACE_S)
        for line in lines.rest():
            self._hear(line, pattern)
        return why

    def _hear(self, line: str, pattern: "re.Pattern[str] | None") -> None:
        sys.stdout.write(f"{line}\n")
        if line.strip():
            self.tail = [*self.tail[1 - _TAIL :], line.strip()[:400]]
        figures = figures_in(line, pattern)
        if figures:
            self.told(figures)

    def _judge(self, name: str, child: Child) -> None:
        if child.exit == {"code": 0}:
            return
        said = f": {' | '.join(self.tail)}" if self.tail else ""
        message = f"{name!r} {child.describe_exit()}{said}"
        if child.error is not None:
            raise PermanentError(message)
        code = None if child.exit is None else child.exit.get("code")
        if code is None or code in self.program.retry_codes:
            raise TransientError(message)
        raise PermanentError(message)


class _Lines:
    """Cuts what comes in pieces into lines; a longer one than anybody writes is cut where it gets too long."""

    def __init__(self) -> None:
        self._kept = b""

    def take(self, piece: bytes) -> Iterator[str]:
        *whole, self._kept = re.split(rb"[\r\n]", self._kept + piece)
        if len(self._kept) > _LONGEST_LINE:
            whole, self._kept = [*whole, self._kept], b""
        yield from (line.decode(errors="replace") for line in whole)

    def rest(self) -> Iterator[str]:
        if self._kept:
            yield self._kept.decode(errors="replace")
        self._kept = b""
