"""Small HTTP for uploads: one request, its answer with status and headers, and bodies that are read from a file.

`overnight.resources.probes.call` takes no status but a 2xx and gives no headers; an upload that can be resumed needs a
308, the header Location of its session and a body that does not fit into memory.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from overnight.base.errors import TransientError, one_line

MAX_ANSWER = 1_000_000
_PIECE = 65_536
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


class Broken(TransientError):
    """The request or its answer did not get through: whether it took effect is not known."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer: headers by names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Part:
    """The bytes of a file from `begin` on, `size` of them."""

    path: Path
    begin: int
    size: int


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes | Part = b"", *, timeout_s: float) -> Reply:
    """Send one request and return its answer, whatever the status.

    Raises:
        Broken: there is no answer, or not all of it; the message names the host alone, as addresses may hold secrets.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    size = body.size if isinstance(body, Part) else len(body)
    try:
        connection = _CONNECTIONS[parts.scheme](parts.hostname or "", parts.port, timeout=timeout_s)
        with closing(connection):
            connection.putrequest(method, target)
            for name, value in {"Connection": "close", **headers, "Content-Length": str(size)}.items():
                connection.putheader(name, value)
            connection.endheaders()
            _send(connection, body)
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER)
            if answer.length and len(content) < MAX_ANSWER:
                raise Broken(f"{parts.hostname}: broke off within its answer")
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=found, body=content)
    except (OSError, HTTPException) as error:
        raise Broken(f"{parts.hostname}: {type(error).__name__}: {one_line(error)}".rstrip(": ")) from None


def _send(connection: HTTPConnection, body: bytes | Part) -> None:
    if isinstance(body, bytes):
        if body:
            connection.send(body)
        return
    with body.path.open("rb") as file:
        file.seek(body.begin)
        left = body.size
        while left and (piece := file.read(min(_PIECE, left))):
            connection.send(piece)
            left -= len(piece)
