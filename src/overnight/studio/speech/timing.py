"""When the words of a clip are heard: from what an engine tells, or estimated. Pure."""

from collections.abc import Sequence

from overnight.studio.speech.ports import Word

_AFTER = {",": 2.0, ";": 3.0, ":": 3.0, ".": 5.0, "!": 5.0, "?": 5.0, "\u2026": 5.0, "\u2014": 3.0}
"""How many letters the silence after a mark is as long as, about."""


def estimated(text: str, begin_s: float, end_s: float) -> tuple[Word, ...]:
    """Return the words of a text as if every letter took as long, and marks the silence that follows them."""
    texts = text.split()
    last = len(texts) - 1
    spoken = [1.0 + sum(letter.isalnum() for letter in one) for one in texts]
    silent = [0.0 if place == last else _AFTER.get(one[-1], 0.0) for place, one in enumerate(texts)]
    each = (end_s - begin_s) / max(sum(spoken) + sum(silent), 1.0)
    words: list[Word] = []
    at = begin_s
    for one, letters, rest in zip(texts, spoken, silent, strict=True):
        words.append(Word(text=one, begin_s=at, end_s=min(at + letters * each, end_s)))
        at += (letters + rest) * each
    return tuple(words)


def at_places(text: str, spans: Sequence[tuple[int, float, float]], duration_s: float) -> tuple[Word, ...]:
    """Return the words of a text whose parts are heard at known times.

    `spans` are (place in the text, begin, end): of characters, of syllables, or of words, in the order in which they
    are heard. A word begins with its first part and ends with its last. Words that are heard as one ("such as") share
    its time by their letters. What is written and not heard, such as a dash, goes along with the word before it.
    """
    groups = _groups(text)
    times: list[tuple[float, float] | None] = [None] * len(groups)
    at = 0
    for place, begin_s, end_s in spans:
        while at + 1 < len(groups) and groups[at + 1][0] <= place:
            at += 1
        before = times[at]
        times[at] = (begin_s, end_s) if before is None else (before[0], max(before[1], end_s))
    words: list[Word] = []
    for texts, (begin_s, end_s) in _units([one for _, one in groups], times):
        from_s = max(min(begin_s, duration_s), words[-1].end_s if words else 0.0)
        words += _shared(texts, from_s, max(min(end_s, duration_s), from_s))
    return tuple(words)


def _groups(text: str) -> list[tuple[int, str]]:
    """Return where the written words begin, and what they are; those without a letter or digit go with the one before.

    Where there is none before, they go with the one after.
    """
    found: list[tuple[int, str]] = []
    at = 0
    for one in text.split():
        at = text.index(one, at)
        if found and not (_sounds(one) and _sounds(found[-1][1])):
            found[-1] = (found[-1][0], f"{found[-1][1]} {one}")
        else:
            found.append((at, one))
        at += len(one)
    return found


def _sounds(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _units(texts: list[str], times: list[tuple[float, float] | None]) -> list[tuple[list[str], tuple[float, float]]]:
    """Return the words that are heard at once, and when."""
    units: list[tuple[list[str], tuple[float, float]]] = []
    early: list[str] = []
    for text, when in zip(texts, times, strict=True):
        if when is not None:
            units.append(([*early, text], when))
            early = []
        elif units:
            units[-1][0].append(text)
        else:
            early.append(text)
    return units


def _shared(texts: list[str], begin_s: float, end_s: float) -> list[Word]:
    letters = [max(sum(letter.isalnum() for letter in text), 1) for text in texts]
    each, at, words = (end_s - begin_s) / sum(letters), begin_s, list[Word]()
    for text, count in zip(texts, letters, strict=True):
        words.append(Word(text=text, begin_s=at, end_s=min(at + count * each, end_s)))
        at = words[-1].end_s
    return words
