"""The folder in which programs lay down experiences, a file for each batch, and what becomes of the files.

A file is read as soon as it is whole: a JSON object is whole only with its last brace. It is taken first and moved
then, so that a crash in between has it read again, which adds nothing. Several daemons may look at one folder.
"""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock
from overnight.base.errors import ConfigError, MissingExtra, UserMistake
from overnight.base.files import replace_file
from overnight.data.batches import MOST_BYTES, is_batch_file

PROCESSED, FAILED, REASON = "processed", "failed", ".reason.txt"
KEEP_US = 7 * 86_400 * 1_000_000
"""How long a file that was taken is kept."""
UNFINISHED_S = 60.0
"""For how long a file that is not whole may stand still until it counts as broken."""
TOGETHER = 16
"""Files that are read while the ones before them are being written to the database."""

Take = Callable[[Any], Callable[[], object]]  # Any: JSON
"""Begins to take what a file holds, and returns what waits until that is on disk. Both raise UserMistake to refuse."""
Identity = tuple[int, int, int]
"""What tells one state of a file from another: its inode, its size, when it was changed last."""


_Begun = tuple[str, Identity, Callable[[], object]]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that was not taken, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The names of the files that will be read, and of those that will not, because of their name."""

    batches: list[str]
    others: list[str]


class _NotWhole(Exception):
    """The file may still be being written."""


class Inbox:
    """One folder as one thread looks at it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._standing: dict[str, tuple[Identity, float]] = {}
        """Files to look at again only when they have changed, or have stood still for long; since when they stand."""

    def look(self, take: Take, *, ended: Callable[[], bool] = lambda: False) -> int:
        """Take the files that are whole, until there are no more or it is `ended`; return how many were taken.

        Raises:
            TransientError: the database cannot take them now; they stay.
            ConfigError, MissingExtra, OSError: one of them cannot be looked through, read or moved; it stays.
        """
        names = self._names()
        there = set(names)
        self._standing = {name: entry for name, entry in self._standing.items() if name in there}
        count, begun, trouble = 0, list[_Begun](), list[Exception]()
        for name in names:
            if ended():
                break
            try:
                begun += self._begin(name, take)
            except (OSError, ConfigError, MissingExtra) as error:
                # Not the file's fault: it stays for a while, and the others go on.
                self._standing[name] = (_identity((self.folder / name).lstat()), self._clock.monotonic())
                trouble.append(error)
            if len(begun) == TOGETHER or sum(identity[1] for _, identity, _ in begun) >= MOST_BYTES:
                count += self._finish(begun)
                begun = []
        count += self._finish(begun)
        if trouble:
            raise trouble[0]
        return count

    def _names(self) -> list[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with os.scandir(self.folder) as entries:
            return sorted(entry.name for entry in entries if is_batch_file(entry.name))

    def _begin(self, name: str, take: Take) -> list[_Begun]:
        """Begin to take a file and return it; nothing where it has to wait, is refused, or is gone."""
        path = self.folder / name
        try:
            identity = _identity(path.lstat())
            since = self._stands_since(name, identity)
            late = since is not None and self._clock.monotonic() - since >= UNFINISHED_S
            if since is not None and not late:
                return []
            identity, content = _read(path)
            try:
                return [(name, identity, take(_json(content)))]
            except _NotWhole as error:
                if not late:
                    self._standing[name] = (identity, self._clock.monotonic())
                    return []
                raise UserMistake(f"no whole JSON, and unchanged for {UNFINISHED_S:g} s: {error}") from error
        except FileNotFoundError:
            return []
        except (ConfigError, MissingExtra):
            raise
        except UserMistake as error:
            self._move(name, identity, FAILED, str(error))
            return []

    def _stands_since(self, name: str, identity: Identity) -> float | None:
        known = self._standing.get(name)
        return known[1] if known is not None and known[0] == identity else None

    def _finish(self, begun: list[_Begun]) -> int:
        count = 0
        for name, identity, wait in begun:
            try:
                wait()
            except UserMistake as error:
                self._move(name, identity, FAILED, str(error))
            else:
                self._move(name, identity, PROCESSED)
                count += 1
        return count

    def _move(self, name: str, identity: Identity, to: str, reason: str | None = None) -> None:
        """Put a file away; one that was replaced since it was read goes back, to be read in its turn."""
        (self.folder / to).mkdir(exist_ok=True)
        target = _free(self.folder / to, name)
        note = target.with_name(target.name + REASON)
        if reason is not None:
            replace_file(note, f"{reason}\n")
        try:
            (self.folder / name).rename(target)
        except FileNotFoundError:
            # Another daemon has moved it.
            if not target.exists():
                note.unlink(missing_ok=True)
            return
        except OSError:
            self._standing[name] = (identity, self._clock.monotonic())
            raise
        if _identity(target.lstat()) != identity:
            target.rename(_free(self.folder, name))
            note.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was taken long enough ago."""
        before_ns = (self._clock.now_us() - KEEP_US) * 1000
        for path in (self.folder / PROCESSED).glob("*"):
            # Not when it was changed last: a move leaves that as it was.
            if path.lstat().st_ctime_ns < before_ns:
                path.unlink(missing_ok=True)


def waiting(folder: Path) -> Waiting:
    """Return what is in the folder and was not read yet, or never will be."""
    names = sorted(path.name for path in folder.glob("*") if not path.name.startswith(".") and not path.is_dir())
    return Waiting(
        batches=[name for name in names if is_batch_file(name)],
        others=[name for name in names if not is_batch_file(name)],
    )


def refused(folder: Path) -> list[Refused]:
    """Return the files that were not taken, by name."""
    found = []
    for path in sorted((folder / FAILED).glob("*")):
        # Whoever died while it wrote a reason has left a hidden file.
        if not path.name.endswith(REASON) and not path.name.startswith("."):
            note = path.with_name(path.name + REASON)
            reason = note.read_text(encoding="utf-8").strip() if note.exists() else "no reason is there"
            found.append(Refused(name=path.name, reason=reason))
    return found


def _identity(about: os.stat_result) -> Identity:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _read(path: Path) -> tuple[Identity, bytes]:
    """Return what a file holds, and which state of it that is.

    Raises:
        UserMistake: it is no plain file, too large, or must not be read.
        FileNotFoundError: it is gone.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise UserMistake("no plain file: links, folders and pipes are not read; put the file itself here")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError as error:
        raise UserMistake(f"cannot be read: {error.strerror}; make it readable and put it here again") from error
    with os.fdopen(handle, "rb") as file:
        identity = _identity(os.fstat(handle))
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UserMistake(f"larger than {MOST_BYTES:,} bytes; send it in several batches")
    return identity, content


def _json(content: bytes) -> Any:  # Any: JSON
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _NotWhole(str(error)) from error


def _free(folder: Path, name: str) -> Path:
    """Return a path of that name in the folder at which nothing is yet, or one with a number in it."""
    path, number = folder / name, 0
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{name.removesuffix('.json')}.{number}.json"
    return path
