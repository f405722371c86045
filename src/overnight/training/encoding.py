"""Features for learners: what names say about a number, and predictions for items that a model has not seen.

Both are made so that no item's own target reaches its features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.proof.splits import fold_of

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import NDArray

    Numbers = NDArray[float64]
    Rows = NDArray[int64]

ENCODED = 5
"""Columns that `NameEffects.encode` returns."""


@dataclass(frozen=True, kw_only=True)
class NameEffects:
    """How much higher or lower the target is where a name (of a person, a tag) occurs, shrunken towards 0.

    effect = sum of the residuals of the items that have the name / (their number + shrinkage): the posterior mean of a
    random effect whose variance is 1/shrinkage of the noise's (Efron and Morris 1975, JASA 70:311). `effects` and
    `counts` are in the order of `places`.
    """

    places: dict[str, int]
    effects: "Numbers"
    counts: "Numbers"

    @classmethod
    def fit(cls, names: Sequence[Sequence[str]], residuals: "Numbers", *, shrinkage: float) -> "NameEffects":
        """Return the effects of the names in the training part; `names` has the names of each item."""
        import numpy as np

        places: dict[str, int] = {}
        for some in names:
            for name in some:
                places.setdefault(name, len(places))
        which = np.array([places[name] for some in names for name in some], dtype=np.int64)
        each = np.repeat(residuals, [len(some) for some in names])
        counts = np.bincount(which, minlength=len(places)).astype(np.float64)
        sums = np.bincount(which, weights=each, minlength=len(places))
        return cls(places=places, effects=sums / (counts + shrinkage), counts=counts)

    def encode(self, names: Sequence[Sequence[str]]) -> "Numbers":
        """Return a row per item: mean, highest and lowest effect, items behind them, sum / sqrt(number of names).

        An item without a known name gets zeros: no effect, no items behind it.
        """
        import numpy as np

        known = [[self.places[name] for name in some if name in self.places] for some in names]
        sizes = np.array([len(some) for some in known], dtype=np.int64)
        which = np.array([place for some in known for place in some], dtype=np.int64)
        has = sizes > 0
        found = np.zeros((len(names), ENCODED))
        if has.any():
            starts = (np.cumsum(sizes) - sizes)[has]
            effects = self.effects[which]
            sums = np.add.reduceat(effects, starts)
            found[has] = np.column_stack(
                [
                    sums / sizes[has],
                    np.maximum.reduceat(effects, starts),
                    np.minimum.reduceat(effects, starts),
                    np.add.reduceat(self.counts[which], starts),
                    sums / np.sqrt(sizes[has]),
                ]
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the effects as JSON-able values; numbers come back exactly."""
        return {"names": list(self.places), "effects": self.effects.tolist(), "counts": self.counts.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NameEffects":
        """Return the effects that `to_dict` described."""
        import numpy as np

        return cls(
            places={name: place for place, name in enumerate(values["names"])},
            effects=np.array(values["effects"], dtype=np.float64),
            counts=np.array(values["counts"], dtype=np.float64),
        )


def out_of_fold(
    ids: Sequence[str], fit_and_apply: "Callable[[Rows, Rows], Numbers]", *, folds: int, salt: str
) -> "Numbers":
    """Return what `fit_and_apply(rows to fit on, rows to apply to)` says about each item when it was not fitted on it.

    Folds follow the hash of the id, so that an item keeps its fold as others join. Each call returns one row (or one
    number) per row to apply to; they come back in the order of `ids`.
    """
    import numpy as np

    fold = np.array([fold_of(name, folds=folds, salt=salt) for name in ids], dtype=np.int64)
    applied = [np.flatnonzero(fold == number) for number in range(folds)]
    applied = [rows for rows in applied if rows.size]
    parts = [fit_and_apply(np.setdiff1d(np.arange(len(ids)), rows), rows) for rows in applied]
    found = np.empty((len(ids), *parts[0].shape[1:]))
    for rows, part in zip(applied, parts, strict=True):
        found[rows] = part
    return found
