"""What is known of an exercise before it is executed: what strategies may be chosen by. Pure."""

from collections.abc import Mapping
from typing import Any

from overnight.learning.exercises import TRAINING
from overnight.learning.selection.policy import Features

_OF_DATA = ("data", "training_items", "label_noise", "column_noise", "columns", "informative", "clusters", "separation")


def features_of(exercise: Mapping[str, Any]) -> Features:  # Any: JSON, as its file holds it
    """Return the features of an exercise: its type and complexity, its checks, and what its data is made of."""
    work = exercise["work"]
    found: dict[str, float | str | None] = {
        "type": exercise["type"],
        "complexity": exercise["complexity"],
        "checks": float(len(exercise["expectedChecks"])),
    }
    if work["kind"] == TRAINING:
        found |= {name: work.get(name) for name in _OF_DATA}
        found["labels"] = float(len(work["labels"]))
        found["rarest"] = min(work["labels"].values())
    else:
        found["stages"] = float(len(work["stages"]))
    return found
