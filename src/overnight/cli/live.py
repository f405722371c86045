"""Pages of lines that are shown again and again, in one place of the terminal."""

import sys
import threading
from collections.abc import Callable, Iterable

from overnight.cli.printing import clean, console, note, say

Line = tuple[str, str | None]
"""A line and its style."""
EVERY_S = 1.0


def show(lines: Iterable[Line]) -> None:
    """Print them once."""
    for text, style in lines:
        say(text, style=style)


def watch(lines: Callable[[], Iterable[Line]]) -> None:
    """Show them once a second until Ctrl-C; once, where there is no terminal."""
    if not sys.stdout.isatty():
        note("--watch needs a terminal; showing it once")
        show(lines())
        return
    watch_until(lines, lambda: False)


def watch_until(lines: Callable[[], Iterable[Line]], over: Callable[[], bool]) -> None:
    """Show them in a terminal, once a second, until it is over or Ctrl-C."""
    from rich.live import Live
    from rich.text import Text

    def page() -> Text:
        text = Text()
        for line, style in lines():
            text.append(clean(line, one_line=True) + "\n", style=style or "")
        return text

    pause = threading.Event()
    with Live(page(), console=console(), auto_refresh=False) as live:
        while not over() and not pause.wait(EVERY_S):
            live.update(page(), refresh=True)
        live.update(page(), refresh=True)
