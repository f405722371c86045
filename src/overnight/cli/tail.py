"""The last lines of logs that are put aside now and then, and those that follow."""

import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from overnight.cli.logs import LOOK_EVERY_S, Tail
from overnight.cli.printing import clean, to_stdout

_WINDOW = 65_536


def print_logs(paths: Sequence[Path], *, lines: int, follow: bool, task: str | None = None) -> bool:
    """Print the last lines of each log, or those about a task, with `follow` also those to come.

    Returns whether there are any.
    """
    tails = [Tail(path, _Lines(task), from_end=True) for path in paths if follow]
    found = False
    for path in paths:
        last = _last(path, lines, task)
        found = found or bool(last)
        if len(paths) > 1 and path.exists():
            _print([f"==> {path} <=="])
        _print(last)
    pause = threading.Event()
    while follow:
        for tail in tails:
            tail.more()
        pause.wait(LOOK_EVERY_S)
    return found


def _last(path: Path, count: int, task: str | None) -> Sequence[str]:
    older = sorted(path.parent.glob(f"{path.name}.*[0-9]"), key=lambda file: -int(file.suffix[1:]))
    if task is not None:
        return deque((line for file in [*older, path] for line in _lines(file) if _about(line, task)), maxlen=count)
    found: list[str] = []
    for file in [path, *reversed(older)]:
        if len(found) < count:
            found = [*end_of(file, count - len(found)), *found]
    return found


def end_of(path: Path, count: int) -> list[str]:
    """Return the last lines of a file, at a cost that does not grow with it."""
    window = _WINDOW
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            while True:
                file.seek(max(0, size - window))
                read = file.read(window)
                if window >= size or read.count(b"\n") > count:
                    lines = read.decode(errors="replace").removesuffix("\n").split("\n") if read else []
                    return lines[-count:]
                window *= 4
    except FileNotFoundError:
        return []


def _about(line: str, task: str | None) -> bool:
    return task is None or f" task={task} " in f"{line} "


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)
    except FileNotFoundError:
        return


def _print(lines: Iterable[str]) -> None:
    with to_stdout():
        for line in lines:
            sys.stdout.write(clean(line, one_line=True) + "\n")
        sys.stdout.flush()


class _Lines:
    """Prints the whole lines about the task among the bytes that it is given."""

    def __init__(self, task: str | None) -> None:
        self._task = task
        self._unread = b""

    def write(self, piece: bytes, /) -> None:
        """Print the lines that are whole now."""
        *whole, self._unread = (self._unread + piece).split(b"\n")
        texts = (line.decode(errors="replace") for line in whole)
        _print(line for line in texts if _about(line, self._task))

    def flush(self) -> None:
        """Do nothing: whole lines are printed at once."""
