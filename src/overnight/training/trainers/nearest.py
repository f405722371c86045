"""The plain nearest-exemplar classifier: what a few examples tell about everything else.

Its similarity is fixed: cosine of hashed counts of words, names and trigrams in the inputs. So the accuracy depends on
nothing but the choice of the exemplars, and chosen ones can be compared with random ones.
"""

import zlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from overnight.training.trainers.basis import one_thread
from overnight.training.trainers.features import is_number, parts
from overnight.training.trainers.texts import tokens

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds

BUCKETS = 2**14


class Nearest:
    """The classifier for a set of items, whose rows of counts are made once for any number of sets of exemplars."""

    def __init__(self, items: Sequence[Record], inputs: Sequence[str], target: str) -> None:
        self._inputs, self._target = tuple(inputs), target
        with one_thread():
            self._rows = _rows(items, self._inputs)

    def labels(self, exemplars: Sequence[Record]) -> list[str]:
        """Return each item's target by the exemplar that is most similar in the inputs; of equal ones by the first."""
        with one_thread():
            near = (self._rows @ _rows(exemplars, self._inputs).T).toarray()
        return [str(exemplars[place][self._target]) for place in near.argmax(axis=1)]


def similarities(records: Sequence[Record], inputs: Sequence[str]) -> "NDArray[float64]":
    """Return the similarity, 0 to 1, of each record (row) to each other (column)."""
    rows = _rows(records, inputs)
    found: NDArray[float64] = (rows @ rows.T).toarray()
    return found


def random_exemplars(records: Sequence[Record], target: str, per_class: int, seed: int) -> list[Record]:
    """Return that many records of each class, drawn by the seed, from records in any order."""
    by_class: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda one: str(one["id"])):
        by_class.setdefault(str(record[target]), []).append(record)
    draw = Random(seed)  # noqa: S311 - not a secret
    drawn = (draw.sample(by_class[label], min(per_class, len(by_class[label]))) for label in sorted(by_class))
    return [one for some in drawn for one in some]


def _rows(records: Sequence[Record], inputs: Sequence[str]) -> "csr_matrix":
    """Return hashed counts, each row of length 1."""
    import numpy as np
    from scipy.sparse import csr_matrix, diags

    columns: list[int] = []
    ends = [0]
    for record in records:
        told = (token for name in inputs for token in _tokens(name, record.get(name)))
        columns += [zlib.crc32(token.encode()) % BUCKETS for token in told]
        ends.append(len(columns))
    rows = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(records), BUCKETS))
    rows.sum_duplicates()
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return diags(1 / np.where(lengths == 0, 1, lengths)) @ rows


def _tokens(name: str, cell: Any) -> list[str]:
    if is_number(cell):
        return [f"{name}={cell:g}", f"{name}~{round(cell, -1):g}"]
    words = [token for part in parts(cell) for token in (*tokens(part, "words"), *tokens(part, "trigrams"))]
    return [*(f"{name}={part}" for part in parts(cell)), *(f"{name}:{word}" for word in words)]
