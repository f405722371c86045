"""Templates of command lines: words in which `{name}` stands for a value. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the words with what they name in braces put in; each stays one word, whatever it holds."""
    return [_PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), word) for word in words]


def names_in(words: Sequence[str]) -> Iterator[str]:
    """Yield what the words name in braces."""
    for word in words:
        yield from _PLACEHOLDER.findall(word)
