"""Executes an exercise in the training of models: trains for real, and measures on items that were held out."""

import tracemalloc
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from overnight.base.clock import Clock, SystemClock
from overnight.learning.calibration import calibration_error
from overnight.learning.exercises import Exercise, Judged
from overnight.learning.items import Items, load, one_core
from overnight.learning.members import Member, answer, train_members
from overnight.learning.parameters import TrainingParameters
from overnight.learning.recipes import Recipe
from overnight.learning.reference import figure

if TYPE_CHECKING:
    from overnight.learning.items import Columns

REHEARSED = 2
"""Epochs of the rehearsal in which memory is measured: in the second one all that training holds is there."""


@dataclass(frozen=True, kw_only=True)
class Executed:
    """What an execution was.

    `checks` holds for each check of the exercise, by its name, what it says. `time_s` is the time that training and
    answering took, `memory_mb` the most that they held at once, see `execute`. `answers` are the labels that were given
    to the held-out items, always in the same order, for comparison between seeds. `facts` are what the training was,
    read from the models that were trained.
    """

    checks: Mapping[str, Judged]
    time_s: float
    memory_mb: float
    answers: tuple[str, ...]
    facts: Mapping[str, Any]  # Any: JSON

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        return {**asdict(self), "answers": list(self.answers)}


def execute(exercise: Exercise, parameters: TrainingParameters, seed: int, *, clock: Clock | None = None) -> Executed:
    """Train with the parameters, answer the held-out items, and judge what was measured.

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
        memory_mb = _most_mb(items, parameters, seed)
        began_s = clock.monotonic()
        members, given = _performed(items, parameters, seed)
        time_s = clock.monotonic() - began_s
        answers = given.argmax(axis=1)
    measured = {
        "time_s": time_s,
        "memory_mb": memory_mb,
        "calibration_error": _calibration(items, given),
        "accuracy": figure("accuracy", items.held_out.labels, answers),
        "macro_f1": figure("macro_f1", items.held_out.labels, answers),
    }
    return Executed(
        checks={check.name: check.judge(measured[check.metric]) for check in exercise.checks},
        time_s=time_s,
        memory_mb=memory_mb,
        answers=tuple(items.labels[place] for place in answers.tolist()),
        facts=_facts(members, items),
    )


def _performed(items: Items, parameters: TrainingParameters, seed: int) -> "tuple[list[Member], Columns]":
    members = train_members(items.training, len(items.labels), parameters, seed)
    return members, answer(members, items.held_out.columns)


def _most_mb(items: Items, parameters: TrainingParameters, seed: int) -> float:
    """Return the most memory that a rehearsal has allocated at once."""
    # What a library loads and keeps at its first use is not the training's.
    _performed(items, replace(parameters, epochs=1, ensemble=1), seed)
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        _performed(items, replace(parameters, epochs=min(REHEARSED, parameters.epochs)), seed)
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
