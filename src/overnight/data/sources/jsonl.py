"""Rows of a file with one JSON object on each line; NaN and Infinity are read as they are, for validation to judge."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError
from overnight.data.sources.cells import checked
from overnight.data.sources.lines import Malformed, lines, opened, text_of
from overnight.data.sources.reading import Found, Row


def rows(file: Path, max_mb: float) -> Iterator[Found]:
    """Yield the rows of a file of at most `max_mb` megabytes (10^6 bytes), unpacked. Blank lines are left out.

    Raises:
        ConfigError: the file cannot be read, is longer, or starts with a list.
    """
    with opened(file, max_mb) as stream:
        first = True
        for line in lines(stream):
            if line.content is not None and not line.content.strip():
                continue
            if first and line.content is not None and line.content.lstrip().startswith(b"["):
                raise ConfigError(f"line {line.number} starts a JSON list; allowed is one JSON object on each line")
            first = False
            where = f"line {line.number}"
            if line.content is None:
                yield Found(where, None, line.reason)
                continue
            try:
                yield checked(where, _row(text_of(line.content)))
            except Malformed as error:
                yield Found(where, None, str(error))


def _row(text: str) -> Row:
    try:
        row: Any = json.loads(text)  # Any: whatever JSON holds
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise Malformed(f"too much for one value: {str(error).partition(';')[0]}") from None
    if not isinstance(row, dict):
        raise Malformed(f"a JSON {_KIND[type(row)]}, not an object")
    return row


_KIND = {list: "list", str: "text", int: "number", float: "number", bool: "true or false", type(None): "null"}
