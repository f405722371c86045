"""Features as numbers for learners. Needs NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overnight.learning.selection.policy import Features

Numbers = NDArray[np.float64]


class Encoder:
    """Numbers as the logarithm of how great they are, with their sign; a word is 1 in a column of its own, else 0.

    The columns are those of the features that it was made from. A missing number lies a little below the least one, so
    that a tree can tell it apart.
    """

    def __init__(self, known: Sequence[Features]) -> None:
        numbers: dict[str, None] = {}
        words: dict[tuple[str, str], None] = {}
        for one in known:
            for name, value in one.items():
                if isinstance(value, str):
                    words[name, value] = None
                elif value is not None:
                    numbers[name] = None
        self._numbers, self._words = list(numbers), list(words)
        self._missing = np.zeros(len(numbers))
        if numbers:
            scaled = _scaled(np.array([[_number(one.get(name)) for name in numbers] for one in known]))
            least, most = np.nanmin(scaled, axis=0), np.nanmax(scaled, axis=0)
            self._missing = least - 0.1 * (most - least) - 1e-6

    def encode(self, features: Features) -> Numbers:
        """Return the numbers of one piece of work, one for each column."""
        scaled = _scaled(np.array([_number(features.get(name)) for name in self._numbers]))
        is_word = np.array([float(features.get(name) == word) for name, word in self._words])
        return np.concatenate([np.where(np.isnan(scaled), self._missing, scaled), is_word])


def _number(value: float | str | None) -> float:
    return np.nan if value is None or isinstance(value, str) else value


def _scaled(values: Numbers) -> Numbers:
    scaled: Numbers = np.sign(values) * np.log1p(np.abs(values))
    return scaled
