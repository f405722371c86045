"""Runs the doctest of a function, with its own code or with other code put into it: the one place that executes source.

It is called in a forked copy of the warm child (`child`), which ends right after: whatever the code breaks in the
process, no other trial sees it. An audit hook refuses what no trial needs (processes, sockets, writing), and says so in
the answer; the kernel's limits and namespaces hold where a hook would not.
"""

import __future__

import ast
import doctest
import importlib
import inspect
import os
import resource
import signal
import sys
import types
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

MEMORY_BYTES = 256 * 1024 * 1024
"""Address space that a trial may add to what the warm child has."""
LONGEST_OUTPUT = 2_000
"""Characters of an example's output that are told."""

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = {
    "starts a process": (
        "os.fork",
        "os.forkpty",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "subprocess.",
        "pty.",
    ),
    "opens a socket": ("socket.",),
    "touches files": (
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "os.chown",
        "os.chflags",
        "os.utime",
        "os.setxattr",
        "os.removexattr",
        "shutil.",
        "tempfile.",
    ),
    "sends a signal": ("os.kill", "signal."),
}


class Refused(BaseException):
    """The code did what no trial may do. Not an Exception: code that catches everything must not go on."""


class _Enough(BaseException):
    """The trial has shown what it was for."""


class NotPossible(Exception):
    """The trial cannot be made; the message says why."""


@dataclass(kw_only=True)
class Guard:
    """The audit hook. `broken` is the first thing that was refused while it was strict, which ends the trial.

    An example on which nothing depends only fails when it wants too much: plots, say, between others that compute.
    """

    strict: bool = False
    broken: str | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse what no trial needs; see sys.addaudithook."""
        reason = _reason(event, arguments)
        if reason is None:
            return
        if not self.strict:
            raise PermissionError(reason)
        self.broken = self.broken or reason
        raise Refused(reason)


def _reason(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event == "open":
        path, _, flags = arguments
        return "touches files" if flags & _WRITES and path != os.devnull else None
    return next((reason for reason, names in _REFUSED.items() if event.startswith(names)), None)


@dataclass(kw_only=True)
class _Lines:
    """Notes which lines of one code object run."""

    code: types.CodeType
    seen: set[int] = field(default_factory=set)

    def share(self) -> float:
        """Return the share of its lines that ran, the line of the definition left out."""
        lines = {line for _, _, line in self.code.co_lines() if line is not None} - {self.code.co_firstlineno}
        return len(self.seen & lines) / len(lines) if lines else 0.0

    def on_call(self, frame: types.FrameType, event: str, argument: object) -> Any:  # Any: a trace function
        return self._on_line if frame.f_code is self.code else None

    def _on_line(self, frame: types.FrameType, event: str, argument: object) -> Any:  # Any: a trace function
        if event == "line":
            self.seen.add(frame.f_lineno)
        return self._on_line


class _Runner(doctest.DocTestRunner):
    """Notes what came of each example; `decisive` are those of which one failure is enough."""

    def __init__(
        self, numbers: Mapping[int, int], decisive: frozenset[int], lines: _Lines | None, guard: Guard
    ) -> None:
        super().__init__(verbose=False, optionflags=FLAGS)
        self.numbers, self.decisive, self.lines, self.guard = numbers, decisive, lines, guard
        self.outcomes: list[tuple[int, bool, str, bool]] = []

    def report_start(self, out: object, test: doctest.DocTest, example: doctest.Example) -> None:
        self.guard.strict = self.numbers[id(example)] in self.decisive
        if self.lines is not None:
            sys.settrace(self.lines.on_call)

    def report_success(self, out: object, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self._note(example, True, got)

    def report_failure(self, out: object, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self._note(example, False, got)

    def report_unexpected_exception(
        self, out: object, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        kind, value = exc_info[0], exc_info[1]
        if issubclass(kind, Refused):
            raise _Enough
        if issubclass(kind, MemoryError):
            raise value
        self._note(example, False, f"{kind.__name__}: {_said(value)}".rstrip(": "))

    def _note(self, example: doctest.Example, passed: bool, got: str) -> None:
        number = self.numbers[id(example)]
        reached = self.lines is not None and bool(self.lines.seen)
        self.outcomes.append((number, passed, got[: LONGEST_OUTPUT + 1], reached))
        if not passed and number in self.decisive:
            raise _Enough


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the code under trial has broken even that
        return ""


def warm_up() -> None:
    """Import what doctest imports only when it runs, so that no copy of this process has to."""
    test = doctest.DocTestParser().get_doctest(">>> 1\n1\n", {}, "warm_up", None, 0)
    doctest.DocTestRunner().run(test)


def globals_of(prelude: str, module: str) -> dict[str, Any]:
    """Return the names that the examples of a module see: its own, and before them those of its package's prelude.

    Raises:
        NotPossible: the module cannot be imported.
    """
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(prelude, "<prelude>", "exec", dont_inherit=True), names)  # noqa: S102 - what this is for
            names.update(vars(importlib.import_module(module)))
        except BaseException as error:
            raise NotPossible(f"cannot be imported: {type(error).__name__}: {_said(error)[:200]}") from error
    return names


def imported_by(docstring: str) -> set[str]:
    """Return the modules that the examples of a docstring import."""
    found: set[str] = set()
    for example in doctest.DocTestParser().get_examples(docstring):
        with suppress(SyntaxError):
            for node in ast.walk(ast.parse(example.source)):
                if isinstance(node, ast.Import):
                    found.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module)
    return found


def run(order: Mapping[str, Any]) -> dict[str, Any]:
    """Make one trial and return its outcomes, as `bench.Trial` reads them. The process is of no use afterwards."""
    guard = Guard()
    try:
        names = globals_of(order["prelude"], order["module"])
        function = _find(order["module"], order["qualname"], range(order["first_line"], order["last_line"] + 1))
        own = function.__code__
        if order["code"] is not None:
            _put_in(function, order)
        tighten(order["cpu_s"], taken_bytes())
        sys.addaudithook(guard)
        lines = _Lines(code=function.__code__) if order["measured"] else None
        runner = _examples(order, names, lines, guard)
        function.__code__ = own  # the outcome is told through the standard library, and this may be a part of it
    except NotPossible as error:
        return {"fault": str(error)}
    except MemoryError:
        return {"fault": "needs too much memory"}
    if guard.broken is not None:
        return {"fault": guard.broken}
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "fault": None,
        "outcomes": runner.outcomes,
        "ran": None if lines is None else lines.share(),
        "cpu_s": used.ru_utime + used.ru_stime,
    }


def _examples(order: Mapping[str, Any], names: dict[str, Any], lines: _Lines | None, guard: Guard) -> _Runner:
    test = doctest.DocTestParser().get_doctest(order["docstring"], names, order["qualname"], None, 0)
    numbers = {id(example): number for number, example in enumerate(test.examples)}
    if order["until"] is not None:
        test.examples = test.examples[: order["until"] + 1]
    runner = _Runner(numbers, frozenset(order["decisive"]), lines, guard)
    warnings.simplefilter("ignore")
    try:
        runner.run(test, out=lambda _: None, clear_globs=False)
    except _Enough:
        pass
    finally:
        sys.settrace(None)
    return runner


def _find(module: str, qualname: str, places: range) -> types.FunctionType:
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        try:
            found = inspect.getattr_static(found, name)
        except AttributeError:
            raise NotPossible("is not there when its module is imported") from None
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    found = getattr(found, "fget", None) or getattr(found, "func", None) or found
    clear = getattr(found, "cache_clear", None)
    if clear is not None:
        clear()
    found = inspect.unwrap(found)
    if not isinstance(found, types.FunctionType) or found.__code__.co_firstlineno not in places:
        raise NotPossible("is another object when its module is imported")
    return found


def _put_in(function: types.FunctionType, order: Mapping[str, Any]) -> None:
    node, own = (_definition(order[name]) for name in ("code", "original"))
    classes = order["qualname"].split(".")[:-1]
    code = _compiled(node, classes, _future_flags(function))
    try:
        function.__code__ = code
    except ValueError:
        raise NotPossible("does not fit where it belongs: it uses other variables from outside") from None
    _set_defaults(function, node, own)


def _definition(code: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    body = ast.parse(code).body
    assert isinstance(body[0], ast.FunctionDef | ast.AsyncFunctionDef), "who sends it has looked"
    body[0].decorator_list = []
    return body[0]


def _compiled(node: ast.stmt, classes: list[str], flags: int) -> types.CodeType:
    """Compile the definition inside its classes: names with two underscores and `super()` depend on them."""
    for name in reversed(classes):
        inner = ast.ClassDef(name=name, bases=[], keywords=[], body=[node], decorator_list=[])
        node = ast.fix_missing_locations(inner)
    try:
        module = ast.Module(body=[node], type_ignores=[])
        code: types.CodeType = compile(module, "<trial>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise NotPossible(f"does not compile: {error}") from error
    for _ in range(len(classes) + 1):
        code = next(inner for inner in code.co_consts if isinstance(inner, types.CodeType))
    return code


def _future_flags(function: types.FunctionType) -> int:
    features = {name: getattr(__future__, name) for name in __future__.all_feature_names}
    said = [name for name, feature in features.items() if function.__globals__.get(name) is feature]
    return sum(features[name].compiler_flag for name in said)


def _set_defaults(
    function: types.FunctionType,
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    own: ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    """Give it the defaults that differ from its own; they live in the function, not in its code."""
    if len(node.args.defaults) != len(own.args.defaults) or len(node.args.kw_defaults) != len(own.args.kw_defaults):
        raise NotPossible("has other parameters")
    values = list(function.__defaults__ or ())
    for place, (new, old) in enumerate(zip(node.args.defaults, own.args.defaults, strict=True)):
        if ast.dump(new) != ast.dump(old):
            values[place] = _literal(new)
    function.__defaults__ = tuple(values) or None
    for argument, new_kw, old_kw in zip(node.args.kwonlyargs, node.args.kw_defaults, own.args.kw_defaults, strict=True):
        if new_kw is not None and (old_kw is None or ast.dump(new_kw) != ast.dump(old_kw)):
            function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), argument.arg: _literal(new_kw)}


def _literal(node: ast.expr) -> Any:  # Any: a Python literal
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise NotPossible("has a default that is no literal") from None


def taken_bytes() -> int:
    """Return the address space that this process has."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib would be imported in every copy
        return int(file.read().split()[0]) * resource.getpagesize()


def tighten(cpu_s: float, taken: int) -> None:
    """Set the limits of this trial. Processor time, so that a busy machine refuses nothing that a free one lets by."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    # For code that has switched the timer's signal off.
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = taken + MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(taken + MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
