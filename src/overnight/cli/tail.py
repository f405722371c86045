"""The last lines of a log that is put aside now and then, and those that follow."""

import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from overnight.cli.printing import clean, to_stdout

LOOK_EVERY_S = 0.2


def print_log(path: Path, *, task: str | None, lines: int, follow: bool) -> bool:
    """Print the last lines about the task, or about all, with `follow` also those to come; return whether any exist."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    last = deque((line for file in [*older, path] for line in _lines(file) if _about(line, task)), maxlen=lines)
    _print(last)
    if follow:
        _follow(path, task)
    return bool(last)


def _about(line: str, task: str | None) -> bool:
    return task is None or f" task={task} " in f"{line} "


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)
    except FileNotFoundError:
        return


def _print(lines: "deque[str] | list[str]") -> None:
    with to_stdout():
        for line in lines:
            sys.stdout.write(clean(line, one_line=True) + "\n")
        sys.stdout.flush()


def _follow(path: Path, task: str | None) -> None:
    pause = threading.Event()  # never set: a sleep whose length this module decides
    file: TextIO | None = None
    first = True
    while True:
        file = file or _open(path, at_end=first)
        first = False
        if file is not None:
            _print([line.rstrip("\n") for line in file if _about(line.rstrip("\n"), task)])
            if _was_put_aside(path, file):
                _print([line.rstrip("\n") for line in file if _about(line.rstrip("\n"), task)])
                file.close()
                file = None
                continue
        pause.wait(LOOK_EVERY_S)


def _open(path: Path, *, at_end: bool) -> TextIO | None:
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    if at_end:
        file.seek(0, 2)
    return file


def _was_put_aside(path: Path, file: TextIO) -> bool:
    import os

    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return True
