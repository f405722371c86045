"""Drives a trainer as a training loop would, and takes its state through bytes, for the tests of the models."""

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from overnight.training.ports import State, Trainer


def batches(trainer: Trainer, n: int, epochs: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """The rows of each batch and its epoch, in the order of the seed."""
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        for at in range(0, n, trainer.batch_size):
            yield order[at : at + trainer.batch_size], epoch


def drive(trainer: Trainer, n: int, epochs: int, seed: int, *, since: int = 0, until: int | None = None) -> list[float]:
    """Train with the batches from number `since` on, up to `until`; the loss of each."""
    todo = list(batches(trainer, n, epochs, seed))[since:until]
    return [trainer.train_batch(rows, epoch) for rows, epoch in todo]


def through_bytes(state: State) -> State:
    """The state as it is after it was written to a file and read again."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state.arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    return State(arrays=arrays, values=json.loads(json.dumps(state.values)))


def fingerprint(state: State) -> str:
    """A hash of all bits of a state."""
    found = hashlib.sha256(json.dumps(state.values, sort_keys=True).encode())
    for name in sorted(state.arrays):
        one: Any = state.arrays[name]
        found.update(f"{name} {one.dtype} {one.shape}".encode() + np.ascontiguousarray(one).tobytes())
    return found.hexdigest()
