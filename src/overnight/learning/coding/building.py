"""What exercises for coding agents have in common. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from overnight.learning.checks import Check, Expected, ProgramCheck
from overnight.learning.workspaces import Stage

LIMIT_S = 600.0
"""Seconds in which a task is expected to be done, all calls of the agent together."""
_PASSED = r"(?:^|, )(?P<value>\d+) passed"


@dataclass(frozen=True, kw_only=True)
class Coding:
    """A task for a coding agent: `task` in one sentence, `facts` that an answer has to heed, and what judges it.

    `details` say in words what the facts do not. All that is checked is asked for.
    """

    task: str
    facts: Mapping[str, str]
    details: str
    answer: tuple[str, ...]
    checks: tuple[Check, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    verify: tuple[ProgramCheck, ...] = ()

    @property
    def prompt(self) -> str:
        """What the agent is asked."""
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts.items())
        return f"{self.task}\n\n{facts}\n\n{self.details}".strip()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage: the author's."""
        return (Stage(role="author", prompt=self.prompt),)


def python(*words: str) -> tuple[str, ...]:
    """Return a command line of Python."""
    return ("{python}", *words)


def tests(count: int, path: str = "hidden_tests.py", name: str = "tests") -> ProgramCheck:
    """Return the check that so many tests of a file pass; a program that ends itself passes none."""
    command = python("-m", "pytest", "-q", "-p", "no:cacheprovider", path)
    return ProgramCheck(name=name, command=command, pattern=_PASSED, bound=count, at_least=True, timeout_s=120.0)


def figure(name: str, path: str, word: str, bound: float) -> ProgramCheck:
    """Return the check that a hidden program prints a line of this word and a figure that is large enough."""
    pattern = rf"^{word}: (?P<value>[0-9.]+)$"
    return ProgramCheck(name=name, command=python(path), pattern=pattern, bound=bound, at_least=True, timeout_s=120.0)


def style(*paths: str) -> ProgramCheck:
    """Return the check of unused names, likely faults, sorted imports, names and lines of 100 characters."""
    command = python(
        "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "E,F,B,I,N", "--line-length", "100", *paths
    )
    return ProgramCheck(name="style", command=command)


def types(*paths: str) -> ProgramCheck:
    """Return the check of types, strictly."""
    command = python("-m", "mypy", "--strict", "--cache-dir=/dev/null", "--no-error-summary", *paths)
    return ProgramCheck(name="types", command=command, timeout_s=120.0)


def in_time() -> Expected:
    """Return the check of the time that the agent takes."""
    return Expected(name="within_time", metric="time_s", bound=LIMIT_S, at_least=False)


RUFF = "The style is checked by ruff (rules E, F, B, I and N; lines of at most 100 characters)."
STYLE = f"{RUFF} The types are checked by mypy --strict, without any package but the standard library."
