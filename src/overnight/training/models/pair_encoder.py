"""A network that makes a unit vector of a sentence, and its gradients, for pairs whose cosine is to fit a similarity.

A vector is made of blocks. Each kind of feature (see `sentences`) gives one: the features' learned weights, hashed into
columns. One more is a projection of all features to few columns, the singular vectors of the training sentences (latent
semantic analysis: Deerwester et al. 1990, J. Am. Soc. Inf. Sci. 41:391). The last is the constant 1. Each block has
length 1; a gate, learned from the projection, says how much of the vector each block is. So the cosine of two vectors
is a mixture of the blocks' cosines.

The logarithm of a feature's weight starts at that of its inverse document frequency. What is learned is added to it: a
straight line in that logarithm for each group of features, which holds for rare and unknown ones too, and a number for
each known feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.training.models.sentences import COLUMNS, GROUPS, KINDS, Rows, Vocabulary

if TYPE_CHECKING:
    from numpy import bool_, float32, int64
    from numpy.typing import NDArray

    Floats = NDArray[float32]
    Places = NDArray[int64]
    Weights = Mapping[str, Floats]

TINY = 1e-6
GATES = (1.0, 0.3, 1.0, 0.7, 0.3)
"""What the gates of the kinds, the projection and the constant start at, before they are brought to length 1."""
CALIBRATION = (2.1, -4.0)
"""The logarithm of the slope, and the offset, that turn a cosine into the argument of a logistic function at first."""
USUAL_SIZE = 5.0
"""About ln(1 + how many features a sentence has)."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What was counted on the training part: of each feature the logarithm of its rarity, its group, its directions."""

    rarities: "Floats"
    groups: "Places"
    projection: "Floats"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Rows as blocks, and what their gradients need."""

    rows: Rows
    weighted: "Floats"
    hashed: "Floats"
    lengths: "Floats"
    projected: "Floats"
    seen: "Floats"
    open: "Floats"
    gates: "Floats"
    gate_length: "Floats"


def counted(vocabulary: Vocabulary, rows: Rows, width: int, seed: int) -> Statistics:
    """Return the statistics; `rows` are those of all training sentences."""
    import numpy as np
    from sklearn.utils.extmath import randomized_svd

    rarities = np.array(vocabulary.rarities, dtype=np.float32)
    values = np.abs(rows.values) * np.exp(rarities)[rows.features]
    norms = np.sqrt(np.bincount(_owners(rows), weights=values * values, minlength=len(rows))) + TINY
    table = _table(rows, (values / norms[_owners(rows)]).astype(np.float32), len(rarities))
    _, strengths, found = randomized_svd(table, min(width, min(table.shape) - 1), n_iter=3, random_state=seed)
    # The square root of the strengths lies between plain directions and whitened ones.
    projection = found.T / np.sqrt(strengths / strengths[0] + TINY)
    return Statistics(
        rarities=rarities,
        groups=np.array(vocabulary.groups, dtype=np.int64),
        projection=np.ascontiguousarray(projection, dtype=np.float32),
    )


def first_weights(statistics: Statistics) -> "dict[str, Floats]":
    """Return the weights that training starts from: inverse document frequencies, and the same gates for all."""
    import numpy as np

    features, width = statistics.projection.shape
    gates = np.zeros((width + 2, len(GATES)), dtype=np.float32)
    gates[-1] = np.log(GATES)
    return {
        "features": np.zeros(features, dtype=np.float32),
        "groups": np.zeros((2, len(GROUPS)), dtype=np.float32),
        "gates": gates,
        "calibration": np.array(CALIBRATION, dtype=np.float32),
    }


def _owners(rows: Rows) -> "Places":
    import numpy as np

    return np.repeat(np.arange(len(rows)), np.diff(rows.ends))


def _table(rows: Rows, data: "Floats", columns: int) -> Any:  # Any: scipy has no types
    from scipy.sparse import csr_matrix

    return csr_matrix((data, rows.features, rows.ends), shape=(len(rows), columns))


def encode(statistics: Statistics, weights: "Weights", rows: Rows, kept: "NDArray[bool_] | None" = None) -> Encoded:
    """Return the blocks of each row; `kept` says which features of the vocabulary are not dropped."""
    import numpy as np

    shared = weights["groups"][0][statistics.groups] + weights["groups"][1][statistics.groups] * statistics.rarities
    factors, fixed = np.exp(statistics.rarities + shared + weights["features"]), np.exp(statistics.rarities)
    if kept is not None:
        factors, fixed = factors * kept, fixed * kept
    weighted = rows.values * factors[rows.features]
    n, kinds = len(rows), len(KINDS)
    places = _owners(rows) * (kinds * COLUMNS) + rows.columns
    flat = np.bincount(places, weights=weighted, minlength=n * kinds * COLUMNS)
    hashed = flat.astype(np.float32).reshape(n, kinds, COLUMNS)
    lengths = np.sqrt(np.einsum("rkc,rkc->rk", hashed, hashed))
    hashed /= (lengths + TINY)[:, :, None]
    # The projection has signs of its own.
    projected = _table(rows, np.abs(rows.values) * fixed[rows.features], len(fixed)) @ statistics.projection
    length = np.sqrt(np.einsum("rw,rw->r", projected, projected))[:, None]
    projected = projected / (length + TINY)
    ones = np.ones((n, 1), dtype=np.float32)
    size = np.log1p(np.diff(rows.ends))[:, None] - USUAL_SIZE
    seen = np.hstack([projected, size, ones]).astype(np.float32)
    there = np.hstack([lengths > TINY, length > TINY, ones > 0])
    opened = np.exp(np.clip(seen @ weights["gates"], -8, 8)) * there
    gate_length = np.sqrt(np.einsum("rb,rb->r", opened, opened))
    return Encoded(
        rows=rows,
        weighted=weighted,
        hashed=hashed,
        lengths=lengths,
        projected=projected,
        seen=seen,
        open=opened,
        gates=opened / gate_length[:, None],
        gate_length=gate_length,
    )


def vectors(encoded: Encoded) -> "Floats":
    """Return a unit vector for each row."""
    import numpy as np

    gates = encoded.gates
    n, kinds = len(gates), len(KINDS)
    return np.hstack(
        [
            (encoded.hashed * gates[:, :kinds, None]).reshape(n, kinds * COLUMNS),
            encoded.projected * gates[:, kinds, None],
            gates[:, kinds + 1 :],
        ]
    ).astype(np.float32)


def cosines(left: Encoded, right: Encoded) -> "Floats":
    """Return the cosine of each block for each pair of rows, one column a block."""
    import numpy as np

    return np.hstack(
        [
            np.einsum("rkc,rkc->rk", left.hashed, right.hashed),
            np.einsum("rw,rw->r", left.projected, right.projected)[:, None],
            np.ones((len(left.gates), 1), dtype=np.float32),
        ]
    ).astype(np.float32)


def gradients(
    statistics: Statistics, left: Encoded, right: Encoded, blocks: "Floats", slopes: "Floats"
) -> "dict[str, Floats]":
    """Return the gradients of all weights but the calibration; `slopes` are the loss's by each pair's cosine."""
    import numpy as np

    n = len(statistics.rarities)
    by_feature = np.zeros(n)
    by_gates = np.zeros((left.seen.shape[1], len(GATES)), dtype=np.float32)
    for mine, other in ((left, right), (right, left)):
        by_gates += mine.seen.T @ _by_open(mine, slopes[:, None] * other.gates * blocks)
        by_entry = _by_entry(mine, other, blocks, slopes)
        by_feature += np.bincount(mine.rows.features, weights=by_entry, minlength=n)
    by_group = [
        np.bincount(statistics.groups, weights=by_feature * power, minlength=len(GROUPS))
        for power in (1, statistics.rarities)
    ]
    return {
        "features": by_feature.astype(np.float32),
        "groups": np.array(by_group, dtype=np.float32),
        "gates": by_gates,
    }


def _by_open(mine: Encoded, by_gate: "Floats") -> "Floats":
    """Return the slopes by the logarithms of the gates, before they are brought to length 1."""
    import numpy as np

    # A vector's length is 1 whatever its parts are, so a part along the vector itself has no effect.
    along = np.einsum("rb,rb->r", by_gate, mine.gates)
    found: Floats = (by_gate - mine.gates * along[:, None]) / mine.gate_length[:, None] * mine.open
    return found


def _by_entry(mine: Encoded, other: Encoded, blocks: "Floats", slopes: "Floats") -> "Floats":
    """Return the slopes by the logarithm of the weight of each entry of the rows."""
    kinds = len(KINDS)
    by_block = slopes[:, None] * (mine.gates * other.gates)[:, :kinds]
    scale = by_block / (mine.lengths + TINY)
    by_hashed = other.hashed * scale[:, :, None] - mine.hashed * (scale * blocks[:, :kinds])[:, :, None]
    found: Floats = (
        by_hashed.reshape(len(mine.rows), kinds * COLUMNS)[_owners(mine.rows), mine.rows.columns] * mine.weighted
    )
    return found
