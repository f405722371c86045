"""A label from columns: a logistic regression in which every label counts as much as every other."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from overnight.base.errors import NotMeasured
from overnight.base.files import replace_file
from overnight.proof.labels import macro_f1
from overnight.training.agents import TrainContext
from overnight.training.trainers.basis import (
    enough,
    inputs_of,
    load_estimator,
    one_thread,
    save_estimator,
    settings_of,
    target_of,
)
from overnight.training.trainers.features import TEXT_WEIGHT, Features, folds_of_rows

if TYPE_CHECKING:
    from overnight.training.trainers.features import Fold

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse penalties that are tried, the strongest penalty first."""
CHOSEN = 0.0
"""Stands for a penalty that is chosen by cross-validation."""
MODEL, ABOUT = "model.skops", "about.json"


class Classifier:
    """Predicts one of the labels that it has seen; measured by macro-F1.

    Settings: `penalty` (without it, cross-validation chooses it by STRENGTHS), and `text_weight` (0.5), how much a text
    counts beside a number or a mark.
    """

    metric = "macro_f1"
    tunable: ClassVar = {"penalty": (0.03, 1000.0, "log"), "text_weight": (0.05, 5.0, "log")}
    features: Features
    model: Any

    def train(self, data: list[dict[str, Any]], ctx: TrainContext) -> dict[str, Any]:
        """Learn to predict the label in `ctx.target` from `ctx.inputs`.

        Raises:
            NotMeasured: there are too few records, or only one label.
            ConfigError: a setting is unknown, or no target is named.
        """
        settings = settings_of(ctx, {"penalty": CHOSEN, "text_weight": TEXT_WEIGHT})
        records, target = enough(data), target_of(ctx)
        labels = [str(record[target]) for record in records]
        if len(set(labels)) < 2:
            raise NotMeasured(f"every record has the same {target!r}; there is nothing to learn")
        inputs, weight = inputs_of(ctx, records), settings["text_weight"]
        strengths = (1 / settings["penalty"],) if settings["penalty"] else STRENGTHS
        with one_thread():
            self.features = Features.fit(records, inputs, text_weight=weight)
            strength, unseen = _strength(folds_of_rows(records, inputs, weight, ctx.seed), labels, strengths)
            self.model = _logistic(strength).fit(self.features.rows(records), labels)
        return {
            "status": "completed",
            "metrics": {
                "records": len(records),
                "labels": dict(Counter(labels)),
                "strength": strength,
                "macro_f1_in_cross_validation": macro_f1(labels, unseen),
            },
        }

    def predict(self, items: list[dict[str, Any]]) -> list[str]:
        """Return a label for each item."""
        if not items:
            return []
        with one_thread():
            return [str(label) for label in self.model.predict(self.features.rows(items))]

    def act(self, item: dict[str, Any], ctx: Any = None) -> dict[str, str]:
        """Return the label of one input."""
        return {"label": self.predict([item])[0]}

    def save(self, folder: Path) -> None:
        """Write all that `load` needs."""
        save_estimator(self.model, folder / MODEL)
        replace_file(folder / ABOUT, json.dumps({"features": self.features.to_dict()}))

    def load(self, folder: Path) -> None:
        """Become the agent that was saved."""
        self.features = Features.from_dict(json.loads((folder / ABOUT).read_text())["features"])
        self.model = load_estimator(folder / MODEL)


def _logistic(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)


def _strength(folds: "Iterable[Fold]", labels: Sequence[str], strengths: Sequence[float]) -> tuple[float, list[str]]:
    """Return the best inverse penalty, and the labels that it gives records which it was not fitted on."""
    unseen = {strength: [""] * len(labels) for strength in strengths}
    for fit, apply, fitted, applied in folds:
        mine = [labels[row] for row in fit]
        if len(set(mine)) < 2:
            continue
        for strength in strengths:
            given = _logistic(strength).fit(fitted, mine).predict(applied)
            for row, label in zip(apply, given, strict=True):
                unseen[strength][row] = str(label)
    best = max(strengths, key=lambda strength: macro_f1(labels, unseen[strength]))
    return best, unseen[best]
