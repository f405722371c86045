"""The lines of a file that nobody vouches for: numbered, bounded, one at a time.

A line ends with LF or CR LF. A CR alone ends none: files of that kind are refused by who reads them, or seen as one
line. What cannot be a line of text costs that line only; what is wrong with the file as a whole is raised.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from overnight.base.errors import ConfigError

LIMIT = 16 * 2**20
"""Bytes of the longest line that is read."""
CHUNK = 1 << 16
"""Bytes that are read at once."""


class Malformed(ValueError):
    """What stands here is no row; the message says why."""


class Line(NamedTuple):
    """One line without its end, or why it is not given."""

    number: int
    """From 1."""
    content: bytes | None
    reason: str | None = None


@contextmanager
def opened(file: Path, max_mb: float) -> Iterator[BinaryIO]:
    """Open a file to be read; one whose name ends in ".gz" is unpacked on the way.

    Raises:
        ConfigError: it cannot be read, is damaged, or has, unpacked, more than `max_mb` megabytes (10^6 bytes).
    """
    try:
        with ExitStack() as stack:
            content: BinaryIO = stack.enter_context(file.open("rb"))
            if packed_name(file):
                content = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=content)))
            yield stack.enter_context(io.BufferedReader(_Bounded(content, max_mb), CHUNK))
    except EOFError:
        raise ConfigError("the gzip file is cut off: its end is missing") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"the gzip file is damaged: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}") from error


def packed_name(file: Path) -> bool:
    """Return whether the file's name says that it is packed with gzip."""
    return file.suffix.lower() == ".gz"


def lines(stream: BinaryIO, limit: int = LIMIT) -> Iterator[Line]:
    """Yield the stream's lines; one of more than `limit` bytes is passed over, and never held in memory.

    A byte order mark at the start of the stream is left out.
    """
    number = 0
    while content := stream.readline(limit + 2):
        number += 1
        ended = content.endswith(b"\n")
        if number == 1:
            content = content.removeprefix(codecs.BOM_UTF8)
        content = content.removesuffix(b"\n").removesuffix(b"\r")
        if len(content) <= limit:
            yield Line(number, content)
            continue
        del content
        while not ended and (rest := stream.readline(CHUNK)):
            ended = rest.endswith(b"\n")
        yield Line(number, None, f"longer than {limit:,} bytes")


def text_of(content: bytes) -> str:
    """Return the bytes as text.

    Raises:
        Malformed: they are not UTF-8, or hold a NUL, which no text has and not every database can store.
    """
    if b"\0" in content:
        raise Malformed(f"holds a NUL at byte {content.index(0) + 1}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: 0x{content[error.start]:02x} at byte {error.start + 1}") from None


class _Bounded(io.RawIOBase):
    """What a file holds, and no more than `max_mb` of it."""

    def __init__(self, content: BinaryIO, max_mb: float) -> None:
        self._content = content
        self._max_mb = max_mb
        self._left = int(max_mb * 1_000_000)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a buffer of bytes is what it is given
        content = self._content.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise ConfigError(f"has more than {self._max_mb:g} MB, unpacked, which is the most that max_mb allows")
        buffer[: len(content)] = content
        return len(content)
