"""Has the champions of the registry serve, however they became it: a rollback, a new version, a restart of the daemon;
after that, candidates of rollouts have their memory again.

Level-based: each look compares what serves with what should, so that nothing has to be told, and nothing is missed.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from overnight.app.journal import logfmt
from overnight.app.residence import Hosted
from overnight.base.backoff import Backoff
from overnight.base.errors import said_by

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 15.0
"""Between two questions to a server elsewhere whether it still serves."""
_WAITS = Backoff(base_s=1.0, cap_s=60.0)
_CLOSING_S = 2.0
_log = logging.getLogger("overnight.serving")


@dataclass(frozen=True, kw_only=True)
class _Failed:
    """How often a version could not be made to serve, and when it is tried again."""

    number: str
    times: int
    again_s: float


class CatchingUp:
    """Looks, and works in a thread for each model, so that one that takes long holds up nobody. `close` it."""

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted
        self._now_s = hosted.project.clock.monotonic
        self._threads: dict[str, threading.Thread] = {}
        self._failed: dict[str, _Failed] = {}
        self._ask_at: dict[str, float] = {}
        self._wrong: dict[str, str] = {}

    def work(self) -> None:
        """Begin what is due."""
        for one in self._hosted.without_memory():
            self._make("candidate", one.model, one.candidate, self._hosted.keep)
        for model, number in self._hosted.behind().items():
            self._make("champion", model, number, self._hosted.catch_up)
        for model in self._hosted.elsewhere():
            if self._now_s() >= self._ask_at.setdefault(model, self._now_s() + ASK_EVERY_S):
                self._begin(model, partial(self._ask_after, model))

    def _make(self, what: str, model: str, number: str, work: Callable[[str], None]) -> None:
        failed = self._failed.get(model)
        if failed is None or failed.number != number or self._now_s() >= failed.again_s:
            self._begin(model, partial(self._work, what, model, number, work))

    def _begin(self, model: str, work: Callable[[], None]) -> None:
        thread = self._threads.get(model)
        if thread is None or not thread.is_alive():
            begun = threading.Thread(target=work, name=f"overnight-serve-{model}", daemon=True)
            self._threads[model] = begun
            begun.start()

    def close(self) -> None:
        """Wait a little for what is under way; programs that were called end with this process."""
        for thread in self._threads.values():
            thread.join(_CLOSING_S)

    def _work(self, what: str, model: str, number: str, work: Callable[[str], None]) -> None:
        told = {"model": model, "version": number}
        try:
            work(model)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
            failed = self._failed.get(model)
            times = failed.times + 1 if failed is not None and failed.number == number else 1
            if times == 1:
                _log.error("event=%s_not_served %s", what, logfmt({**told, "error": said_by(error)}))
            again_s = self._now_s() + _WAITS.wait_s(times)
            self._failed[model] = _Failed(number=number, times=times, again_s=again_s)
        else:
            self._failed.pop(model, None)
            _log.info("event=%s_served %s", what, logfmt(told))

    def _ask_after(self, model: str) -> None:
        """Ask whether it still serves; what is wrong is logged once, as long as it is the same."""
        try:
            wrong = self._hosted.ask_after(model)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
            wrong = said_by(error)
        if wrong is None:
            self._wrong.pop(model, None)
        elif wrong != self._wrong.get(model):
            self._wrong[model] = wrong
            _log.warning("event=model_server_unwell %s", logfmt({"model": model, "error": wrong}))
        self._ask_at[model] = self._now_s() + ASK_EVERY_S
