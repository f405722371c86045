"""A loaded version, asked by a thread of its own, so that one that hangs holds up nobody for longer than his time."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from overnight.base.errors import ModelTimedOut
from overnight.serving.ports import VersionRef

_IDLE_S = 1.0
"""How long the thread waits for a further request; then it ends, and the next request starts another."""


class Model(Protocol):
    """What answers, such as a trainer that was loaded."""

    def predict(self, inputs: Sequence[Any]) -> list[Any]:  # Any: as the model_type has them
        """Return an answer for each input. Raises UserMistake for an input that does not fit."""


Taken = tuple[list[Any], float]
"""Answers, and how many milliseconds the model took for them."""


class Resident:
    """A loaded version. Its model is asked one request at a time, as trainers are."""

    def __init__(self, ref: VersionRef, model: Model, now_s: Callable[[], float]) -> None:
        self.ref, self.model, self._now_s = ref, model, now_s
        self._news = threading.Condition()
        self._calls: deque[tuple[Future[Taken], Sequence[Any]]] = deque()
        self._works = False
        self._late: Future[Taken] | None = None
        """The request that the model was given too much time for."""
        self._in_flight = 0

    def ask(self, inputs: Sequence[Any], timeout_s: float) -> Taken:
        """Return what the model makes of the inputs, and how many milliseconds it took when it was its turn.

        Raises:
            ModelTimedOut: it was not ready in time, the wait for its turn included, or still hangs at an earlier
                request; so long it is asked nothing more.
        """
        name = f"{self.ref.model} {self.ref.number}"
        call: Future[Taken] = Future()
        with self._news:
            if self._late is not None and not self._late.done():
                raise ModelTimedOut(f"{name} hangs at an earlier request")
            self._in_flight += 1
            self._calls.append((call, inputs))
            if not self._works:
                self._works = True
                threading.Thread(target=self._work, name=f"overnight-{name}", daemon=True).start()
            self._news.notify_all()
        try:
            return call.result(timeout_s)
        except TimeoutError as error:
            if not call.cancel():
                self._late = call
            raise ModelTimedOut(f"{name} did not answer within {timeout_s:g} s") from error
        finally:
            with self._news:
                self._in_flight -= 1
                self._news.notify_all()

    @property
    def in_flight(self) -> int:
        """Requests that it answers now."""
        return self._in_flight

    def wait(self, timeout_s: float) -> bool:
        """Wait until it answers nothing; False where that takes longer."""
        with self._news:
            return self._news.wait_for(lambda: not self._in_flight, timeout_s)

    def _work(self) -> None:
        while True:
            with self._news:
                if not self._news.wait_for(lambda: self._calls, _IDLE_S):
                    self._works = False
                    return
                call, inputs = self._calls.popleft()
            if call.set_running_or_notify_cancel():
                began_s = self._now_s()
                try:
                    outputs = self.model.predict(inputs)
                except BaseException as error:  # noqa: BLE001  # it is raised where it was asked
                    call.set_exception(error)
                else:
                    call.set_result((outputs, 1000 * (self._now_s() - began_s)))
