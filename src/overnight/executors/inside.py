"""What happens inside a warm child process: it takes orders from its socket, one after another, and sends results.

One thread does all of it, so that what a task's function does (fork, signals, a long call in C) can break little. The
function asks for a cancel itself, through `ctx.cancelled`, and the keeper above this process ends it when it must.
A second thread only says once a second that the process lives: it falls silent when the process is stopped, and when
code in C does not let go of the interpreter.
"""

import array
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from overnight.base.clock import SystemClock
from overnight.base.refs import Outcome, WorkOrder
from overnight.executors.calling import Resolve, perform
from overnight.executors.context import Context
from overnight.executors.parcels import of_main

BEAT_EVERY_S = 1.0
_BEAT = b'{"alive":true}\n'
_PIECE = 65_536
_BROKEN_PIPE = 74
_DESCRIPTORS = 4


class Wire:
    """The socket to the executor: one JSON object a line, and now and then a file descriptor."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._unread = bytearray()
        self._inode = os.fstat(control.fileno()).st_ino
        self._lock = threading.Lock()
        # A copy that the function forks lacks the thread that may hold the lock at that instant.
        os.register_at_fork(after_in_child=self._renew_lock)
        self.output: int | None = None
        self.working = False

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next message; None when nobody is there any more."""
        while (message := self._next()) is None:
            if not self._take(0):
                return None
        return message

    def poll(self) -> dict[str, Any] | None:
        """Return a message that is already there, or None. Nobody being there any more is for the keeper to notice."""
        message = self._next()
        if message is None:
            try:
                self._take(socket.MSG_DONTWAIT)
            except OSError:
                return None
            message = self._next()
        return message

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, or end this process: without its pipe it can tell nobody anything."""
        try:
            data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
            with self._lock:
                self._control.sendall(data)
        except OSError:
            os._exit(_BROKEN_PIPE)

    def beat(self) -> None:
        """Say that this process lives, while it works on an order; never wait for that."""
        with self._lock, suppress(OSError):
            # The function may have closed the socket, and its number may be another file's by now.
            if self.working and os.fstat(self._control.fileno()).st_ino == self._inode:
                self._control.send(_BEAT, socket.MSG_DONTWAIT)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def _take(self, flags: int) -> bool:
        space = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        piece, ancillary, _, _ = self._control.recvmsg(_PIECE, space, flags | getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.output = array.array("i", content[:4])[0]
        self._unread += piece
        return bool(piece)

    def _next(self) -> dict[str, Any] | None:
        end = self._unread.find(b"\n")
        if end < 0:
            return None
        message: dict[str, Any] = json.loads(self._unread[:end])
        del self._unread[: end + 1]
        return message


def serve(wire: Wire, resolve: Resolve, load_main: Callable[[], object]) -> None:
    """Work on orders until nobody sends any; `load_main` makes known what the host's main program defines."""
    flush_c = _c_flush()
    with suppress(RuntimeError):  # no thread can be had: the work is worth more than the word that it goes on
        threading.Thread(target=_beat, args=(wire,), name="overnight-beat", daemon=True).start()
    while (message := wire.receive()) is not None:
        if "order" in message:
            parcel = message.get("parcel")
            find = resolve if parcel is None or not of_main(parcel) else _after(load_main, resolve)
            _work(wire, WorkOrder.from_dict(message["order"]), find, flush_c, parcel)


def _after(load_main: Callable[[], object], resolve: Resolve) -> Resolve:
    """Return what loads the main program before it finds a function: what that raises is the attempt's failure."""

    def find(order: WorkOrder) -> Callable[..., object]:
        load_main()
        return resolve(order)

    return find


def _beat(wire: Wire) -> None:
    # Signals are for the thread that calls the function, also those that it blocks.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pause = threading.Event()
    while not pause.wait(BEAT_EVERY_S):
        wire.beat()


def _work(  # Any: a C function has no type
    wire: Wire, order: WorkOrder, resolve: Resolve, flush_c: Any, parcel: str | None
) -> None:
    me = os.getpid()
    threads = threading.active_count()
    output, wire.output = wire.output, None
    _print_to(output)
    cpu_before = _cpu_s()
    _forget_peak()
    ctx = Context(
        order,
        clock=SystemClock(),
        send=lambda figures: wire.send({"progress": figures}),
        look=lambda: _is_cancel(wire.poll(), order),
        parcel=parcel,
    )
    wire.working = True
    outcome = perform(order, resolve, ctx, _log)
    wire.working = False
    if os.getpid() != me:
        _leave_copy(outcome)
    ctx.finish()
    _flush(flush_c)
    _print_to(None)
    _reap()
    # A thread that the function left behind could print into the next run's output.
    alone = threading.active_count() == threads
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    wire.send({"result": _values(outcome, _cpu_s() - cpu_before, peak), "reusable": alone, "parcel": ctx.returned})


def _values(outcome: Outcome, cpu_s: float, peak_bytes: int) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "result": outcome.result,
        "error": vars(outcome.error) if outcome.error is not None else None,
        "waiting_for": outcome.waiting_for,
        "counts": outcome.counts,
        "cpu_s": cpu_s,
        "peak_bytes": peak_bytes,
    }


def _is_cancel(message: dict[str, Any] | None, order: WorkOrder) -> bool:
    """Tell whether a message asks this order to stop; one that came too late for an earlier order does not."""
    return message is not None and message.get("cancel") == [order.run_id, order.token]


def _leave_copy(outcome: Outcome) -> NoReturn:
    """End a copy of this process that the function forked and that came back from it: only the original reports."""
    os._exit(0 if outcome.kind == "succeeded" else 1)


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of those it has waited for."""
    own, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime


def _forget_peak() -> None:
    """Make the kernel measure the peak memory afresh (proc(5), clear_refs), so that it belongs to one attempt."""
    # Without it the peak is that of the child's life so far.
    with suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"5")


def _reap() -> None:
    """Collect children that ended and that the function did not wait for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _print_to(output: int | None) -> None:
    """Send what is printed to `output` (closed here), or to nowhere."""
    try:
        target = os.open(os.devnull, os.O_WRONLY) if output is None else output
        for standard in (1, 2):
            os.dup2(target, standard)
        os.close(target)
    except OSError:
        os._exit(_BROKEN_PIPE)


def _flush(flush_c: Any) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # when the function has closed or replaced it
            stream.flush()
    flush_c(None)


def _c_flush() -> Any:
    """Return the C library's fflush: code in C keeps a buffer of its own."""
    import ctypes

    return ctypes.CDLL(None).fflush


def _log(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # when the function has closed or replaced it
        sys.stderr.write(text)
        sys.stderr.flush()
