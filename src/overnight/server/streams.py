"""Streams of server-sent events: many readers of one list, each as fast as it takes them.

A reader is woken when there is news, and sends all that follows its place at once. One that takes nothing stands still
at its place, and is let go after a while; it goes on from there when it comes again.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI, Header
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from overnight.app.feeds import Feed, Key
from overnight.base.errors import UserMistake
from overnight.server import shapes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

HEARTBEAT_S = 15.0
STUCK_S = 300.0
"""How long a reader may take nothing."""
RETRY_MS = 1000
HEARTBEAT = b": heartbeat\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Said to nginx and its like: pass on each event as it comes.
    (b"x-accel-buffering", b"no"),
]
LastId = Annotated[str | None, Header(max_length=100, description="Go on behind this event.")]


class Streams:
    """All streams of a daemon."""

    def __init__(self, daemon: "Daemon") -> None:
        self.feeds = daemon.feeds
        self._bells: WeakKeyDictionary[Feed, asyncio.Event] = WeakKeyDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[Stream] = set()
        self.closed = False
        self.feeds.news = self._news

    def join(self, one: "Stream") -> asyncio.Event:
        """Take in a stream; return what rings when its feed has news, and without any at each heartbeat."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(HEARTBEAT_S, self._beat, self._loop)
        self._open.add(one)
        return self._bells.setdefault(one.feed, asyncio.Event())

    def leave(self, one: "Stream") -> None:
        """Let go of a stream."""
        self._open.discard(one)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        # One timer for all: one each, set and cleared at every event, costs as much as the event.
        self._ring(*self._bells)
        for one in self._open:
            one.end_if_stuck(loop.time())
        loop.call_later(HEARTBEAT_S, self._beat, loop)

    def _news(self, feed: Feed) -> None:
        self._in_loop(lambda: self._ring(feed))

    def _in_loop(self, call: Callable[[], object]) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(call)

    def _ring(self, *feeds: Feed) -> None:
        for feed in feeds:
            bell = self._bells.get(feed)
            if bell is not None:
                bell.set()
                bell.clear()

    def close(self) -> None:
        """End all streams without an end of what they tell: their readers come again."""
        self.closed = True
        self._in_loop(lambda: self._ring(*self._bells))


class Stream(Response):
    """One reader's stream."""

    def __init__(self, streams: Streams, feed: Feed, key: Key, place: Any) -> None:  # Any: see `Feed`
        self.status_code = 200
        self.background = None
        self.feed = feed
        self._streams = streams
        self._key = key
        self._place = place
        self._pump_task: asyncio.Task[None] | None = None
        self._sending_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the feed has ended, the reader is gone, or the server closes."""
        pump = self._pump_task = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, gone):
                task.cancel()
            ends = await asyncio.gather(pump, gone, return_exceptions=True)
            self._streams.leave(self)
            self._streams.feeds.close(self._key)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def end_if_stuck(self, now: float) -> None:
        """End it where its reader has taken nothing for too long."""
        since, task = self._sending_since, self._pump_task
        if since is not None and now - since > STUCK_S and task is not None:
            task.cancel()

    async def _pump(self, send: Send) -> None:
        feed, bell = self.feed, self._streams.join(self)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        content = b"retry: %d\n\n" % RETRY_MS
        while not self._streams.closed:
            if content:
                self._sending_since = asyncio.get_running_loop().time()
                await send({"type": "http.response.body", "body": content, "more_body": True})
                self._sending_since = None
            ended = feed.ended
            content = await self._next()
            if not content:
                if ended:
                    break
                await bell.wait()
                content = await self._next() or HEARTBEAT
        await send({"type": "http.response.body", "body": b""})

    async def _next(self) -> bytes:
        """Return what follows the reader's place."""
        found = self.feed.after(self._place)
        while found is None:
            frames, self._place = await run_in_threadpool(self.feed.behind, self._place)
            found = (frames, self._place) if frames else self.feed.after(self._place)
        frames, self._place = found
        return b"".join(frames)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def add_to(app: FastAPI, daemon: "Daemon") -> Streams:
    """Add the streams."""
    streams = Streams(daemon)

    async def opened(key: Key, last_id: str | None) -> Response:
        feed: Feed = await run_in_threadpool(streams.feeds.open, key)
        try:
            place = feed.at(last_id)
        except ValueError:
            streams.feeds.close(key)
            raise UserMistake(f"Last-Event-ID: {last_id!r} is no id of this stream") from None
        if feed.ended and feed.after(place) == ([], place):
            streams.feeds.close(key)
            # A browser that has read the end comes again, until it is told not to (WHATWG HTML, section 9.2.3).
            return Response(status_code=204)
        return Stream(streams, feed, key, place)

    told: Mapping[int | str, Any] = {
        **shapes.stream("Events; a comment every 15 s at least.", 400, 404),
        204: {"description": "It has ended, and nothing follows the event that `Last-Event-ID` names."},
    }

    @app.get("/api/training/stream/{job_id}", tags=["training"], response_class=Response, responses=dict(told))
    async def stream_of_a_job(job_id: shapes.Name, last_event_id: LastId = None) -> Response:
        """Follow a job from its submission, or from the event that `Last-Event-ID` names, to its end.

        `status`: job_id, status, epoch, total_epochs, loss, accuracy (null unless the metric is one), val_loss, metric,
        val_metric. `checkpoint`: epoch, checkpoint_path, metrics. At last `completed` (status, model_version, metrics),
        or `failed` or `cancelled` (status, error). An event's id says what it tells of, so that nothing is missed and
        nothing comes twice, whatever is restarted.
        """
        return await opened(job_id, last_event_id)

    @app.get(
        "/api/deployments/{deployment_id}/stream",
        tags=["models"],
        response_class=Response,
        responses=dict(told),
    )
    async def stream_of_a_deployment(deployment_id: shapes.Number, last_event_id: LastId = None) -> Response:
        """Follow what is decided about a deployment, from its beginning or from `Last-Event-ID`, to its end."""
        return await opened(deployment_id, last_event_id)

    @app.get(
        "/api/events",
        tags=["engine"],
        response_class=Response,
        responses=shapes.stream("Events; a comment every 15 s at least.", 400),
    )
    async def stream_of_all(last_event_id: LastId = None) -> Response:
        """Follow all that happens, from now on or from the event that `Last-Event-ID` names.

        An event `gap` says that what followed that event is no longer kept.
        """
        return await opened(None, last_event_id)

    return streams
