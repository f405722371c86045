"""A number from columns: a ridge regression whose strength is chosen by cross-validation inside the training part."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from overnight.base.errors import NotMeasured, PermanentError
from overnight.base.files import replace_file
from overnight.training.agents import TrainContext
from overnight.training.trainers.basis import (
    Record,
    enough,
    inputs_of,
    load_estimator,
    one_thread,
    save_estimator,
    settings_of,
    target_of,
)
from overnight.training.trainers.features import TEXT_WEIGHT, Features, folds_of_rows, is_number

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from overnight.training.trainers.features import Fold

    Values = NDArray[float64]

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 1e9)
"""Penalties that are tried; the last one leaves nothing but the mean."""
CHOSEN = 0.0
"""Stands for a penalty that is chosen by cross-validation."""
MODEL, ABOUT = "model.skops", "about.json"


class Regressor:
    """Predicts a number; measured by the absolute error.

    Settings: `penalty` (without it, cross-validation chooses one of STRENGTHS), and `text_weight` (0.5), how much a
    text counts beside a number or a mark.
    """

    metric = "absolute_error"
    tunable: ClassVar = {"penalty": (0.1, 10_000.0, "log"), "text_weight": (0.05, 5.0, "log")}
    features: Features
    model: Any
    offset: float
    scale: tuple[float, float] | None

    def train(self, data: list[dict[str, Any]], ctx: TrainContext) -> dict[str, Any]:
        """Learn to predict `ctx.target` from `ctx.inputs`.

        Raises:
            NotMeasured: there are too few records, or all targets are equal.
            ConfigError: a setting is unknown, or no target is named.
        """
        import numpy as np

        settings = settings_of(ctx, {"penalty": CHOSEN, "text_weight": TEXT_WEIGHT})
        records = enough(data, self.fewest())
        target = target_of(ctx)
        wanted = self.wanted(records, target, ctx)
        if wanted.max() == wanted.min():
            raise NotMeasured(f"every record has the same {target!r}; there is nothing to learn")
        self.scale = ctx.scale
        with one_thread():
            inputs, weight = inputs_of(ctx, records), settings["text_weight"]
            strengths = (settings["penalty"],) if settings["penalty"] else STRENGTHS
            self.features = Features.fit(records, inputs, text_weight=weight)
            folds = folds_of_rows(records, inputs, weight, ctx.seed)
            strength, unseen = _strength(folds, wanted, strengths, self.loss)
            self.model = _ridge(strength).fit(self.features.rows(records), wanted)
        # The median of what is left over: the absolute error is smallest there, not at the mean.
        self.offset = float(np.median(wanted - unseen))
        return {
            "status": "completed",
            "metrics": {"records": len(records), "strength": strength, "loss": self.loss(wanted, unseen + self.offset)},
        }

    def fewest(self) -> int:
        """Return how many records are needed."""
        return 10

    def wanted(self, records: Sequence[Record], target: str, ctx: TrainContext) -> "Values":
        """Return the numbers that are learnt, one for each record."""
        import numpy as np

        for record in records:
            if not is_number(record[target]):
                raise PermanentError(
                    f"the {target!r} of record {record['id']!r} is {record[target]!r}, not a number; the setting "
                    "`scale` sets such records aside"
                )
        return np.array([float(record[target]) for record in records])

    def loss(self, wanted: "Values", predicted: "Values") -> float:
        """Return what cross-validation makes small."""
        import numpy as np

        return float(np.abs(wanted - predicted).mean())

    def predict(self, items: list[dict[str, Any]]) -> list[float]:
        """Return a number for each item, on the scale of the target."""
        import numpy as np

        if not items:
            return []
        with one_thread():
            found = self.model.predict(self.features.rows(items)) + self.offset
        clipped: list[float] = (found if self.scale is None else np.clip(found, *self.scale)).tolist()
        return clipped

    def act(self, item: dict[str, Any], ctx: Any = None) -> dict[str, float]:
        """Return the prediction for one input."""
        return {"prediction": self.predict([item])[0]}

    def save(self, folder: Path) -> None:
        """Write all that `load` needs."""
        save_estimator(self.model, folder / MODEL)
        about = {"features": self.features.to_dict(), "offset": self.offset, "scale": self.scale}
        replace_file(folder / ABOUT, json.dumps(about))

    def load(self, folder: Path) -> None:
        """Become the agent that was saved."""
        about = json.loads((folder / ABOUT).read_text())
        self.features, self.offset = Features.from_dict(about["features"]), about["offset"]
        self.scale = None if about["scale"] is None else tuple(about["scale"])
        self.model = load_estimator(folder / MODEL)


def _ridge(strength: float) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=strength, solver="sparse_cg", tol=1e-6, max_iter=2000)


def _strength(
    folds: "Iterable[Fold]",
    wanted: "Values",
    strengths: Sequence[float],
    loss: "Callable[[Values, Values], float]",
) -> "tuple[float, Values]":
    """Return the penalty with the smallest loss, and what it predicts about records that it was not fitted on."""
    import numpy as np

    unseen = {strength: np.zeros(len(wanted)) for strength in strengths}
    for fit, apply, fitted, applied in folds:
        for strength in strengths:
            unseen[strength][apply] = _ridge(strength).fit(fitted, wanted[fit]).predict(applied)
    # Of equally good ones the strongest: it promises least.
    best = min(reversed(strengths), key=lambda strength: loss(wanted, unseen[strength]))
    return best, unseen[best]
