"""What came of served requests: gathered in memory, handed on in batches by a thread of its own.

The queue is bounded, and nobody who serves waits for it. A batch has a name, which it keeps however often it is handed
on, so that it counts once.
"""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from overnight.base.backoff import Backoff
from overnight.base.clock import SystemClock, iso
from overnight.base.errors import DaemonFailed, TransientError, said_by
from overnight.registry.routing import Key

MOST_WAITING = 10_000
"""Outcomes that wait at the most, beside those that are being handed on; a further one takes the oldest one's place."""
MOST_IN_BATCH = 1000
MOST_TRIES = 8
"""How often a batch is handed on that is answered with a failure: those behind it wait meanwhile."""
MANY = 200
"""Outcomes that are handed on at once, as errors are; fewer wait for others."""
EVERY_S = 0.5
CLOSING_S = 5.0
_WAITS = Backoff(base_s=0.2, cap_s=5.0)
_LAST_WAIT_S = 0.1
_log = logging.getLogger("overnight.serving")


class Served(NamedTuple):
    """One served request. `percentage` is the candidate's share of the keys as its version was chosen.

    `ok` is false for an error; `timed_out` is one. `score`, 0 to 1, is how good the answer was, `latency_ms` how long
    it took; None: not measured.
    """

    request_id: str
    model: str
    key: Key
    version: str
    percentage: float
    deployment_id: int | None
    ok: bool
    timed_out: bool
    invalid: bool
    latency_ms: float | None
    score: float | None
    at_us: int

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return it as `POST /api/outcomes` takes it."""
        told = self._asdict()
        del told["model"], told["at_us"]
        return told | {"key": text_of(self.key), "at": iso(self.at_us)}


def text_of(key: Key) -> str:
    """Return a key as text that any database holds: bytes, and text that is not Unicode, are written out."""
    return key.hex() if isinstance(key, bytes) else key.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Outcomes of one model that are handed on together. One `batch_id` counts once."""

    batch_id: str
    model: str
    outcomes: list[Served]

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return it as `POST /api/outcomes` takes it."""
        outcomes = [served.to_json() for served in self.outcomes]
        return {"batch_id": self.batch_id, "model_type": self.model, "outcomes": outcomes}


Sink = Callable[[Batch], object]
"""Takes a batch. A TransientError means that it is to be handed on again, DaemonFailed that this is to be tried
`MOST_TRIES` times at the most, any other error that it is refused."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many outcomes wait, were taken, were dropped for want of room or time, were refused; the last error."""

    waiting: int = 0
    sent: int = 0
    dropped: int = 0
    refused: int = 0
    error: str | None = None


class Outcomes:
    """The queue and its thread. `put` may be called from any thread; `close` it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._now_s = SystemClock().monotonic
        self._queue: deque[Served] = deque()
        self._news = threading.Condition()
        self._urgent = False
        self._under_way = self._sent = self._dropped = self._refused = 0
        self._error: str | None = None
        self._closing = threading.Event()
        self._until = float("inf")
        self._thread = threading.Thread(target=self._go, name="overnight-outcomes", daemon=True)
        self._thread.start()

    def put(self, served: Served) -> None:
        """Add an outcome; an error is handed on at once."""
        queue = self._queue
        with self._news:
            if self._closing.is_set():
                self._dropped += 1
                return
            if len(queue) >= MOST_WAITING:
                queue.popleft()
                self._dropped += 1
            queue.append(served)
            self._urgent |= not served.ok
            if self._urgent or len(queue) in (1, MANY):
                self._news.notify()

    @property
    def counts(self) -> Counts:
        """How it stands."""
        with self._news:
            return Counts(
                waiting=len(self._queue) + self._under_way,
                sent=self._sent,
                dropped=self._dropped,
                refused=self._refused,
                error=self._error,
            )

    def close(self, timeout_s: float = CLOSING_S) -> None:
        """Hand on what waits, for no longer than that; what is left then counts as dropped."""
        with self._news:
            self._until = min(self._until, self._now_s() + timeout_s)
            self._closing.set()
            self._news.notify()
        # What is under way may wait for an answer a little longer.
        self._thread.join(timeout_s + _LAST_WAIT_S)

    def _go(self) -> None:
        while batches := self._next():
            for batch in batches:
                self._hand_on(batch)
        if self._dropped or self._refused:
            _log.warning("event=outcomes_lost dropped=%d refused=%d", self._dropped, self._refused)

    def _next(self) -> list[Batch]:
        """Wait for outcomes and return them; nothing once it is closed and all of them were handed on."""
        with self._news:
            while not self._queue and not self._closing.is_set():
                self._news.wait()
            until = self._now_s() + EVERY_S
            while len(self._queue) < MANY and not (self._urgent or self._closing.is_set()):
                if not self._news.wait(until - self._now_s()):
                    break
            self._urgent = False
            taken = [self._queue.popleft() for _ in range(min(MOST_IN_BATCH, len(self._queue)))]
            self._under_way = len(taken)
        by_model: dict[str, list[Served]] = {}
        for served in taken:
            by_model.setdefault(served.model, []).append(served)
        return [Batch(batch_id=uuid.uuid4().hex, model=model, outcomes=some) for model, some in by_model.items()]

    def _hand_on(self, batch: Batch) -> None:
        failures = 0
        while self._now_s() < self._until:
            try:
                self._sink(batch)
            except TransientError as error:
                failures += 1
                self._error = said_by(error)
                if isinstance(error, DaemonFailed) and failures >= MOST_TRIES:
                    return self._refused_for(batch, error)
                self._pause(failures)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next batch may be a better one
                return self._refused_for(batch, error)
            else:
                self._error = None
                return self._done(batch, sent=len(batch.outcomes))
        return self._done(batch, dropped=len(batch.outcomes))

    def _refused_for(self, batch: Batch, error: Exception) -> None:
        self._error = said_by(error)
        _log.error("event=outcomes_refused batch=%s error=%s", batch.batch_id, self._error)
        self._done(batch, refused=len(batch.outcomes))

    def _pause(self, failures: int) -> None:
        if self._closing.is_set():
            threading.Event().wait(_LAST_WAIT_S)
        else:
            self._closing.wait(_WAITS.wait_s(failures))

    def _done(self, batch: Batch, *, sent: int = 0, dropped: int = 0, refused: int = 0) -> None:
        with self._news:
            self._under_way -= len(batch.outcomes)
            self._sent += sent
            self._dropped += dropped
            self._refused += refused
