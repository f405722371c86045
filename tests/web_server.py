"""A web server on loopback that does as a test says: pages, redirects, and every way of being broken.

It writes bytes to a socket, not answers to a library, so that it can lie about lengths and break off where it likes. It
keeps a record of what it was asked. `get` and `refusal` ask it through the client.
"""

import gzip
import json
import select
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from overnight.data.web import Answer, Web

# Self-signed, for localhost and 127.0.0.1, valid from 2020 to 2120; it protects nothing.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmgUIVSJsTX6AVDCI
3TRG9v5qU/+pGtZfgx69r0YElaGhRANCAAQ1W4w/GIo5exjJAo0Bn8QLBcyojHHK
FHmmuWSO5fxETLmE+t1Zquj8CzYEj3fSFoZRm+ySrF49k09isXfKIOBx
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBlzCCATygAwIBAgIUSR4brVmE6XkFMavyhyIn7UOka9wwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPb3Zlcm5pZ2h0IHRlc3RzMCAXDTIwMDEwMTAwMDAwMFoYDzIx
MjAwMTAxMDAwMDAwWjAaMRgwFgYDVQQDDA9vdmVybmlnaHQgdGVzdHMwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAQ1W4w/GIo5exjJAo0Bn8QLBcyojHHKFHmmuWSO
5fxETLmE+t1Zquj8CzYEj3fSFoZRm+ySrF49k09isXfKIOBxo14wXDAaBgNVHREE
EzARgglsb2NhbGhvc3SHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8E
BAMCAoQwHQYDVR0OBBYEFPtWpS+OadzMlrO1jpbpA2atlD2DMAoGCCqGSM49BAMC
A0kAMEYCIQCoh7HCohxkKBPCwIpO72seoOQkJz73ATZB9f5AbjHc2wIhAIf/leGM
kdFqFAAaxzesxT3oW6dY9iA1wiHtP7YL4FuY
-----END CERTIFICATE-----
"""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: the path with its query, the headers by names in small letters, and when it came (monotonic)."""

    path: str
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request that is to be answered: `send` writes bytes, as they are."""

    asked: Asked
    send: Callable[[bytes], None]
    client_gone: Callable[[float], bool]
    """Wait for so many seconds, or until the client has hung up; return whether it has."""

    def parameter(self, name: str) -> str | None:
        values = parse_qs(urlsplit(self.asked.path).query).get(name)
        return values[-1] if values else None


Route = Callable[[Exchange], None]


class WebServer:
    """Serves `routes`, by path without the query, until the `with` block ends."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[Asked] = []
        self._scheme = "https" if certificate else "http"
        self._server = _Server(self, certificate)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "WebServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [asked.path for asked in self.asked]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    # Threads are joined when the server closes: none outlives its test.
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, web: WebServer, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.web = web
        self.closing = threading.Event()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up; tests look at what the client says."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        head = []
        while line := self.rfile.readline().strip():
            head.append(line.decode("latin-1"))
        if not head:
            return
        pairs = (line.partition(":") for line in head[1:])
        asked = Asked(
            path=head[0].split()[1],
            headers={name.lower(): value.strip() for name, _, value in pairs},
            at=time.monotonic(),
        )
        self.server.web.asked.append(asked)
        route = self.server.web.routes.get(urlsplit(asked.path).path, answers(b"not here", status=404))
        with suppress(OSError):
            route(Exchange(asked=asked, send=self.request.sendall, client_gone=self._client_gone))

    def _client_gone(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self.server.closing.is_set() and time.monotonic() < until:
            if select.select([self.request], [], [], 0.01)[0]:
                return True
        return self.server.closing.is_set()


def head(status: int, headers: Mapping[str, object]) -> bytes:
    """Return the first bytes of an answer, up to its body."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Odd"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def answers(body: bytes | str = b"", *, status: int = 200, **headers: object) -> Route:
    """Answer with the body and its true length; `_` stands for `-` in names of headers."""
    content = body.encode() if isinstance(body, str) else body
    return sends(head(status, {"Content-Length": len(content), **headers}) + content)


def answers_json(value: object, **headers: object) -> Route:
    return answers(json.dumps(value), Content_Type="application/json", **headers)


def sends(*pieces: bytes) -> Route:
    """Send the bytes, whatever they mean, and hang up."""

    def route(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.send(piece)

    return route


def in_turn(*routes: Route) -> Route:
    """Answer each request in the next way; the last one stays."""
    left = list(routes)
    return lambda exchange: (left.pop(0) if len(left) > 1 else left[0])(exchange)


def redirects(to: str, status: int = 302) -> Route:
    return answers(status=status, Location=to)


def unless_known(route: Route, *, etag: str | None = None, last_modified: str | None = None) -> Route:
    """Answer 304 to who names the ETag or the date; `route` should give them."""

    def conditional(exchange: Exchange) -> None:
        headers = exchange.asked.headers
        known = (etag and headers.get("if-none-match") == etag) or (
            last_modified and headers.get("if-modified-since") == last_modified
        )
        (sends(head(304, {"ETag": etag} if etag else {})) if known else route)(exchange)

    return conditional


def after(seconds: float, route: Route) -> Route:
    """Answer as `route` does, but late."""

    def late(exchange: Exchange) -> None:
        if not exchange.client_gone(seconds):
            route(exchange)

    return late


def hangs(exchange: Exchange) -> None:
    """Say nothing until the client hangs up."""
    exchange.client_gone(30)


def drips(start: bytes, drop: bytes = b"x", every_s: float = 0.03) -> Route:
    """Send `start`, and then one drop after the other until the client hangs up."""

    def route(exchange: Exchange) -> None:
        exchange.send(start)
        while not exchange.client_gone(every_s):
            exchange.send(drop)

    return route


def bomb(megabytes: int) -> bytes:
    """Return a small gzip body that unpacks to so many megabytes of zeros."""
    return gzip.compress(bytes(megabytes * 1_000_000))


def get(web: Web, url: str, **more: object) -> Answer:
    """Ask once, with no limit that a test would meet unless it sets one."""
    limits = {"timeout_s": 5.0, "max_retries": 0, "per_second": 1e6, "max_bytes": 1_000_000}
    return web.get(url, **{"headers": {}, "etag": None, "last_modified": None, **limits, **more})


def refusal(kind: type[Exception], web: Web, url: str, **more: object) -> str:
    """Return the message, on one line, of the error that asking ends with."""
    with pytest.raises(kind) as caught:
        get(web, url, **more)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)
