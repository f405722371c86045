"""Following a stream of the daemon through lost connections; asking instead, where streams do not come through."""

import json
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from overnight.base.backoff import Backoff
from overnight.base.errors import DaemonAway, UnknownName, UserMistake
from overnight.client.sse import Parser
from overnight.client.wire import Lost, Wire

QUIET_S = 45.0
"""Three heartbeats: in such a silence nothing comes through any more."""
POLL_EVERY_S = 2.0
TRIES = 12
"""Connections in a row that bring nothing: half a minute."""
WAITS = Backoff(base_s=0.1, cap_s=5.0, jitter=0.5)
ENDS = ("completed", "failed", "cancelled")
Json = dict[str, Any]  # Any: JSON


class Event(NamedTuple):
    """Something that happened; `id` is None where it was asked for and not told."""

    name: str
    data: Json
    id: str | None


class Follower:
    """Follows one stream."""

    quiet_s = QUIET_S
    poll_every_s = POLL_EVERY_S

    def __init__(self, wire: Wire, target: str, last_id: str, random: Random) -> None:
        self._wire = wire
        self._target = target
        self._last_id = last_id
        self._random = random
        self._held_back = False
        """Nothing came through: not even a heartbeat."""

    def follow(self, poll: Callable[[], Json] | None = None) -> Iterator[Event]:
        """Yield events. With `poll`, which tells how a job stands, until it has ended, and by asking if need be.

        Raises:
            UnknownName, UserMistake: the daemon refuses.
            DaemonAway: it does not come back.
        """
        failures, epoch = 0, -1
        while failures < TRIES and not self._held_back:
            failures += 1
            try:
                for event in self._connection(polled=poll is not None):
                    failures, epoch = 0, max(epoch, event.data.get("epoch", -1))
                    yield event
                    if poll is not None and event.name in ENDS:
                        return
            except _NoStream:
                break
            except _Over:
                return
            except Lost as lost:
                if poll is None and failures >= TRIES:
                    raise DaemonAway(f"the stream is lost: {lost}") from lost
            if not self._held_back:
                pause(WAITS.wait_s(max(1, failures), self._random))
        if poll is None:
            raise DaemonAway("there is no stream of events here")
        yield from self._polled(poll, epoch)

    def _connection(self, *, polled: bool) -> Iterator[Event]:
        """Yield what one connection brings."""
        parser, came = Parser(self._last_id), False
        try:
            with self._wire.streamed(self._target, self._last_id, self.quiet_s) as response:
                _check(response.status, response.getheader("Content-Type", ""), response.read, polled=polled)
                while content := response.read1(65536):
                    came = True
                    for message in parser.feed(content):
                        self._last_id = message.last_id
                        yield Event(message.name, json.loads(message.data), message.last_id)
        except Lost as lost:
            self._held_back = isinstance(lost.__cause__, TimeoutError) and lost.sent and not came
            raise

    def _polled(self, poll: Callable[[], Json], epoch: int) -> Iterator[Event]:
        """Yield how the job stands, each epoch behind `epoch` and each change once, until it has ended."""
        before: tuple[str, int] | None = None
        while True:
            job = poll()
            if job["status"] in ENDS:
                yield Event(job["status"], job, None)
                return
            stands = (job["status"], job["epoch"])
            if stands != before if before else job["epoch"] > epoch:
                yield Event("status", job, None)
            before = stands
            pause(self.poll_every_s)


def pause(seconds: float) -> None:
    """Wait."""
    threading.Event().wait(seconds)


class _NoStream(Exception):
    """Whoever answers knows no streams."""


class _Over(Exception):
    """The job has ended, and its end was read already."""


def _check(code: int, kind: str, read: Callable[[], bytes], *, polled: bool) -> None:
    if code == 200 and kind.startswith("text/event-stream"):
        return
    if code == 204:
        raise _Over
    try:
        said = json.loads(read()).get("error", "")
    except (ValueError, AttributeError):
        said = ""
    if polled and (code in (200, 404, 405, 406, 501) and not said.startswith("there is no job")):
        raise _NoStream
    if code == 404:
        raise UnknownName(said or "there is no such stream")
    if code >= 500 or code == 429:
        raise Lost(f"answered with {code}", sent=True)
    raise UserMistake(said or f"answered with {code}")
