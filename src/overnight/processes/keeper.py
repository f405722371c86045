"""The small process that stands above every child and below the host.

    host (engine) --- keeper --- worker (the child's program) --- whatever it starts

Nobody else's code runs in the keeper, so it always answers: when the worker hangs in C code, blocks its signals or
crashes, the keeper still ends it. As a subreaper it becomes the parent of every orphan below it, so that a
double-forked daemon stays in reach: it is ended with the worker, or goes on where the spec says that it `stays`. When
the host dies, its end of the line closes, and the keeper ends everything within 4 s.

The line is a Unix socket with one JSON object a line. The host sends the spec (argv, env, cwd, limits, sandbox), which
starts the worker, and may send `{"end": grace_s}`. The keeper sends `{"worker": pid, "sandbox": true|false|null}` or
`{"error": text}`, then `{"exit": {"code": n} or {"signal": n}}` when the worker has ended, and `{"gone": {"cpu_s": s,
"peak_bytes": n}}` when nothing is left below it. Then it ends itself.
"""

import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from overnight.base.clock import SystemClock
from overnight.processes import linux, table, tree

_HOST_LOOK_S = 2.0
_HOST_GONE_GRACE_S = 1.0
_KILL_AGAIN_S = 0.05
_HEED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    """Keep one child; the number of the line's file descriptor is the last argument."""
    for number in _HEED:
        signal.signal(number, signal.SIG_IGN)
    line = socket.socket(fileno=int(sys.argv[-1]))
    line.set_inheritable(False)
    Keeper(line).run()


class Keeper:
    """Starts one worker, watches it, and leaves when nothing is left of it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._clock = SystemClock()
        self._host = os.getppid()
        self._buffer = b""
        self._worker = 0
        self._stays = False
        self._kill_at: float | None = None
        # A signal that arrives while poll waits must wake it.
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wake, self._woken = wake, woken

    def run(self) -> None:
        """Wait for the spec, start the worker, and stay until nothing is left below."""
        with suppress(OSError):  # an old kernel: orphans are found by their mark only
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        spec = self._receive_spec()
        if spec is None or not self._start(spec):
            return
        watched = select.poll()
        watched.register(self._wake, select.POLLIN)
        watched.register(self._line, select.POLLIN)
        # The host may have sent a wish to end in one piece with the spec.
        self._heed()
        while self._reap():
            ready = [handle for handle, _ in watched.poll(self._patience_ms())]
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
            if self._line.fileno() in ready and not self._listen():
                watched.unregister(self._line)
                self._end(_HOST_GONE_GRACE_S)
            if os.getppid() != self._host:  # a forked copy of the host may hold the line open
                self._host = os.getppid()
                self._end(_HOST_GONE_GRACE_S)
            if self._kill_at is not None and self._clock.monotonic() >= self._kill_at:
                tree.kill_below(os.getpid())
                self._kill_at = self._clock.monotonic() + _KILL_AGAIN_S
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self._tell({"gone": {"cpu_s": used.ru_utime + used.ru_stime, "peak_bytes": peak}})

    def _receive_spec(self) -> dict[str, Any] | None:
        while b"\n" not in self._buffer:
            piece = self._line.recv(65536)
            if not piece:
                return None
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        spec: dict[str, Any] = json.loads(line)
        return spec

    def _start(self, spec: dict[str, Any]) -> bool:
        started = table.started_of(os.getpid())
        assert started is not None, "a process can read about itself"
        marks = [mark for mark in (spec["env"].get(tree.MARK), tree.mark_of(os.getpid(), started)) if mark]
        spec["env"][tree.MARK] = ":".join(marks)
        self._stays = spec["stays"]
        news, report = os.pipe()
        keeper = os.getpid()
        self._worker = os.fork()
        if self._worker == 0:
            _become_worker(spec, report, keeper)
        os.close(report)
        # The pipe closes by itself when the worker's program has taken over.
        with os.fdopen(news, "rb") as file:
            told = [json.loads(line) for line in file]
        message: dict[str, Any] = {"worker": self._worker, "sandbox": None}
        for part in told:
            message.update(part)
        self._tell(message)
        with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123
            for standard in (0, 1, 2):
                os.dup2(nothing.fileno(), standard)
        for name in spec["fds"]:
            os.close(name)
        if "error" in message:
            os.waitpid(self._worker, 0)
        return "error" not in message

    def _reap(self) -> bool:
        """Collect what has died; False when nothing is left: every orphan has become a child of this process."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._worker:
                code = os.waitstatus_to_exitcode(status)
                self._tell({"exit": {"code": code} if code >= 0 else {"signal": -code}})
                if self._kill_at is None and not (self._stays and code == 0):
                    self._end(0.0)

    def _listen(self) -> bool:
        """Read what the host says; False when it is gone."""
        try:
            piece = self._line.recv(65536)
        except OSError:
            return False
        self._buffer += piece
        self._heed()
        return bool(piece)

    def _heed(self) -> None:
        """Do what the host has asked for."""
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            self._end(float(json.loads(line)["end"]))

    def _end(self, grace_s: float) -> None:
        """Ask everything below to end, and kill what is left after the grace time; an earlier end stands."""
        if grace_s > 0:
            tree.terminate_below(os.getpid())
        at = self._clock.monotonic() + grace_s
        self._kill_at = at if self._kill_at is None else min(at, self._kill_at)

    def _patience_ms(self) -> float:
        if self._kill_at is None:
            return _HOST_LOOK_S * 1000
        return max(0.0, min(_HOST_LOOK_S, self._kill_at - self._clock.monotonic())) * 1000 + 1

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # when the host is gone, which the loop sees by itself
            self._line.sendall(json.dumps(message).encode() + b"\n")


def _become_worker(spec: dict[str, Any], report: int, keeper: int) -> None:
    """Set up this forked process and replace it by the child's program; never returns."""
    try:
        _set_up(spec, report, keeper)
        _execute(spec["argv"], spec["env"])
    except BaseException as error:  # noqa: BLE001 - nothing may run on in the forked copy
        text = f"{type(error).__name__}: {error}"
        os.write(report, json.dumps({"error": text}).encode() + b"\n")
    finally:
        os._exit(127)


def _execute(argv: list[str], env: dict[str, str]) -> None:
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is what is wanted
    except FileNotFoundError:
        # The exception names only the last folder of PATH that was tried.
        raise FileNotFoundError(f"there is no program {argv[0]!r}, or its interpreter is missing") from None


def _set_up(spec: dict[str, Any], report: int, keeper: int) -> None:
    # A session of its own: a signal that the child sends to its group must not reach the keeper.
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (*_HEED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if spec["limits"] is not None:
        from overnight.processes.limits import Limits, apply_limits

        apply_limits(Limits(**spec["limits"]))
    if spec["sandbox"] is not None:
        from overnight.processes.sandbox import enter, from_told

        inside = enter(from_told(spec["sandbox"]))
        os.write(report, json.dumps({"sandbox": inside}).encode() + b"\n")
    os.chdir(spec["cwd"])
    if sys.platform == "linux":
        # Last, because entering namespaces clears it.
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            raise OSError("the keeper is gone")
