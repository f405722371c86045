"""Sentences as sparse rows: words, pairs of neighbouring words and pieces of words, each with a weight of its own.

A feature that the training part has is known by its place in the vocabulary; any other shares one place with all
unknown ones of its group, so that a new word still matches itself. Each feature also has a column and a sign in its
kind's block of a short vector, by a hash of its text (feature hashing: Weinberger et al. 2009, ICML, "Feature hashing
for large scale multitask learning"), which keeps products of rows as they were in the mean.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

KINDS = ("word", "pair", "piece")
GROUPS = ("word", "number", "pair", "piece of 3", "piece of 4", "piece of 5")
"""Kinds by what their weights have in common."""
KIND_OF = (0, 0, 1, 2, 2, 2)
"""The kind of each group."""
COLUMNS = 2048
"""Columns of each kind's block."""
SHORTEST, LONGEST = 3, 5
"""Letters of a piece; a word's edges are marked and count as letters."""
FEWEST = 4
"""Texts that must have a feature for it to have a weight of its own."""
_WORD = re.compile(r"\w+")
_EDGE = "\x02"


def features_of(text: str) -> Iterator[tuple[int, str]]:
    """Return the features of a text, each as the place of its group in GROUPS and its own text."""
    words = _WORD.findall(text.lower())
    for word in words:
        yield int(word.isdecimal()), word
        for piece in _pieces(word):
            yield len(piece), piece
    for left, right in zip([_EDGE, *words], [*words, _EDGE], strict=True):
        yield 2, f"{left} {right}"


@lru_cache(maxsize=1 << 17)
def _pieces(word: str) -> tuple[str, ...]:
    marked = f" {word} "
    return tuple(
        marked[at : at + size] for size in range(SHORTEST, LONGEST + 1) for at in range(len(marked) - size + 1)
    )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Sparse rows: row r has the places from ends[r] to ends[r + 1] of the other arrays."""

    ends: "NDArray[int64]"
    features: "NDArray[int64]"
    columns: "NDArray[int64]"
    values: "NDArray[float32]"
    """1 + ln(count), with the feature's sign."""

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.ends) - 1

    def take(self, rows: "NDArray[int64]") -> "Rows":
        """Return these rows, in this order."""
        import numpy as np

        starts, lengths = self.ends[rows], self.ends[rows + 1] - self.ends[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])
        return Rows(ends=ends, features=self.features[places], columns=self.columns[places], values=self.values[places])


@dataclass(frozen=True)
class Vocabulary:
    """The features that have a place, with the logarithm of how rare each is. The first places are for unknown ones."""

    places: Mapping[tuple[int, str], int]
    rarities: Sequence[float]
    groups: Sequence[int]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> "Vocabulary":
        """Count in how many texts each feature is: ln(1 + ln((1 + n) / (1 + texts))), the logarithm of the weight of
        scikit-learn's TfidfVectorizer.
        """
        seen = Counter(feature for text in texts for feature in set(features_of(text)))
        known = sorted(feature for feature, count in seen.items() if count >= FEWEST)
        counts = [0] * len(GROUPS) + [seen[feature] for feature in known]
        return cls.of(known, [math.log(1 + math.log((1 + len(texts)) / (1 + count))) for count in counts])

    @classmethod
    def of(cls, features: Sequence[tuple[int, str]], rarities: Sequence[float]) -> "Vocabulary":
        """Return the vocabulary of these features, in this order; the unknown groups' rarities come first."""
        places = {feature: place for place, feature in enumerate(features, len(GROUPS))}
        return cls(places, rarities, [*range(len(GROUPS)), *(group for group, _ in features)])

    def rows(self, texts: Sequence[str]) -> Rows:
        """Return a row for each text; a text without any word is an empty row."""
        import numpy as np

        features: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        ends = [0]
        for text in texts:
            for (group, name), count in Counter(features_of(text)).items():
                column, sign = _column(group, name)
                features.append(self.places.get((group, name), group))
                columns.append(column)
                values.append(sign * (1 + math.log(count)))
            ends.append(len(features))
        return Rows(
            ends=np.array(ends, dtype=np.int64),
            features=np.array(features, dtype=np.int64),
            columns=np.array(columns, dtype=np.int64),
            values=np.array(values, dtype=np.float32),
        )


@lru_cache(maxsize=1 << 17)
def _column(group: int, name: str) -> tuple[int, float]:
    mixed = crc32(name.encode("utf-8", "surrogatepass"))
    return KIND_OF[group] * COLUMNS + mixed % COLUMNS, 1.0 if (mixed >> 20) & 1 else -1.0
