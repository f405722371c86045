"""Adam over named arrays whose caller sets the rate of each step, and a rate that falls on a straight line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from overnight.training.arrays import put_back
from overnight.training.ports import State

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Floats = NDArray[float32]

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8
"""How much of the mean gradient and of its square a step keeps, and what keeps the quotient finite."""
WARM_UP = 0.05
"""Share of all steps in which the rate rises."""
LEAST = 0.01
"""Share of the rate that is left when all steps are done."""


class Adam:
    """Changes arrays in place, against their gradients (Kingma and Ba 2015, "Adam", algorithm 1)."""

    def __init__(self, arrays: "Mapping[str, Floats]") -> None:
        import numpy as np

        self.arrays = dict(arrays)
        self.steps = 0
        self._means = {name: np.zeros_like(one) for name, one in self.arrays.items()}
        self._squares = {name: np.zeros_like(one) for name, one in self.arrays.items()}

    def step(self, gradients: "Mapping[str, Floats]", rate: float) -> None:
        """Move each array that has a gradient."""
        import numpy as np

        self.steps += 1
        # Both corrections of the start in two scalars, as at the end of the paper's section 2.
        pace = np.float32(rate * (1 - SECOND**self.steps) ** 0.5 / (1 - FIRST**self.steps))
        tiny = np.float32(TINY * (1 - SECOND**self.steps) ** 0.5)
        for name, gradient in gradients.items():
            mean, square = self._means[name], self._squares[name]
            mean *= np.float32(FIRST)
            mean += np.float32(1 - FIRST) * gradient
            square *= np.float32(SECOND)
            square += np.float32(1 - SECOND) * gradient * gradient
            change = np.sqrt(square)
            change += tiny
            np.divide(mean, change, out=change)
            change *= pace
            self.arrays[name] -= change

    def state(self) -> State:
        """Return copies of the arrays and of what the next step needs beside them."""
        arrays = {name: one.copy() for name, one in self._all().items()}
        return State(arrays=arrays, values={"steps": self.steps})

    def restore(self, state: State) -> None:
        """Go on from a state, in the same arrays.

        Raises:
            PermanentError: the state is another model's.
        """
        put_back(state.arrays, self._all())
        self.steps = int(state.values["steps"])

    def _all(self) -> "dict[str, Floats]":
        groups = (("", self.arrays), (".mean", self._means), (".square", self._squares))
        return {f"{name}{kind}": array for kind, group in groups for name, array in group.items()}


def rate_at(step: int, total: int, highest: float) -> float:
    """Return the rate of a step, counted from 0: it rises for `WARM_UP` of all steps, then falls on a straight line."""
    warm = max(1.0, WARM_UP * total)
    if step < warm:
        return highest * (step + 1) / (warm + 1)
    return highest * max(LEAST, (total - step) / max(1.0, total - warm))
