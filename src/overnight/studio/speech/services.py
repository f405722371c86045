"""Asks a service that speaks, over HTTP: within a time and a size, and without ever telling its key to anybody else."""

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from overnight.base.config import shown
from overnight.base.deadline import interrupted_after
from overnight.base.errors import ConfigError, OvernightError, one_line
from overnight.base.hiding import Hiding
from overnight.studio.errors import SpeechAway, SpeechFailed

TIMEOUT_S = 120.0
_MOST_BYTES = 64_000_000
_SHOWN = 300
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


def key_of(variables: Mapping[str, str], name: str) -> str:
    """Return the key that a variable of the environment holds.

    Raises:
        ConfigError: there is none, or it is no key; the message does not tell what it is.
    """
    key = variables.get(name, "").strip()
    if not key:
        raise ConfigError(f"{name} is not set: it holds the key of the service that is to speak")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{name} holds characters that are in no key")
    return key


class Service:
    """The address of a service and its key, which no message, error or `repr` tells."""

    def __init__(self, name: str, base_url: str, *, header: str, value: str, key_from: str, timeout_s: float) -> None:
        """`header` is the one that carries the key, in `value` ("Bearer {key}"), with `key_from` naming its variable.

        Raises:
            ConfigError: the address is none of HTTP.
        """
        self.name, self._key_from, self._timeout_s = name, key_from, timeout_s
        self._headers = {header: value}
        self._hiding = Hiding([value, value.rpartition(" ")[2]], shortest=1)
        parts = urlsplit(base_url)
        if parts.scheme not in _CONNECTIONS or not parts.hostname or parts.username is not None:
            raise ConfigError(
                f'{name}: {shown("url", base_url)!r} is not an address such as "http://127.0.0.1:8880/v1"'
            )
        self._base_url = base_url.rstrip("/")

    def post(self, path: str, body: Mapping[str, Any]) -> bytes:  # Any: JSON
        """Return what the service answers to a JSON body.

        Raises:
            SpeechAway: it does not answer in time, or is overloaded.
            SpeechFailed: it refuses; the message says why, in its own words.
            ConfigError: it does not take the key.
        """
        url = f"{self._base_url}{path}"
        try:
            status, content = self._sent(url, json.dumps(body).encode())
        except OvernightError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            why = "nobody answers there" if isinstance(error, ConnectionRefusedError) else one_line(error)
            raise SpeechAway(
                self._line(f"{shown('url', url)} cannot be asked: {why or type(error).__name__}")
            ) from None
        if 200 <= status < 300:
            return content
        why = self._line(f"{shown('url', url)} answered {status}: {_said(content)}")[:_SHOWN]
        if status in (401, 403):
            raise ConfigError(f"{why}; {self._key_from} holds the key")
        raise (SpeechAway if status in _BUSY else SpeechFailed)(why)

    def garbled(self, why: str) -> SpeechAway:
        """Return the error of an answer that is none."""
        return SpeechAway(self._line(f"{shown('url', self._base_url)} did not answer with speech: {why}"))

    def _sent(self, url: str, content: bytes) -> tuple[int, bytes]:
        parts, over = urlsplit(url), threading.Event()
        target = f"{parts.path}{f'?{parts.query}' if parts.query else ''}"
        connection = _CONNECTIONS[parts.scheme](parts.hostname or "", parts.port, timeout=self._timeout_s)
        headers = {"Content-Type": "application/json", "Connection": "close", **self._headers}
        text = b""
        try:
            with closing(connection):
                connection.connect()
                with interrupted_after(self._timeout_s, partial(_end, connection.sock, over)):
                    connection.request("POST", target, content, headers)
                    answer = connection.getresponse()
                    text = answer.read(_MOST_BYTES + 1)
        except TimeoutError:
            over.set()
        except (OSError, HTTPException):
            if not over.is_set():
                raise
        if over.is_set():
            raise SpeechAway(self._line(f"{shown('url', url)} did not answer within {self._timeout_s:g} s"))
        if len(text) > _MOST_BYTES:
            raise SpeechAway(self._line(f"{shown('url', url)} answered more than {_MOST_BYTES // 10**6} MB"))
        if answer.length:
            raise SpeechAway(self._line(f"{shown('url', url)} broke off within its answer"))
        return answer.status, text

    def _line(self, text: str) -> str:
        return self._hiding.text(f"{self.name}: {one_line(text)}")


def _said(content: bytes) -> str:
    """Return the message of an error, as services write it, or the beginning of what else they say."""
    text = content.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    for name in ("error", "detail", "message"):
        found = found.get(name, found) if isinstance(found, dict) else found
    return found if isinstance(found, str) else json.dumps(found)


def _end(sock: socket.socket, over: threading.Event) -> None:
    over.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
