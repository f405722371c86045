"""Texts as sparse rows: words and neighbours, pieces of words, and pairs of words, weighted by how rare each is."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEWEST_TEXTS = {"words": 2, "pieces": 2, "pairs": 4}
"""Texts that must have a term for it to be kept, by kind."""
LENGTHS = (2, 3, 4, 5)
"""Letters of a piece."""
REACH = 8
"""How many words on a pair's second word may stand."""
_WORD = re.compile(r"\w+(?:'\w+)*")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


def _neighbours(some: Sequence[str]) -> list[str]:
    edged = ["^", *some, "$"] if some else []
    return [*some, *(f"{one} {other}" for one, other in pairwise(edged))]


def _pieces(some: Sequence[str]) -> list[str]:
    found = []
    for word in some:
        edged = f" {word} "
        for length in LENGTHS:
            if len(edged) < length:
                break
            found += [edged[at : at + length] for at in range(len(edged) - length + 1)]
    return found


def _pairs(some: Sequence[str]) -> list[str]:
    return [
        f"{one} {other}" if one < other else f"{other} {one}"
        for place, one in enumerate(some)
        for other in some[place + 1 : place + REACH]
        if one != other
    ]


KINDS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {"words": _neighbours, "pieces": _pieces, "pairs": _pairs}
"""Words, two neighbours and the edges of the text; pieces of words with their edges; two words in any order."""


@dataclass(frozen=True)
class Terms:
    """Turns texts into rows of TF-IDF weights; the terms of each kind have a length of up to 1.

    weight = (1 + ln tf) (1 + ln((1 + n) / (1 + df))), as scikit-learn's TfidfTransformer with `sublinear_tf`. A term
    that is not kept has no column, but counts for the length as one that no text has: a text of unknown words is a
    short row, and so no intent gets much evidence from it.
    """

    texts: int
    counts: Mapping[str, Mapping[str, int]]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> "Terms":
        """Learn which terms there are, and in how many texts each is."""
        split = [words(text) for text in texts]
        counts = {}
        for kind, terms_of in KINDS.items():
            seen = Counter(term for some in split for term in set(terms_of(some)))
            counts[kind] = {term: seen[term] for term in sorted(seen) if seen[term] >= FEWEST_TEXTS[kind]}
        return cls(len(texts), counts)

    @property
    def columns(self) -> int:
        """How many terms there are."""
        return sum(map(len, self.counts.values()))

    def rows(self, texts: Sequence[str]) -> "csr_matrix":
        """Return a row of float32 for each text and a column for each term."""
        import numpy as np
        from scipy.sparse import csr_matrix

        weights: list[float] = []
        columns: list[int] = []
        ends = [0]
        kinds = [(KINDS[kind], self._known(kind, offset)) for kind, offset in self._offsets()]
        strange = self._rarity(0)
        for text in texts:
            split = words(text)
            for terms_of, known in kinds:
                found, length = [], 0.0
                for term, often in Counter(terms_of(split)).items():
                    column, rarity = known.get(term, (-1, strange))
                    weight = (1 + math.log(often)) * rarity
                    length += weight * weight
                    if column >= 0:
                        columns.append(column)
                        found.append(weight)
                length = math.sqrt(length)
                weights += [weight / length for weight in found]
            ends.append(len(weights))
        return csr_matrix(
            (np.array(weights, dtype=np.float32), np.array(columns, dtype=np.int32), np.array(ends, dtype=np.int32)),
            shape=(len(texts), self.columns),
        )

    def _offsets(self) -> list[tuple[str, int]]:
        found, offset = [], 0
        for kind in KINDS:
            found.append((kind, offset))
            offset += len(self.counts[kind])
        return found

    def _known(self, kind: str, offset: int) -> dict[str, tuple[int, float]]:
        """Return column and rarity of each term of a kind."""
        return {
            term: (place, self._rarity(count)) for place, (term, count) in enumerate(self.counts[kind].items(), offset)
        }

    def _rarity(self, count: int) -> float:
        return 1 + math.log((1 + self.texts) / (1 + count))

    def to_dict(self) -> dict[str, Any]:
        """Return the terms as JSON-able values."""
        return {"texts": self.texts, "counts": {kind: dict(counts) for kind, counts in self.counts.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Terms":
        """Return the terms that `to_dict` described."""
        return cls(values["texts"], values["counts"])
