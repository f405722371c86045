"""A network of two convolutions and two dense layers, forward and backward, in NumPy.

After LeNet-5 (LeCun et al. 1998, Proc. IEEE 86:2278), with rectifiers, the highest of four pixels, and dropout.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.training.models.gradients import kept_by_dropout, scaled_normal

if TYPE_CHECKING:
    from numpy import bool_, float32
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[float32]
    Marks = NDArray[bool_]

KERNEL = 5
CHANNELS = (8, 16)
FLAT = 4 * 4 * CHANNELS[1]
"""Numbers that are left of 28 x 28 pixels: 24 x 24, halved, less 4, halved."""
HIDDEN = 128


@dataclass
class Trace:
    """What the way back needs of the way forward."""

    first: "Floats"
    first_kept: "tuple[Marks, ...]"
    middle: "Marks"
    second: "Floats"
    second_shape: tuple[int, ...]
    second_kept: "tuple[Marks, ...]"
    flat: "Floats"
    hidden: "Floats"
    factors: "Floats"


class Network:
    """Images of 28 x 28 numbers to a logit for each class."""

    def __init__(self, weights: "dict[str, NDArray[Any]]") -> None:
        self.weights = weights

    @classmethod
    def new(cls, generator: "Generator", classes: int) -> "Network":
        """Return a network that has learnt nothing."""
        import numpy as np

        square = KERNEL * KERNEL
        shapes = {
            "first": (square, CHANNELS[0]),
            "second": (square * CHANNELS[0], CHANNELS[1]),
            "third": (FLAT, HIDDEN),
            "last": (HIDDEN, classes),
        }
        weights: dict[str, NDArray[Any]] = {}
        for name, shape in shapes.items():
            weights[name] = scaled_normal(generator, shape, shape[0])
            weights[f"{name}_bias"] = np.zeros(shape[1], dtype=np.float32)
        return cls(weights)

    def forward(
        self, images: "Floats", generator: "Generator | None" = None, dropped: float = 0.0
    ) -> "tuple[Floats, Trace]":
        """Return the logits and what `backward` needs; with a generator, parts of the last layers are dropped."""
        import numpy as np

        of = self.weights
        windows, shape = _windows(images[:, :, :, None])
        pooled, first_kept = _pooled((windows @ of["first"] + of["first_bias"]).reshape(*shape, CHANNELS[0]))
        middle = pooled > 0
        second, second_shape = _windows(np.maximum(pooled, 0))
        pooled, second_kept = _pooled((second @ of["second"] + of["second_bias"]).reshape(*second_shape, CHANNELS[1]))
        flat = np.maximum(pooled, 0).reshape(len(images), FLAT)
        hidden = np.maximum(flat @ of["third"] + of["third_bias"], 0)
        factors: Floats = np.ones((1, 1), dtype=np.float32)
        if generator is not None and dropped:
            factors = kept_by_dropout(generator, hidden.shape, dropped)
            hidden = hidden * factors
        logits: Floats = hidden @ of["last"] + of["last_bias"]
        trace = Trace(windows, first_kept, middle, second, second_shape, second_kept, flat, hidden, factors)
        return logits, trace

    def backward(self, trace: Trace, gradient: "Floats") -> "dict[str, Floats]":
        """Return the gradient by each weight, from that by the logits."""
        of = self.weights
        found = {"last": trace.hidden.T @ gradient, "last_bias": gradient.sum(axis=0)}
        hidden = (gradient @ of["last"].T) * (trace.hidden > 0) * trace.factors
        found |= {"third": trace.flat.T @ hidden, "third_bias": hidden.sum(axis=0)}
        flat = (hidden @ of["third"].T) * (trace.flat > 0)
        count, rows, columns = trace.second_shape
        pooled = flat.reshape(count, rows // 2, columns // 2, CHANNELS[1])
        second = _unpooled(pooled, trace.second_kept).reshape(-1, CHANNELS[1])
        found |= {"second": trace.second.T @ second, "second_bias": second.sum(axis=0)}
        spread = (second @ of["second"].T).reshape(count, rows, columns, CHANNELS[0], KERNEL, KERNEL)
        first = _unpooled(_gathered(spread) * trace.middle, trace.first_kept).reshape(-1, CHANNELS[0])
        return found | {"first": trace.first.T @ first, "first_bias": first.sum(axis=0)}


def _windows(images: "Floats") -> "tuple[Floats, tuple[int, ...]]":
    """Return each square of KERNEL x KERNEL pixels as a row, and (images, rows, columns) of the squares."""
    import numpy as np

    views = np.lib.stride_tricks.sliding_window_view(images, (KERNEL, KERNEL), axis=(1, 2))
    count, rows, columns, channels = views.shape[:4]
    found: Floats = views.reshape(count * rows * columns, channels * KERNEL * KERNEL)
    return found, (count, rows, columns)


def _gathered(spread: "Floats") -> "Floats":
    """Return the sum over all windows that a pixel is part of."""
    import numpy as np

    count, rows, columns, channels = spread.shape[:4]
    found: Floats = np.zeros((count, rows + KERNEL - 1, columns + KERNEL - 1, channels), dtype=spread.dtype)
    for down in range(KERNEL):
        for right in range(KERNEL):
            found[:, down : down + rows, right : right + columns] += spread[..., down, right]
    return found


def _pooled(images: "Floats") -> "tuple[Floats, tuple[Marks, ...]]":
    """Return the highest of each four pixels, and marks of where it was: one of the four, the first of equals."""
    import numpy as np

    one, two, three, four = (images[:, down::2, right::2] for down in (0, 1) for right in (0, 1))
    upper, lower = np.maximum(one, two), np.maximum(three, four)
    above, left, right = upper >= lower, one >= two, three >= four
    return np.maximum(upper, lower), (above & left, above & ~left, ~above & right, ~above & ~right)


def _unpooled(gradient: "Floats", kept: "tuple[Marks, ...]") -> "Floats":
    """Return the gradient of the pixels before `_pooled`: it goes to the highest of each four."""
    import numpy as np

    count, rows, columns, channels = gradient.shape
    found: Floats = np.empty((count, rows * 2, columns * 2, channels), dtype=gradient.dtype)
    for place, marks in enumerate(kept):
        found[:, place // 2 :: 2, place % 2 :: 2] = gradient * marks
    return found
