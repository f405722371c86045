"""Reads the log of another program as it grows: its whole lines, in bounded pieces, from a place that can be stored.

A log that is put aside is read to its end, then those that came after it, up to the one that has its name now. One that
is emptied is read from its beginning: it is shorter than what was read of it, or other bytes stand where reading ended.
Lines end with a newline, with a carriage return (as those of progress bars do) or with a zero byte: a program that goes
on in a file that was emptied leaves a hole of these.
"""

import os
import re
import stat
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from overnight.base.errors import UserMistake

AT_ONCE = 1 << 20
"""Bytes that are read at once: what a log of any length takes of the memory is a small multiple of it."""
LONGEST_LINE = 65_536
"""Bytes; the rest of a longer line is left out."""
LAST_LINES, LAST_CHARACTERS = 20, 400
_MARK = 64
_LISTINGS = 100
"""How often a folder is listed at the most until two listings agree."""
_PUT_ASIDE = re.compile(r"[.-][\d_.:T-]+")
"""What stands behind the name of a log that was put aside: log.1, log-20251221, log.2025-12-21_06; not log.1.gz."""

Found = tuple[Path, os.stat_result]


class LogTail:
    """Reads what is added to a log, which need not be there yet. Used by one thread at a time.

    `behind` tells after each `read` whether there is more to be read at once. `tail` are the last lines, for a person.
    """

    def __init__(self, path: Path, state: Mapping[str, Any] | None = None) -> None:  # Any: JSON
        """Begin with the log as it is, or will be, or at the place that `state` of another one has told.

        Raises:
            UserMistake: the log cannot be looked at.
        """
        self.behind = False
        self.tail = deque[str](maxlen=LAST_LINES)
        self._path = path
        self._file: int | None = None
        self._stored = dict(state or {})
        # What was put aside before is of others. What is so from now on is read, though nobody has seen it begin.
        now = [about.st_ino for file, about in self._chain() if file != path]
        self._older = frozenset[int](self._stored.pop("older", now))
        self._begin()

    def read(self) -> list[str]:
        """Return the next whole lines without their ends, blank ones left out; [] where there are none yet.

        It may also be [] where `behind` says that there is more. Bytes that are no UTF-8 come as U+FFFD.

        Raises:
            UserMistake: the log is there and cannot be read.
        """
        if self._file is None and not self._open_first():
            return []
        lines, self.behind = self._next_lines()
        self._remember(lines)
        return lines

    def rest(self) -> list[str]:
        """Return the unfinished last line, if there is one: for when nobody writes any more and all else was read."""
        lines = [] if self._file is None else self._take_rest()
        self._remember(lines)
        return lines

    def state(self) -> dict[str, Any]:  # Any: JSON
        """Return the place behind what was given out, as JSON: store it together with what the lines have told."""
        if self._file is None:
            return {**self._stored, "older": sorted(self._older)}
        inode = os.fstat(self._file).st_ino
        return {"inode": inode, "offset": self._offset, "mark": self._mark.hex(), "skipping": self._skipping}

    def close(self) -> None:
        """Close the file; a later `read` goes on at the same place."""
        if self._file is not None:
            self._stored = self.state()
            os.close(self._file)
            self._file = None

    def _begin(self) -> None:
        self._offset = 0
        self._mark = b""
        """What stands before the offset."""
        self._skipping = False
        """Whether what comes up to the next end of a line is left out."""

    def _remember(self, lines: list[str]) -> None:
        self.tail.extend(line[:LAST_CHARACTERS] for line in lines[-LAST_LINES:])

    def _next_lines(self) -> tuple[list[str], bool]:
        """Return lines, and whether there is more."""
        while True:
            # Looked for before reading, so that what is written before the renaming is not missed.
            after = self._after()
            lines, more = self._piece()
            if lines or more or after is None:
                return lines, more or after is not None
            lines = self._take_rest()
            if not self._open(*after) or lines:
                return lines, True

    def _piece(self) -> tuple[list[str], bool]:
        """Return the lines of the next piece of this file, and whether it may have more."""
        assert self._file is not None
        if not self._stands():
            self._begin()
        raw = os.pread(self._file, AT_ONCE, self._offset)
        data = _with_newlines(raw)
        begin = 0
        if self._skipping:
            begin = data.find(b"\n") + 1 or len(data)
            self._skipping = begin == len(data) and not data.endswith(b"\n")
        end = max(begin, data.rfind(b"\n") + 1)
        lines = _lines(data[begin:end])
        if len(data) - end > LONGEST_LINE:
            lines += _lines(data[end:])
            end, self._skipping = len(data), True
        self._advance(raw[:end])
        return lines, len(data) == AT_ONCE

    def _stands(self) -> bool:
        """Tell whether the file still holds what was read of it."""
        assert self._file is not None
        start = self._offset - len(self._mark)
        return os.pread(self._file, len(self._mark), start) == self._mark

    def _advance(self, read: bytes) -> None:
        self._offset += len(read)
        self._mark = (self._mark + read[-_MARK:])[-_MARK:]

    def _take_rest(self) -> list[str]:
        assert self._file is not None
        rest = os.pread(self._file, LONGEST_LINE, self._offset)
        self._advance(rest)
        return [] if self._skipping else _lines(_with_newlines(rest))

    def _open_first(self) -> bool:
        """Open the file in which the stored place is, or the first one; return whether one is open."""
        chain = self._chain()
        for path, about in chain:
            if about.st_ino == self._stored.get("inode"):
                if not self._open(path, about):
                    return False
                self._offset, self._mark = self._stored["offset"], bytes.fromhex(self._stored["mark"])
                self._skipping = self._stored["skipping"]
                if self._stands():
                    return True
        mine = [one for one in chain if one[0] == self._path or one[1].st_ino not in self._older]
        return bool(mine) and self._open(*mine[0])

    def _after(self) -> Found | None:
        """Return the file that came after the one that is read; None while that is the newest."""
        assert self._file is not None
        mine, newest = os.fstat(self._file), _look(self._path)
        if newest is not None and os.path.samestat(mine, newest):
            return None
        chain = self._chain()
        places = [place for place, (_, about) in enumerate(chain) if os.path.samestat(mine, about)]
        if not places:
            return None if newest is None else (self._path, newest)
        return next(iter(chain[places[-1] + 1 :]), None)

    def _chain(self) -> list[Found]:
        """Return what was put aside of the log, oldest first, and the log itself."""
        found = self._files()
        for _ in range(_LISTINGS):
            # Names that move up meanwhile may be missing.
            before, found = found, self._files()
            if [(path, about.st_ino) for path, about in before] == [(path, about.st_ino) for path, about in found]:
                break
        return found

    def _files(self) -> list[Found]:
        name, paths = self._path.name, []
        with suppress(OSError):
            paths = [path for path in self._path.parent.iterdir() if path.name.startswith(name)]
        aside = [path for path in paths if _PUT_ASIDE.fullmatch(path.name[len(name) :])]
        found = [(path, about) for path in [*aside, self._path] if (about := _look(path)) is not None]
        return sorted(found, key=lambda one: (one[0] == self._path, one[1].st_mtime_ns, _age(one[0])))

    def _open(self, path: Path, expected: os.stat_result) -> bool:
        """Go to the beginning of a file; return False where another one has got its name meanwhile."""
        try:
            # Opening a pipe that nobody writes to would wait.
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreadable(path, error.strerror) from error
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            os.close(file)
            raise _unreadable(path, "it is not a file")
        if not os.path.samestat(about, expected):
            os.close(file)
            return False
        if self._file is not None:
            os.close(self._file)
        self._file = file
        self._begin()
        return True


def _age(path: Path) -> int:
    """Return what sorts files that were changed at the same instant: of log.2 and log.1 the first is older."""
    number = path.name.rpartition(".")[2]
    return -int(number) if number.isdecimal() else 0


def _look(path: Path) -> os.stat_result | None:
    """Return what is known of a file; None where there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _unreadable(path: Path, why: str | None) -> UserMistake:
    return UserMistake(f"the log {str(path)!r} cannot be read: {why}")


def _with_newlines(data: bytes) -> bytes:
    return data.replace(b"\r", b"\n").replace(b"\0", b"\n")


def _lines(data: bytes) -> list[str]:
    pieces = data.strip(b"\n").split(b"\n")
    return [piece[:LONGEST_LINE].decode(errors="replace") for piece in pieces if piece and not piece.isspace()]
