"""A network that makes a unit vector of an utterance, and its gradients.

Frames pass two layers that each see their neighbours in time, and their means and standard deviations are pooled (the
x-vector of Snyder et al. 2018, ICASSP, p. 5329, made small). A linear layer makes the learned part of the vector of
them. The other part are the means and deviations of the cepstral coefficients themselves, along the directions in which
speakers differ most beside what differs within a speaker (linear discriminant analysis: Rao 1948, J. Royal Stat. Soc. B
10:159).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.training.models.sound import COEFFICIENTS, WIDTH

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[float32]
    Weights = Mapping[str, Floats]

TINY = 1e-5
HIDDEN = 96
NEAR, FAR = (-2, -1, 0, 1, 2), (-3, 0, 3)
"""The neighbours in time that the first and the second layer see."""
LEARNED = 0.5
"""Share of a vector's squared length that the learned part has, so its share in a cosine."""
SHRINKAGE = 0.1
"""Share of the mean variance that is added to the covariance within speakers, of which few samples tell little."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What was counted on the training part: how frames are centred and scaled, and the discriminant directions."""

    centre: "Floats"
    spread: "Floats"
    middle: "Floats"
    directions: "Floats"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Utterances as learned unit vectors, and what their gradients need."""

    starts: "NDArray[int64]"
    counts: "NDArray[int64]"
    near: "Floats"
    first: "Floats"
    steps: Any  # Any: scipy has no types
    far: "Floats"
    second: "Floats"
    pooled: "Floats"
    vectors: "Floats"
    lengths: "Floats"
    plain: "Floats"


def first_weights(width: int, classes: int, random: "Generator") -> "dict[str, Floats]":
    """Return random weights (He et al. 2015, ICCV, p. 1026: variance 2 / inputs before a rectifier)."""
    import numpy as np

    def layer(inputs: int, outputs: int, gain: float) -> "Floats":
        found: Floats = (random.standard_normal((inputs, outputs)) * np.sqrt(gain / inputs)).astype(np.float32)
        return found

    return {
        "first": layer(len(NEAR) * WIDTH, HIDDEN, 2),
        "first_bias": np.zeros(HIDDEN, dtype=np.float32),
        "second": layer(len(FAR) * HIDDEN, HIDDEN, 2),
        "second_bias": np.zeros(HIDDEN, dtype=np.float32),
        "out": layer(2 * HIDDEN, width, 1),
        "out_bias": np.zeros(width, dtype=np.float32),
        "classes": layer(width, classes, 1),
    }


def counted(frames: "Sequence[Floats]", speakers: "NDArray[int64]") -> Statistics:
    """Return the statistics of these utterances, whose speakers are known."""
    import numpy as np
    from scipy.linalg import eigh

    together = np.vstack(frames).astype(np.float64)
    centre, spread = together.mean(axis=0), together.std(axis=0) + TINY
    _, starts, counts = _bounds(frames)
    plain = _plain(together, starts, counts)
    scale, middle = plain.std(axis=0) + TINY, plain.mean(axis=0)
    plain = (plain - middle) / scale
    size = plain.shape[1]
    within, between = np.zeros((size, size)), np.zeros((size, size))
    for speaker in np.unique(speakers):
        mine = plain[speakers == speaker]
        apart = mine - mine.mean(axis=0)
        within += apart.T @ apart / len(plain)
        between += np.outer(mine.mean(axis=0), mine.mean(axis=0)) * len(mine) / len(plain)
    within += np.eye(size) * SHRINKAGE * np.trace(within) / size
    _, found = eigh(between, within)
    directions = found[:, ::-1][:, : min(size, len(np.unique(speakers)) - 1)] / scale[:, None]
    return Statistics(
        centre=centre.astype(np.float32),
        spread=spread.astype(np.float32),
        middle=middle.astype(np.float32),
        directions=directions.astype(np.float32),
    )


def _plain(rows: "NDArray[Any]", starts: "NDArray[int64]", counts: "NDArray[int64]") -> "NDArray[Any]":
    return _pooled(rows[:, :COEFFICIENTS], starts, counts)[0]


def _bounds(frames: "Sequence[Floats]") -> "tuple[NDArray[int64], NDArray[int64], NDArray[int64]]":
    """Return for all frames together which utterance each is of, and where each utterance starts and how long it is."""
    import numpy as np

    counts = np.array([len(one) for one in frames], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    return np.repeat(np.arange(len(frames)), counts), starts, counts


def _pooled(
    rows: "NDArray[Any]", starts: "NDArray[int64]", counts: "NDArray[int64]"
) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Return means and standard deviations of each utterance, and the deviations alone."""
    import numpy as np

    many = counts[:, None].astype(rows.dtype)
    means = np.add.reduceat(rows, starts, axis=0) / many
    apart = rows - np.repeat(means, counts, axis=0)
    deviations = np.sqrt(np.add.reduceat(apart * apart, starts, axis=0) / many + TINY)
    return np.hstack([means, deviations]), deviations


def _steps(owners: "NDArray[int64]", starts: "NDArray[int64]", counts: "NDArray[int64]", offset: int) -> Any:
    """Return the matrix that takes each frame to its neighbour, or to the last one before the utterance ends."""
    import numpy as np
    from scipy.sparse import csr_matrix

    n = len(owners)
    places = np.clip(np.arange(n) + offset, starts[owners], (starts + counts - 1)[owners])
    return csr_matrix((np.ones(n, dtype=np.float32), places, np.arange(n + 1)), shape=(n, n))


def encode(weights: "Weights", statistics: Statistics, frames: "Sequence[Floats]") -> Encoded:
    """Return the vectors of utterances, each given as its frames."""
    import numpy as np

    owners, starts, counts = _bounds(frames)
    together = np.vstack(frames)
    rows = (together - statistics.centre) / statistics.spread
    near = np.hstack([_steps(owners, starts, counts, offset) @ rows for offset in NEAR])
    first = np.maximum(near @ weights["first"] + weights["first_bias"], 0)
    steps = [_steps(owners, starts, counts, offset) for offset in FAR]
    far = np.hstack([step @ first for step in steps])
    second = np.maximum(far @ weights["second"] + weights["second_bias"], 0)
    pooled, _ = _pooled(second, starts, counts)
    raw = pooled @ weights["out"] + weights["out_bias"]
    lengths = np.sqrt(np.einsum("rw,rw->r", raw, raw)) + TINY
    plain = (_plain(together, starts, counts) - statistics.middle) @ statistics.directions
    return Encoded(
        starts=starts,
        counts=counts,
        near=near,
        first=first,
        steps=steps,
        far=far,
        second=second,
        pooled=pooled,
        vectors=raw / lengths[:, None],
        lengths=lengths,
        plain=plain / (np.sqrt(np.einsum("rw,rw->r", plain, plain)) + TINY)[:, None],
    )


def vectors(encoded: Encoded) -> "Floats":
    """Return a unit vector for each utterance: both parts."""
    import numpy as np

    parts = (np.sqrt(LEARNED) * encoded.vectors, np.sqrt(1 - LEARNED) * encoded.plain)
    return np.hstack(parts).astype(np.float32)


def margin_loss(
    found: "Floats", classes: "Floats", targets: "NDArray[int64]", margin: float, scale: float
) -> "tuple[NDArray[Any], Floats, Floats]":
    """Return the losses of an additive-margin softmax, and the slopes of their mean by the vectors and the classes.

    -ln of the softmax of scale (cosine - margin of the right class) (Wang et al. 2018, IEEE Signal Processing Letters
    25:926, equation 6).
    """
    import numpy as np

    lengths = np.sqrt(np.einsum("wc,wc->c", classes, classes)) + TINY
    directions = classes / lengths
    cosines = found @ directions
    places = np.arange(len(found))
    logits = scale * cosines
    logits[places, targets] -= scale * margin
    logits -= logits.max(axis=1, keepdims=True)
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)
    losses = -np.log(chances[places, targets] + 1e-12)
    slopes = chances
    slopes[places, targets] -= 1
    slopes *= scale / len(found)
    by_direction = found.T @ slopes
    along = np.einsum("wc,wc->c", by_direction, directions)
    by_classes = (by_direction - directions * along) / lengths
    return losses, (slopes @ directions.T).astype(np.float32), by_classes.astype(np.float32)


def gradients(weights: "Weights", encoded: Encoded, slopes: "Floats") -> "dict[str, Floats]":
    """Return the gradients of the layers; `slopes` are the loss's by the learned unit vectors."""
    import numpy as np

    along = np.einsum("rw,rw->r", slopes, encoded.vectors)
    by_raw = (slopes - encoded.vectors * along[:, None]) / encoded.lengths[:, None]
    by_pooled = by_raw @ weights["out"].T
    many = encoded.counts[:, None].astype(np.float32)
    means, deviations = np.hsplit(encoded.pooled, 2)
    by_mean, by_deviation = np.hsplit(by_pooled, 2)
    apart = encoded.second - np.repeat(means, encoded.counts, axis=0)
    by_second = np.repeat(by_mean / many, encoded.counts, axis=0)
    by_second += apart * np.repeat(by_deviation / (many * deviations), encoded.counts, axis=0)
    by_second *= encoded.second > 0
    by_far = np.hsplit(by_second @ weights["second"].T, len(FAR))
    by_first = np.zeros_like(encoded.first)
    for step, one in zip(encoded.steps, by_far, strict=True):
        by_first += step.T @ one
    by_first *= encoded.first > 0
    return {
        "first": encoded.near.T @ by_first,
        "first_bias": by_first.sum(axis=0),
        "second": encoded.far.T @ by_second,
        "second_bias": by_second.sum(axis=0),
        "out": encoded.pooled.T @ by_raw,
        "out_bias": by_raw.sum(axis=0),
    }
