"""Finds a number in a JSON document by a path such as "queue.running" or "slots[0].busy". Pure.

Names are joined by dots and places in lists stand in brackets; a name with a dot or bracket in it cannot be reached.
"""

import re
from typing import Any

_PART = re.compile(r"(?:^|(?<=.)\.)([^.\[\]]+)|\[(\d+)\]")


def parts(path: str) -> list[str | int]:
    """Return the names and places of a path.

    Raises:
        ValueError: it is no path.
    """
    found: list[str | int] = []
    end = 0
    for match in _PART.finditer(path):
        if match.start() != end:
            break
        found.append(match[1] if match[2] is None else int(match[2]))
        end = match.end()
    if not found or end != len(path):
        raise ValueError(f"{path!r} is not a path such as queue.running or slots[0].busy")
    return found


def number_at(document: Any, path: str) -> float:  # Any: whatever JSON holds
    """Return the number that stands there.

    Raises:
        ValueError: it is no path, nothing stands there, or something else than a number.
    """
    found = value_at(document, path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"the answer has no number at {path}")
    return float(found)


def value_at(document: Any, path: str) -> Any:  # Any: whatever JSON holds
    """Return what stands there; None where nothing does.

    Raises:
        ValueError: it is no path.
    """
    found = document
    for part in parts(path):
        try:
            found = found[part] if isinstance(found, dict) == isinstance(part, str) else None
        except (LookupError, TypeError):
            found = None
    return found
