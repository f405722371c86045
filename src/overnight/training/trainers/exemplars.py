"""A few examples that stand for all records of their class: what a writer, or a prompt, should be shown."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from overnight.base.errors import NotMeasured
from overnight.base.files import replace_file
from overnight.training.agents import TrainContext
from overnight.training.trainers.basis import (
    Record,
    enough,
    inputs_of,
    one_thread,
    sampled,
    settings_of,
    target_of,
)
from overnight.training.trainers.nearest import Nearest, similarities

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Values = NDArray[float64]

PER_CLASS = 3
MOST_RECORDS = 400
"""Records that are looked at; of more, these many are chosen by a hash of their ids."""
ROUNDS = 4
SHARPNESS = 16.0
"""How much nearer counts, unless the settings say so: similarities of texts lie close together."""
ABOUT = "exemplars.json"


class ExemplarWriter:
    """Chooses `settings.per_class` (3) exemplars of each class; measured by how often the nearest has the right one.

    `settings.sharpness` (16) is how much nearer counts in the choice. `per_class` is no matter of tuning: more are
    always better, and longer to read.
    """

    metric = "exemplar_accuracy"
    tunable: ClassVar = {"sharpness": (1.0, 100.0, "log")}
    chosen: list[Record]
    inputs: tuple[str, ...]
    target: str

    def train(self, data: list[dict[str, Any]], ctx: TrainContext) -> dict[str, Any]:
        """Choose exemplars by which the other training records are told apart best.

        Raises:
            NotMeasured: there are too few records, or only one class.
            ConfigError: a setting is unknown, or no target is named.
        """
        settings = settings_of(ctx, {"per_class": PER_CLASS, "sharpness": SHARPNESS})
        records, self.target = sampled(enough(data), MOST_RECORDS), target_of(ctx)
        self.inputs = inputs_of(ctx, records)
        labels = [str(record[self.target]) for record in records]
        if len(set(labels)) < 2:
            raise NotMeasured(f"every record has the same {self.target!r}; there is nothing to tell apart")
        with one_thread():
            near = settings["sharpness"] * similarities(records, self.inputs)
        chosen, value = _choose(near, labels, int(settings["per_class"]))
        self.chosen = [records[place] for place in chosen]
        return {"status": "completed", "metrics": {"records": len(records), "exemplars": len(chosen), "fit": value}}

    def exemplars(self) -> list[Record]:
        """Return the chosen records."""
        return self.chosen

    def act(self, item: dict[str, Any], ctx: Any = None) -> dict[str, Any]:
        """Return the class of one input by its nearest exemplar, and the exemplars of that class."""
        [label] = Nearest([item], self.inputs, self.target).labels(self.chosen)
        return {"label": label, "exemplars": [dict(one) for one in self.chosen if str(one[self.target]) == label]}

    def save(self, folder: Path) -> None:
        """Write all that `load` needs."""
        about = {"chosen": [dict(one) for one in self.chosen], "inputs": self.inputs, "target": self.target}
        replace_file(folder / ABOUT, json.dumps(about))

    def load(self, folder: Path) -> None:
        """Become the agent that was saved."""
        about = json.loads((folder / ABOUT).read_text())
        self.chosen, self.inputs, self.target = about["chosen"], tuple(about["inputs"]), about["target"]


def _choose(near: "Values", labels: Sequence[str], per_class: int) -> tuple[list[int], float]:
    """Return the places of the exemplars: the most central records first, then exchanges as long as they help."""
    import numpy as np

    mine = np.array(labels)
    chosen: dict[str, list[int]] = {}
    for label in sorted(set(labels)):
        places = [int(place) for place in np.flatnonzero(mine == label)]
        central = near[np.ix_(places, places)].sum(axis=1)
        order = sorted(range(len(places)), key=lambda at: (-central[at], places[at]))
        chosen[label] = [places[at] for at in order[:per_class]]
    best = _fit(near, mine, chosen)
    for _ in range(ROUNDS):
        before = best
        for label, places in list(chosen.items()):
            for at in range(len(places)):
                best, chosen = _best_exchange(near, mine, chosen, label, at, best)
        if best == before:
            break
    return sorted(place for places in chosen.values() for place in places), best


def _best_exchange(  # noqa: PLR0917  # the parts of one search
    near: "Values", mine: Any, chosen: dict[str, list[int]], label: str, at: int, best: float
) -> tuple[float, dict[str, list[int]]]:
    """Return the best choice that differs in one exemplar of the class, or the choice itself where none is better."""
    import numpy as np

    found = chosen
    for place in np.flatnonzero(mine == label):
        if place not in chosen[label]:
            tried = {**chosen, label: [*chosen[label][:at], int(place), *chosen[label][at + 1 :]]}
            value = _fit(near, mine, tried)
            if value > best + 1e-9:
                best, found = value, tried
    return best, found


def _fit(near: "Values", labels: Any, chosen: dict[str, list[int]]) -> float:
    """Return how well the records that are no exemplars are told apart: the mean log share of the right class.

    The share follows from the nearest exemplar of each class (a softmax of sharpened similarities), so that a choice
    that is right by a hair counts less than one that is right by much.
    """
    import numpy as np

    names = sorted(chosen)
    closest = np.column_stack([near[:, chosen[label]].max(axis=1) for label in names])
    scores = np.exp(closest)
    shares = scores / scores.sum(axis=1, keepdims=True)
    right = np.array([names.index(label) for label in labels])
    kept = np.ones(len(labels), dtype=bool)
    kept[[place for places in chosen.values() for place in places]] = False
    if not kept.any():
        return 0.0
    return float(np.log(shares[np.arange(len(labels)), right][kept]).mean())
