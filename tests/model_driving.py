"""A loop that drives a trainer as `training.run` does, and what the tests of models compare."""

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from overnight.training.ports import Item, State, Trainer


def batches(trainer: Trainer, count: int, *, seed: int, epochs: int) -> list[tuple[np.ndarray, int]]:
    """All batches of a training, in order, each with its epoch."""
    found = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(count)
        found += [(order[at : at + trainer.batch_size], epoch) for at in range(0, count, trainer.batch_size)]
    return found


def trained(trainer: Trainer, training: Sequence[Item], validation: Sequence[Item], *, seed: int, epochs: int) -> Any:
    """The trainer after so many epochs."""
    trainer.prepare(training, validation, epochs)
    for rows, epoch in batches(trainer, len(training), seed=seed, epochs=epochs):
        trainer.train_batch(rows, epoch)
    return trainer


def through_a_file(state: State) -> State:
    """The state as it comes back from bytes: .npz without pickles, and JSON."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **dict(state.arrays))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return State(arrays={name: arrays[name] for name in arrays.files}, values=json.loads(json.dumps(state.values)))


def same(one: State, other: State) -> bool:
    """Whether two states have the same bits."""
    return (
        list(one.arrays) == list(other.arrays)
        and all(one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays)
        and one.values == other.values
    )


def resumed_at(make: Any, training: Sequence[Item], validation: Sequence[Item], cut: int, *, epochs: int) -> State:
    """The last state of a training that was cut after so many batches and went on in a new trainer, from a file."""
    first = make()
    first.prepare(training, validation, epochs)
    work = batches(first, len(training), seed=3, epochs=epochs)
    for rows, epoch in work[:cut]:
        first.train_batch(rows, epoch)
    kept = through_a_file(first.state())
    first.train_batch(*work[0])  # what happens to the first afterwards reaches no state that it gave
    second = make()
    second.prepare(training, validation, epochs)
    second.restore(kept)
    for rows, epoch in work[cut:]:
        second.validate()
        second.train_batch(rows, epoch)
    return second.state()


def drive(trainer: Trainer, n: int, epochs: int, seed: int, *, since: int = 0, until: int | None = None) -> list[float]:
    """Train with the batches from number `since` on, up to `until`; the loss of each."""
    todo = batches(trainer, n, seed=seed, epochs=epochs)[since:until]
    return [trainer.train_batch(rows, epoch) for rows, epoch in todo]


def fingerprint(state: State) -> str:
    """A hash of all bits of a state."""
    found = hashlib.sha256(json.dumps(state.values, sort_keys=True).encode())
    for name in sorted(state.arrays):
        one: Any = state.arrays[name]
        found.update(f"{name} {one.dtype} {one.shape}".encode() + np.ascontiguousarray(one).tobytes())
    return found.hexdigest()
