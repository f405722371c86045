"""Runs functions in child processes that are kept warm, one attempt at a time in each.

The wire between this executor and a child (`inside`) is a Unix socket with one JSON object a line. To the child:
`{"boot": {...}}` once, `{"order": {...}}` with the write end of the attempt's output pipe, and
`{"cancel": [run_id, token]}`. From it: `{"progress": {...}}`, `{"alive": true}` about once a second while it works, and
`{"result": {...}, "reusable": bool}`. An order and a result may carry a `parcel`. The output
pipe is a new one for each attempt, so that what a thread or process of an earlier one prints can never land in this
one's log.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from overnight.base.clock import Clock
from overnight.base.refs import ErrorRef, Outcome
from overnight.executors.children import Attempt, ChildExecutor, child_lost, env_of, not_started
from overnight.executors.parcels import Parcels
from overnight.processes.spawn import ROOT, Child, spawn

MAX_ORDERS = 1000
"""After so many attempts a child ends: what leaks in it has a bound."""
IDLE_S = 60.0
"""After so long without an attempt a child ends."""
LARGE_GB, LARGE_IDLE_S = 0.1, 0.3
"""A child whose last attempt took so much memory ends after so long: others need more what it holds."""
_BOOT = "import sys; sys.path.append(sys.argv[1]); from overnight.app.child import main; main()"
_LINE_LIMIT = 64 * 1024 * 1024
_POLITE_SHARE = 0.75
_STRAY_GRACE_S = 0.5
_LAST_WORDS_S = 0.25
_RETIRE_S = 1.0
_SWEEP_S = 5.0
_PIECE = 65_536
_SETTLE_S = 0.005
_SETTLE_TRIES = 5


@dataclass(kw_only=True, eq=False)
class _Seat:
    """A warm child and the wire to it. A child serves orders of one project folder only."""

    project_dir: str
    child: Child
    control: socket.socket
    output: int | None
    attempt: Attempt | None = None
    unsent: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    served: int = 0
    idle_since: float = 0.0
    idle_s: float = IDLE_S
    closed_pipe: bool = False


class ProcessExecutor(ChildExecutor):
    """Implements base/ports.Executor on warm child processes, as many as there are attempts at once.

    A child is used again unless the attempt had GPUs, was stopped, or left processes, threads or open output behind;
    after MAX_ORDERS attempts or IDLE_S without one (a large one sooner) it ends. When an attempt is stopped,
    `ctx.cancelled` is set at once, SIGTERM follows after three quarters of the grace time, SIGKILL at its end.

    `env` is what children get. `main_path` is the file that functions of the module `__main__` come from. `parcels` go
    along with orders and come back with results.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        main_path: str | None = None,
        clock: Clock | None = None,
        parcels: Parcels | None = None,
    ) -> None:
        super().__init__("process", clock)
        self._parcels = parcels or Parcels()
        self._env = dict(env)
        self._main_path = main_path
        self._idle: list[_Seat] = []
        self._seats: dict[Child, _Seat] = {}
        self._sweeping = False

    def _begin(self, attempt: Attempt) -> None:
        # The last one that became idle is the warmest; the first ones then get old and end.
        warm = (seat for seat in reversed(self._idle) if seat.project_dir == attempt.order.project_dir)
        seat = next(warm, None)
        # Which GPUs a process sees is settled before it works, and it holds some of them until it ends.
        if seat is None or attempt.order.devices:
            super()._begin(attempt)
            return
        # What may fail comes first: the child then stays where it is.
        output = _open_pipe(attempt)
        self._watch_streams(attempt)
        self._idle.remove(seat)
        attempt.child = seat.child
        self._give(seat, attempt, output)
        self._sample_later()

    def _open(self, attempt: Attempt) -> Child:
        order = attempt.order
        ours, theirs = socket.socketpair()
        output = _open_pipe(attempt)
        with theirs:
            try:
                child = spawn(
                    [sys.executable, "-P", "-c", _BOOT, ROOT, str(theirs.fileno())],
                    env=env_of(order, self._env),
                    cwd=order.project_dir,
                    fds=(theirs.fileno(),),
                    stdout=subprocess.DEVNULL if output is None else output,
                    stderr=subprocess.DEVNULL if output is None else output,
                )
            except BaseException:
                ours.close()
                if output is not None:
                    os.close(output)
                raise
        ours.setblocking(False)
        with self._lock:
            self._seats[child] = _Seat(project_dir=order.project_dir, child=child, control=ours, output=output)
        return child

    def _opened(self, attempt: Attempt, child: Child) -> None:
        seat = self._seats[child]
        child.go()
        boot = {"sys_path": sys.path, "project_dir": attempt.order.project_dir, "main_path": self._main_path}
        output, seat.output = seat.output, None
        self._give(seat, attempt, output, _line({"boot": boot}))
        self._watch_control(seat)
        self._sweep_later()

    def _give(self, seat: _Seat, attempt: Attempt, output: int | None, before: bytes = b"") -> None:
        """Send the order with its output pipe to a child that waits for one."""
        seat.attempt = attempt
        seat.served += 1
        message: dict[str, Any] = {"order": vars(attempt.order)}
        parcel = self._parcels.outgoing(attempt.order.task_id)
        if parcel is not None:
            message["parcel"] = parcel
        self._send(seat, before + _line(message), [] if output is None else [output])
        if output is not None:
            os.close(output)

    def _send(self, seat: _Seat, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send without waiting; what does not fit goes out as the child takes it."""
        if seat.unsent:
            seat.unsent += data
            return
        try:
            sent = socket.send_fds(seat.control, [data], descriptors) if descriptors else seat.control.send(data)
        except OSError:
            return  # the child is gone, which its line tells
        if sent < len(data):
            seat.unsent += data[sent:]
            self._watch_control(seat)

    def _send_rest(self, seat: _Seat) -> None:
        with self._lock:
            try:
                del seat.unsent[: seat.control.send(seat.unsent)]
            except BlockingIOError:
                return
            except OSError:
                seat.unsent.clear()
            if not seat.unsent:
                self._watch_control(seat)

    def _watch_control(self, seat: _Seat) -> None:
        write = (lambda: self._send_rest(seat)) if seat.unsent else None
        self._loop().watch(seat.control, lambda: self._on_control(seat), write)

    def _on_control(self, seat: _Seat) -> None:
        """The child has said something."""
        try:
            piece = seat.control.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._pipe_closed(seat)
            return
        start = len(seat.unread)
        seat.unread += piece
        if b"\n" in piece:
            end = seat.unread.rindex(b"\n", start)
            lines = bytes(seat.unread[:end]).split(b"\n")
            del seat.unread[: end + 1]
            for line in lines:
                self._hear(seat, line)
        elif len(seat.unread) > _LINE_LIMIT:
            self._babble(seat, f"sent a result of more than {_LINE_LIMIT // 1_000_000} MB")

    def _hear(self, seat: _Seat, line: bytes) -> None:
        attempt = seat.attempt
        if attempt is None or attempt.outcome is not None:
            return
        try:
            message = json.loads(line)
            if "progress" in message:
                attempt.channel.progress(attempt.order, message["progress"])
            elif "alive" in message:
                attempt.channel.heartbeat(attempt.order)
            else:
                outcome = self._read_result(attempt, message["result"])
                if message.get("parcel") is not None:
                    self._parcels.keep(attempt.order.run_id, message["parcel"])
                self._result(seat, attempt, outcome, reusable=bool(message["reusable"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._babble(seat, "wrote something else than results into its pipe")

    def _read_result(self, attempt: Attempt, values: dict[str, Any]) -> Outcome:
        error = ErrorRef(**values["error"]) if values["error"] is not None else None
        return Outcome(
            kind=values["kind"],
            result=values["result"],
            error=error,
            waiting_for=values["waiting_for"],
            counts={str(name): float(number) for name, number in values["counts"].items()},
            usage=self._usage(attempt, values["cpu_s"], values["peak_bytes"]),
        )

    def _result(self, seat: _Seat, attempt: Attempt, outcome: Outcome, *, reusable: bool) -> None:
        """Report the end and keep the child warm, or end it first when it has left anything behind."""
        attempt.outcome = outcome
        with self._lock:
            pass  # whoever started the attempt may be about to close its end of the output pipe
        self._settle(seat, attempt, outcome, reusable=reusable, tries=_SETTLE_TRIES)

    def _settle(self, seat: _Seat, attempt: Attempt, outcome: Outcome, *, reusable: bool, tries: int) -> None:
        if attempt.finished:
            return
        ended = self._drain_to_end(attempt)
        left = seat.child.left_processes()
        if not ended and not left and tries:
            # A process that another thread of the host starts holds copies of all descriptors for a moment.
            self._loop().later(
                _SETTLE_S, lambda: self._settle(seat, attempt, outcome, reusable=reusable, tries=tries - 1)
            )
            return
        if not ended or left:
            self._drain(attempt)
            seat.child.end(_STRAY_GRACE_S)  # `_on_line` reports when all of it is gone
            return
        with self._lock:
            seat.attempt = attempt.child = None
            keep = reusable and attempt.reason is None and not self._closed and seat.served < MAX_ORDERS
            keep = keep and not attempt.order.devices
            if keep:
                seat.idle_since = self._clock.monotonic()
                large = (outcome.usage.peak_memory_gb or 0.0) > LARGE_GB
                seat.idle_s = min(LARGE_IDLE_S, IDLE_S) if large else IDLE_S
                self._idle.append(seat)
                if large:
                    self._loop().later(seat.idle_s, self._retire_old)
            else:
                self._retire(seat)
        self._finish(attempt, outcome)

    def _babble(self, seat: _Seat, what: str) -> None:
        if seat.attempt is not None:
            seat.attempt.outcome = child_lost(f"the child process {what}")
        seat.child.end(0)

    def _pipe_closed(self, seat: _Seat) -> None:
        """The child has ended, which its line will tell, or it has closed the socket and lives on."""
        self._loop().forget(seat.control)
        with self._lock:
            if seat in self._idle:
                self._idle.remove(seat)

        def end() -> None:
            if seat.child in self._children and seat.child.exit is None:
                seat.closed_pipe = True
                seat.child.end(_LAST_WORDS_S)

        self._loop().later(_LAST_WORDS_S, end)

    def _ask_to_stop(self, attempt: Attempt, child: Child, grace_s: float) -> None:
        with self._lock:
            self._send(self._seats[child], _line({"cancel": list(attempt.key)}))

        def end() -> None:
            if attempt.child is child and not attempt.finished:
                child.end(grace_s * (1 - _POLITE_SHARE))

        self._loop().later(grace_s * _POLITE_SHARE, end)

    def _conclude(self, attempt: Attempt, child: Child) -> Outcome:
        seat = self._seats[child]
        usage = (
            self._usage(attempt, child.cpu_s, child.peak_bytes) if seat.served == 1 else self._usage(attempt, None, 0)
        )
        if child.error is not None:
            outcome = not_started(f"a child process in {attempt.order.project_dir!r} {child.describe_exit()}")
        elif seat.closed_pipe:
            outcome = child_lost("the child process closed its pipe without a result")
        else:
            outcome = child_lost(f"the child process {child.describe_exit()} without a result")
        return replace(outcome, usage=usage)

    def _forget(self, child: Child) -> None:
        seat = self._seats.pop(child)
        self._loop().forget(seat.control)
        seat.control.close()
        if seat.output is not None:
            os.close(seat.output)
        if seat in self._idle:
            self._idle.remove(seat)

    def _close_rest(self) -> None:
        while self._idle:
            self._retire(self._idle.pop())

    def _retire(self, seat: _Seat) -> None:
        """End an idle child: it leaves when nobody can talk to it any more, or is made to."""
        self._loop().forget(seat.control)
        seat.control.close()

        def end() -> None:
            if seat.child in self._children:
                seat.child.end(_LAST_WORDS_S)

        self._loop().later(_RETIRE_S, end)

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._loop().later(min(_SWEEP_S, IDLE_S), self._sweep)

    def _sweep(self) -> None:
        with self._lock:
            self._sweeping = False
            self._retire_old()
            if self._seats:
                self._sweep_later()

    def _retire_old(self) -> None:
        """End the children that have been idle for too long."""
        with self._lock:
            now = self._clock.monotonic()
            for seat in [seat for seat in self._idle if seat.idle_since + seat.idle_s <= now]:
                self._idle.remove(seat)
                self._retire(seat)


def _open_pipe(attempt: Attempt) -> int | None:
    """Give the attempt the read end of a new pipe and return the write end; None when nobody wants its output."""
    if attempt.order.log_path is None:
        return None
    stream, output = os.pipe()
    os.set_blocking(stream, False)
    attempt.streams.append(stream)
    return output


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
