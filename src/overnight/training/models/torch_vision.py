"""A class from a grey image, in PyTorch: a small convolutional network.

[training.models.vision]
trainer = "overnight.training.models.torch_vision:TorchVision"
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from overnight.base.errors import UserMistake
from overnight.training.models.torch_trainer import Facts, TorchTrainer
from overnight.training.ports import Item

if TYPE_CHECKING:
    import torch

SMALLEST = 4
"""Rows and columns that an image has at the least."""


class TorchVision(TorchTrainer):
    """Names the class of a grey image; measured by accuracy.

    An `input` is `{"rows": [[0 to 255, ...], ...]}`, all images of one size; an `expected_output` is a text or a whole
    number. Answers are `{"label": ..., "confidence": its probability}`. Settings of its own: `width` (maps of the first
    layer) and `dropout`.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"width": 16, "dropout": 0.3, "learning_rate": 0.003}

    @classmethod
    def check(cls, item: Item) -> str | None:
        """Return what is wrong with an image or its label, in one line."""
        return _wrong_image(item.get("input")) or super().check(item)

    def describe(self, training: Sequence[Item]) -> Facts:
        """Return the labels, the size of the images, and the mean and spread of their pixels (0 to 1)."""
        facts = super().describe(training)
        size = _size(training[0]["input"])
        pixels = _pixels([item["input"] for item in training], size)
        return {**facts, "size": size, "mean": float(pixels.mean()), "spread": float(pixels.std()) or 1.0}

    def schema(self) -> dict[str, Any]:  # Any: JSON
        """Tell what goes in and comes out."""
        return {"inputs": {"type": "image"}, **super().schema()}

    def build(self, facts: Facts) -> "torch.nn.Module":
        """Return three layers of convolutions, of which two halve the size, and a linear one."""
        from torch import nn

        width, (height, length) = int(self.settings["width"]), facts["size"]
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(self.settings["dropout"]),
            nn.Linear(2 * width * -(-height // 4) * -(-length // 4), len(facts["labels"])),
        )

    def encode(self, inputs: Sequence[Any]) -> "torch.Tensor":
        """Return the images with mean 0 and spread 1 of all training pixels, shape (n, 1, rows, columns).

        Raises:
            UserMistake: an image is none, or has another size than those trained on; the message says which.
        """
        for place, image in enumerate(inputs):
            if wrong := _wrong_image(image):
                raise UserMistake(f"image {place}: {wrong}")
        pixels = _pixels(inputs, self.facts["size"])
        return ((pixels - self.facts["mean"]) / self.facts["spread"]).unsqueeze(1)


def _size(image: Any) -> list[int]:
    """Return the numbers of rows and columns."""
    return [len(image["rows"]), len(image["rows"][0])]


def _pixels(images: Sequence[Any], size: Sequence[int]) -> "torch.Tensor":
    """Return numbers from 0 to 1, shape (n, rows, columns).

    Raises:
        UserMistake: an image has another size; the message says which.
    """
    import numpy as np
    import torch

    for place, image in enumerate(images):
        if _size(image) != list(size):
            raise UserMistake(f"image {place}: its rows and columns are {_size(image)}, and not {list(size)}")
    return torch.from_numpy(np.array([image["rows"] for image in images], dtype=np.uint8)).float() / 255


def _wrong_image(image: Any) -> str | None:  # Any: a person's JSON
    if not isinstance(image, Mapping) or set(image) != {"rows"}:
        return 'input: not {"rows": [[0 to 255, ...], ...]}'
    rows = image["rows"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return "input.rows: not a list of lists of numbers"
    if min([len(rows), *map(len, rows)]) < SMALLEST:
        return f"input.rows: an image has {SMALLEST} rows and columns at the least"
    for place, row in enumerate(rows):
        if len(row) != len(rows[0]):
            return f"input.rows: row {place} has {len(row)} pixels, row 0 has {len(rows[0])}"
        if set(map(type, row)) != {int} or min(row) < 0 or max(row) > 255:
            return f"input.rows: row {place} holds something else than whole numbers from 0 to 255"
    return None
