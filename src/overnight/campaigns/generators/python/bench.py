"""Where Python code is tried out: a sandboxed warm child (`child`), started when it is needed, and anew when lost.

The child has no network, sees all files read-only, and gets no environment of this process. Where the kernel gives no
namespaces, the limits and the audit hook of `trial` are what there is: enough for mutants of code that is installed
anyway, not for code from elsewhere.
"""

import json
import select
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from overnight.base.errors import TransientError, UserMistake
from overnight.processes import sandbox, table
from overnight.processes.spawn import Child, spawn
from overnight.processes.views import View, everything, walled

CPU_S = 1.0
"""Processor time of a trial that does not say how much it may take."""
ANSWER_S = 120.0
"""After so long without an answer the child is given up: an import hangs, or the machine stands still."""
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from overnight.campaigns.generators.python.child import main; main()"
)
_ENV = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # The order of sets must be the same in every process, and a warm child that forks must have one thread.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}
_PIECE = 65_536
LOST = "takes the whole child with it"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be tried: a function's doctest, with its own code, or with `code` in the place of `original`.

    The function must begin in the lines from `first_line` to `last_line` of its module. The examples run up to the one
    with the number `until`, or to the first of the `decisive` ones that fails. `measured` asks which of its lines run.
    What takes more than `cpu_s` of processor time is refused.
    """

    module: str
    qualname: str
    first_line: int
    last_line: int
    docstring: str
    prelude: str = ""
    code: str | None = None
    original: str | None = None
    until: int | None = None
    decisive: Sequence[int] = ()
    measured: bool = False
    cpu_s: float = CPU_S


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What came of one example: whether it was as its docstring says, and what was printed (or the error).

    `reached`, where it was measured: whether the function had begun to run, for this example or one before.
    """

    number: int
    passed: bool
    got: str
    reached: bool = False


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of an order: the examples that ran, in their order, or the reason why it counts for nothing.

    `ran` is the share of the function's lines that ran, where that was measured; `cpu_s` is the time that it took.
    """

    fault: str | None = None
    shown: Sequence[Shown] = ()
    ran: float | None = None
    cpu_s: float = 0.0

    @property
    def passed(self) -> frozenset[int]:
        """The numbers of the examples that came out as they should."""
        return frozenset(one.number for one in self.shown if one.passed)


@dataclass(frozen=True, kw_only=True)
class Program:
    """Code from elsewhere, and tests of it: statements that raise where it is wrong, and functions named `test_...`."""

    code: str
    tests: str
    cpu_s: float = CPU_S


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What came of a program: `fault` is None where all of its tests passed, `detail` what was raised."""

    fault: str | None
    detail: str | None = None


class BenchFailed(TransientError):
    """The child in which code is tried out cannot be started."""


class NoSandbox(UserMistake):
    """The kernel gives no namespaces here, so that code from elsewhere is not run."""


class Bench:
    """Tries code out, one order at a time. Used by one thread; close it to be rid of the child.

    A `secluded` one sees the interpreter and its libraries and nothing else, and runs programs; without namespaces, it
    runs nothing.
    """

    def __init__(self, *, secluded: bool = False) -> None:
        self._secluded = secluded
        self._child: Child | None = None
        self._line: socket.socket | None = None

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def try_out(self, order: Order) -> Trial:
        """Run the order in the child and return what came of it; a lost child is a fault of this order alone.

        Raises:
            BenchFailed: the child cannot be started.
        """
        answer = self._ask(asdict(order))
        if answer["fault"] is not None:
            return Trial(fault=answer["fault"])
        shown = [Shown(number=one[0], passed=one[1], got=one[2], reached=one[3]) for one in answer["outcomes"]]
        return Trial(shown=shown, ran=answer["ran"], cpu_s=answer["cpu_s"])

    def prove(self, program: Program) -> Proof:
        """Run the program and its tests in the child.

        Raises:
            BenchFailed: the child cannot be started.
            NoSandbox: it could be, but with the rights of this process.
        """
        assert self._secluded, "code from elsewhere runs behind walls only"
        answer = self._ask({"program": asdict(program)})
        return Proof(fault=answer["fault"], detail=answer.get("detail"))

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
        line = self._line or self._start()
        try:
            line.sendall(json.dumps(order).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._hear(line))
        except (OSError, ValueError):
            self.close()
            return {"fault": LOST}
        return answer

    def processes(self) -> list[int]:
        """Return the processes of the child now; none before the first order."""
        return [] if self._child is None else table.pids_below(self._child.pid)

    def close(self) -> None:
        """End the child, if there is one; the next order starts another."""
        if self._line is not None:
            self._line.close()
        if self._child is not None:
            self._child.end(0)
            self._child.wait()
        self._child = self._line = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        view: View = walled() if self._secluded else everything()
        with theirs:
            child = spawn(
                [sys.executable, "-P", "-c", _BOOT, json.dumps(view.paths), str(theirs.fileno())],
                env=_ENV,
                cwd="/",
                fds=(theirs.fileno(),),
                sandbox=view.sandbox,
            )
        self._child, self._line = child, ours
        child.go()
        try:
            self._hear(ours)
        except OSError as error:
            self.close()
            raise BenchFailed(f"the child that tries code out {child.describe_exit()}") from error
        if self._secluded:
            self._be_sure(child)
        return ours

    def _be_sure(self, child: Child) -> None:
        """Refuse a child that is not shut in: its keeper has said so before the child has greeted."""
        while child.worker_pid is None and child.listen():
            pass
        if not child.sandboxed:
            self.close()
            raise NoSandbox(f"code from a language model {sandbox.NONE_HERE}")

    def _hear(self, line: socket.socket) -> bytes:
        told = b""
        while not told.endswith(b"\n"):
            if not select.select([line], [], [], ANSWER_S)[0]:
                raise OSError("no answer")
            piece = line.recv(_PIECE)
            if not piece:
                raise OSError("the child is gone")
            told += piece
        return told
