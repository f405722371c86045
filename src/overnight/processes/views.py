"""What a child sees of the files: all of them, or the interpreter and its libraries alone.

Nothing can be written in either, but for folders that are named as writable.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from overnight.processes.sandbox import Sandbox
from overnight.processes.spawn import ROOT

_LEFT_OUT = ("/proc", "/sys", "/dev/pts")
_SYSTEM = ("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr")
"""Folders of the root that every program needs; of the others it sees nothing."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the child looks for modules, and what it is shut into."""

    paths: list[str]
    sandbox: Sandbox


def everything() -> View:
    """Return the view of code that is installed here anyway: it may read all that this process may."""
    return View(paths=[*filter(None, sys.path), ROOT], sandbox=Sandbox(visible=_mount_points()))


def walled(*, visible: Sequence[str] = (), writable: Sequence[str] = (), network: bool = False) -> View:
    """Return the view of code from elsewhere: the system, the interpreter with its libraries, and this package.

    Beside these it sees the folders that are `visible`, and those that are `writable`, in which it may write.
    """
    homes = {Path(one).resolve() for one in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    kept = [*homes, Path(ROOT), *(Path(one).resolve() for one in visible)]
    found = [one for one in sys.path if one and any(Path(one).resolve().is_relative_to(home) for home in homes)]
    hidden = tuple(str(one) for one in Path("/").iterdir() if one.is_dir() and one.name not in _SYSTEM)
    # Shared memory holds what other processes of this user left there.
    hidden += tuple(filter(_is_folder, ("/dev/shm",)))  # noqa: S108 -- hidden, not used
    shown = (point for point in _mount_points() if not any(Path(point).is_relative_to(one) for one in hidden))
    seen = (*shown, *(str(one) for one in _outermost(kept) if one != Path("/")))
    sandbox = Sandbox(hidden=hidden, visible=seen, writable=tuple(writable), network=network)
    return View(paths=[*found, ROOT], sandbox=sandbox)


def _outermost(folders: list[Path]) -> Iterator[Path]:
    """Yield the folders that lie in none of the others: what is put back twice would be so with all in it."""
    for folder in sorted(set(folders)):
        if not any(folder != other and folder.is_relative_to(other) for other in folders):
            yield folder


def _mount_points() -> tuple[str, ...]:
    """Return the folders that have to be made read-only, each by itself, so that nothing can be written in any."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:  # not Linux: there is no sandbox either
        return ()
    points = {line.split()[1].encode().decode("unicode_escape") for line in lines}
    return tuple(sorted(point for point in points if not point.startswith(_LEFT_OUT) and _is_folder(point)))


def _is_folder(point: str) -> bool:
    try:
        os.statvfs(point)
        return Path(point).is_dir()
    except OSError:  # somebody else's: where one cannot even look, one cannot write
        return False
