"""Messages and files over one pair of pipes: how this machine and the host of a remote training talk.

A message is a JSON object on a line of its own. A file is the message `{"file": name, "bytes": n}`, n bytes, and the
message `{"sha256": digest}`. What arrives is written beside, compared with the digest, forced to disk and renamed, so a
connection that breaks leaves no half of a file.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from overnight.base.errors import TransientError

Message = dict[str, Any]  # Any: JSON

LINE_BYTES = 4_000_000
"""No message is longer: what is no message must not fill the memory."""
_PIECE = 1 << 20


class Broken(TransientError):
    """The connection ended, or what came over it is not what was sent."""


class Sender:
    """The end that writes. Safe to use from any thread: a message or file goes out as a whole."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def tell(self, message: Message) -> None:
        """Send a message.

        Raises:
            Broken: nobody is there any more.
        """
        with self._lock:
            self._write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def ship(self, name: str, path: Path) -> None:
        """Send the file under this name, as it was when it was opened.

        Raises:
            Broken: nobody is there any more, or the file was cut short; the connection cannot be used any longer.
            FileNotFoundError: there is no such file; nothing was sent.
        """
        with path.open("rb") as file, self._lock:
            left, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
            self._write(json.dumps({"file": name, "bytes": left}).encode() + b"\n")
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise Broken(f"{path} was cut short while it was sent")
                digest.update(piece)
                left -= len(piece)
                self._write(piece)
            self._write(json.dumps({"sha256": digest.hexdigest()}).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        try:
            self._pipe.write(data)
            self._pipe.flush()
        except OSError as error:
            raise Broken("the connection ended") from error


class Receiver:
    """The end that reads; used by one thread. `place` says where a file of that name goes.

    `place` raises for a name that nobody may send.
    """

    def __init__(self, pipe: BinaryIO, place: Callable[[str], Path]) -> None:
        self._pipe = pipe
        self._place = place

    def next(self) -> Message | None:
        """Return the next message; of a file, `{"file": name}` once it is in its place. None at the end.

        Raises:
            Broken: the connection ended within something, or what came is no message.
        """
        message = self._message()
        if message is None or "file" not in message:
            return message
        self._save(message)
        return {"file": message["file"]}

    def _message(self) -> Message | None:
        line = self._pipe.readline(LINE_BYTES)
        if not line:
            return None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Broken(f"what came is no message: {line[:200]!r}") from error
        if not isinstance(message, dict):
            raise Broken(f"what came is no message: {line[:200]!r}")
        return message

    def _save(self, about: Message) -> None:
        path = self._place(str(about["file"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        digest, left = hashlib.sha256(), int(about["bytes"])
        with part.open("wb") as file:
            while left:
                piece = self._pipe.read(min(left, _PIECE))
                if not piece:
                    raise Broken(f"the connection ended within {about['file']!r}")
                digest.update(piece)
                left -= len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if (self._message() or {}).get("sha256") != digest.hexdigest():
            part.unlink()
            raise Broken(f"{about['file']!r} did not arrive as it was sent")
        part.replace(path)


def inside(folder: Path, name: str) -> Path:
    """Return the path of that name below the folder.

    Raises:
        Broken: the name leads out of it.
    """
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise Broken(f"{name!r} is no name of a file below the job's folder")
    return folder.joinpath(*parts)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
