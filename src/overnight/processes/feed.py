"""Calls a program that reads: gives it what it is to read, takes what it says, and waits for its end."""

import os
import selectors
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from overnight.base.clock import SystemClock
from overnight.processes.spawn import Child, spawn

_PIECE = 65_536
_TAIL = 4000
_SHOWN = 400


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended: `code` is None where it was `killed` or lost, or not `started`; `how` says so in words.

    `output` is all that it wrote, `said` the end of its standard error, on one line.
    """

    started: bool
    killed: bool
    code: int | None
    how: str
    output: bytes
    said: str


def feed(
    argv: Sequence[str],
    pieces: Iterable[bytes],
    *,
    env: Mapping[str, str],
    cwd: str = ".",
    timeout_s: float | None = None,
) -> Ended:
    """Start the program, give it the pieces, and return how it ended; nothing of it is left then.

    A piece is asked for when the one before is in the pipe. A program that ends before it has read all is left be.
    What `pieces` raises passes through; the program is killed before. So is one that takes longer than `timeout_s`.

    Raises:
        OSError: no process can be started.
    """
    pipes = [os.pipe() for _ in range(3)]
    (theirs_in, to_it), (output, theirs_out), (errors, theirs_err) = pipes
    try:
        child = spawn(argv, env=env, cwd=cwd, stdin=theirs_in, stdout=theirs_out, stderr=theirs_err)
    except BaseException:
        for number in (to_it, output, errors):
            os.close(number)
        raise
    finally:
        for number in (theirs_in, theirs_out, theirs_err):
            os.close(number)
    talk = _Talk(child, to_it, output, errors)
    try:
        child.go()
        late = talk.have(iter(pieces), timeout_s)
    finally:
        child.end(0)
        child.wait()
        talk.close()
    return Ended(
        started=child.error is None,
        killed=child.killed,
        code=None if child.exit is None else child.exit.get("code"),
        how=f"took longer than {timeout_s:g} s" if late else child.describe_exit(),
        output=bytes(talk.output),
        said=" ".join(talk.errors.decode(errors="replace").split())[-_SHOWN:],
    )


class _Talk:
    """The three pipes of a child, and the line to its keeper."""

    def __init__(self, child: Child, to_it: int, output: int, errors: int) -> None:
        self._child, self._to_it = child, to_it
        self._from_it = {output: self._keep, errors: self._overhear}
        self.output, self.errors = bytearray(), b""
        self._waiting = selectors.DefaultSelector()
        self._fed = False
        os.set_blocking(to_it, False)
        for number in self._from_it:
            os.set_blocking(number, False)
            self._waiting.register(number, selectors.EVENT_READ)
        self._waiting.register(child.line, selectors.EVENT_READ)
        self._waiting.register(to_it, selectors.EVENT_WRITE)

    def have(self, pieces: Iterator[bytes], timeout_s: float | None) -> bool:
        """Give and take until the keeper is gone; what was written before is read to its end. True: it was too slow."""
        clock = SystemClock()
        until = None if timeout_s is None else clock.monotonic() + timeout_s
        rest, late, alive = memoryview(b""), False, True
        while alive:
            left = None if until is None or late else max(until - clock.monotonic(), 0.0)
            if left == 0.0:
                late = True
                self._child.end(0)
            for key, _ in self._waiting.select(left):
                if key.fd == self._to_it:
                    rest = self._give(rest, pieces)
                elif key.fd in self._from_it:
                    self._take(key.fd)
                else:
                    alive = self._child.listen()
            if self._child.exit is not None:
                self._end_input()
        for number in self._from_it:
            while self._take(number):
                pass
        return late

    def close(self) -> None:
        """Close what is open."""
        self._end_input()
        self._waiting.close()
        for number in self._from_it:
            os.close(number)

    def _give(self, rest: memoryview, pieces: Iterator[bytes]) -> memoryview:
        while not rest:
            piece = next(pieces, None)
            if piece is None:
                self._end_input()
                return rest
            rest = memoryview(piece)
        try:
            return rest[os.write(self._to_it, rest[:_PIECE]) :]
        except BlockingIOError:
            return rest
        except BrokenPipeError:
            # It reads no more; how it ends says why.
            self._end_input()
            return memoryview(b"")

    def _take(self, number: int) -> bool:
        piece = b""
        with suppress(BlockingIOError):
            piece = os.read(number, _PIECE)
            if not piece and number in self._waiting.get_map():
                self._waiting.unregister(number)
        self._from_it[number](piece)
        return bool(piece)

    def _keep(self, piece: bytes) -> None:
        self.output += piece

    def _overhear(self, piece: bytes) -> None:
        self.errors = (self.errors + piece)[-_TAIL:]

    def _end_input(self) -> None:
        if not self._fed:
            self._fed = True
            self._waiting.unregister(self._to_it)
            os.close(self._to_it)
