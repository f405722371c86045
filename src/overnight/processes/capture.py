"""What children print: into a log file of bounded size, never into memory, and never in the child's way."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG_LIMIT_BYTES = 10_000_000
"""Longest log file of a run; one older file of this length may stand beside it."""
_LINE_LIMIT = 65_536
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class RunLog:
    """The log of one run: `path`, and `path` + ".1" with what was before; neither is longer than `limit_bytes`.

    The file is made when there is something to write. A log that cannot be written stops nobody: `problem` then says
    why in one line, and the rest is dropped. Used by one thread at a time.
    """

    def __init__(self, path: str | None, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
        self.problem: str | None = None
        self._path = Path(path) if path is not None else None
        self._limit = max(1, limit_bytes)
        self._file: int | None = None
        self._size = 0
        self._rotates = True

    def write(self, data: bytes) -> None:
        """Append `data`, or drop it when there is no log."""
        if self._path is None or self.problem is not None or not data:
            return
        try:
            if self._file is None:
                self._open(self._path)
            if self._rotates and self._size + len(data) > self._limit:
                self._rotate(self._path)
                data = data[-self._limit :]
            self._write_all(data)
        except OSError as error:
            self.problem = f"output was dropped, {str(self._path)!r} cannot be written: {error.strerror or error}"
            self.close()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, _FLAGS, 0o644)
        facts = os.fstat(self._file)
        self._size, self._rotates = facts.st_size, stat.S_ISREG(facts.st_mode)

    def _rotate(self, path: Path) -> None:
        self.close()
        path.replace(f"{path}.1")
        self._open(path)

    def _write_all(self, data: bytes) -> None:
        assert self._file is not None
        while data:
            written = os.write(self._file, data)
            self._size += written
            data = data[written:]


class LineTap:
    """Reads along with a command's output: JSON lines with the key "progress", and the last line. Pure.

    A line of more than 64 KiB is skipped, so that no output can fill the memory.
    """

    def __init__(self, progress: Callable[[dict[str, Any]], None]) -> None:
        self._progress = progress
        self._rest = b""
        self._too_long = False
        self._last = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece of output."""
        *lines, rest = data.split(b"\n")
        if lines:
            if not self._too_long:
                self._line(self._rest + lines[0])
            self._rest, self._too_long = b"", False
            for line in lines[1:]:
                self._line(line)
        if len(self._rest) + len(rest) > _LINE_LIMIT:
            self._rest, self._too_long = b"", True
            self._last = b""
        elif not self._too_long:
            self._rest += rest

    def last_object(self) -> dict[str, Any] | None:
        """Return the last line that is not empty, if it is a JSON object."""
        if self._too_long:
            return None
        return _json_object(self._rest if self._rest.strip() else self._last)

    def _line(self, line: bytes) -> None:
        if not line or line.isspace():
            return
        self._last = line if len(line) <= _LINE_LIMIT else b""
        if b'"progress"' in self._last and (values := _json_object(line)) is not None and "progress" in values:
            figures = values["progress"]
            self._progress(figures if isinstance(figures, dict) else {"done": figures})


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json_object(line: bytes) -> dict[str, Any] | None:
    line = line.strip()
    if not line.startswith(b"{"):
        return None
    try:
        values = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
