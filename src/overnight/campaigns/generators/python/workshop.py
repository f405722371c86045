"""The functions that samples are made from, and the bench on which they are tried out."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from overnight.campaigns.generators.python.bench import LOST, Bench, Order, Shown, Trial
from overnight.campaigns.generators.python.child import LATE
from overnight.campaigns.generators.python.functions import Function
from overnight.campaigns.generators.python.judging import explained, names_in
from overnight.campaigns.generators.python.kept import Kept
from overnight.campaigns.generators.python.library import Package, functions_in, packages

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
_LONGEST_SETUP = 1_500
MAY_PASS = (LATE, LOST)
"""Faults that a busy machine may have caused: not kept."""
# Far from what any other code takes, so that a busy machine changes no draft; most that reach it loop for ever.
_LEAST_CPU_S, _TIMES_CPU, _MOST_CPU_S = 0.2, 10, 2.0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A function and the package that it belongs to."""

    package: Package
    function: Function

    @property
    def source(self) -> dict[str, str]:
        """What a sample says of where it comes from."""
        return {"name": self.function.name, **self.package.source}

    def setup(self, number: int, *, silent: bool) -> str | None:
        """Return what comes before an example, as typed; None where that is too long. `silent`: what prints nothing."""
        before = [one.source for one in self.function.examples[:number] if not (silent and one.want)]
        told = "".join(map(typed, [*self.package.prelude.splitlines(keepends=True), *before]))
        return told if len(told) <= _LONGEST_SETUP else None

    def explained(self, examples: str) -> float:
        """Return which share of the names in the function are explained by it, or by examples as typed."""
        plain = "\n".join(line[4:] for line in examples.splitlines())
        return explained(self.function.text, {*names_in(plain), *self.function.qualname.split(".")})


class Workshop:
    """What the generators of Python samples share: by one thread, in one process. Close it to end its child.

    `distributions` are packages that are installed: their functions join those of the standard library. `kept` is a
    file of what was found out about them.
    """

    def __init__(self, distributions: Sequence[str] = (), kept: Path | None = None) -> None:
        self.packages = packages(distributions)
        self.kept = Kept(kept)
        self._bench = Bench()
        self._subjects: dict[str, dict[str, Subject]] = {}
        self._own: dict[str, Trial] = {}

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child that tries code out; it begins anew when it is needed."""
        self._bench.close()
        self.kept.close()

    def subjects(self, package: Package) -> Sequence[Subject]:
        """Return the functions of a package, in an order that does not change."""
        return list(self._by_name(package).values())

    def find(self, package: str, name: str) -> Subject | None:
        """Return the function of that name; None where there is none."""
        found = next((one for one in self.packages if one.name == package), None)
        return None if found is None else self._by_name(found).get(name)

    def own(self, subject: Subject) -> Trial:
        """Return what the examples of a function show when nobody has changed it; a fault where they do not run it."""
        name = subject.function.name
        if name not in self._own:
            self._own[name] = self._kept_own(subject) or self._own_now(subject)
        return self._own[name]

    def _kept_own(self, subject: Subject) -> Trial | None:
        told = self.kept.get(*_told(subject))
        return None if told is None else Trial(**{**told, "shown": [Shown(**one) for one in told["shown"]]})

    def _own_now(self, subject: Subject) -> Trial:
        trial = self._bench.try_out(_order(subject, measured=True))
        # It never ran: whatever passes says nothing of it.
        trial = trial if trial.fault or trial.ran else Trial(fault="its examples do not run it")
        if trial.fault not in MAY_PASS:
            self.kept.put(asdict(trial), *_told(subject))
        return trial

    def with_code(self, subject: Subject, code: str, *, measured: bool = False) -> Trial:
        """Return what the examples show with this code, up to the first that fails though it passes without."""
        own = self.own(subject)
        decisive = sorted(own.passed)
        order = _order(
            subject, code=code, until=decisive[-1] if decisive else None, decisive=decisive, measured=measured
        )
        return self._bench.try_out(replace(order, cpu_s=min(_MOST_CPU_S, _LEAST_CPU_S + _TIMES_CPU * own.cpu_s)))

    def until(self, subject: Subject, number: int) -> Trial:
        """Return what the examples up to one of them show, and how much of the function that needs."""
        return self._bench.try_out(_order(subject, until=number, measured=True))

    def _by_name(self, package: Package) -> dict[str, Subject]:
        if package.name not in self._subjects:
            functions = (one for module, path in package.files for one in functions_in(module, path))
            self._subjects[package.name] = {one.name: Subject(package=package, function=one) for one in functions}
        return self._subjects[package.name]


def _told(subject: Subject) -> tuple[str, ...]:
    """Return all that the outcome of a function's own examples follows from."""
    function, package = subject.function, subject.package
    return "own", package.name, package.version, package.prelude, function.name, function.text, function.docstring


def _order(
    subject: Subject,
    *,
    code: str | None = None,
    until: int | None = None,
    decisive: Sequence[int] = (),
    measured: bool = False,
) -> Order:
    function = subject.function
    return Order(
        module=function.module,
        qualname=function.qualname,
        first_line=function.first_line,
        last_line=function.last_line,
        docstring=function.docstring,
        prelude=subject.package.prelude,
        code=code,
        original=function.text,
        until=until,
        decisive=decisive,
        measured=measured,
    )


def typed(source: str) -> str:
    """Return a statement as it looks in an interactive session."""
    first, *rest = source.rstrip("\n").split("\n")
    return "".join([f">>> {first}\n", *(f"... {line}".rstrip() + "\n" for line in rest)])


def printed(got: str) -> str:
    """Return what was printed, without what is another in every process: addresses."""
    return _ADDRESS.sub("0x...", got).rstrip("\n")


def scattered(*parts: object) -> str:
    """Return a key by which things are put in an order that does not change and follows nothing."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
