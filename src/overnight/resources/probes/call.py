"""Asks a service over HTTP, within a time and a size, and follows it nowhere else."""

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from overnight.base.config import shown
from overnight.base.deadline import interrupted_after
from overnight.base.errors import ConfigError, TransientError, one_line

LOOK_S = 2.0
MAX_BYTES = 1_000_000
NO_HEADERS: Mapping[str, str] = {}
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


def parsed(url: str, where: str) -> SplitResult:
    """Return the parts of an address.

    Raises:
        ConfigError: it is none of HTTP, or one with a user in it.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in _CONNECTIONS and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii() or any(letter <= " " for letter in url):
        raise ConfigError(f'{where}: {shown("url", url)!r} is not an address such as "http://127.0.0.1:8000"')
    return parts


class Refused(TransientError):
    """It answered with another status than a 2xx; `content` is what it said."""

    def __init__(self, message: str, status: int, content: bytes) -> None:
        super().__init__(message)
        self.status, self.content = status, content


def call(
    method: str,
    url: str,
    body: Mapping[str, Any] | bytes | None = None,
    *,
    timeout_s: float = LOOK_S,
    headers: Mapping[str, str] = NO_HEADERS,
) -> bytes:
    """Return the body of the answer, if its status is a 2xx; otherwise as `asked`.

    Raises:
        TransientError: as `asked` does, or it says no (`Refused`), or names another address.
    """
    status, text = asked(method, url, body, timeout_s=timeout_s, headers=headers)
    if not is_success(status):
        more = ", another address, which is not followed" if 300 <= status < 400 else ""
        raise Refused(f"{shown('url', url)}: answered {status}{more}", status, text)
    return text


def is_success(status: int) -> bool:
    """Tell whether a status is a 2xx."""
    return 200 <= status < 300


def asked(
    method: str,
    url: str,
    body: Mapping[str, Any] | bytes | None = None,
    *,
    timeout_s: float = LOOK_S,
    headers: Mapping[str, str] = NO_HEADERS,
) -> tuple[int, bytes]:
    """Return the status and the body of the answer, whatever it is. A `body` in bytes is JSON that is sent as it is.

    `timeout_s` counts from the first byte sent to the last one read; the way to the server may take as long again. Of
    an answer that is no 2xx, what goes beyond 1 MB is left out.

    Raises:
        TransientError: it does not answer in time, breaks off, or says more than 1 MB with a 2xx.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    content = body if body is None or isinstance(body, bytes) else json.dumps(body)
    kind = {} if content is None else {"Content-Type": "application/json"}
    address = shown("url", url)
    over = threading.Event()
    try:
        connection = _CONNECTIONS[parts.scheme](parts.hostname or "", parts.port, timeout=timeout_s)
        with closing(connection):
            connection.connect()
            with interrupted_after(timeout_s, partial(_end, connection.sock, over)):
                connection.request(method, target, content, {"Connection": "close", **kind, **headers})
                answer = connection.getresponse()
                text: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        late = over.is_set() or isinstance(error, TimeoutError)
        why = f"did not answer within {timeout_s:g} s" if late else _why(error)
        raise TransientError(f"{address}: {why}") from error
    if over.is_set():
        raise TransientError(f"{address}: did not answer within {timeout_s:g} s")
    if answer.length and len(text) <= MAX_BYTES:
        raise TransientError(f"{address}: broke off within its answer")
    if len(text) > MAX_BYTES and is_success(answer.status):
        raise TransientError(f"{address}: answered more than {MAX_BYTES // 10**6} MB")
    return answer.status, text[:MAX_BYTES]


def call_json(method: str, url: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = LOOK_S) -> Any:
    """Return the JSON of the answer.

    Raises:
        TransientError: as `call` does, or it is not JSON.
    """
    text = call(method, url, body, timeout_s=timeout_s)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TransientError(f"{shown('url', url)}: did not answer JSON") from error


def _end(sock: socket.socket, over: threading.Event) -> None:
    """End what the socket waits for, however slowly it drips."""
    over.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody answers there"
    return f"cannot be asked: {one_line(error) or type(error).__name__}"
