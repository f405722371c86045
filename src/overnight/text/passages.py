"""Which texts hold a passage of others: the same words in a row, however they are set. Pure.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: a text is contaminated by an evaluation item
where the two share 13 words in a row, without case, punctuation and white space; in sets of shorter items, as few as 8.
Here an item of fewer than 13 words is looked for as a whole: from 8 words on anywhere, from 4 on only where it is a
paragraph of its own, because short phrases come up by themselves. Still shorter ones, such as "42", tell nothing.

A character of a script that puts no space between words counts as a word.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from overnight.text.normalise import UNSPACED, fold

RUN = 13
"""Words in a row that no two texts share by chance."""
SHORT, SHORTEST = 8, 4
"""Words of the shortest item that is looked for anywhere, and of the shortest that is looked for as a paragraph."""
_CHARACTER = re.compile(f"([{UNSPACED}])")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_ALONE = b"\n"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Words in a row that a text shares with the item of that number (0, 1, 2, ...)."""

    number: int
    words: int


class Passages:
    """The passages of evaluation items, 12 bytes each; which items is told by their numbers, the first one's first.

    A passage is known by its 64-bit hash: that an innocent text of 1,000 words meets one of 10 million by chance has a
    probability below 10^-9.
    """

    def __init__(self, items: Iterable[str], run: int = RUN) -> None:
        """`run` is how many words in a row are looked for, from `SHORT` on."""
        assert run >= SHORT
        self._run = run
        self._lengths = set[int]()
        self._known = _Numbers()
        self.count = 0
        """Items that something is looked for of."""
        for number, item in enumerate(items):
            self._add(number, _words(item))
        self._known.sort()

    def first_in(self, text: str) -> Passage | None:
        """Return the first passage of the text that an item has, the longest ones first; None where there is none."""
        words = _words(text)
        for length in sorted(self._lengths, reverse=True):
            for key in _keys(words, length):
                number = self._known.of(key)
                if number is not None:
                    return Passage(number=number, words=length)
        for paragraph in map(_words, _PARAGRAPHS.split(text)):
            if SHORTEST <= len(paragraph) < SHORT:
                number = self._known.of(_key([_ALONE, *paragraph]))
                if number is not None:
                    return Passage(number=number, words=len(paragraph))
        return None

    def _add(self, number: int, words: list[bytes]) -> None:
        length = min(len(words), self._run)
        if length < SHORTEST:
            return
        self.count += 1
        if length < SHORT:
            self._known.add(_key([_ALONE, *words]), number)
            return
        self._lengths.add(length)
        for key in _keys(words, length):
            self._known.add(key, number)


class _Numbers:
    """From 64-bit keys to numbers, the first that was added for each; `of` may be asked after `sort`."""

    def __init__(self) -> None:
        # In parts, so that sorting takes little memory beside them.
        self._keys = [array("Q") for _ in range(256)]
        self._numbers = [array("I") for _ in range(256)]

    def add(self, key: int, number: int) -> None:
        self._keys[key >> 56].append(key)
        self._numbers[key >> 56].append(number)

    def sort(self) -> None:
        for part, (keys, numbers) in enumerate(zip(self._keys, self._numbers, strict=True)):
            order = sorted(range(len(keys)), key=keys.__getitem__)
            firsts = [at for place, at in enumerate(order) if not place or keys[at] != keys[order[place - 1]]]
            self._keys[part] = array("Q", [keys[at] for at in firsts])
            self._numbers[part] = array("I", [numbers[at] for at in firsts])

    def of(self, key: int) -> int | None:
        keys = self._keys[key >> 56]
        at = bisect_left(keys, key)
        return self._numbers[key >> 56][at] if at < len(keys) and keys[at] == key else None


def _words(text: str) -> list[bytes]:
    folded = fold(text)
    if not folded.isascii():
        folded = _CHARACTER.sub(r" \1 ", folded)
    # A lone surrogate is no text, but it is what a broken JSON escape gives.
    return folded.encode(errors="surrogatepass").split()


def _keys(words: list[bytes], length: int) -> Iterator[int]:
    return (_key(words[at : at + length]) for at in range(len(words) - length + 1))


def _key(words: list[bytes]) -> int:
    return xxh3_64_intdigest(b" ".join(words))
