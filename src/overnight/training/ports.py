"""What trains a model of one `model_type`: a batch at a time, so that it can be watched, stopped and resumed anywhere.

The loop is `training.run`; it owns the order of the items, the checkpoints and the figures. A trainer owns the model.
All its chance comes from its seed: the same items, settings and seed give the same bits on one machine's CPU, whether
the training was interrupted or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

if TYPE_CHECKING:
    from numpy import generic, int64
    from numpy.typing import NDArray

Item = Mapping[str, Any]  # Any: an experience's own JSON
"""One experience: `input` and `expected_output` as its model_type has them, and `id`."""


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a training needs to go on: arrays by name (no objects), and JSON beside them."""

    arrays: "Mapping[str, NDArray[generic]]"
    values: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What was measured on the items that are not trained on: the loss, and the metric of the model_type.

    Each is None where these items do not tell it.
    """

    loss: float | None = None
    metric: float | None = None


class Trainer(Protocol):
    """One model while it is trained. One thread uses it. A lower loss is better; of the metric, `metric_sign` tells.

    It may have a method `schema()`, which tells once it was trained what goes in and comes out, as JSON: `inputs` and
    `outputs`, each an object with `type` (text, audio, image, rows, pair, class, number) and what belongs to it, such
    as `classes`. A version with another schema than the one before is a major one.

    A loaded one may also have what versions are compared by, see `training.comparing`: `scores(items)`, which returns
    the score, more is better, of each independent unit by its name, with `score_bounds` (lowest, highest) and
    `score_title` (where it is not the metric); or `compared_by`, the name of a metric of predictions. The versions of
    one that has neither are not compared, and none of them serves by itself after the first.
    """

    metric: ClassVar[str]
    """The name of what `validate` measures, such as "accuracy", "EER" or "Spearman"."""

    metric_sign: ClassVar[int]
    """1 where a higher metric is better, -1 where a lower one is."""

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:  # Any: the settings' own JSON
        """Make the trainer.

        Raises:
            ConfigError: there is no such setting, or its value cannot be used.
            MissingExtra: what it needs is not installed.
        """

    def check(self, item: Item) -> str | None:
        """Return what is wrong with an experience, in one line that names the field; None where nothing is.

        Looks at nothing but the item and the settings: no file is read.
        """

    def prepare(self, training: Sequence[Item], validation: Sequence[Item], epochs: int) -> None:
        """Encode the items and set up the model; the same items give the same model.

        Raises:
            UserMistake, PermanentError: an item cannot be read, or there are too few; the message says which.
        """

    @property
    def batch_size(self) -> int:
        """How many items one call of `train_batch` takes at the most."""

    def train_batch(self, rows: "NDArray[int64]", epoch: int) -> float:
        """Learn from the training items at these places, shape (n,), and return their mean loss.

        `epoch` counts from 0. Called with the batches of an epoch in a random order that the loop draws.
        """

    def validate(self) -> Validation:
        """Measure the model as it is now on the validation items. Changes nothing, draws no random number."""

    def state(self) -> State:
        """Return all that `train_batch` reads and changes: weights, optimiser, schedule, random generators.

        What follows from items, settings and seed alone need not be in it.
        """

    def restore(self, state: State) -> None:
        """Go on from a state; `prepare` was called with the same items and epochs, settings and seed before."""

    def save(self, folder: Path) -> None:
        """Write the model, without what only training needs, into the folder, as files that are not pickled."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that `save` wrote, ready for `predict`."""

    def predict(self, inputs: Sequence[Any]) -> list[Any]:  # Any: as the model_type has them
        """Return an answer for each input, as JSON-able values."""
