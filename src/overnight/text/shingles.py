"""The parts of a text by which it is compared with others, and how much of them two texts share.

Broder 1997, "On the resemblance of documents", section 2: the shingles of a text are the set of its runs of n tokens,
and the resemblance of two texts is the share of their shingles that both have, |A & B| / |A | B| (Jaccard).

What a token is depends on the text. A word that is changed takes n word shingles out of a text and puts n others in:
of the shingles of a text with w words, (w - 2 - 3) / (w - 2 + 3) stay the same for n = 3. From 40 words on that is
0.85 and more, and word shingles say what a person means by "almost the same". In shorter texts a single letter would
cost as much as a sentence; they are compared by runs of 4 characters, and so are texts without spaces.
"""

from array import array
from collections.abc import Set

SHORTEST = 4
"""Characters of the shortest text that has a shingle."""
_WORDS = 3
_QUAD_BYTES = 8
_ENOUGH_WORDS = 40
# A text whose "words" are longer than this on average is written without spaces, or is no prose.
_LONGEST_MEAN = 16


def shingles(folded: str) -> Set[object]:
    """Return the set of shingles of a folded text; it is empty where the text is shorter than one.

    A word shingle is a text. A character shingle is the 64 bits of its four characters in UTF-16, as a number (a
    character beyond U+FFFF counts as two): that is exact, and faster than a text. Two texts on different sides of the
    40 words share none.
    """
    words = _words(folded)
    return set(_runs(words)) if words else set(_quads(folded))


def jaccard(left: Set[object], right: Set[object]) -> float:
    """Return the share, 0 to 1, of the shingles of both that each has; 0 where one has none."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared) if shared else 0.0


def alike(left: Set[object], right: Set[object], threshold: float) -> bool:
    """Tell whether each has at least this share (above 0, up to 1) of the shingles of both."""
    least, most = sorted((len(left), len(right)))
    # The larger set has all that is shared and all that is not: no need to look for it.
    return least / most >= threshold and jaccard(left, right) >= threshold


def numbers_of(folded: str) -> "array[int]":
    """Return the shingles of a folded text as 64-bit numbers, in any order; one that occurs twice may be there twice.

    Raises:
        ImportError: rensa is not installed.
    """
    words = _words(folded)
    if not words:
        return _quads(folded)
    from rensa import RMinHash

    return array("Q", RMinHash.hash_token_sets([_runs(words)])[0])


def _quads(text: str) -> "array[int]":
    """Return each run of four characters as the number that its UTF-16 is: the text is read at four alignments."""
    # A lone surrogate is no text, but it is what a broken JSON escape gives.
    raw = text.encode("utf-16-le", "surrogatepass")
    quads = array("Q")
    for start in range(0, _QUAD_BYTES, 2):
        quads.frombytes(raw[start : start + (len(raw) - start) // _QUAD_BYTES * _QUAD_BYTES])
    return quads


def _words(folded: str) -> list[str] | None:
    """Return the words of a text that is compared by words; None where characters are what is compared."""
    # No text has more words than blanks and one: most need not be split.
    if folded.count(" ") + 1 < _ENOUGH_WORDS:
        return None
    words = folded.split(" ")
    return words if len(folded) <= _LONGEST_MEAN * len(words) else None


def _runs(words: list[str]) -> list[str]:
    return list(map(" ".join, zip(*(words[start:] for start in range(_WORDS)), strict=False)))
