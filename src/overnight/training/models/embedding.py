"""How alike two sentences are: a vector for each, learned from pairs whose similarity is known."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from overnight.base.errors import NotMeasured, UserMistake
from overnight.base.files import write_json
from overnight.proof.measures import spearman
from overnight.training.arrays import load_arrays, save_arrays
from overnight.training.models.descent import Adam, rate_at
from overnight.training.models.gradients import generator_state, restore_generator
from overnight.training.models.pair_encoder import (
    Statistics,
    cosines,
    counted,
    encode,
    first_weights,
    gradients,
    vectors,
)
from overnight.training.models.sentences import Rows, Vocabulary
from overnight.training.ports import Item, State, Validation
from overnight.training.trainers.basis import FEWEST, needs_ml, with_defaults

if TYPE_CHECKING:
    from numpy import bool_, float32, int64
    from numpy.typing import NDArray

    Floats = NDArray[float32]

MODEL, ABOUT = "model.npz", "about.json"
AT_ONCE = 256
"""Sentences that are encoded at once."""
ORDER = 0.1
"""What 1 - Pearson's correlation in a batch counts beside the squared error: the order is what is measured."""


class Embedding:
    """Gives sentences unit vectors whose cosine tells how alike they are; see `pair_encoder`.

    An item's input is `{"a": text, "b": text}` or `[text, text]`, its expected output a number from 0 to the setting
    `scale`. The loss is the squared error of a logistic function of the cosine.
    """

    metric: ClassVar[str] = "Spearman"
    metric_sign: ClassVar[int] = 1
    compared_by: ClassVar[str] = "spearman"
    defaults: ClassVar[Mapping[str, float]] = {
        "scale": 1.0,
        "batch_size": 64,
        "rate": 0.01,
        "width": 48,
        "dropout": 0.4,
    }
    vocabulary: Vocabulary
    statistics: Statistics
    weights: "dict[str, Floats]"

    def check(self, item: Item) -> str | None:
        """Return what is wrong with an experience: two texts and a number are needed."""
        wrong = _wrong_input(item.get("input"))
        if wrong is not None:
            return wrong
        value = item.get("expected_output")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "expected_output: not a number"
        if not 0 <= value <= self.settings["scale"]:
            return f"expected_output: not from 0 to {self.settings['scale']:g} (the setting `scale`)"
        return None

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:  # Any: the settings' own JSON
        self.settings = with_defaults(settings, self.defaults, below_1=("dropout",), whose="this trainer")
        self.seed = seed

    @property
    def batch_size(self) -> int:
        """How many pairs a batch has."""
        return int(self.settings["batch_size"])

    def prepare(self, training: Sequence[Item], validation: Sequence[Item], epochs: int) -> None:
        """Learn the vocabulary and the first weights from the training pairs.

        Raises:
            UserMistake: an item is not a pair with a similarity up to `scale`.
            NotMeasured: there are too few pairs, or all are equally similar.
            MissingExtra: the extra `ml` is not installed.
        """
        needs_ml()
        import numpy as np

        pairs, targets = self._read(training)
        held_out, self._truths = self._read(validation)
        if len(pairs) < FEWEST:
            raise NotMeasured(f"{len(pairs)} pairs are too few to learn from, at least {FEWEST} are needed")
        if len(set(targets)) < 2:
            raise NotMeasured("all pairs are equally similar; there is nothing to learn")
        texts = [text for pair in pairs for text in pair]
        self.vocabulary = Vocabulary.fit(texts)
        self._sides = self._rows(pairs)
        self._targets = np.array(targets, dtype=np.float32)
        self._held_out = self._rows(held_out)
        self._steps = epochs * math.ceil(len(pairs) / self.batch_size)
        self.statistics = counted(self.vocabulary, self.vocabulary.rows(texts), int(self.settings["width"]), self.seed)
        self.weights = first_weights(self.statistics)
        self._adam = Adam(self.weights)
        self._random = np.random.default_rng([self.seed, 1])

    def _read(self, items: Sequence[Item]) -> tuple[list[tuple[str, str]], list[float]]:
        scale = self.settings["scale"]
        for item in items:
            wrong = self.check(item)
            if wrong is not None:
                raise UserMistake(f"item {item.get('id')!r}: {wrong}")
        return [_pair(item["input"]) for item in items], [float(item["expected_output"]) / scale for item in items]

    def train_batch(self, rows: "NDArray[int64]", epoch: int) -> float:
        """Learn from these pairs; the rate follows from how many batches there were, the dropped features by chance."""
        import numpy as np

        kept = self._random.random(len(self.statistics.rarities), dtype=np.float32) >= self.settings["dropout"]
        loss, slopes = self.slopes(rows, kept)
        self._adam.step(slopes, rate_at(self._adam.steps, self._steps, self.settings["rate"]))
        return loss

    def slopes(self, rows: "NDArray[int64]", kept: "NDArray[bool_] | None") -> "tuple[float, dict[str, Floats]]":
        """Return the loss of these training pairs, and its gradients; `kept` says which features are not dropped."""
        import numpy as np

        left, right = (encode(self.statistics, self.weights, side.take(rows), kept) for side in self._sides)
        blocks = cosines(left, right)
        found = np.einsum("rb,rb,rb->r", left.gates, right.gates, blocks)
        loss, slopes, by_calibration = self._loss(found, self._targets[rows])
        changes = gradients(self.statistics, left, right, blocks, slopes)
        changes["calibration"] = by_calibration
        return loss, changes

    def _loss(self, found: "Floats", targets: "Floats") -> "tuple[float, Floats, Floats]":
        """Return the loss, and its slopes by the cosines and by the calibration."""
        import numpy as np

        slope = np.exp(self.weights["calibration"][0])
        given = self._given(found)
        errors = given - targets
        by_logit = 2 * errors * given * (1 - given) / np.float32(len(found))
        slopes = by_logit * slope
        by_calibration = np.array([(by_logit * found).sum() * slope, by_logit.sum()], dtype=np.float32)
        loss = float((errors * errors).mean())
        ours, theirs = found - found.mean(), targets - targets.mean()
        lengths = np.sqrt((ours * ours).sum()), np.sqrt((theirs * theirs).sum())
        if min(lengths) > 1e-4:
            ours, theirs = ours / lengths[0], theirs / lengths[1]
            fit = (ours * theirs).sum()
            loss += ORDER * float(1 - fit)
            slopes = slopes - np.float32(ORDER) * (theirs - fit * ours) / lengths[0]
        return loss, slopes.astype(np.float32), by_calibration

    def _given(self, found: "Floats") -> "Floats":
        import numpy as np

        slope, offset = np.exp(self.weights["calibration"][0]), self.weights["calibration"][1]
        given: Floats = 1 / (1 + np.exp(-(slope * found + offset)))
        return given

    def validate(self) -> Validation:
        """Return the loss of `train_batch` on the held-out pairs, taken as one batch, and Spearman's correlation.

        The correlation is None where all similarities are equal.
        """
        import numpy as np

        if not self._truths:
            return Validation()
        found = self._cosines(self._held_out)
        loss, _, _ = self._loss(found, np.array(self._truths, dtype=np.float32))
        try:
            order = spearman(self._truths, [float(one) for one in found])
        except NotMeasured:
            order = None
        return Validation(loss=loss, metric=order)

    def _cosines(self, sides: tuple[Rows, Rows]) -> "Floats":
        import numpy as np

        parts = [[self._vectors(side, at) for side in sides] for at in range(0, len(sides[0]), AT_ONCE)]
        return np.concatenate([np.einsum("rd,rd->r", left, right) for left, right in parts])

    def _vectors(self, rows: Rows, at: int) -> "Floats":
        import numpy as np

        some = rows.take(np.arange(at, min(at + AT_ONCE, len(rows))))
        return vectors(encode(self.statistics, self.weights, some))

    def _rows(self, pairs: Sequence[tuple[str, str]]) -> tuple[Rows, Rows]:
        left, right = (self.vocabulary.rows([pair[side] for pair in pairs]) for side in (0, 1))
        return left, right

    def embed(self, texts: Sequence[str]) -> "Floats":
        """Return a unit vector for each text, shape (n, d): the similarity rises with the cosine of two."""
        import numpy as np

        rows = self.vocabulary.rows(texts)
        return np.vstack([self._vectors(rows, at) for at in range(0, max(1, len(texts)), AT_ONCE)])

    def state(self) -> State:
        """Return the weights, Adam's means and step count (which is the place in the schedule), and the generator."""
        found = self._adam.state()
        return State(arrays=found.arrays, values={**found.values, "random": generator_state(self._random)})

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._adam.restore(state)
        restore_generator(self._random, state.values["random"])

    def schema(self) -> dict[str, Any]:  # Any: JSON
        """Tell what goes in and comes out."""
        return {
            "inputs": {"type": "pair", "of": "text"},
            "outputs": {"type": "number", "highest": self.settings["scale"]},
        }

    def save(self, folder: Path) -> None:
        """Write the weights and the vocabulary."""
        fixed = {"rarity": self.statistics.rarities, "projection": self.statistics.projection}
        save_arrays(folder / MODEL, {**self.weights, **fixed})
        features = [list(feature) for feature in self.vocabulary.places]
        write_json(folder / ABOUT, {"settings": self.settings, "seed": self.seed, "features": features})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that was saved.

        Raises:
            MissingExtra: the extra `ml` is not installed.
        """
        needs_ml()
        import numpy as np

        about = json.loads((folder / ABOUT).read_text())
        found = cls(about["settings"], about["seed"])
        arrays = load_arrays(folder / MODEL)
        rarities, projection = arrays.pop("rarity"), arrays.pop("projection")
        found.vocabulary = Vocabulary.of([(group, name) for group, name in about["features"]], rarities.tolist())
        groups = np.array(found.vocabulary.groups, dtype=np.int64)
        found.statistics = Statistics(rarities=rarities, groups=groups, projection=projection)
        found.weights = arrays
        return found

    def predict(self, inputs: Sequence[Any]) -> list[float]:  # Any: pairs of texts
        """Return a similarity from 0 to `scale` for each pair.

        Raises:
            UserMistake: an input is not a pair of texts.
        """
        for place, one in enumerate(inputs):
            wrong = _wrong_input(one)
            if wrong is not None:
                raise UserMistake(f"input {place}: {wrong}")
        given = self._given(self._cosines(self._rows([_pair(one) for one in inputs]))) if inputs else ()
        return [float(one) * self.settings["scale"] for one in given]


def _wrong_input(value: Any) -> str | None:
    """Return what keeps an input from being two texts."""
    if isinstance(value, list | tuple):
        return None if len(value) == 2 and all(isinstance(one, str) for one in value) else "input: not two texts"
    if not isinstance(value, Mapping):
        return "input: neither an object with a and b nor a list of two texts"
    for name in ("a", "b"):
        if not isinstance(value.get(name), str):
            return f"input.{name}: not a text" if name in value else f"input.{name}: missing"
    return None


def _pair(value: Any) -> tuple[str, str]:
    return (value["a"], value["b"]) if isinstance(value, Mapping) else (value[0], value[1])
