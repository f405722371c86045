"""A class from a grey image: a small convolutional network, trained on images that are moved by a few pixels."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from overnight.base.errors import ConfigError, MissingExtra, NotMeasured, UserMistake, one_line
from overnight.base.files import write_json
from overnight.training.arrays import load_arrays, save_arrays
from overnight.training.models.convolution import Network
from overnight.training.models.gradients import (
    Learning,
    batches_of,
    cross_entropy,
    needs_numpy,
    smoothed,
    softmax,
    steps_of,
)
from overnight.training.ports import Item, State, Validation
from overnight.training.trainers.basis import FEWEST, with_defaults

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[float32]
    Rows = NDArray[int64]

Label = str | int
SIDE = 28
"""Rows and columns of the images that the network sees; others are brought to this size."""
AT_ONCE = 250
"""Images that go through the network together where nothing is learnt, so that memory stays small."""
NOWHERE = -1
"""The class of a validation item that the training part does not have."""
WEIGHTS, ABOUT = "weights.npz", "about.json"


class Vision:
    """Names the class of a grey image; measured by accuracy.

    An `input` is `{"rows": [[0 to 255, ...], ...]}`, or `{"path": FILE}` where Pillow is installed; an
    `expected_output` is a text or a whole number. Answers are `{"label": ..., "confidence": its probability}`.
    """

    metric: ClassVar[str] = "accuracy"
    metric_sign: ClassVar[int] = 1
    score_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "batch_size": 50,
        "learning_rate": 0.002,
        "dropout": 0.4,
        "smoothing": 0.05,
        "shift": 2,
    }
    """`shift` is by how many pixels an image is moved at the most, up or down and left or right, each time anew."""

    network: Network
    labels: list[Label]
    scale: tuple[float, float]
    learning: Learning

    @classmethod
    def check(cls, item: Item) -> str | None:
        """Return what is wrong with an image or its label, in one line; no file is read."""
        wrong = [said for said in (_wrong_input(item.get("input")), _wrong_label(item)) if said]
        return "; ".join(wrong) or None

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        needs_numpy()
        self.settings = with_defaults(
            settings,
            self.DEFAULTS,
            may_be_0=("dropout", "smoothing", "shift"),
            below_1=("dropout", "smoothing"),
            whose="this trainer",
        )
        if self.settings["shift"] >= SIDE:
            raise ConfigError(f"settings.shift: {self.settings['shift']} moves an image of {SIDE} pixels out of sight")
        self.seed = seed

    def prepare(self, training: Sequence[Item], validation: Sequence[Item], epochs: int) -> None:
        """Read the images and set up the network.

        Raises:
            UserMistake: an image cannot be read, or Pillow is missing.
            NotMeasured: there are too few images, or only one class.
        """
        import numpy as np

        if len(training) < FEWEST:
            raise NotMeasured(f"{len(training)} images are too few to learn from, at least {FEWEST} are needed")
        self.labels = sorted({item["expected_output"] for item in training}, key=_order)
        if len(self.labels) < 2:
            raise NotMeasured(f"every image is a {self.labels[0]!r}; there is nothing to learn")
        self._images, self._truths = _pixels_of(training), self._places(training)
        self._unseen, self._unseen_truths = _pixels_of(validation), self._places(validation)
        mean, spread = float(self._images.mean(dtype=np.float64)), float(self._images.std(dtype=np.float64))
        self.scale = (mean, spread or 1.0)
        generator = np.random.Generator(np.random.PCG64(self.seed))
        self.network = Network.new(generator, len(self.labels))
        self.learning = Learning(
            self.network.weights,
            generator,
            steps=steps_of(len(training), self.batch_size, epochs),
            rate=self.settings["learning_rate"],
        )

    @property
    def batch_size(self) -> int:
        """How many images one call of `train_batch` takes at the most."""
        return int(self.settings["batch_size"])

    def train_batch(self, rows: "Rows", epoch: int) -> float:
        """Learn from the training images at these places, each moved at random, and return their mean loss."""
        generator = self.learning.generator
        moved = _moved(self._images[rows], generator, int(self.settings["shift"]))
        logits, trace = self.network.forward(self._scaled(moved), generator, self.settings["dropout"])
        losses, gradient = cross_entropy(logits, self._targets(self._truths[rows]))
        self.learning.step(self.network.backward(trace, gradient))
        return float(losses.mean())

    def validate(self) -> Validation:
        """Measure the accuracy, and the loss (as trained) of the images whose class the training part has."""
        import numpy as np

        if not len(self._unseen):
            return Validation()
        logits = self._logits(self._unseen)
        right = logits.argmax(axis=1) == self._unseen_truths
        known = np.flatnonzero(self._unseen_truths != NOWHERE)
        losses, _ = cross_entropy(logits[known], self._targets(self._unseen_truths[known]))
        return Validation(loss=float(losses.mean()) if len(known) else None, metric=float(right.mean()))

    def state(self) -> State:
        """Return weights, optimiser and generator."""
        return self.learning.state()

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            PermanentError: it is of another network.
        """
        self.learning.restore(state)

    def schema(self) -> dict[str, Any]:  # Any: JSON
        """Tell what goes in and comes out."""
        return {"inputs": {"type": "image"}, "outputs": {"type": "class", "classes": self.labels}}

    def save(self, folder: Path) -> None:
        """Write the network and the names of its classes."""
        save_arrays(folder / WEIGHTS, self.network.weights)
        about = {"labels": self.labels, "scale": self.scale, "settings": self.settings, "seed": self.seed}
        write_json(folder / ABOUT, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that `save` wrote."""
        about = json.loads((folder / ABOUT).read_text())
        found = cls(about["settings"], about["seed"])
        found.labels = about["labels"]
        found.scale = (about["scale"][0], about["scale"][1])
        found.network = Network(load_arrays(folder / WEIGHTS))
        return found

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """Return `{"label", "confidence"}` for each image.

        Raises:
            UserMistake: an image cannot be read.
        """
        for place, value in enumerate(inputs):
            if wrong := _wrong_input(value):
                raise UserMistake(f"image {place}: {wrong}")
        chances = softmax(self._logits(_pixels(inputs, [str(place) for place in range(len(inputs))])))
        best = chances.argmax(axis=1)
        return [
            {"label": self.labels[place], "confidence": float(chance[place])}
            for place, chance in zip(best.tolist(), chances, strict=True)
        ]

    def scores(self, items: Sequence[Item]) -> dict[str, float]:
        """Return 1 for each image whose class is answered rightly, else 0."""
        answers = self.predict([item["input"] for item in items])
        return {
            str(item["id"]): float(answer["label"] == item["expected_output"])
            for item, answer in zip(items, answers, strict=True)
        }

    def _scaled(self, images: "Floats") -> "Floats":
        import numpy as np

        mean, spread = self.scale
        return (images - np.float32(mean)) * np.float32(1 / spread)

    def _places(self, items: Sequence[Item]) -> "Rows":
        """Return the class of each item."""
        import numpy as np

        places = {label: place for place, label in enumerate(self.labels)}
        return np.array([places.get(item["expected_output"], NOWHERE) for item in items], dtype=np.int64)

    def _targets(self, truths: "Rows") -> "Floats":
        return smoothed(truths, len(self.labels), self.settings["smoothing"])

    def _logits(self, images: "Floats") -> "Floats":
        """Return a logit of each class for each image."""
        import numpy as np

        found: Floats = np.empty((len(images), len(self.labels)), dtype=np.float32)
        for some in batches_of(len(images), AT_ONCE):
            found[some] = self.network.forward(self._scaled(images[some]))[0]
        return found


def _order(label: Label) -> tuple[bool, int, str]:
    """Numbers by their size, then texts by their letters."""
    return (True, 0, label) if isinstance(label, str) else (False, label, "")


def _wrong_label(item: Item) -> str | None:
    label = item.get("expected_output")
    if label is None:
        return "expected_output: missing; the class as a text or a whole number"
    if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
        return f"expected_output: {label!r} is neither a text nor a whole number"
    return None


def _wrong_input(value: Any) -> str | None:  # Any: a person's JSON
    if value is None:
        return 'input: missing; {"rows": [[0 to 255, ...], ...]} or {"path": "image.png"}'
    if not isinstance(value, Mapping) or len({"rows", "path"} & set(value)) != 1:
        return 'input: neither {"rows": [[0 to 255, ...], ...]} nor {"path": "image.png"}'
    if "path" in value:
        path = value["path"]
        return None if isinstance(path, str) and path else f"input.path: {path!r} is not the name of a file"
    return _wrong_rows(value["rows"])


def _wrong_rows(rows: Any) -> str | None:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        return "input.rows: not a list of lists of numbers"
    for place, row in enumerate(rows):
        if len(row) != len(rows[0]):
            return f"input.rows: row {place} has {len(row)} pixels, row 0 has {len(rows[0])}"
        if set(map(type, row)) != {int} or min(row) < 0 or max(row) > 255:
            return f"input.rows: row {place} holds something else than whole numbers from 0 to 255"
    return None


def _pixels_of(items: Sequence[Item]) -> "Floats":
    return _pixels([item["input"] for item in items], [str(item.get("id")) for item in items])


def _pixels(inputs: Sequence[Any], names: Sequence[str]) -> "Floats":
    """Return images as numbers from 0 to 1, shape (images, SIDE, SIDE)."""
    import numpy as np

    found: Floats = np.zeros((len(inputs), SIDE, SIDE), dtype=np.float32)
    for place, (value, name) in enumerate(zip(inputs, names, strict=True)):
        image = np.array(value["rows"], dtype=np.float32) if "rows" in value else _from_file(value["path"], name)
        found[place] = _resized(image) / np.float32(255)
    return found


def _from_file(path: str, name: str) -> "Floats":
    import numpy as np

    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra(f"image {name}: reading {path} needs Pillow: pip install pillow") from error
    try:
        with Image.open(path) as file:
            # Those of 16 bits would be cut off at 255.
            deep = file.mode.startswith("I")
            pixels: Floats = np.array(file if deep else file.convert("L"), dtype=np.float32)
            pixels /= np.float32(257 if deep else 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserMistake(f"image {name}: {path} cannot be read: {one_line(error)}") from error
    return pixels


def _resized(image: "Floats") -> "Floats":
    """Return an image of SIDE rows and columns: each pixel is the mean of the area that it stands for."""
    import numpy as np

    if image.shape == (SIDE, SIDE):
        return image
    return (_areas(image.shape[0]) @ image @ _areas(image.shape[1]).T).astype(np.float32)


def _areas(length: int) -> "Floats":
    """Return how much each of `length` pixels counts in each of SIDE pixels, shape (SIDE, length)."""
    import numpy as np

    starts = np.arange(SIDE)[:, None] * (length / SIDE)
    pixels = np.arange(length)[None, :]
    shared = np.clip(np.minimum(starts + length / SIDE, pixels + 1) - np.maximum(starts, pixels), 0, None)
    found: Floats = (shared * SIDE / length).astype(np.float32)
    return found


def _moved(images: "Floats", generator: "Generator", most: int) -> "Floats":
    """Return the images, each moved by up to `most` pixels both ways; what comes in is black."""
    import numpy as np

    if not most:
        return images
    steps = generator.integers(0, 2 * most + 1, size=(len(images), 2))
    wide = np.pad(images, ((0, 0), (most, most), (most, most)))
    lines = steps[:, :, None] + np.arange(SIDE)
    found: Floats = wide[np.arange(len(images))[:, None, None], lines[:, 0, :, None], lines[:, 1, None, :]]
    return found
