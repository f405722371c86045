"""Executes an exercise in the training of models: trains for real, and measures on items that were held out."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from overnight.base.clock import Clock, SystemClock
from overnight.learning.calibration import calibration_error
from overnight.learning.checks import Expected
from overnight.learning.executed import Executed, judged
from overnight.learning.exercises import Exercise
from overnight.learning.items import Items, load, one_core
from overnight.learning.members import Member, answer, train_members
from overnight.learning.parameters import TrainingParameters
from overnight.learning.recipes import Recipe
from overnight.learning.reference import figure

if TYPE_CHECKING:
    from overnight.learning.items import Columns

REHEARSED = 2
"""Epochs of the rehearsal in which memory is measured: in the second one all that training holds is there."""


def execute(
    exercise: Exercise, ways: Sequence[TrainingParameters], seed: int, *, clock: Clock | None = None
) -> Executed:
    """Train with the parameters of each way, answer the held-out items together, and judge what was measured.

    `seed` decides where training starts and in which order it sees the items, and nothing about which items there are.
    Time is that of the wall, without the making of the items and the loading of libraries. Memory is that which Python
    and NumPy have allocated for training and answering (`tracemalloc`), at its most, in MB of 10^6 bytes: neither the
    libraries, nor the items, nor what compiled code allocates by itself. It is measured in a rehearsal before, with the
    same parameters but at most two epochs, because tracing makes training three times as slow, and what training
    holds does not grow with the epochs.

    Raises:
        UserMistake: the exercise's `work` is no recipe for items.
        MissingExtra: scikit-learn is not installed.
    """
    recipe = Recipe.from_dict(exercise.work)
    clock = clock or SystemClock()
    with one_core():
        items = load(recipe)
        memory_mb = _most_mb(items, ways, seed)
        began_s = clock.monotonic()
        members, given = _performed(items, ways, seed)
        time_s = clock.monotonic() - began_s
        answers = given.argmax(axis=1)
    measured = {
        "time_s": time_s,
        "memory_mb": memory_mb,
        "calibration_error": _calibration(items, given),
        "accuracy": figure("accuracy", items.held_out.labels, answers),
        "macro_f1": figure("macro_f1", items.held_out.labels, answers),
    }
    told = [_facts(some, items) for some in members]
    return Executed(
        checks={check.name: judged(check, measured) for check in exercise.checks if isinstance(check, Expected)},
        time_s=time_s,
        memory_mb=memory_mb,
        answers=tuple(items.labels[place] for place in answers.tolist()),
        facts=told[0] if len(told) == 1 else {"ways": told},
    )


def _performed(items: Items, ways: Sequence[TrainingParameters], seed: int) -> "tuple[list[list[Member]], Columns]":
    """Return the models that each way has trained, and the mean of what the ways answer."""
    members = [train_members(items.training, len(items.labels), way, seed) for way in ways]
    given = [answer(some, items.held_out.columns) for some in members]
    return members, sum(given[1:], given[0]) / len(ways)


def _most_mb(items: Items, ways: Sequence[TrainingParameters], seed: int) -> float:
    """Return the most memory that a rehearsal has allocated at once."""
    # What a library loads and keeps at its first use is not the training's.
    _performed(items, [replace(ways[0], epochs=1, ensemble=1)], seed)
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        _performed(items, [replace(way, epochs=min(REHEARSED, way.epochs)) for way in ways], seed)
        return (tracemalloc.get_traced_memory()[1] - before) / 1e6
    finally:
        if not traced:
            tracemalloc.stop()


def _calibration(items: Items, given: "Columns") -> float:
    right = given.argmax(axis=1) == items.held_out.labels
    return calibration_error(given.max(axis=1).tolist(), right.tolist())


def _facts(members: list[Member], items: Items) -> dict[str, Any]:
    first = members[0]
    return {
        "members": len(members),
        "epochs": [one.epochs for one in members],
        "stopped_early": [one.stopped_early for one in members],
        "best_epoch": [one.best_epoch for one in members],
        "learning_rate": first.model.learning_rate_init,
        "regularisation": first.model.alpha,
        "training_loss": [float(one.model.loss_) for one in members],
        "weight_norm": [one.weight_norm for one in members],
        "training_items": first.training_items,
        "watched_items": first.watched_items,
        "held_out_items": len(items.held_out.labels),
        "batch": first.model.batch_size,
        "hidden": first.model.hidden_layer_sizes[0],
    }
