"""The warm child of the Python generators: imports the modules once, and makes every trial in a forked copy of itself.

It reads one JSON object a line from the socket whose number is its last argument, and answers each with one. A copy
that takes too long is killed, and so is whatever a copy has left behind; the child itself runs no code under trial.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from overnight.campaigns.generators.python import proving, trial
from overnight.processes import linux, tree

WALL_S = 10.0
"""After so long a trial that sleeps or waits is killed; what computes runs into its order's `cpu_s` before."""
_PIECE = 65_536
_LATE = b"late"
LATE = "takes too long"

_Run = Callable[[Mapping[str, Any]], dict[str, Any]]  # Any: JSON


def main() -> None:
    """Serve trials until nobody asks any more."""
    with suppress(OSError):  # an old kernel: the keeper above finds what is left, at the end
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    trial.warm_up()
    with socket.socket(fileno=int(sys.argv[-1])) as line, line.makefile("rwb") as file:
        warm = _Warm()
        file.write(b"{}\n")  # a greeting: it could be started
        file.flush()
        for text in file:
            order = json.loads(text)
            if "program" in order:
                answer = _in_a_copy(order["program"], proving.run)
            else:
                answer = warm.prepare(order) or _in_a_copy(order, trial.run)
            file.write(json.dumps(answer).encode() + b"\n")
            file.flush()


class _Warm:
    """What was imported here already, so that no copy has to."""

    def __init__(self) -> None:
        self._places: set[tuple[str, str]] = set()
        self._tried: set[str] = set()

    def prepare(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Import what the order needs; the answer to it, where that cannot be."""
        place, count = (order["prelude"], order["module"]), len(sys.modules)
        if place not in self._places:
            try:
                trial.globals_of(*place)
            except trial.NotPossible as error:
                return {"fault": str(error)}
            self._places.add(place)
        for name in trial.imported_by(order["docstring"]) - self._tried:
            self._tried.add(name)
            with suppress(trial.NotPossible):  # the example that imports it will say so
                trial.globals_of("", name)
        if len(sys.modules) != count:
            gc.collect()
            gc.freeze()  # a copy that collects garbage would touch, and so double, all that was imported
        return None


def _in_a_copy(order: Mapping[str, Any], run: _Run) -> dict[str, Any]:
    news, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_copy(order, run, news, report)
    os.close(report)
    try:
        told = _hear(news, pid)
        status = os.waitpid(pid, 0)[1]
    finally:
        os.close(news)
    _end_strays()
    if told == _LATE:
        return {"fault": LATE}
    if os.WIFSIGNALED(status):
        return {"fault": proving.end_of(os.WTERMSIG(status))}
    if not told.endswith(b"\n"):
        return {"fault": "ends the interpreter"}
    answer: dict[str, Any] = json.loads(told)
    return answer


def _become_copy(order: Mapping[str, Any], run: _Run, news: int, report: int) -> None:
    """Make the trial and tell the outcome; never returns."""
    try:
        os.setsid()
        os.close(news)
        os.write(report, json.dumps(run(order)).encode() + b"\n")
    except BaseException as error:  # noqa: BLE001 - nothing may run on in the forked copy
        os.write(report, json.dumps({"fault": f"breaks the trial: {type(error).__name__}"}).encode() + b"\n")
    finally:
        os._exit(0)


def _hear(news: int, pid: int) -> bytes:
    """Return what the copy says; _LATE for one that had to be killed."""
    told = b""
    while select.select([news], [], [], WALL_S)[0]:
        piece = os.read(news, _PIECE)
        told += piece
        if not piece or piece.endswith(b"\n"):
            return told
    os.kill(pid, signal.SIGKILL)
    return _LATE


def _end_strays() -> None:
    """Kill what the copy has left behind: orphans become children of this process."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                tree.kill_below(os.getpid())
        except ChildProcessError:
            return
