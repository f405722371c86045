"""Which new texts are almost the same as one that is there, as they come; compared as in `text.duplicates`."""

from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache

from overnight.base.errors import UserMistake
from overnight.text.duplicates import band_keys, bands_for
from overnight.text.normalise import fold
from overnight.text.shingles import SHORTEST, alike, shingles

MOST_MET = 32
"""Texts with a key in common that a new one is compared with: so a phrase that very many share costs no more."""


class _Band:
    """The texts by one of their keys: for each key the newest text, and for each text the one before it.

    A list for each key would be as many objects as texts, which Python's collector walks through again and again.
    """

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}
        self._before = array("q")

    def add(self, number: int, key: int | None) -> None:
        """Add the text of this number, which is one more than that of the text before; `key` is None without one."""
        self._before.append(-1 if key is None else self._newest.get(key, -1))
        if key is not None:
            self._newest[key] = number

    def of(self, key: int) -> Iterator[int]:
        """Yield the numbers of the newest `MOST_MET` texts with the key."""
        number = self._newest.get(key, -1)
        for _ in range(MOST_MET):
            if number < 0:
                return
            yield number
            number = self._before[number]


class NearIndex:
    """Texts of which no two are near duplicates, but for what a key that very many share hides.

    A text that folds to one that is there, or whose Jaccard similarity with one reaches the threshold, is not taken. No
    text is refused wrongly; a pair at the threshold is missed with a probability of at most 0.05. The same texts in the
    same order give the same answers, however they are cut into calls. Used by one thread at a time.
    """

    def __init__(self, threshold: float = 0.88, *, seed: int = 0) -> None:
        """`threshold` is above 0 and below 1.

        Raises:
            UserMistake: it is not.
        """
        if not 0 < threshold < 1:
            raise UserMistake(f"threshold must be above 0 and below 1, got {threshold!r}")
        self._threshold, self._seed = threshold, seed
        self._bands = bands_for(threshold)
        self._by_key = [_Band() for _ in range(self._bands.count)]
        self._texts: list[str] = []
        self._known: dict[str, int] = {}
        self._shingles = lru_cache(4 * MOST_MET)(shingles)

    def __len__(self) -> int:
        return len(self._texts)

    def take(self, texts: Sequence[str]) -> list[int | None]:
        """Add the texts that are new, in their order; return for each the number of the one that is there, or None.

        Numbers are those of the texts that were added: 0, 1, 2, ... A text that folds to nothing is always new.

        Raises:
            MissingExtra: rensa is not installed.
        """
        folded = [fold(text) for text in texts]
        return [self.take_folded(text, keys) for text, keys in zip(folded, self.keys_of(folded), strict=True)]

    def keys_of(self, folded: Sequence[str]) -> list[Sequence[int]]:
        """Return for each folded text what `take_folded` needs; for many texts at once it takes less time.

        Raises:
            MissingExtra: rensa is not installed.
        """
        long = [place for place, text in enumerate(folded) if len(text) >= SHORTEST]
        columns = band_keys([folded[place] for place in long], self._bands, self._seed)
        keys = dict(zip(long, zip(*columns, strict=True), strict=True))
        return [keys.get(place, ()) for place in range(len(folded))]

    def take_folded(self, folded: str, keys: Sequence[int]) -> int | None:
        """Add a folded text with its keys where it is new; return the number of the one that is there, or None."""
        found = self._known.get(folded) if folded else None
        if found is None:
            found = self._similar(folded, keys)
        if found is None:
            self._add(folded, keys)
        return found

    def _similar(self, folded: str, keys: Sequence[int]) -> int | None:
        met = set[int]()
        for band, key in zip(self._by_key, keys, strict=False):
            for number in band.of(key):
                if number not in met and self._alike(folded, self._texts[number]):
                    return number
                met.add(number)
        return None

    def _alike(self, one: str, other: str) -> bool:
        return alike(self._shingles(one), self._shingles(other), self._threshold)

    def _add(self, folded: str, keys: Sequence[int]) -> None:
        number = len(self._texts)
        self._texts.append(folded)
        self._known[folded] = number
        for place, band in enumerate(self._by_key):
            band.add(number, keys[place] if keys else None)
