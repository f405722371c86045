"""What runs printed: two files of bounded size for each, of which the older one has ".1" behind its name."""

import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from overnight.app.project import Project
from overnight.cli.printing import to_stdout

LOOK_EVERY_S = 0.2


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
    tail = _Tail(path, out)
    pause = threading.Event()  # never set: a sleep whose length this module decides
    try:
        while not run.state.final:
            found = tail.more() or found
            pause.wait(LOOK_EVERY_S)
            run = project.get(run_id)
        return tail.more() or found
    finally:
        tail.close()


def _copy(path: Path, out: BinaryIO) -> bool:
    try:
        with path.open("rb") as file:
            return _pump(file, out)
    except FileNotFoundError:
        return False


def _pump(file: BinaryIO, out: BinaryIO) -> bool:
    any_at_all = False
    while chunk := file.read(65536):
        with to_stdout():
            out.write(chunk)
        any_at_all = True
    with to_stdout():
        out.flush()
    return any_at_all


class _Tail:
    """Copies what is added to a file, and goes on with the new one when the file is put aside."""

    def __init__(self, path: Path, out: BinaryIO) -> None:
        self._path = path
        self._out = out
        self._file: BinaryIO | None = None

    def more(self) -> bool:
        """Copy what is new; return whether there was any."""
        found = False
        if self._file is None:
            self._open()
        while self._file is not None:
            found = _pump(self._file, self._out) or found
            if not self._was_put_aside():
                break
            # Written between the last read and the renaming.
            found = _pump(self._file, self._out) or found
            self.close()
            self._open()
        return found

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._file = None

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
