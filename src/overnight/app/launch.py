"""Finding, starting and ending the daemon of a project, from another process."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overnight.app.lock import is_held
from overnight.base.clock import Clock
from overnight.base.errors import OvernightError, UserMistake
from overnight.base.files import write_json
from overnight.base.settings import DAEMON_FILE, environment
from overnight.processes.detach import Detached, start_detached
from overnight.processes.table import same_process

DAEMON_LOCK = "daemon.lock"
OUTPUT = Path("logs") / "daemon.out"
"""What the daemon prints: nothing, but for errors that its log could not take."""
START_PATIENCE_S = 60.0
KILL_AFTER_S = 10.0
"""After `down --force`: the time that a daemon gets to put everything back before it is killed."""
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Daemonic:
    """What a daemon tells of itself in `daemon.json`. `started` is the start time of its process."""

    pid: int
    started: float
    url: str
    since: str
    level: str
    reloads: int = 0
    reload_error: str | None = None
    needs_restart: tuple[str, ...] = ()

    def write(self, state_dir: Path) -> None:
        """Replace the file."""
        write_json(state_dir / DAEMON_FILE, asdict(self))


def find(state_dir: Path) -> Daemonic | None:
    """Return the daemon that works for this folder; None where none lives. A damaged file counts as none."""
    if not is_held(state_dir / DAEMON_LOCK):
        return None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        values: dict[str, Any] = json.loads((state_dir / DAEMON_FILE).read_text())  # Any: JSON
        daemon = Daemonic(**{**values, "needs_restart": tuple(values["needs_restart"])})
        if same_process(daemon.pid, daemon.started):
            return daemon
    return None


def find_begun(state_dir: Path, pause: Callable[[float], object]) -> Daemonic | None:
    """Return the daemon as `find` does; one that is just beginning is waited for."""
    waited_s = 0.0
    while (daemon := find(state_dir)) is None and is_held(state_dir / DAEMON_LOCK) and waited_s < START_PATIENCE_S:
        pause(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
    return daemon


def start(folder: Path, state_dir: Path, options: list[str], pause: Callable[[float], object]) -> Daemonic:
    """Start the daemon of a project in the background and return it when it works.

    Raises:
        OvernightError: it ended before that; the message is what it said. UserMistake, where that was a mistake.
    """
    argv = [sys.executable, "-m", "overnight", "--project", str(folder), "up", "--foreground", *options]
    child = start_detached(argv, env=environment(), cwd=folder, output=state_dir / OUTPUT)
    waited_s = 0.0
    while waited_s < START_PATIENCE_S:
        code = child.exit_code()
        if code is not None:
            raise _failed(code, state_dir / OUTPUT)
        daemon = find(state_dir)
        if daemon is not None and daemon.pid == child.pid:
            child.let_go()
            return daemon
        pause(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
    _end_unfinished(child)
    raise OvernightError(f"the daemon did not begin to work within {START_PATIENCE_S:g} s; see {state_dir / OUTPUT}")


def _failed(code: int, output: Path) -> OvernightError:
    lines = output.read_text(errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("overnight: ") if lines else f"it ended with exit code {code} and said nothing"
    return (UserMistake if code == 2 else OvernightError)(said)


def _end_unfinished(child: Detached) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)


def tell(daemon: Daemonic, number: signal.Signals) -> None:
    """Send the daemon a signal, if it still lives."""
    with contextlib.suppress(ProcessLookupError):
        if same_process(daemon.pid, daemon.started):
            os.kill(daemon.pid, number)


def has_ended(daemon: Daemonic) -> bool:
    """Tell whether the daemon's process is gone."""
    return not same_process(daemon.pid, daemon.started)


def end_by_force(daemon: Daemonic, clock: Clock, pause: Callable[[float], object]) -> bool:
    """Have the daemon put everything back at once and end; kill it where it does not. Return whether it was killed.

    What was acknowledged is on disk; the next worker puts the runs of a killed one back into the queue.
    """
    for _ in range(2):
        tell(daemon, signal.SIGTERM)
        pause(0.2)
    until = clock.monotonic() + KILL_AFTER_S
    while not has_ended(daemon):
        if clock.monotonic() >= until:
            tell(daemon, signal.SIGKILL)
            return True
        pause(_LOOK_EVERY_S)
    return False
