"""Starts children: in a session of their own, with only the named file descriptors, below a keeper (see `keeper`)."""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.processes import table, tree
from overnight.processes.limits import Limits
from overnight.processes.sandbox import Sandbox

ROOT = str(Path(__file__).parents[2])
"""The folder that `overnight` is imported from: children must find the same one."""

_KEEPER = "import sys; sys.path.append(sys.argv[1]); from overnight.processes.keeper import main; main()"
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_FAREWELL_S = 2.0


def scrubbed(env: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that holds no secrets: paths, names, language."""
    return {name: value for name, value in env.items() if name in _KEPT or name.startswith("LC_")}


class Child:
    """One child: its keeper, the line to it, and what is known of its end.

    (pid, started) is the keeper's and identifies the whole tree for ever, also for another process
    (`tree.end_tree`). The program starts with `go`, so that they can be recorded before. Used by one thread at a time.
    """

    def __init__(self, keeper: "subprocess.Popen[bytes]", line: socket.socket, spec: dict[str, Any]) -> None:
        started = table.started_of(keeper.pid)
        assert started is not None, "a child that nobody has waited for can be looked at"
        self.pid = keeper.pid
        self.started = started
        self.line = line
        self.worker_pid: int | None = None
        self.sandboxed: bool | None = None
        self.error: str | None = None
        self.exit: dict[str, int] | None = None
        self.cpu_s: float | None = None
        self.peak_bytes: int | None = None
        self.gone = False
        self._keeper = keeper
        self._spec = spec
        self._buffer = b""
        self._seen: dict[int, table.Entry] = {}

    def go(self) -> None:
        """Start the program. What comes of it is told by `listen`."""
        self._tell(self._spec)

    def end(self, grace_s: float) -> None:
        """Ask the keeper to end the tree: SIGTERM now, SIGKILL after `grace_s`. Returns at once."""
        self._tell({"end": grace_s})

    def listen(self) -> bool:
        """Read what the keeper says, waiting if the line blocks; False when nothing more will come.

        The child is gone then: call `collect`, after nobody watches the line any more.
        """
        try:
            piece = self.line.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            piece = b""
        if not piece:
            return False
        self._buffer += piece
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            self._note(json.loads(line))
        return True

    def members(self) -> list[int]:
        """Return the processes of the tree now, the keeper left out.

        They are remembered, so that they are found also when the keeper is killed and they shed their mark.
        """
        pids = table.pids_below(self.pid)
        for pid in pids:
            if pid not in self._seen and (entry := table.look(pid)) is not None:
                self._seen[pid] = entry
        self._seen = {pid: self._seen[pid] for pid in pids if pid in self._seen}
        return pids

    def left_processes(self) -> bool:
        """Tell whether anything but the program itself lives below the keeper."""
        found = (table.look(pid) for pid in table.pids_below(self.pid) if pid != self.worker_pid)
        return any(entry is not None and entry.alive for entry in found)

    def abandon(self) -> None:
        """Take back a child that has not been told to go."""
        self.gone = True  # its keeper has started nothing
        self.collect()

    def wait(self) -> None:
        """Wait until nothing is left of the child."""
        while self.listen():
            pass
        self.collect()

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside, which says nothing of what it was asked."""
        return self.error is None and (self.exit is None or "signal" in self.exit)

    def describe_exit(self) -> str:
        """Return in words how the program ended."""
        if self.error is not None:
            return f"could not be started: {self.error}"
        if self.exit is None:
            return "was lost: its keeper was killed"
        if "signal" in self.exit:
            return f"was killed by {_signal_name(self.exit['signal'])}"
        return f"exited with code {self.exit['code']}"

    def _note(self, message: dict[str, Any]) -> None:
        if "worker" in message:
            self.worker_pid, self.sandboxed = message["worker"], message["sandbox"]
            self.error = message.get("error")
        elif "exit" in message:
            self.exit = message["exit"]
        elif "gone" in message:
            self.cpu_s, self.peak_bytes = message["gone"]["cpu_s"], message["gone"]["peak_bytes"]
            self.gone = True

    def collect(self) -> None:
        """Close the line and take leave of the keeper; what a killed one left behind is ended first."""
        self.line.close()
        if not self.gone and self.error is None:
            tree.end_tree(self.pid, self.started, 0, known=self._seen.values())
        try:
            self._keeper.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # when the keeper is gone, which `listen` tells
            self.line.sendall(json.dumps(message).encode() + b"\n")


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str = ".",
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    fds: Sequence[int] = (),
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
    stays: bool = False,
) -> Child:
    """Start a keeper that will run `argv` (no shell, found through PATH of `env`) once `Child.go` is called.

    Where the program `stays`, what it has put into the background goes on when it ends with code 0; else that is ended.
    The child inherits `stdin`, `stdout`, `stderr` and `fds` (these under the same numbers) and nothing else. The
    descriptors stay the caller's to close. Callable from any thread.

    Raises:
        OSError: no process can be started.
    """
    spec = {
        "argv": list(argv),
        "env": dict(env),
        "cwd": cwd,
        "fds": list(fds),
        "limits": asdict(limits or Limits()),
        "sandbox": asdict(sandbox) if sandbox is not None else None,
        "stays": stays,
    }
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _KEEPER, ROOT, str(theirs.fileno())],
                env=dict(env),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(theirs.fileno(), *fds),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return Child(keeper, ours, spec)


def _signal_name(number: int) -> str:
    import signal

    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
