"""The items of an exercise: loaded or generated, and parted into those to train on and those held out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from typing import TYPE_CHECKING

from overnight.base.errors import MissingExtra
from overnight.learning.recipes import GENERATED, Recipe

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.random import RandomState
    from numpy.typing import NDArray

    Columns = NDArray[float64]
    Places = NDArray[int64]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some items: `columns` of shape (items, columns), and for each item the place of its label in `Items.labels`."""

    columns: "Columns"
    labels: "Places"

    def taken(self, rows: "Places") -> "Part":
        """Return the items of these rows."""
        return Part(columns=self.columns[rows], labels=self.labels[rows])


@dataclass(frozen=True, kw_only=True)
class Items:
    """The items of an exercise; what is `held_out` is never trained on, nor used to scale the columns."""

    labels: tuple[str, ...]
    training: Part
    held_out: Part


@contextmanager
def one_core() -> Iterator[None]:
    """Keep what scikit-learn computes to one core: executions run beside each other, and are timed.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    if find_spec("sklearn") is None:
        raise MissingExtra("exercises in the training of models need the extra 'ml': pip install 'overnight[ml]'")
    # Threads are limited in the libraries that are loaded, so they are loaded before.
    import sklearn.neural_network
    import sklearn.svm  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        yield


def load(recipe: Recipe) -> Items:
    """Return the items that a recipe makes: the held-out ones are chosen first, the columns scaled by the others.

    Of equal items there is one, so that none stands on both sides.
    """
    import numpy as np

    draw = np.random.RandomState(recipe.seed)
    labels = tuple(recipe.labels)
    pool = _pool(recipe, draw)
    sides: tuple[list[Places], list[Places]] = ([], [])
    counts = [recipe.counts(items) for items in (recipe.held_out_items, recipe.training_items)]
    for place, label in enumerate(labels):
        mine = draw.permutation(np.flatnonzero(pool.labels == place))
        held_out, both = counts[0][label], counts[0][label] + counts[1][label]
        sides[0].append(mine[:held_out])
        sides[1].append(mine[held_out:both])
    held_out_rows, training_rows = (np.concatenate(side) for side in sides)
    pool = _disturbed(pool, recipe, draw)
    training, held = pool.taken(training_rows), pool.taken(held_out_rows)
    mean, spread = training.columns.mean(axis=0), training.columns.std(axis=0)
    spread[spread == 0] = 1
    return Items(
        labels=labels,
        training=Part(columns=(training.columns - mean) / spread, labels=training.labels),
        held_out=Part(columns=(held.columns - mean) / spread, labels=held.labels),
    )


def _pool(recipe: Recipe, draw: "RandomState") -> Part:
    """Return enough different items of each label."""
    import numpy as np

    columns, found = _generated(recipe, draw) if recipe.data == GENERATED else _found(recipe)
    _, first = np.unique(columns, axis=0, return_index=True)
    rows = np.sort(first)
    return Part(columns=columns[rows], labels=found[rows])


def _found(recipe: Recipe) -> "tuple[Columns, Places]":
    import numpy as np
    from sklearn import datasets

    columns, found = getattr(datasets, f"load_{recipe.data}")(return_X_y=True)
    wanted = [int(label) for label in recipe.labels]
    rows = np.isin(found, wanted)
    places = np.zeros(max(wanted) + 1, dtype=np.int64)
    places[wanted] = np.arange(len(wanted))
    return columns[rows].astype(np.float64), places[found[rows]]


def _generated(recipe: Recipe, draw: "RandomState") -> "tuple[Columns, Places]":
    from sklearn.datasets import make_classification

    needed = [
        recipe.counts(recipe.held_out_items)[one] + recipe.counts(recipe.training_items)[one] for one in recipe.labels
    ]
    each = ceil(max(needed) / recipe.clusters)
    columns, found = make_classification(
        n_samples=each * recipe.clusters * len(recipe.labels),
        n_features=recipe.columns,
        n_informative=recipe.informative,
        n_redundant=0,
        n_classes=len(recipe.labels),
        n_clusters_per_class=recipe.clusters,
        class_sep=recipe.separation,
        flip_y=0,
        random_state=draw,
    )
    return columns, found


def _disturbed(pool: Part, recipe: Recipe, draw: "RandomState") -> Part:
    """Return the items with the recipe's noise in their columns and labels."""
    import numpy as np

    wrong = draw.random_sample(len(pool.labels)) < recipe.label_noise
    others = draw.randint(1, len(recipe.labels), size=len(pool.labels))
    noise = draw.standard_normal(pool.columns.shape) * pool.columns.std(axis=0) * recipe.column_noise
    labels = np.where(wrong, (pool.labels + others) % len(recipe.labels), pool.labels)
    return Part(columns=pool.columns + noise, labels=labels)
