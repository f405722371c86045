"""When something is said, from the words of a narration. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_WORD = re.compile(r"[a-z0-9]+")
_FIRST = 3
"""So many first words tell a text from others."""


class Heard:
    """Tells when something is said; each word is an object with `text` and `begin_s`."""

    def __init__(self, words: Sequence[Mapping[str, Any]]) -> None:
        found = [(token, float(one["begin_s"])) for one in words for token in _WORD.findall(one["text"].lower())]
        self._tokens, self._at_s = [token for token, _ in found], [at_s for _, at_s in found]

    def at(self, text: str, from_s: float, to_s: float) -> float | None:
        """Return when the first words of a text are said between two instants; None where they are not."""
        wanted = _WORD.findall(text.lower())[:_FIRST]
        for place in range(len(self._tokens) - len(wanted) + 1):
            if from_s <= self._at_s[place] < to_s and self._tokens[place : place + len(wanted)] == wanted:
                return self._at_s[place] if wanted else None
        return None
