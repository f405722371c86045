"""The process that stands above a service, and outlives the daemon that started it.

    minder (keeps its log, knows how it ends) --- keeper --- the service --- whatever that starts

The daemon may be killed: the service goes on, its output is still taken, and the next daemon finds it by its record.
Orphans stay below the keeper, so that a service that puts itself into the background is minded all the same. SIGTERM
ends the service. A minder tells in one line of JSON on its own output whether the service has begun.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from overnight.base.clock import SystemClock
from overnight.processes import table
from overnight.processes.capture import RunLog
from overnight.processes.spawn import ROOT, Child, spawn
from overnight.supervisor.record import Record

_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)
_PIECE = 65_536
_MINDER = "import sys; sys.path.append(sys.argv[1]); from overnight.supervisor.minder import main; main()"
_NO_WAIT_MS, _KILL_WAIT_S = 0, 1.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be minded, with the environment that it gets. `folder` holds its record, `log` what it prints."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    folder: str
    log: str
    log_bytes: int
    stop_signal: int
    grace_s: float


COMMAND = (sys.executable, "-I", "-S", "-c", _MINDER, ROOT)
"""The command line of a minder, which reads its order as JSON from its input."""


def begin(order: Order) -> "subprocess.Popen[bytes]":
    """Start a minder, which outlives this process; whoever starts it collects it.

    Raises:
        OSError: it could not be started, or not what it is to mind; the message says why.
    """
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(order.env),
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    with process.stdout, process.stdin:
        process.stdin.write(json.dumps(asdict(order)).encode())
        process.stdin.close()
        said = process.stdout.readline()
    told = json.loads(said) if said else {"error": "its minder ended at once"}
    if "error" in told:
        process.wait()
        raise OSError(told["error"])
    return process


def main() -> None:
    """Mind the service that the input describes."""
    values = json.loads(sys.stdin.read())
    order = Order(**{**values, "argv": tuple(values["argv"])})
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        minder = Minder(order)
    except OSError as error:
        _say({"error": f"{error.strerror or error}"})
        raise SystemExit(1) from None
    minder.run()


def _say(told: dict[str, object]) -> None:
    """Tell the daemon, which reads one line, and let go of it."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123
        for standard in (0, 1, 2):
            os.dup2(nothing.fileno(), standard)


class Minder:
    """Starts one service and stays until nothing is left of it."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._clock = SystemClock()
        self._log = RunLog(order.log, order.log_bytes)
        self._folder = Path(order.folder)
        self._stop_at: float | None = None
        self._outlived = False
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._wake = wake
        # It is written down before it lives, so that it is found whatever happens.
        self._record = self._written(Record(name=order.name, pid=os.getpid(), started=_own_start()))
        self._output, theirs = os.pipe()
        os.set_blocking(self._output, False)
        self._child: Child = spawn(order.argv, env=order.env, cwd=order.cwd, stdout=theirs, stderr=theirs, stays=True)
        os.close(theirs)
        self._record = self._written(
            replace(self._record, keeper_pid=self._child.pid, keeper_started=self._child.started)
        )

    def _written(self, record: Record) -> Record:
        record = replace(record, since_us=record.since_us or self._clock.now_us())
        record.write(self._folder)
        return record

    def run(self) -> None:
        """Start it, and stay until it is gone."""
        self._child.go()
        self._child.line.setblocking(True)
        begun = self._child.listen()
        if self._child.error is not None or not begun:
            why = self._child.error or "its keeper was killed"
            _say({"error": why})
            self._child.collect()
            self._end(f"could not be started: {why}", failed=True)
            return
        _say({"pid": os.getpid()})
        self._mind()
        self._child.collect()
        self._drain()
        if self._outlived and self._stop_at is None:
            # How the service itself has ended is not known: whoever put it there had long gone, with a code of its own.
            self._end("has ended in the background", failed=True)
            return
        ended = self._child.exit
        self._end(self._child.describe_exit(), failed=ended is None or ended.get("code") != 0)

    def _mind(self) -> None:
        self._child.line.setblocking(False)
        watched = select.poll()
        for handle in (self._wake, self._output, self._child.line.fileno()):
            watched.register(handle, select.POLLIN)
        living, ended = True, False
        while living:
            ready = [handle for handle, _ in watched.poll(self._patience_ms())]
            if self._wake in ready and signal.SIGTERM in os.read(self._wake, 4096):
                self._stop()
            if self._output in ready and not self._take():
                watched.unregister(self._output)
            if self._child.line.fileno() in ready:
                living = self._child.listen()
                if self._child.exit is not None and not ended:
                    ended, self._outlived = True, living and self._child.left_processes()
            if self._stop_at is not None and self._clock.monotonic() >= self._stop_at:
                self._child.end(0.0)
                self._stop_at = self._clock.monotonic() + _KILL_WAIT_S

    def _patience_ms(self) -> float | None:
        return None if self._stop_at is None else max(0.0, self._stop_at - self._clock.monotonic()) * 1000 + 1

    def _stop(self) -> None:
        """Ask it to end; what is left after the grace time is killed. Asked again, it is killed at once."""
        if self._stop_at is not None:
            self._child.end(0.0)
            return
        self._stop_at = self._clock.monotonic() + self._order.grace_s
        if self._order.stop_signal == signal.SIGTERM or self._child.worker_pid is None:
            self._child.end(self._order.grace_s)
            return
        # To all of it, as SIGTERM: the service may stand behind a shell, or have put itself into the background.
        for pid in table.pids_below(self._child.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, self._order.stop_signal)

    def _take(self) -> bool:
        """Take what it has printed; False when nothing more will come."""
        try:
            piece = os.read(self._output, _PIECE)
        except BlockingIOError:
            return True
        self._log.write(piece)
        return bool(piece)

    def _drain(self) -> None:
        """Take what is left; a stranger may hold the pipe open, so nobody is waited for."""
        ready = select.poll()
        ready.register(self._output, select.POLLIN)
        while ready.poll(_NO_WAIT_MS) and self._take():
            pass
        self._log.close()

    def _end(self, ended: str, *, failed: bool) -> None:
        """Write down how it has ended; on a full disk nobody will know."""
        try:
            replace(self._record, ended=ended, failed=failed).write(self._folder)
        except OSError:
            raise SystemExit(1) from None


def _own_start() -> float:
    started = table.started_of(os.getpid())
    assert started is not None, "a process can read about itself"
    return started
