"""What runs printed: two files of bounded size for each, of which the older one has ".1" behind its name."""

import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO, Protocol

from overnight.app.project import Project
from overnight.cli.printing import to_stdout

LOOK_EVERY_S = 0.2


class Sink(Protocol):
    """Takes bytes as they come."""

    def write(self, piece: bytes, /) -> object:
        """Take them."""

    def flush(self) -> object:
        """Hold nothing back that can be shown."""


def copy_log(project: Project, run_id: int, *, follow: bool) -> bool:
    """Write the run's log to stdout, with `follow` until the run has ended; return whether there was any.

    Raises:
        UnknownName: there is no such run.
    """
    run = project.get(run_id)
    path = project.state_dir / "logs" / "runs" / f"{run_id}.log"
    out = sys.stdout.buffer
    found = _copy(Path(f"{path}.1"), out)
    if not follow:
        return _copy(path, out) or found
    tail = Tail(path, out)
    pause = threading.Event()  # never set: a sleep whose length this module decides
    try:
        while not run.state.final:
            found = tail.more() or found
            pause.wait(LOOK_EVERY_S)
            run = project.get(run_id)
        return tail.more() or found
    finally:
        tail.close()


def _copy(path: Path, out: Sink) -> bool:
    file = _opened(path)
    if file is None:
        return False
    with file:
        return _pump(file, out)


def _pump(file: BinaryIO, out: Sink) -> bool:
    any_at_all = False
    while chunk := file.read(65536):
        with to_stdout():
            out.write(chunk)
        any_at_all = True
    with to_stdout():
        out.flush()
    return any_at_all


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


class Tail:
    """Copies what is added to a file, and goes on with the new one when the file is put aside.

    With `from_end` what it holds already is left out.
    """

    def __init__(self, path: Path, out: Sink, *, from_end: bool = False) -> None:
        self._path = path
        self._out = out
        self._file = _opened(path) if from_end else None
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def more(self) -> bool:
        """Copy what is new; return whether there was any."""
        found = False
        if self._file is None:
            self._file = _opened(self._path)
        while self._file is not None:
            found = _pump(self._file, self._out) or found
            if not self._was_put_aside():
                break
            # Written between the last read and the renaming.
            found = _pump(self._file, self._out) or found
            self.close()
            self._file = _opened(self._path)
        return found

    def _was_put_aside(self) -> bool:
        assert self._file is not None
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
