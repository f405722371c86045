"""Parts of reports that are text: lines in a box, 78 columns wide. Pure."""

import textwrap

WIDTH = 78


def row(text: str) -> str:
    """Return a line of the box; what is too long is cut off."""
    return f"│ {fit(text, WIDTH - 4)} │"


def rule(left: str, right: str) -> str:
    """Return a line across the box, between these corners."""
    return f"{left}{'─' * (WIDTH - 2)}{right}"


def fit(text: str, width: int) -> str:
    """Return the text so wide, filled up or cut off."""
    return f"{text if len(text) <= width else text[: width - 1] + '…':<{width}}"


def indented(text: str) -> list[str]:
    """Return a remark below the box as lines."""
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def shown(text: str) -> str:
    """Return text from elsewhere on one line, with what would steer a terminal, or turn what is written, as escapes."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else repr(c)[1:-1] for c in text)


def shown_lines(text: str) -> list[str]:
    """Return the lines of text from elsewhere, each as `shown` does."""
    return [shown(line) for line in text.split("\n")]


def span(seconds: float) -> str:
    """Return how long that is, in its two greatest units: "47 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, name, below, lower in ((3600, "min", 60, "s"), (86400, "h", 3600, "min")):
        if whole < size:
            return f"{whole // below} {name} {whole % below // (below // 60)} {lower}"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
