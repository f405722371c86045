"""How results look: tables and lines for people, JSON for programs, times in the project's time zone."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from overnight.base.errors import OvernightError
from overnight.base.instants import US, to_datetime

if TYPE_CHECKING:
    from rich.console import Console


_OBEYED = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_GAP = 2
_NARROWEST = 20

STYLES = {
    "COMPLETED": "green",
    "FAILED": "bold red",
    "CANCELLED": "yellow",
    "IN_PROGRESS": "cyan",
    "RETRYING": "magenta",
    "ok": "green",
    "warn": "yellow",
    "bad": "bold red",
}


def console(*, to_stderr: bool = False) -> "Console":
    """Return a console that takes text as it is; without a terminal it has no colours and 80 columns."""
    from rich.console import Console

    return Console(file=sys.stderr if to_stderr else sys.stdout, markup=False, highlight=False, emoji=False)


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Write to stdout within the block, so that it is told apart from other files when it cannot be written.

    Raises:
        OvernightError: it cannot be written. A reader of a pipe that is gone is a BrokenPipeError as ever.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up_stdout()
        raise OvernightError(f"standard output cannot be written: {error.strerror}") from error


def give_up_stdout() -> None:
    """Let what is still to be written go nowhere; Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a line for a person; long lines are left to the terminal."""
    with to_stdout():
        console().print(clean(text), style=style, soft_wrap=True)


def note(text: str) -> None:
    """Print a remark to stderr, so that what a program reads from stdout stays clean."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:  # Any: whatever JSON can hold
    """Print JSON for a program."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # What JSON leaves as it is and a terminal would obey: C1 controls, and marks that turn the direction of text.
    text = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    with to_stdout():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, fold: bool = False) -> None:
    """Print rows below headings.

    The last column gets what room is left: it is cut off there, or with `fold` goes on below. The others are never cut,
    because they hold what one copies.
    """
    from rich.text import Text

    cells = [[clean(cell, one_line=True) for cell in row] for row in rows]
    out = console()
    widths = [max(len(row[place]) for row in [headings, *cells]) for place in range(len(headings))]
    room = max(_NARROWEST, out.width - sum(widths[:-1]) - _GAP * (len(widths) - 1))
    lines = [Text(_joined(headings, widths), style="bold")]
    for *first, last in cells:
        pieces = wrap(last, room) or [""] if fold else [last if len(last) <= room else last[: room - 1] + "…"]
        line = Text(_joined([*first, pieces[0]], widths))
        for name in (cell for cell in first if cell in STYLES):
            line.highlight_words([name], STYLES[name])
        lines.append(line)
        lines += [Text(_joined([*("" for _ in first), piece], widths)) for piece in pieces[1:]]
    with to_stdout():
        for line in lines:
            out.print(line, soft_wrap=True)


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (" " * _GAP).join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def clean(text: str, *, one_line: bool = False) -> str:
    """Return the text without anything that could steer the terminal: control characters are shown as their escapes."""
    if one_line:
        text = re.sub(r"\s*\n\s*", " ", text)
    kept = "" if one_line else "\n"
    return "".join(c if c.isprintable() or c in kept else " " if c in "\n\t" else repr(c)[1:-1] for c in text)


def compact(value: Any) -> str:  # Any: whatever JSON can hold
    """Return JSON text on one line, for a person."""
    return json.dumps(value, ensure_ascii=False)


def moment(at_us: int | None, zone: tzinfo) -> str:
    """Return "2026-11-20 12:00:01 CET"; a dash for no instant."""
    return "-" if at_us is None else f"{to_datetime(at_us).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def short_moment(at_us: int, zone: tzinfo) -> str:
    """Return "2026-11-20 12:00:01"."""
    return f"{to_datetime(at_us).astimezone(zone):%Y-%m-%d %H:%M:%S}"


def clock_time(at_us: int, zone: tzinfo, *, parts: bool = False) -> str:
    """Return "12:00:01", with milliseconds where `parts` of seconds matter."""
    at = to_datetime(at_us).astimezone(zone)
    return at.strftime("%H:%M:%S") + (f".{at.microsecond // 1000:03d}" if parts else "")


def span_us(length_us: int) -> str:
    """Return how long that is, for a person."""
    return span(length_us / US)


def span(seconds: float) -> str:
    """Return how long that is, for a person: "3 ms", "0.31 s", "47 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, name, below, lower in ((3600, "min", 60, "s"), (86400, "h", 3600, "min")):
        if whole < size:
            return f"{whole // below} {name}" + (f" {rest} {lower}" if (rest := whole % below // (below // 60)) else "")
    return f"{whole // 86400} d" + (f" {rest} h" if (rest := whole % 86400 // 3600) else "")


def amount(size: float) -> str:
    """Return bytes for a person, in units of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"
