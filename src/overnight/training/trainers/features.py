"""Records as rows of numbers: numbers standardised, lists of names as marks, texts as bags of words and trigrams."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.training.trainers.basis import folds_of
from overnight.training.trainers.texts import Bags, text_of

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Fold = tuple[NDArray[int64], NDArray[int64], csr_matrix, csr_matrix]

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds

MOSTLY = 0.9
"""Share of a column's cells that are numbers, from which on the others count as missing."""
REPEATED = 0.3
"""Share of a column's parts that occur again, from which on it is a list of names and not a text."""
FEWEST_MARKS = 2
"""Records that must have a name for it to become a mark."""
MOST_MARKS = 2000
TEXT_WEIGHT = 0.5
"""How much a text counts beside a number or a mark, unless the settings say so."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: (value - mean) / standard deviation, and a mark where there is none."""

    mean: float
    spread: float

    @classmethod
    def fit(cls, cells: Sequence[Any]) -> "Numbers":
        """Learn mean and spread of the numbers that are there."""
        known = [float(cell) for cell in cells if is_number(cell)]
        mean = math.fsum(known) / len(known)
        return cls(mean, math.sqrt(math.fsum((one - mean) ** 2 for one in known) / len(known)) or 1.0)

    def rows(self, cells: Sequence[Any]) -> "csr_matrix":
        """Return two columns."""
        from scipy.sparse import csr_matrix

        return csr_matrix(
            [[(float(cell) - self.mean) / self.spread, 0.0] if is_number(cell) else [0.0, 1.0] for cell in cells]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON."""
        return {"kind": "numbers", "mean": self.mean, "spread": self.spread}


@dataclass(frozen=True)
class Marks:
    """A column of names, such as "Drama, Crime": a mark for each name that the training part has often enough."""

    names: tuple[str, ...]

    @classmethod
    def fit(cls, cells: Sequence[Any]) -> "Marks":
        """Learn the names."""
        seen = Counter(part for cell in cells for part in set(parts(cell)))
        often = sorted((name for name in seen if seen[name] >= FEWEST_MARKS), key=lambda name: (-seen[name], name))
        return cls(tuple(often[:MOST_MARKS]))

    def rows(self, cells: Sequence[Any]) -> "csr_matrix":
        """Return a column for each name, and one for cells without any."""
        from scipy.sparse import csr_matrix

        places = {name: place for place, name in enumerate(self.names)}
        found = [sorted({places[part] for part in parts(cell) if part in places}) for cell in cells]
        found = [
            places_here or ([] if parts(cell) else [len(places)])
            for places_here, cell in zip(found, cells, strict=True)
        ]
        ends = [0]
        for one in found:
            ends.append(ends[-1] + len(one))
        columns = [place for one in found for place in one]
        return csr_matrix(([1.0] * len(columns), columns, ends), shape=(len(cells), len(places) + 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the names as JSON."""
        return {"kind": "marks", "names": list(self.names)}


@dataclass(frozen=True)
class Texts:
    """A column of texts: words and trigrams."""

    bags: tuple[Bags, ...]
    weight: float

    @classmethod
    def fit(cls, cells: Sequence[Any], weight: float) -> "Texts":
        """Learn which words and trigrams there are, and how rare each is."""
        texts = [text_of(cell) for cell in cells]
        return cls((Bags.fit(texts, "words", 2), Bags.fit(texts, "trigrams", 2)), weight)

    def rows(self, cells: Sequence[Any]) -> "csr_matrix":
        """Return a column for each word and trigram."""
        from scipy.sparse import hstack

        texts = [text_of(cell) for cell in cells]
        return hstack([self.weight * bag.rows(texts) for bag in self.bags], format="csr")

    def to_dict(self) -> dict[str, Any]:
        """Return the bags as JSON."""
        return {"kind": "texts", "bags": [bag.to_dict() for bag in self.bags], "weight": self.weight}


Column = Numbers | Marks | Texts


@dataclass(frozen=True)
class Features:
    """How each input becomes numbers; everything in it was learnt from the training part."""

    columns: Mapping[str, Column]

    @classmethod
    def fit(cls, records: Sequence[Record], inputs: Sequence[str], *, text_weight: float = TEXT_WEIGHT) -> "Features":
        """Look at the inputs of the training records; a column without any value is left out."""
        found: dict[str, Column] = {}
        for name in inputs:
            cells = [record.get(name) for record in records]
            filled = [cell for cell in cells if cell not in (None, "", [])]
            if filled:
                found[name] = _column(filled, text_weight)
        return cls(found)

    def rows(self, records: Sequence[Record]) -> "csr_matrix":
        """Return a row for each record."""
        from scipy.sparse import csr_matrix, hstack

        blocks = [column.rows([record.get(name) for record in records]) for name, column in self.columns.items()]
        return hstack(blocks, format="csr") if blocks else csr_matrix((len(records), 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as JSON-able values."""
        return {name: column.to_dict() for name, column in self.columns.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Features":
        """Return the features that `to_dict` described."""
        return cls({name: _restored(one) for name, one in values.items()})


def folds_of_rows(records: Sequence[Record], inputs: Sequence[str], text_weight: float, seed: int) -> "Iterator[Fold]":
    """Yield of each fold the places of the records to fit on and of those to apply to, and the rows of both.

    What turns records into rows was learnt from those to fit on alone.
    """
    for fit, apply in folds_of(records, seed):
        features = Features.fit([records[row] for row in fit], inputs, text_weight=text_weight)
        fitted, applied = (features.rows([records[row] for row in rows]) for rows in (fit, apply))
        yield fit, apply, fitted, applied


def _column(filled: Sequence[Any], text_weight: float) -> Column:
    if sum(map(is_number, filled)) >= MOSTLY * len(filled):
        return Numbers.fit(filled)
    seen = Counter(part for cell in filled for part in parts(cell))
    again = sum(count for count in seen.values() if count > 1)
    return Marks.fit(filled) if again >= REPEATED * seen.total() else Texts.fit(filled, text_weight)


def _restored(values: dict[str, Any]) -> Column:
    match values["kind"]:
        case "numbers":
            return Numbers(values["mean"], values["spread"])
        case "marks":
            return Marks(tuple(values["names"]))
        case _:
            # Versions from before it could be set have no weight.
            return Texts(tuple(Bags.from_dict(bag) for bag in values["bags"]), values.get("weight", TEXT_WEIGHT))


def is_number(value: Any) -> bool:
    """Tell whether a cell is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def parts(cell: Any) -> list[str]:
    """Return the names in a cell such as "Drama, Crime", or in a list."""
    if isinstance(cell, list | tuple):
        return [text_of(one) for one in cell]
    return [part for part in text_of(cell).split(", ") if part]
