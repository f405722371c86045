"""What trainers share that learn by gradients, in NumPy: losses, the optimiser, its schedule, weights as files.

Everything is float32, happens in a fixed order, and goes on from its state with the same bits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.base.errors import MissingExtra
from overnight.training.arrays import put_back
from overnight.training.ports import State

if TYPE_CHECKING:
    from numpy import bool_, float32, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[float32]
    Rows = NDArray[int64]

FIRST, SECOND, TINY = 0.9, 0.99, 1e-7
"""How much of the mean gradient and of the mean square is kept, and what keeps a quotient finite."""
WARM = 0.05
"""Share of the steps in which the rate rises."""
WEIGHT, MEAN, SQUARE = "weight.", "mean.", "square."


@dataclass(frozen=True)
class RowGradient:
    """A gradient that is 0 outside of some rows of its weight: their places, each once, and their gradient."""

    rows: "Rows"
    values: "Floats"


class Learning:
    """Weights while they are learnt: Adam, a schedule, and the generator of all chance.

    Adam: Kingma and Ba (2015, arXiv:1412.6980), without its correction of the first steps, for with these two shares
    the first step has its full length, (1 - 0.9) / sqrt(1 - 0.99) = 1; rows without a gradient wait as they are. A rate
    that falls as half a cosine: Loshchilov and Hutter (2017, arXiv:1608.03983). Weights are updated in place. `rate` is
    that at the top of the schedule, `steps` its length.
    """

    def __init__(self, weights: "dict[str, Floats]", generator: "Generator", *, steps: int, rate: float) -> None:
        import numpy as np

        self.weights = weights
        self.generator = generator
        self.done = 0
        self._steps, self._rate = steps, rate
        self._means = {name: np.zeros_like(weight) for name, weight in weights.items()}
        self._squares = {name: np.zeros_like(weight) for name, weight in weights.items()}

    def step(self, gradients: "Mapping[str, Floats | RowGradient]") -> None:
        """Take one step against the gradients; there is one for each weight."""
        import numpy as np

        rate = np.float32(self._rate * scheduled(self.done, self._steps))
        self.done += 1
        for name, weight in self.weights.items():
            gradient, mean, square = gradients[name], self._means[name], self._squares[name]
            if isinstance(gradient, RowGradient):
                rows = gradient.rows
                parts = weight[rows], mean[rows], square[rows]
                _step(*parts, gradient.values, rate)
                weight[rows], mean[rows], square[rows] = parts
            else:
                _step(weight, mean, square, gradient, rate)

    def state(self) -> State:
        """Return copies of all that `step` and the generator read and change."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return State(arrays=arrays, values={"steps": self.done, "generator": generator_state(self.generator)})

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            PermanentError: it is of another model.
        """
        put_back(state.arrays, self._arrays())
        self.done = int(state.values["steps"])
        restore_generator(self.generator, state.values["generator"])

    def _arrays(self) -> "dict[str, Floats]":
        groups = ((WEIGHT, self.weights), (MEAN, self._means), (SQUARE, self._squares))
        return {f"{kind}{name}": array for kind, group in groups for name, array in group.items()}


def _step(weight: "Floats", mean: "Floats", square: "Floats", gradient: "Floats", rate: "float32") -> None:
    import numpy as np

    mean += np.float32(1 - FIRST) * (gradient - mean)
    square += np.float32(1 - SECOND) * (gradient * gradient - square)
    weight -= rate * mean / (np.sqrt(square) + np.float32(TINY))


def scheduled(step: int, steps: int) -> float:
    """Return the share of the highest rate that a step gets: up to 1 in a straight line, then half a cosine to 0."""
    warm = max(1, round(WARM * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def steps_of(items: int, batch_size: int, epochs: int) -> int:
    """Return how many batches so many epochs have."""
    return max(1, epochs) * math.ceil(items / batch_size)


def softmax(logits: "Floats") -> "Floats":
    """Return e^logit over its sum, by row."""
    import numpy as np

    found: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    return found


def cross_entropy(logits: "Floats", targets: "Floats") -> "tuple[Floats, Floats]":
    """Return -sum(target ln softmax(logit)) of each row, and the gradient of their mean by the logits."""
    import numpy as np

    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    sums = powers.sum(axis=1, keepdims=True)
    losses: Floats = (targets * (np.log(sums) - shifted)).sum(axis=1)
    gradient: Floats = (powers / sums - targets) / np.float32(len(logits))
    return losses, gradient


def smoothed(labels: "Rows", classes: int, smoothing: float) -> "Floats":
    """Return targets of which a share is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567)."""
    import numpy as np

    targets = np.full((len(labels), classes), smoothing / classes, dtype=np.float32)
    targets[np.arange(len(labels)), labels] += np.float32(1 - smoothing)
    return targets


def kept_by_dropout(generator: "Generator", shape: tuple[int, ...], dropped: float) -> "Floats":
    """Return factors of 0 for what is dropped and 1 / (1 - dropped) for the rest (Srivastava et al. 2014, JMLR 15)."""
    import numpy as np

    keeps: NDArray[bool_] = generator.random(shape, dtype=np.float32) >= np.float32(dropped)
    return keeps * np.float32(1 / (1 - dropped))


def scaled_normal(generator: "Generator", shape: tuple[int, ...], inputs: int) -> "Floats":
    """Return first weights of a layer of rectifiers, N(0, 2 / inputs) (He et al. 2015, arXiv:1502.01852)."""
    import numpy as np

    return generator.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(2 / inputs))


def generator_state(generator: "Generator") -> dict[str, Any]:
    """Return where a PCG64 generator stands as JSON; its numbers of 128 bits as text."""
    state = generator.bit_generator.state
    inner = {name: str(number) for name, number in state["state"].items()}
    return {**state, "state": inner}


def restore_generator(generator: "Generator", state: Mapping[str, Any]) -> None:
    """Put a generator where `generator_state` found it."""
    inner = {name: int(number) for name, number in state["state"].items()}
    generator.bit_generator.state = {**state, "state": inner}


def needs_numpy() -> None:
    """Say which extra is missing before anything is done.

    Raises:
        MissingExtra: NumPy or SciPy is not installed.
    """
    try:
        import numpy  # noqa: F401
        import scipy.sparse  # noqa: F401
    except ImportError as error:
        raise MissingExtra("the built-in trainers need the extra 'ml': pip install 'overnight[ml]'") from error


def batches_of(count: int, size: int) -> Sequence[slice]:
    """Return slices that cut so many rows into pieces of at most `size`, in order."""
    return [slice(start, start + size) for start in range(0, count, size)]
