"""One worker at a time on a local project: a file lock that also says who holds it."""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from overnight.base.clock import Clock
from overnight.base.errors import ProjectLocked
from overnight.base.instants import iso


class ProjectLock:
    """Held from construction until `release`; the kernel releases it when the process dies.

    Raises:
        ProjectLocked: another process, or another part of this one, holds it; the message names it.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._handle)
            os.close(self._handle)
            raise ProjectLocked(
                f"{holder} works on this project already; submitting to it from here works, a second worker does not"
            ) from None
        about = {"pid": os.getpid(), "since": iso(clock.now_us()), "command": " ".join(sys.argv)[:200]}
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(about).encode(), 0)

    def release(self) -> None:
        """Let others work on the project."""
        os.ftruncate(self._handle, 0)
        os.close(self._handle)


def _holder(handle: int) -> str:
    try:
        about = json.loads(os.pread(handle, 4096, 0))
        return f"process {about['pid']} ({about['command']}, since {about['since']})"
    except (ValueError, KeyError):
        return "another process"


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
