"""Duties that come round: one thread does them one after another, each every so many seconds."""

import logging
from collections.abc import Callable

from overnight.app.background import Background
from overnight.app.journal import logfmt
from overnight.base.clock import Clock
from overnight.base.errors import said_by

LOOK_EVERY_S = 0.5
_log = logging.getLogger("overnight.rounds")


class Rounds(Background):
    """Does what it was given until it is stopped. A duty that fails is written down, and is done again in its turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._duties: list[tuple[str, Callable[[], object], float]] = []
        super().__init__("overnight-rounds")

    def add(self, name: str, duty: Callable[[], object], every_s: float) -> None:
        """Have a duty done every so many seconds, the first time at once."""
        self._duties.append((name, duty, every_s))

    def _go(self) -> None:
        due = [self._clock.monotonic()] * len(self._duties)
        while not self._ended.wait(LOOK_EVERY_S):
            for place, (name, duty, every_s) in enumerate(self._duties):
                now = self._clock.monotonic()
                if now >= due[place] and not self._ended.is_set():
                    due[place] = now + every_s
                    self._do(name, duty)

    def _do(self, name: str, duty: Callable[[], object]) -> None:
        try:
            duty()
        except Exception as error:  # noqa: BLE001  # a full disk, a busy database: the next round tries again
            _log.error("event=duty_failed %s", logfmt({"duty": name, "error": said_by(error)}))
            _log.debug("the duty failed here", exc_info=True)
