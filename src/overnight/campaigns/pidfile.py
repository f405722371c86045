"""Which process works on a campaign: a file that names it by its pid and its start.

The first line is the bare pid, which other programs read; the second is the start (see `processes.table`), by which a
process that got the pid of one that is gone is told from it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overnight.base.errors import UserMistake
from overnight.base.files import replace_file
from overnight.base.instants import iso
from overnight.processes.table import look, same_process


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that a pid file names; `started` is None where another program has written only the pid."""

    pid: int
    started: float | None

    @property
    def lives(self) -> bool:
        """Return whether it still works."""
        if self.started is not None:
            return same_process(self.pid, self.started)
        entry = look(self.pid)
        return entry is not None and entry.alive


def claim(path: Path, pid: int, started: float, *, name: str) -> str | None:
    """Name a process in the file of the campaign `name`; return in one line what was there of one that is gone.

    Of several processes that claim at once, one does.

    Raises:
        UserMistake: another process that lives is named there.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        there, owner = path.exists(), owner_of(path)
        if owner == Owner(pid=pid, started=started):
            return None
        if owner is not None and owner.lives:
            since = iso(path.stat().st_mtime_ns // 1000)
            raise UserMistake(
                f"Campaign already running: process {owner.pid} since {since}; "
                f"stop it with `overnight campaign stop {name}`"
            )
        replace_file(path, f"{pid}\n{started!r}\n")
    if not there:
        return None
    who = "named no process" if owner is None else f"was left by process {owner.pid}, which is gone"
    return f"{path.name} {who}; it was replaced"


def alive(path: Path) -> Owner | None:
    """Return the process that the file names, if that lives."""
    owner = owner_of(path)
    return owner if owner is not None and owner.lives else None


def owner_of(path: Path) -> Owner | None:
    """Return the process that the file names, dead or alive; None where there is no file, or it names none."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    except FileNotFoundError:
        return None
    pid, started = lines[0].strip(), lines[1].strip() if len(lines) > 1 else ""
    if not (pid.isdecimal() and len(pid) <= 10 and int(pid) > 0):
        return None
    try:
        return Owner(pid=int(pid), started=float(started) if started else None)
    except ValueError:
        return Owner(pid=int(pid), started=None)


def release(path: Path, pid: int, started: float) -> bool:
    """Remove the file if it names this process; return whether it did."""
    if not path.parent.is_dir():
        return False
    with _alone(path.parent):
        mine = owner_of(path) == Owner(pid=pid, started=started)
        if mine:
            path.unlink()
    return mine


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others out that claim or release in the folder; the kernel lets them in when this process dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
