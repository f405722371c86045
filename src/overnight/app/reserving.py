"""Memory for versions that are made resident beside others: reserved in the machine's ledger, like that of a run."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from overnight.engine.model import Priority
from overnight.processes.table import memory_bytes
from overnight.registry.deployments import Deployment
from overnight.resources.ledger import Want, rank_of
from overnight.resources.negotiator import Answer


class Memory(Protocol):
    """Who shares out the machine's memory; see `resources.negotiator`."""

    def reserve(self, want: Want) -> Answer:
        """Ask for memory; asking again with the same key asks once."""

    def use(self, key: int, used: Callable[[], int] | int) -> None:
        """Say how much of what was granted is used, or what measures that."""

    def release(self, key: int) -> None:
        """Give it back."""


@dataclass(frozen=True)
class Reservations:
    """What candidates of rollouts have, from before they are loaded until one of two versions is taken away.

    As much as the files of a version is reserved; once it is loaded, it holds at least what this process has grown by.
    """

    memory: Callable[[], Memory | None]
    """None while nobody works on the project, or does not yet."""
    now_us: Callable[[], int]

    def ask(self, one: Deployment, size: int) -> Answer:
        """Return whether that many bytes are the candidate's now; it waits in line like a run of that age."""
        memory = self.memory()
        if memory is None:
            return Answer(why="nobody shares out the memory yet")
        return memory.reserve(
            Want(
                key=_key(one),
                name=f"{one.model} {one.candidate}",
                need_bytes=size,
                rank=rank_of(Priority.NORMAL.bonus_us, one.created_us, self.now_us()),
                order=one.created_us - Priority.NORMAL.bonus_us,
                # It serves users: nobody takes its memory away, and it takes none from a training.
                yields=False,
                preempts=False,
            )
        )

    @contextmanager
    def loading(self, one: Deployment, *, here: bool) -> Iterator[None]:
        """Measure what the block takes, if it is loaded here; else whoever loads it is measured as all others are."""
        before = memory_bytes([os.getpid()])

        def grown() -> int:
            return max(0, memory_bytes([os.getpid()]) - before)

        memory = self.memory() if here else None
        if memory is not None:
            # Before it is there as well: what is loaded by now would seem to be somebody else's.
            memory.use(_key(one), grown)
        try:
            yield
        except BaseException:
            self.release(one)
            raise
        if memory is None:
            self.release(one)
        else:
            memory.use(_key(one), grown())

    def release(self, one: Deployment) -> None:
        """Give back what the candidate has, or waits for."""
        memory = self.memory()
        if memory is not None:
            memory.release(_key(one))


def _key(one: Deployment) -> int:
    # Runs have the numbers above 0.
    return -one.deployment_id
