"""How the samples of a campaign look in a terminal, and leafing through them key by key."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from overnight.campaigns.figures import Sample
from overnight.cli.printing import clean, to_stdout

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

MOST_ROWS = 20
"""Of a page."""
_WIDEST = 20
"""Characters of a cell's name and of a reason, so that the answer has room."""
_AROUND = 6
"""Lines of a page that are no samples."""
_HELP = "n p: page   j k: move   1-9, Enter: open   d: domain   r: reason   q: quit"
_HELP_OPEN = "n p: down, up   j k: next, previous sample   q: back"
_NAMED = {"\x1b[A": "k", "\x1b[B": "j", "\x1b[6~": "n", "\x1b[5~": "p"}
"""Keys that send more than one character: up, down, page down, page up."""

ReadKey = Callable[[], str]


class Read(Protocol):
    """Reads samples, each time with a view of its own: see `campaigns.reading.samples_page`."""

    def __call__(self, *, domain: str | None, reason: str | None, after: str | None, limit: int) -> Sequence[Sample]:
        """Return the samples behind the one with the id `after`."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What can be leafed through: how it is read, and which domains and reasons there are to choose from."""

    read: Read
    domains: Sequence[str]
    reasons: Sequence[str]


def table_of(samples: Sequence[Sample], *, chosen: int | None = None) -> "Table":
    """Return a row for each sample: where it comes from, what it is worth, what became of it, its answer."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, expand=True, header_style="bold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("DOMAIN", no_wrap=True)
    table.add_column("CELL", no_wrap=True, max_width=_WIDEST)
    table.add_column("QUALITY", justify="right", no_wrap=True)
    table.add_column("BECAME", no_wrap=True, max_width=_WIDEST)
    table.add_column("ANSWER", no_wrap=True, ratio=1)
    for place, sample in enumerate(samples):
        became, answer = sample.reason or "accepted", sample.messages[-1].content if sample.messages else ""
        cells = (str(place + 1), sample.domain, sample.cell, _quality(sample), became, answer)
        table.add_row(*(_line(cell) for cell in cells), style="reverse" if place == chosen else "")
    return table


def view_of(sample: Sample) -> "Group":
    """Return all that is kept of a sample, its messages as they are."""
    from rich.console import Group
    from rich.text import Text

    detail = f" ({sample.detail})" if sample.detail else ""
    terms = ", ".join(f"{name} {value:.3g}" for name, value in sample.terms.items())
    told = {
        "sample": f"{sample.sample_id}{', of the pilot' if sample.pilot else ''}",
        "from": f"{sample.generator}, domain {sample.domain}, cell {sample.cell}, number {sample.number}",
        "source": ", ".join(f"{name} {value}" for name, value in sample.source.items()),
        "skeleton": sample.skeleton,
        "quality": f"{_quality(sample)} ({terms})",
        "became": "accepted" if sample.reason is None else f"refused: {sample.reason}{detail}",
    }
    parts = [Text(f"{name:<9} {clean(text, one_line=True)}") for name, text in told.items()]
    for message in sample.messages:
        parts += [Text(), Text(clean(message.role, one_line=True), style="bold cyan")]
        parts.append(Text(clean(message.content.expandtabs(4))))
    return Group(*parts)


def browse(
    pages: Pages,
    console: "Console",
    read_key: ReadKey | None,
    *,
    domain: str | None = None,
    reason: str | None = None,
) -> None:
    """Leaf through the samples until `q`; without keys, where there is no terminal, print the first page."""
    browser = _Browser(pages, console, domain, reason)
    with to_stdout():
        if read_key is None:
            console.print(table_of(browser.samples) if browser.samples else _line("no samples"))
            return
        while True:
            browser.show()
            if not browser.obey(read_key()):
                return


@contextlib.contextmanager
def keys() -> Iterator[ReadKey | None]:
    """Give what waits for a key and returns it at once; None where there is no terminal to press one in."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield None
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    pressed = _pressed(terminal)
    try:
        tty.setcbreak(terminal)
        yield lambda: next(pressed, "q")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _pressed(terminal: int) -> Iterator[str]:
    while sent := os.read(terminal, 32).decode(errors="replace"):
        if sent.startswith("\x1b"):
            yield _NAMED.get(sent, "")
        else:
            yield from sent


@dataclass
class _Browser:
    """Where a person is: the page by the ids that its predecessors end with, the row, and the line of an open one."""

    pages: Pages
    console: "Console"
    domain: str | None
    reason: str | None
    ends: list[str] = field(default_factory=list)
    row: int = 0
    line: int | None = None
    samples: Sequence[Sample] = ()

    def __post_init__(self) -> None:
        self._begin()

    def show(self) -> None:
        from rich.text import Text

        self.console.clear()
        if self.line is not None:
            self.console.print(Text.from_ansi("\n".join(self._lines()[self.line :][: self._height])))
            self.console.print(_line(_HELP_OPEN), style="dim")
            return
        chosen = f"domain: {self.domain or 'all'}, reason: {self.reason or 'all'}, page {len(self.ends) + 1}"
        self.console.print(_line(chosen), style="bold")
        self.console.print(table_of(self.samples, chosen=self.row) if self.samples else _line("no samples"))
        self.console.print(_line(_HELP), style="dim")

    def obey(self, key: str) -> bool:
        """Do what a key says, and return whether there is more to come."""
        if self.line is not None:
            return self._read_on(key, self.line)
        match key:
            case "q":
                return False
            case "n" if self.samples:
                self._turn([*self.ends, self.samples[-1].sample_id])
            case "p" if self.ends:
                self._turn(self.ends[:-1])
            case "j" | "k":
                self._move(key)
            case "d":
                self.domain = _next(self.domain, self.pages.domains)
                self._begin()
            case "r":
                self.reason = _next(self.reason, self.pages.reasons)
                self._begin()
            case "\n" | "\r" if self.samples:
                self.line = 0
            case _ if key in "123456789" and key and int(key) <= len(self.samples):
                self.row, self.line = int(key) - 1, 0
        return True

    def _read_on(self, key: str, line: int) -> bool:
        match key:
            case "q":
                self.line = None
            case "n" if line + self._height < len(self._lines()):
                self.line = line + self._height
            case "p":
                self.line = max(0, line - self._height)
            case "j" | "k":
                self._move(key)
                self.line = 0
        return True

    @property
    def _height(self) -> int:
        return max(1, self.console.height - 2)

    def _lines(self) -> list[str]:
        with self.console.capture() as captured:
            self.console.print(view_of(self.samples[self.row]))
        return captured.get().splitlines()

    def _move(self, key: str) -> None:
        self.row = max(0, min(len(self.samples) - 1, self.row + (1 if key == "j" else -1)))

    def _begin(self) -> None:
        self.samples, self.ends, self.row = self._read(None), [], 0

    def _turn(self, ends: list[str]) -> None:
        """Go to another page, if there is anything on it."""
        if found := self._read(ends[-1] if ends else None):
            self.samples, self.ends, self.row = found, ends, 0

    def _read(self, after: str | None) -> Sequence[Sample]:
        limit = max(1, min(MOST_ROWS, self.console.height - _AROUND))
        return self.pages.read(domain=self.domain, reason=self.reason, after=after, limit=limit)


def _next(now: str | None, there_are: Sequence[str]) -> str | None:
    """Return what comes after it, where None stands for all and comes first."""
    order = [None, *there_are]
    return order[(order.index(now) + 1) % len(order)] if now in order else None


def _line(text: str) -> "Text":
    from rich.text import Text

    return Text(clean(text, one_line=True), no_wrap=True, overflow="ellipsis")


def _quality(sample: Sample) -> str:
    return "not measured" if sample.quality is None else f"{sample.quality:.3f}"
