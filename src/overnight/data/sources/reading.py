"""What every source yields: rows as they were found, each with its place, and the places where no row could be read.

A source is read row by row. What is wrong with one row (a malformed line, bytes that are not text) is said beside its
place and costs that row only; what is wrong with the source as a whole is raised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Row = dict[str, Any]  # Any: a cell holds whatever JSON holds, NaN and infinity included


class Found(NamedTuple):
    """What stood at one place of a source: a row, or why there is none."""

    where: str
    """The place for a person: "line 17", "page 2, item 3", "notes/a.txt"."""
    row: Row | None
    reason: str | None = None
    """Why there is no row; None where there is one."""


@dataclass(frozen=True, kw_only=True)
class Validators:
    """What a server (or a file system) gave with a page, to be asked later whether it has changed."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """A page that was read before: its validators, and the address of the page that followed it."""

    validators: Validators
    next: str | None = None
    rows: int = 0
    """The places that it holds, with a row or without: they count towards `max_rows` where it has not changed."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One answer of a source. `found` None means: not modified since the page that is known by this key.

    A page behind which something was left unread says so in its last line, and has no validators: it is read anew.
    """

    key: str
    """SHA-256 of the address in hexadecimal digits: an address may hold a secret."""
    validators: Validators
    found: list[Found] | None
    next: str | None = None


Pages = Iterator[Page]
