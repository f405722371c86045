"""What is given as KEY=VALUE on the command line."""

import json
from collections.abc import Sequence
from typing import Any

from overnight.base.errors import UserMistake


def settings_of(texts: Sequence[str] | None, example: str) -> dict[str, Any]:  # Any: JSON
    """Return what `--set` gave; a value that is not JSON is text, and the last of two of the same key holds.

    Raises:
        UserMistake: one is not KEY=VALUE; the message names `example`.
    """
    return dict(_pair(text, example) for text in texts or ())


def _pair(text: str, example: str) -> tuple[str, Any]:  # Any: JSON
    key, sep, value = text.partition("=")
    if not sep or not key:
        raise UserMistake(f"--set: {text!r} is not KEY=VALUE, such as {example}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
