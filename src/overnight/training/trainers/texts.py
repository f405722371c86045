"""Texts as bags of words and of character trigrams, weighted by how rare each is. Plain counts, saved as JSON."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Units = Literal["words", "trigrams"]

MOST_TOKENS = 4000
_WORD = re.compile(r"\w+")


def tokens(text: str, units: Units) -> list[str]:
    """Return the words of a text in lower case, or the trigrams of its words with their edges marked."""
    words = _WORD.findall(text.lower())
    if units == "words":
        return words
    return [f"_{word}_"[at : at + 3] for word in words for at in range(len(word))]


def text_of(value: Any) -> str:  # Any: a cell
    """Return a cell as text; a number is itself, nothing is empty."""
    if value is None:
        return ""
    return " ".join(map(text_of, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class Bags:
    """Turns texts into rows of TF-IDF weights of length 1.

    weight = (1 + ln tf) (1 + ln((1 + n) / (1 + df))), as scikit-learn's TfidfTransformer with `sublinear_tf`. Tokens
    that no text of the training part has are left out.
    """

    units: Units
    idf: dict[str, float]

    @classmethod
    def fit(cls, texts: Sequence[str], units: Units, fewest: int = 1) -> "Bags":
        """Learn how rare tokens are; those of fewer than `fewest` texts and all beyond MOST_TOKENS are dropped."""
        seen = Counter(token for text in texts for token in set(tokens(text, units)))
        common = sorted((token for token in seen if seen[token] >= fewest), key=lambda token: (-seen[token], token))
        n = len(texts)
        return cls(units, {token: 1 + math.log((1 + n) / (1 + seen[token])) for token in common[:MOST_TOKENS]})

    def rows(self, texts: Sequence[str]) -> "csr_matrix":
        """Return a row for each text and a column for each known token."""
        from scipy.sparse import csr_matrix

        places = {token: place for place, token in enumerate(self.idf)}
        values: list[float] = []
        columns: list[int] = []
        ends = [0]
        for text in texts:
            counts = Counter(token for token in tokens(text, self.units) if token in places)
            weights = {token: (1 + math.log(count)) * self.idf[token] for token, count in counts.items()}
            length = math.sqrt(math.fsum(weight * weight for weight in weights.values())) or 1.0
            columns += [places[token] for token in weights]
            values += [weight / length for weight in weights.values()]
            ends.append(len(values))
        return csr_matrix((values, columns, ends), shape=(len(texts), len(places)))

    def to_dict(self) -> dict[str, Any]:
        """Return the weights as JSON-able values."""
        return {"units": self.units, "idf": self.idf}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Bags":
        """Return the bags that `to_dict` described."""
        return cls(values["units"], values["idf"])
