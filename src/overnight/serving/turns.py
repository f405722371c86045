"""Models of which only one version fits into memory: its versions take turns, and who asks meanwhile waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from overnight.base.errors import NoTurn

TURN_S = 2.0
"""How long a version stays at the least: within that time everybody learns which one is to answer."""
_LOOK_EVERY_S = 0.05
T = TypeVar("T")


class Turns:
    """Which models have room for one version only, and who changes it. Safe to use from any thread."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._news = threading.Condition()
        self._single = set[str]()
        self._changing = False
        self._stays: dict[str, float] = {}
        """Until when the version of a model stays."""
        self._waiting = 0

    def single(self, model: str) -> bool:
        """Return whether versions of a model take turns."""
        return model in self._single

    def begin(self, model: str) -> None:
        """Let versions of a model take turns from now on."""
        self._single.add(model)

    def end(self, model: str) -> None:
        """Let versions of a model be resident beside each other again."""
        self._single.discard(model)

    @contextmanager
    def turn(self, model: str) -> Iterator[Callable[[], bool]]:
        """Change the version of a model in the block, and back if need be.

        The block is given what tells whether somebody waits for its end.
        """
        with self._news:
            self._news.wait_for(lambda: not self._changing)
            self._changing = True
        try:
            yield lambda: self._waiting > 0
        finally:
            self._over(model)

    def wait(self, model: str, find: Callable[[], T | None], change: Callable[[], T], timeout_s: float) -> T:
        """Return what `find` finds; where the version that is there has stayed long enough, what `change` makes of it.

        Raises:
            NoTurn: neither was possible in time.
        """
        until_s = self._now_s() + timeout_s
        # It may look into a database: nobody waits for that with the lock.
        while (found := find()) is None:
            with self._news:
                if self._may_change(model):
                    self._changing = True
                    break
                if self._now_s() >= until_s:
                    raise NoTurn(f"{model}: its versions take turns, and none was there in {timeout_s:g} s")
                self._waiting += 1
                self._news.wait(_LOOK_EVERY_S)
                self._waiting -= 1
        if found is not None:
            return found
        try:
            return change()
        finally:
            self._over(model)

    def _may_change(self, model: str) -> bool:
        return not self._changing and self._now_s() >= self._stays.get(model, float("-inf"))

    def _over(self, model: str) -> None:
        with self._news:
            self._changing = False
            self._stays[model] = self._now_s() + TURN_S
            self._news.notify_all()
