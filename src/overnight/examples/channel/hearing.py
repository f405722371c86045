"""When something is said, from the words of a narration. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_WORD = re.compile(r"\w+")
_FIRST, _MOST = 3, 8
"""So many first words tell most texts from others, and so many those that begin alike."""


class Heard:
    """Tells when something is said; each word is an object with `text` and `begin_s`."""

    def __init__(self, words: Sequence[Mapping[str, Any]]) -> None:
        found = [(token, float(one["begin_s"])) for one in words for token in _WORD.findall(one["text"].lower())]
        self._tokens, self._at_s = [token for token, _ in found], [at_s for _, at_s in found]

    def at(self, text: str, from_s: float, to_s: float) -> float | None:
        """Return when a text is begun between two instants; None where it is not.

        It is looked for by as many of its first words as are said in a row, so that texts that begin alike are told
        apart even where a word is put into one of them.
        """
        wanted = _WORD.findall(text.lower())[:_MOST]
        if not wanted or not self._tokens:
            return None
        places = [place for place, at_s in enumerate(self._at_s) if from_s <= at_s < to_s]
        for count in range(len(wanted), min(_FIRST, len(wanted)) - 1, -1):
            for place in places:
                if self._tokens[place : place + count] == wanted[:count]:
                    return self._at_s[place]
        return None

    def each(self, texts: Iterable[str], from_s: float, to_s: float) -> Iterator[float | None]:
        """Yield for each text when it is begun, later than the one before it; None where it is not."""
        for text in texts:
            at_s = self.at(text, from_s, to_s)
            if at_s is not None:
                from_s = math.nextafter(at_s, math.inf)
            yield at_s
