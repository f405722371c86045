"""One worker at a time on a local project: a file lock that also says who holds it."""

import contextlib
import fcntl
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock
from overnight.base.errors import ProjectLocked
from overnight.base.instants import iso
from overnight.processes.table import look

PATIENCE_S = 5.0
"""A killed process holds its locks until its last thread is gone, and who asks (see `is_held`) does for an instant."""
_LOOK_EVERY_S = 0.02


class ProjectLock:
    """Held from construction until `release`; the kernel releases it when the process dies.

    Raises:
        ProjectLocked: another process, or another part of this one, holds it; the message names it.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not self._taken(clock):
            holder = _holder(self._handle)
            os.close(self._handle)
            raise ProjectLocked(
                f"{holder} works on this project already; submitting to it from here works, a second worker does not"
            )
        about = {"pid": os.getpid(), "since": iso(clock.now_us()), "command": " ".join(sys.argv)[:200]}
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(about).encode(), 0)

    def _taken(self, clock: Clock) -> bool:
        """Take it, and tell whether that was possible; where nobody who lives is written down, that is waited for."""
        until = clock.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if _lives(self._handle) or clock.monotonic() >= until:
                return False
            threading.Event().wait(_LOOK_EVERY_S)

    def release(self) -> None:
        """Let others work on the project."""
        os.ftruncate(self._handle, 0)
        os.close(self._handle)


def _holder(handle: int) -> str:
    with contextlib.suppress(ValueError, KeyError):
        about = _about(handle)
        return f"process {about['pid']} ({about['command']}, since {about['since']})"
    return "another process"


def _lives(handle: int) -> bool:
    """Tell whether the process that has written itself down lives."""
    with contextlib.suppress(ValueError, KeyError):
        holder = look(int(_about(handle)["pid"]))
        return holder is not None and holder.alive
    return False


def _about(handle: int) -> dict[str, Any]:  # Any: JSON
    return dict(json.loads(os.pread(handle, 4096, 0)))


def is_held(path: Path) -> bool:
    """Tell whether some process works on the project; True also where this one may not ask (see `may_ask`)."""
    if not may_ask(path):
        return True
    with contextlib.suppress(FileNotFoundError), _opened(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def may_ask(path: Path) -> bool:
    """Tell whether this process may read the lock: that of another user's project it may not."""
    try:
        with _opened(path):
            return True
    except FileNotFoundError:
        return True
    except PermissionError:
        return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
