"""Hides secrets in what is said: as they are, as addresses encode them, and as Python writes them. Pure."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

HIDDEN = "********"
SHORTEST = 4
"""Characters of the shortest value that is hidden: who reads "**" for each "DE" of a message is told nothing."""
SHORTEST_PART = 8
"""Characters of the shortest part of an address that is hidden by itself: other pages have some of the parts."""

_ORIGIN = re.compile(r"\w[\w+.-]*://[^/?#]*")
_BETWEEN = re.compile(r"[/?&=#]")


class Hiding:
    """Hides these values, and the longer parts of those that are addresses."""

    def __init__(self, values: Iterable[str], *, shortest: int = SHORTEST) -> None:
        """Take the secrets apart; a value of fewer characters than `shortest` is not hidden."""
        self._secrets = {part for value in values for part in _parts(value, shortest)}

    def text(self, text: str) -> str:
        """Return the text with each value, as it is or encoded, replaced by asterisks."""
        return self._pattern.sub(HIDDEN, text) if self._secrets else text

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first: one may be a part of another.
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        return re.compile("|".join("".join(map(_sign, secret)) for secret in longest_first), re.IGNORECASE)


def _parts(value: str, shortest: int) -> Iterator[str]:
    value = " ".join(value.split())
    if len(value) >= shortest:
        yield value
    for part in _BETWEEN.split(_ORIGIN.sub("", value, count=1)):
        if len(part) >= SHORTEST_PART:
            yield part


def _sign(sign: str) -> str:
    """Return the pattern of one character in each way that addresses and messages write it."""
    if sign == " ":
        return r"(?:\s|\+|%20|%0[9ad])+"
    encoded = "".join(f"%{byte:02x}" for byte in sign.encode(errors="surrogateescape"))
    ways = {re.escape(sign), encoded, re.escape(repr(sign)[1:-1]), re.escape(f"\\{sign}") if sign in "'\"" else encoded}
    return f"(?:{'|'.join(sorted(ways, key=len, reverse=True))})"
