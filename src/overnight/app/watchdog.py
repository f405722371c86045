"""Notices that a daemon no longer makes progress, and writes down where each of its threads stands.

It asks neither the database nor a lock: what has stopped the others must not stop it.
"""

import faulthandler
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from overnight.app.background import Background
from overnight.base.instants import to_datetime
from overnight.reports.vitals import Vitals, problems

LOOK_EVERY_S = 1.0
MOST_DUMPS = 20
"""Files with stacks that are kept."""
_log = logging.getLogger("overnight.watchdog")
_STALLS = {"scheduler", "writer", "engine"}


class Watchdog(Background):
    """A thread that looks at the vitals every second; stop it when done."""

    def __init__(self, look: Callable[[], Vitals], folder: Path) -> None:
        self._look = look
        self._folder = folder
        self._ill: set[str] = set()
        super().__init__("overnight-watchdog")

    def _go(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception:  # noqa: BLE001  # whatever it was, somebody has to go on looking
                _log.exception("the watchdog could not look")

    def look(self) -> None:
        """Look once: tell what became wrong or right, and dump all stacks where something stands still."""
        vitals = self._look()
        wrong = {problem.cause: problem for problem in problems(vitals)}
        for problem in wrong.values():
            if problem.cause not in self._ill:
                where = f" stacks={self._dump(vitals.at_us).name}" if problem.cause in _STALLS else ""
                _log.critical("event=unhealthy cause=%s%s %s; %s", problem.cause, where, problem.text, problem.advice)
        for cause in self._ill - wrong.keys():
            _log.warning("event=healthy_again cause=%s", cause)
        self._ill = set(wrong)

    def _dump(self, at_us: int) -> Path:
        at: datetime = to_datetime(at_us).astimezone(UTC)
        path = self._folder / f"stacks_{at:%Y%m%dT%H%M%S}.txt"
        self._folder.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        for old in sorted(self._folder.glob("stacks_*.txt"))[:-MOST_DUMPS]:
            old.unlink(missing_ok=True)
        return path
