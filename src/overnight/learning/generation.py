"""Makes exercises in the training of models: the same for the same seed, and fresh ones for each other seed.

What an exercise asks for follows from its data and from nothing else:

- `accuracy` (macro-F1 where labels are rare or many): the share `ASKED` of the way from answering always the same to
  the better of two simple learners, on the held-out items of this exercise (`overnight.learning.reference`). A fixed
  figure would be out of reach on noisy data and no effort on easy data; a share of what is known to be possible is
  neither. `benchmarks/exercises.py` says what the strategies reach.
- `calibrated`: an error of at most `MISCALIBRATED`, and on top what a model without any error is expected to show on so
  few items, at most: of n items in b bins, sqrt(b / n) / 2 (each bin's share of right answers has a standard
  deviation of at most 1 / (2 sqrt(n_i)), and the weighted sum of these is largest for bins of equal size).
- `within_time`, `within_memory`: what `ROOM` members with the default epochs take, by the size of the data. One member
  took 0.10, 0.27 and 0.55 s for 50, 300 and 800 items of 64 columns, on one core of a shared server.
"""

from collections.abc import Mapping
from math import sqrt

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion
from overnight.learning.calibration import BINS
from overnight.learning.checks import Expected
from overnight.learning.exercises import COMPLEXITIES, Complexity, Exercise
from overnight.learning.items import load, one_core
from overnight.learning.makers import MAKERS, Draw
from overnight.learning.members import HIDDEN
from overnight.learning.recipes import GENERATED, Recipe
from overnight.learning.reference import reference

ASKED = 0.9
MISCALIBRATED = 0.04
LEAST_WAY = 0.15
"""Data on which the best simple learner is not so far above answering always the same makes no exercise."""
ROOM = 8
SECONDS, SECONDS_AN_ITEM = 1.0, 0.005
"""What `ROOM` members may take, at least and for each training item; see above."""
BYTES_A_WEIGHT, BYTES_A_MEMBER, BYTES_ASKED = 5 * 8, 6000, 2 * 8
"""Of a weight: itself, its gradient, both moments of Adam and what early stopping keeps. What a member takes besides,
and what each held-out item takes for each hidden unit while a model answers, was measured with `tracemalloc`."""
TYPES: Mapping[Complexity, tuple[str, ...]] = {
    "easy": ("tabular_separable",),
    "medium": ("tabular_noisy", "tabular_imbalanced"),
    "hard": ("small_data", "many_classes"),
}
RARE = ("tabular_imbalanced", "many_classes")
"""Types of which macro-F1 is asked, in which every label counts as much as every other."""


def generate(complexity: Complexity, count: int, seed: int, focus: str | None = None) -> list[Exercise]:
    """Return that many exercises; with `focus`, all of that type, which the complexity must have.

    Types take turns, and within each type data that scikit-learn brings and generated data. An exercise follows from
    its name (complexity, type, seed, number), so that lists of other lengths and focus agree where they have the same
    names; its bounds also follow from scikit-learn, whose learners they are measured with.

    Raises:
        UserMistake: there is no such complexity, or it has no such type, or `count` is negative.
        MissingExtra: scikit-learn is not installed.
    """
    types = _types(complexity, count, focus)
    with one_core():
        return [_exercise(complexity, types[place % len(types)], seed, place // len(types)) for place in range(count)]


def _types(complexity: Complexity, count: int, focus: str | None) -> tuple[str, ...]:
    if complexity not in COMPLEXITIES:
        raise UserMistake(f"complexity: there is no {complexity!r}{suggestion(str(complexity), COMPLEXITIES)}")
    if count < 0:
        raise UserMistake(f"count: {count!r} is less than 0")
    if focus is None:
        return TYPES[complexity]
    if focus not in TYPES[complexity]:
        raise UserMistake(f"focus: {complexity} exercises have no type {focus!r}{suggestion(focus, TYPES[complexity])}")
    return (focus,)


def _exercise(complexity: Complexity, kind: str, seed: int, number: int) -> Exercise:
    name = f"{complexity}-{kind}-{seed}-{number}"
    metric = "macro_f1" if kind in RARE else "accuracy"
    make = MAKERS[kind][number % 2]
    tries = 0
    while True:
        recipe = make(Draw(name=f"{name}/{tries}"))
        found = reference(load(recipe), metric)
        if found.best - found.majority >= LEAST_WAY:
            break
        tries += 1
    return Exercise(
        name=name,
        type=kind,
        complexity=complexity,
        task=_task(recipe, kind),
        work=recipe.to_dict(),
        checks=_checks(recipe, metric, round(found.share(ASKED), 3)),
    )


def _task(recipe: Recipe, kind: str) -> str:
    source = "generated items" if recipe.data == GENERATED else f"items of {recipe.data}"
    what = f"Learn {len(recipe.labels)} labels from {recipe.training_items} {source} of {recipe.width} columns"
    return f"{what} ({kind.replace('_', ' ')})."


def _checks(recipe: Recipe, metric: str, bound: float) -> tuple[Expected, ...]:
    error = round(MISCALIBRATED + sqrt(BINS / recipe.held_out_items) / 2, 3)
    limit_s = round(SECONDS + SECONDS_AN_ITEM * recipe.training_items, 2)
    weights = (recipe.width + 1) * HIDDEN + (HIDDEN + 1) * len(recipe.labels)
    asking = recipe.held_out_items * HIDDEN * BYTES_ASKED
    memory_mb = round((asking + ROOM * (weights * BYTES_A_WEIGHT + BYTES_A_MEMBER)) / 1e6, 3)
    return (
        Expected(name="accuracy", metric=metric, bound=bound, at_least=True),
        Expected(name="within_time", metric="time_s", bound=limit_s, at_least=False),
        Expected(name="within_memory", metric="memory_mb", bound=memory_mb, at_least=False),
        Expected(name="calibrated", metric="calibration_error", bound=error, at_least=False),
    )
