"""Kills real processes with SIGKILL at chosen points, and looks at what they leave behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

from overnight.base.clock import SystemClock
from overnight.base.points import Hook, Point
from overnight.processes import table

PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.005


class KillAt:
    """A hook that kills this very process with SIGKILL at the n-th visit of a point."""

    def __init__(self, point: Point, visit: int = 1) -> None:
        self._point = point
        self._left = visit

    def __call__(self, point: Point) -> None:
        """Count a visit."""
        if point is self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


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


def start_python(script: Path, *arguments: str, env: Mapping[str, str], output: Path) -> "subprocess.Popen[bytes]":
    """Start a Python script in a session of its own; what it prints is appended to `output`."""
    with output.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=dict(env),
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def left_over(variable: str, value: str) -> list[table.Entry]:
    """Return the living processes that have inherited this environment variable."""
    return table.marked(variable, value)
