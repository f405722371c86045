"""A label from columns: a logistic regression in which every label counts as much as every other."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overnight.base.errors import NotMeasured
from overnight.base.files import replace_file
from overnight.proof.labels import macro_f1
from overnight.training.agents import TrainContext
from overnight.training.trainers.basis import (
    Record,
    enough,
    folds_of,
    inputs_of,
    load_estimator,
    one_thread,
    save_estimator,
    settings_of,
    target_of,
)
from overnight.training.trainers.features import Features

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse penalties that are tried, the strongest penalty first."""
MODEL, ABOUT = "model.skops", "about.json"


class Classifier:
    """Predicts one of the labels that it has seen; measured by macro-F1. It has no settings."""

    metric = "macro_f1"
    features: Features
    model: Any

    def train(self, data: list[dict[str, Any]], ctx: TrainContext) -> dict[str, Any]:
        """Learn to predict the label in `ctx.target` from `ctx.inputs`.

        Raises:
            NotMeasured: there are too few records, or only one label.
            ConfigError: a setting is unknown, or no target is named.
        """
        settings_of(ctx, {})
        records, target = enough(data), target_of(ctx)
        labels = [str(record[target]) for record in records]
        if len(set(labels)) < 2:
            raise NotMeasured(f"every record has the same {target!r}; there is nothing to learn")
        inputs = inputs_of(ctx, records)
        with one_thread():
            self.features = Features.fit(records, inputs)
            strength, unseen = _strength(records, labels, inputs, ctx.seed)
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


def _strength(
    records: Sequence[Record], labels: Sequence[str], inputs: Sequence[str], seed: int
) -> tuple[float, list[str]]:
    """Return the best inverse penalty, and the labels that it gives records which it was not fitted on."""
    unseen = {strength: [""] * len(records) for strength in STRENGTHS}
    for fit, apply in folds_of(records, seed):
        mine = [labels[row] for row in fit]
        if len(set(mine)) < 2:
            continue
        features = Features.fit([records[row] for row in fit], inputs)
        fitted, applied = (features.rows([records[row] for row in rows]) for rows in (fit, apply))
        for strength in STRENGTHS:
            given = _logistic(strength).fit(fitted, mine).predict(applied)
            for row, label in zip(apply, given, strict=True):
                unseen[strength][row] = str(label)
    best = max(STRENGTHS, key=lambda strength: macro_f1(labels, unseen[strength]))
    return best, unseen[best]
