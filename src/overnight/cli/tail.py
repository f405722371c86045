"""The last lines of a log that is put aside now and then, and those that follow."""

import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from overnight.cli.logs import LOOK_EVERY_S, Tail
from overnight.cli.printing import clean, to_stdout


def print_log(path: Path, *, task: str | None, lines: int, follow: bool) -> bool:
    """Print the last lines about the task, or about all, with `follow` also those to come; return whether any exist."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    last = deque((line for file in [*older, path] for line in _lines(file) if _about(line, task)), maxlen=lines)
    _print(last)
    if follow:
        tail, pause = Tail(path, _Lines(task), from_end=True), threading.Event()
        while True:
            tail.more()
            pause.wait(LOOK_EVERY_S)
    return bool(last)


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
