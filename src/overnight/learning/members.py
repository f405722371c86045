"""The models that an exercise trains: small networks, epoch by epoch, one or several of them asked together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overnight.learning.items import Part
from overnight.learning.parameters import TrainingParameters
from overnight.proof.splits import position

if TYPE_CHECKING:
    from numpy.random import RandomState

    from overnight.learning.items import Columns

HIDDEN = 32
BATCH = 32
SET_APART = 0.15
"""The share of the training items that early stopping watches, and that are not trained on."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A trained model, and what its training was; `best_epoch` is None without early stopping."""

    model: Any  # of scikit-learn, which has no types
    epochs: int
    stopped_early: bool
    best_epoch: int | None
    training_items: int
    watched_items: int

    @property
    def weight_norm(self) -> float:
        """The root of the sum of the squared weights, which regularisation keeps small."""
        import numpy as np

        return float(np.sqrt(sum((weights**2).sum() for weights in self.model.coefs_)))


def train_members(training: Part, labels: int, parameters: TrainingParameters, seed: int) -> list[Member]:
    """Train the members of an ensemble, each from a seed of its own that follows from `seed`."""
    import numpy as np

    found = []
    for number in range(parameters.ensemble):
        place = position(str(number), salt=str(seed), purpose="member")
        draw = np.random.RandomState(int(place * 2**32))
        found.append(_trained(training, labels, parameters, draw))
    return found


def answer(members: Sequence[Member], columns: "Columns") -> "Columns":
    """Return the mean of the members' probabilities, of shape (items, labels)."""
    total: Columns = sum(member.model.predict_proba(columns) for member in members)
    return total / len(members)


def _trained(training: Part, labels: int, parameters: TrainingParameters, draw: "RandomState") -> Member:
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    mine, watched = _apart(training, draw) if parameters.early_stopping else (training, None)
    model = MLPClassifier(
        hidden_layer_sizes=(HIDDEN,),
        batch_size=min(BATCH, len(mine.labels)),
        learning_rate_init=parameters.learning_rate,
        alpha=parameters.regularisation,
        random_state=draw,
    )
    watch = _Watch(watched, parameters.early_stopping) if watched else None
    epochs = 0
    while epochs < parameters.epochs and not (watch and watch.over):
        model.partial_fit(mine.columns, mine.labels, classes=np.arange(labels))
        epochs += 1
        if watch:
            watch.look(model, epochs)
    stopped_early = watch is not None and watch.over
    if watch:
        watch.put_back(model)
    return Member(
        model=model,
        epochs=epochs,
        stopped_early=stopped_early,
        best_epoch=watch.best_epoch if watch else None,
        training_items=len(mine.labels),
        watched_items=len(watched.labels) if watched else 0,
    )


def _apart(training: Part, draw: "RandomState") -> tuple[Part, Part]:
    """Return the items to train on, and those to watch the loss of."""
    order = draw.permutation(len(training.labels))
    watched = max(1, round(SET_APART * len(order)))
    return training.taken(order[watched:]), training.taken(order[:watched])


class _Watch:
    """Looks at the loss of watched items after each epoch, and keeps the weights that had the least."""

    def __init__(self, items: Part, patience: int) -> None:
        self._items, self._patience = items, patience
        self._least = float("inf")
        self._kept: list[Any] = []
        self._epoch = self.best_epoch = 0

    @property
    def over(self) -> bool:
        """Whether the loss has not been less for as many epochs as there is patience."""
        return self._epoch - self.best_epoch >= self._patience

    def look(self, model: Any, epoch: int) -> None:
        """Look at the model after an epoch."""
        import numpy as np

        self._epoch = epoch
        given = model.predict_proba(self._items.columns)[np.arange(len(self._items.labels)), self._items.labels]
        loss = -float(np.log(np.maximum(given, 1e-12)).mean())
        if loss < self._least:
            self._least, self.best_epoch = loss, epoch
            self._kept = [weights.copy() for weights in (*model.coefs_, *model.intercepts_)]

    def put_back(self, model: Any) -> None:
        """Give the model the weights that had the least loss."""
        for weights, kept in zip((*model.coefs_, *model.intercepts_), self._kept, strict=True):
            weights[...] = kept
