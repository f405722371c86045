"""The right document for a query: how much the words and trigrams of each column count is learnt from known pairs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import NotMeasured
from overnight.base.files import replace_file
from overnight.training.agents import TrainContext
from overnight.training.trainers.basis import (
    Record,
    enough,
    folds_of,
    inputs_of,
    one_thread,
    sampled,
    settings_of,
    target_of,
)
from overnight.training.trainers.texts import Bags, Units, text_of

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Values = NDArray[float64]
    Rows = NDArray[int64]
    Cosines = dict[tuple[str, Units], Values]
    Vectors = dict[Units, csr_matrix]

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Weights that are tried for each column and unit."""
ROUNDS = 3
SHRINKAGE = 0.002
"""What a weight away from 1 must gain in mean reciprocal rank, so that noise in few pairs moves nothing."""
UNITS: tuple[Units, ...] = ("words", "trigrams")
Weights = dict[tuple[str, Units], float]
ABOUT = "about.json"
MOST_PAIRS = 400
"""Pairs that the weights are fitted on."""
MOST_FOUND = 10
"""Documents that `act` names."""


class Retriever:
    """Scores documents for a query; measured by the mean reciprocal rank of the right one. It has no settings.

    Each record is a pair: its inputs are the query, its target is the text of the right document. The score is the
    weighted sum of cosines between the TF-IDF weights of each input column and of the document.
    """

    metric = "reciprocal_rank"
    bags: dict[str, Bags]
    weights: Weights
    known: dict[str, str]

    def train(self, data: list[dict[str, Any]], ctx: TrainContext) -> dict[str, Any]:
        """Learn from the pairs in which queries and documents go together.

        Raises:
            NotMeasured: there are too few pairs, or only one document.
            ConfigError: a setting is unknown, or no target is named.
        """
        settings_of(ctx, {})
        records, target = enough(data), target_of(ctx)
        documents = [text_of(record[target]) for record in records]
        if len(set(documents)) < 2:
            raise NotMeasured(f"every record has the same {target!r}; there is nothing to find")
        columns = inputs_of(ctx, records)
        self.known = {str(record["id"]): text for record, text in zip(records, documents, strict=True)}
        with one_thread():
            self.bags = {
                units: Bags.fit([*documents, *(_query(record, columns) for record in records)], units)
                for units in UNITS
            }
            # What a few hundred pairs cannot tell, more of them would not tell in reasonable memory.
            some = sampled(records, MOST_PAIRS)
            texts = [text_of(record[target]) for record in some]
            vectors = self._vectors(texts)
            cosines = {
                (column, units): self._cosines([text_of(record.get(column)) for record in some], vectors, units)
                for column in columns
                for units in UNITS
            }
            right = [texts.index(text) for text in texts]
            self.weights, found = _weights(cosines, right, folds_of(some, ctx.seed))
        return {"status": "completed", "metrics": {"pairs": len(records), "mrr_in_cross_validation": found}}

    def rank(self, queries: Sequence[Record], documents: Sequence[str]) -> list[list[float]]:
        """Return for each query a score of each document, higher is better."""
        import numpy as np

        scores = np.zeros((len(queries), len(documents)))
        with one_thread():
            vectors = self._vectors(documents)
            for (column, units), weight in self.weights.items():
                if weight:
                    texts = [text_of(query.get(column)) for query in queries]
                    scores += weight * self._cosines(texts, vectors, units)
        found: list[list[float]] = scores.tolist()
        return found

    def _vectors(self, documents: Sequence[str]) -> "Vectors":
        return {units: self.bags[units].rows(documents) for units in UNITS}

    def _cosines(self, texts: Sequence[str], documents: "Vectors", units: Units) -> "Values":
        found: Values = (self.bags[units].rows(texts) @ documents[units].T).toarray()
        return found

    def act(self, item: dict[str, Any], ctx: Any = None) -> dict[str, Any]:
        """Return the best documents for one input, the best first: of those that it lists under `documents`, else the
        ids of those that were learnt from. `text` is that of the very best one.
        """
        listed = [text_of(one) for one in item.get("documents", ())]
        names, texts = (listed, listed) if listed else (list(self.known), list(self.known.values()))
        [scores] = self.rank([item], texts)
        order = sorted(range(len(texts)), key=lambda place: -scores[place])
        return {"ranked": [names[place] for place in order[:MOST_FOUND]], "text": texts[order[0]]}

    def save(self, folder: Path) -> None:
        """Write all that `load` needs."""
        weights = [[*key, weight] for key, weight in self.weights.items()]
        bags = {units: bag.to_dict() for units, bag in self.bags.items()}
        replace_file(folder / ABOUT, json.dumps({"bags": bags, "weights": weights, "known": self.known}))

    def load(self, folder: Path) -> None:
        """Become the agent that was saved."""
        about = json.loads((folder / ABOUT).read_text())
        self.bags = {units: Bags.from_dict(bag) for units, bag in about["bags"].items()}
        self.weights = {(column, units): weight for column, units, weight in about["weights"]}
        self.known = about["known"]


def _query(record: Record, columns: Sequence[str]) -> str:
    return " ".join(text_of(record.get(column)) for column in columns)


def _weights(cosines: "Cosines", right: Sequence[int], folds: "Sequence[tuple[Rows, Rows]]") -> tuple[Weights, float]:
    """Return the weights, and what they come to on pairs that they were not fitted on.

    Fitted weights are taken only where they do better there than equal ones.
    """
    import numpy as np

    equal = dict.fromkeys(cosines, 1.0)
    fitted, plain = [], []
    for fit, apply in folds:
        inside = {key: one[np.ix_(fit, fit)] for key, one in cosines.items()}
        places = {int(row): place for place, row in enumerate(fit)}
        known = [places.get(right[int(row)], places[int(row)]) for row in fit]
        weights = _climb(inside, known)
        outside = {key: one[apply] for key, one in cosines.items()}
        wanted = [right[int(row)] for row in apply]
        fitted += _reciprocal(outside, weights, wanted)
        plain += _reciprocal(outside, equal, wanted)
    if sum(fitted) > sum(plain) + SHRINKAGE * len(plain):
        return _climb(cosines, right), sum(fitted) / len(fitted)
    return equal, sum(plain) / max(1, len(plain))


def _climb(cosines: "Cosines", right: Sequence[int]) -> Weights:
    """Return weights that rank the right documents well, found one after another."""
    weights = dict.fromkeys(cosines, 1.0)
    best = _mrr(cosines, weights, right)
    for _ in range(ROUNDS):
        before = best
        for key in weights:
            for weight in WEIGHTS:
                found = _mrr(cosines, {**weights, key: weight}, right)
                if found > best + SHRINKAGE:
                    best, weights = found, {**weights, key: weight}
        if best == before:
            break
    return weights


def _mrr(cosines: "Cosines", weights: Weights, right: Sequence[int]) -> float:
    found = _reciprocal(cosines, weights, right)
    return sum(found) / len(found)


def _reciprocal(cosines: "Cosines", weights: Weights, right: Sequence[int]) -> list[float]:
    """Return 1 / rank of the right document of each row."""
    import numpy as np

    scores = np.sum([weights[key] * one for key, one in cosines.items()], axis=0)
    mine = scores[np.arange(len(right)), right]
    ranks = (scores >= mine[:, None] - 1e-12).sum(axis=1)
    found: list[float] = (1 / ranks).tolist()
    return found
