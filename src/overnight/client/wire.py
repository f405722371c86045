"""One HTTP request at a time, by the standard library: no connection outlives its answer."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from overnight.base.errors import UserMistake, one_line

MOST_BYTES = 256_000_000
"""Of an answer."""


class Lost(Exception):
    """There was no answer. `sent`: the request may have arrived."""

    def __init__(self, why: object, *, sent: bool) -> None:
        super().__init__(one_line(why) or type(why).__name__)
        self.sent = sent


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was answered; `body` is empty where it is no JSON object."""

    code: int
    body: dict[str, Any]  # Any: JSON
    retry_after_s: float = 0.0


class Wire:
    """Where requests go."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UserMistake(f"url: {url!r} is no address such as http://127.0.0.1:8090")
        try:
            self._port = parts.port
        except ValueError as error:
            raise UserMistake(f"url: {url!r}: {error}") from error
        self._class = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._path, self._timeout_s = parts.hostname, parts.path, timeout_s

    def ask(
        self,
        method: str,
        target: str,
        content: bytes | None,
        timeout_s: float | None = None,
        *,
        known: str | None = None,
    ) -> Answer:
        """Return the answer; 304 where what is asked for is still what has the ETag `known`.

        Raises:
            Lost: there was none.
        """
        headers = {} if content is None else {"Content-Type": "application/json"}
        if known is not None:
            headers["If-None-Match"] = known
        with self._asked(method, target, content, headers, timeout_s or self._timeout_s) as response:
            wait = response.getheader("Retry-After", "")
            return Answer(
                code=response.status,
                body=_object(response.read(MOST_BYTES)),
                retry_after_s=float(wait) if wait.isdigit() else 0.0,
            )

    @contextmanager
    def streamed(self, target: str, last_id: str, quiet_s: float) -> Iterator[http.client.HTTPResponse]:
        """Give the answer of a stream, to be read as it comes; a silence of `quiet_s` is a lost connection.

        Raises:
            Lost: there is no answer, or it has ended in the middle.
        """
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        with self._asked("GET", target, None, headers, quiet_s) as response:
            yield response

    @contextmanager
    def _asked(
        self, method: str, target: str, content: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        sent = False
        with closing(self._class(self._host, self._port, timeout=timeout_s)) as connection:
            try:
                connection.connect()
                sent = True
                # Who is refused for the size of what he sends may read why, though he could not send all.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, self._path + target, body=content, headers=headers)
                with connection.getresponse() as response:
                    yield response
            except (OSError, http.client.HTTPException) as error:
                raise Lost(error, sent=sent) from error


def _object(content: bytes) -> dict[str, Any]:  # Any: JSON
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
