"""What stands before every handler: who may ask, how often, how much at a time, and what an error shows.

A plain ASGI application around the other one: what wraps each message of a stream in a task of its own (Starlette's
BaseHTTPMiddleware) costs more than the stream itself.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overnight.base.service_settings import ServerSettings
from overnight.server.problems import problem

HOSTS = {"127.0.0.1", "localhost", "[::1]"}
ALWAYS = {"/health", "/metrics"}
"""Answered however many requests there are: whoever watches has to see that there are many."""
BURST_S = 2.0
"""Seconds of its rate that an address may use up at once."""
MOST_ADDRESSES = 1024
_log = logging.getLogger("overnight.http")


class TooLarge(Exception):
    """The body is larger than it may be."""


class Rate:
    """A bucket of tokens for each address."""

    def __init__(self, per_s: float, now_s: Callable[[], float]) -> None:
        self._per_s = per_s
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Take a token; return 0, or for how long there is none."""
        now = self._now_s()
        most = max(1.0, BURST_S * self._per_s)
        tokens, at = self._buckets.pop(address, (most, now))
        tokens = min(most, tokens + (now - at) * self._per_s)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._per_s
        self._buckets[address] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait


class Guard:
    """Lets through what may be asked."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, now_s: Callable[[], float]) -> None:
        self._app = app
        self._settings = settings
        self._rate = Rate(settings.requests_per_s, now_s)
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._open += 1
        try:
            await self._answered(scope, receive, send)
        finally:
            self._open -= 1

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        # A page on the web could make a browser ask here under a name of its own (DNS rebinding).
        if (host.rpartition(":")[0] or host) not in HOSTS:
            return problem(421, "this address is asked for under another name")
        # Or in its own name, where reading the answer is not what it is after.
        if origin is not None and origin != f"{scope['scheme']}://{host}":
            return problem(403, f"pages of {origin[:200]!r} may not ask here")
        return None if scope["path"] in ALWAYS else self._over(scope, headers)

    def _over(self, scope: Scope, headers: Mapping[bytes, str]) -> JSONResponse | None:
        """Refuse what is too much: requests in all, requests at a time, bytes."""
        wait_s = self._rate.wait_s((scope.get("client") or ("",))[0])
        if wait_s:
            return problem(429, "too many requests (server.requests_per_s)", {"Retry-After": str(math.ceil(wait_s))})
        if self._open >= self._settings.connections:
            return problem(503, "too many requests at a time (server.connections)", {"Retry-After": "1"})
        length = headers.get(b"content-length", "")
        if length.isdigit() and int(length) > self._most:
            return self._too_large()
        return None

    @property
    def _most(self) -> float:
        return self._settings.max_body_mb * 1e6

    def _too_large(self) -> JSONResponse:
        text = f"the body is larger than {self._settings.max_body_mb:g} MB (server.max_body_mb)"
        return problem(413, text, {"Connection": "close"})

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, size = False, 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                raise TooLarge
            return message

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, sent)
            return
        except TooLarge:
            answer = self._too_large()
        except Exception:  # noqa: BLE001  # whatever it was, nobody outside learns where it stands
            _log.exception("event=request_failed method=%s path=%s", scope["method"], ascii(scope["path"]))
            answer = problem(500, "internal error; see the log")
        if not begun:
            await answer(scope, receive, send)
