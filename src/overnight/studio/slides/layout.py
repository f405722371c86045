"""How text is fitted into its room: the largest size at which it wraps into it, and what is lost at none. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Measure = Callable[[str, float], float]
"""Returns the width of a line of text at a size, in the units of the size."""

_STEPS = 16
_CUT = "…"


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where texts may stand, one below the other, in units of a frame that is 1080 high.

    `largest` and `smallest` are sizes of the font, `leading` is the height of a line and `gap` what lies between two
    texts, as multiples of the size; `lines` is how many lines one text may have.
    """

    width: float
    height: float
    largest: float
    smallest: float
    leading: float = 1.3
    gap: float = 0.0
    lines: int = 99
    even: bool = False  # lines of about the same length, as titles have them


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The lines of each text, at one size for all, and the ends of texts that have no room."""

    texts: tuple[tuple[str, ...], ...]
    size: float
    lost: tuple[str, ...]


def fit(texts: Sequence[str], room: Room, measure: Measure) -> Fitted:
    """Return the texts at the largest size at which they stand in the room.

    A size is taken only if no word must be broken. At the smallest words are broken where they must, and what has no
    room then is cut off with "…", and is `lost`.
    """
    found: Fitted | None = None
    low, high = 0, _STEPS
    while low < high:
        number = (low + high) // 2
        fitted = _whole(texts, room, room.largest - (room.largest - room.smallest) * number / _STEPS, measure)
        if fitted is None:
            low = number + 1
        else:
            found, high = fitted, number
    if found is None:
        return _cut(texts, room, lambda line: measure(line, room.smallest))
    return replace(found, texts=_evened(texts, found, room, measure))


def _whole(texts: Sequence[str], room: Room, size: float, measure: Measure) -> Fitted | None:
    """Return the texts at that size, if they have room and no word must be broken."""
    wrapped = [wrap(text, room.width, lambda line: measure(line, size)) for text in texts]
    lines = tuple(tuple(lines) for lines, _ in wrapped)
    if height(lines, room, size) > room.height or not all(
        whole and len(lines) <= room.lines for lines, whole in wrapped
    ):
        return None
    return Fitted(texts=lines, size=size, lost=())


def wrap(text: str, width: float, measure: Callable[[str], float]) -> tuple[list[str], bool]:
    """Return the lines of a text, and whether each word has room in one. What has line ends keeps them."""
    lines, whole = [], True
    for paragraph in text.strip().splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if measure(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *pieces, line = broken(word, width, measure)
            whole = whole and not pieces and measure(line) <= width
            lines += pieces
        lines.append(line)
    return lines, whole


def broken(word: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Return a word in pieces that are no wider than that, each of a letter at least."""
    pieces = [word[:1]]
    for letter in word[1:]:
        if measure(pieces[-1] + letter) <= width:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def height(texts: Sequence[Sequence[str]], room: Room, size: float) -> float:
    """Return how high texts stand, in the units of the size."""
    return size * (room.leading * sum(map(len, texts)) + room.gap * max(0, len(texts) - 1))


def _evened(texts: Sequence[str], found: Fitted, room: Room, measure: Measure) -> tuple[tuple[str, ...], ...]:
    if not room.even:
        return found.texts
    return tuple(
        _even(text, len(lines), room.width, lambda line: measure(line, found.size))
        for text, lines in zip(texts, found.texts, strict=True)
    )


def _even(text: str, count: int, width: float, measure: Callable[[str], float]) -> tuple[str, ...]:
    """Return the text in as many lines, and those as narrow as they can be."""
    narrow, wide = width / max(1, count), width
    for _ in range(8):
        middle = (narrow + wide) / 2
        lines, whole = wrap(text, middle, measure)
        if whole and len(lines) <= count:
            wide = middle
        else:
            narrow = middle
    return tuple(wrap(text, wide, measure)[0])


def _cut(texts: Sequence[str], room: Room, measure: Callable[[str], float]) -> Fitted:
    """Return what of the texts has room at the smallest size."""
    size, kept, lost = room.smallest, list[tuple[str, ...]](), list[str]()
    left = room.height
    for text in texts:
        lines, _ = wrap(text, room.width, measure)
        free = int((left + 1e-6) / (size * room.leading))
        shown = lines[: min(room.lines, max(0, free))]
        if any(measure(line) > room.width for line in shown):  # not a letter has room
            shown = []
        if len(shown) < len(lines):
            shown, rest = _ended(shown, lines, room.width, measure)
            lost.append(rest)
        kept.append(tuple(shown))
        left -= size * (room.leading * len(shown) + room.gap)
    return Fitted(texts=tuple(kept), size=size, lost=tuple(lost))


def _ended(shown: list[str], lines: list[str], width: float, measure: Callable[[str], float]) -> tuple[list[str], str]:
    """Return the lines with "…" at their end, and what of the text they do not show."""
    if not shown:
        return [], " ".join(lines)
    *before, last = shown
    while last and measure(last + _CUT) > width:
        last = last[:-1].rstrip()
    rest = " ".join([shown[-1][len(last) :].strip(), *lines[len(shown) :]])
    return [*before, *([last + _CUT] if last else [])], rest.strip()
