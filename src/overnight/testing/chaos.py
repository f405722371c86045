"""Kills real processes with SIGKILL at chosen points, and looks at what they leave behind."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event

from overnight.base.clock import SystemClock
from overnight.base.points import Hook, Point
from overnight.processes import table

PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.005


def both(*hooks: Hook) -> Hook:
    """Return a hook that calls all of these, in their order."""

    def hook(point: Point) -> None:
        for one in hooks:
            one(point)

    return hook


def append_line(path: Path, text: str) -> None:
    """Append a line to a file and force it to disk: what is told here survives the process."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{text}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def lines_of(path: Path) -> list[str]:
    """Return the whole lines of a file; none where there is no file."""
    if not path.exists():
        return []
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()


def wait_until(there: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Look until something is there.

    Raises:
        TimeoutError: it does not come.
    """
    clock = SystemClock()
    until = clock.monotonic() + patience_s
    pause = Event()  # never set: a sleep between two looks
    while not there():
        if clock.monotonic() > until:
            raise TimeoutError(f"waited {patience_s:g} s for {what}")
        pause.wait(_LOOK_EVERY_S)


def left_over(variable: str, value: str) -> list[table.Entry]:
    """Return the living processes that have inherited this environment variable."""
    return table.marked(variable, value)
