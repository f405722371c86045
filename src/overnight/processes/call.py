"""Calls a program and waits for its end: for short commands, which have a time limit."""

import os
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from overnight.base.clock import SystemClock
from overnight.base.errors import TransientError
from overnight.processes.limits import Limits
from overnight.processes.sandbox import Sandbox
from overnight.processes.spawn import Child, spawn

_LOOK_EVERY_S = 0.1
_GRACE_S = 2.0
_PIECE = 65_536
_TAIL = 400


class CallFailed(TransientError):
    """The program could not be started, took too long, was stopped, or ended with another code than 0."""


def call(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str = ".",
    timeout_s: float,
    asked: Callable[[], bool] = lambda: False,
) -> str:
    """Call the program and return the end of what it printed; nothing of it is left then. `asked` says to stop it.

    Raises:
        CallFailed: it did not end with code 0; the message says how, and what it printed last.
    """
    clock = SystemClock()
    until, tail, why = clock.monotonic() + timeout_s, b"", None
    with started(argv, env=env, cwd=cwd) as (child, pieces):
        for piece in pieces:
            tail = (tail + piece)[-_PIECE:]
            if why is None and (asked() or clock.monotonic() >= until):
                why = "was asked to stop" if clock.monotonic() < until else f"took longer than {timeout_s:g} s"
                child.end(_GRACE_S)
    said = " ".join(tail.decode(errors="replace").split())[-_TAIL:]
    if why is not None or child.exit != {"code": 0}:
        raise CallFailed(f"{argv[0]!r} {why or child.describe_exit()}{f': {said}' if said else ''}")
    return said


@contextmanager
def started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str = ".",
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
) -> Iterator[tuple[Child, Iterator[bytes]]]:
    """Start a program; give it, and what it prints, in pieces until it and its keeper are gone.

    A piece is empty where nothing was printed for a moment. After the block nothing of the program is left.
    """
    output, theirs = os.pipe()
    try:
        child = spawn(argv, env=env, cwd=cwd, stdout=theirs, stderr=theirs, limits=limits, sandbox=sandbox)
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(theirs)
    try:
        child.go()
        yield child, _pieces(child, output)
    finally:
        os.close(output)
        child.end(0)
        child.wait()


def _pieces(child: Child, output: int) -> Iterator[bytes]:
    waiting = [output, child.line.fileno()]
    while child.line.fileno() in waiting:
        ready, _, _ = select.select(waiting, [], [], _LOOK_EVERY_S)
        piece = os.read(output, _PIECE) if output in ready else b""
        if output in ready and not piece:
            waiting.remove(output)
        yield piece
        if child.line.fileno() in ready and not child.listen():
            waiting.remove(child.line.fileno())
