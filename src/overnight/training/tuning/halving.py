"""Which trials are evaluated next, and on how many items: asynchronous successive halving. Pure.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar (2020, MLSys, "A System for Massively Parallel
Hyperparameter Tuning", algorithm 2): a trial begins at the lowest rung, with few items, and goes on to the next one,
with FACTOR times as many, as soon as it is among the best 1 / FACTOR of those that were evaluated at its rung so far.
No rung waits until all are there.

Evaluations go out in waves of WIDTH, and a wave is decided upon when the one before has ended: so what is tried follows
from the seed alone, and not from which core was faster, nor from where a process was killed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FACTOR = 3
FEWEST = 50
"""Items below which a rung says too little."""
MOST_RUNGS = 3
WIDTH = 6
CURRENT = 0
"""The trial of the parameters that the agent has at present, which others are compared with: it is never pruned."""


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """A trial at a rung; both are counted from 0."""

    trial: int
    rung: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a trial came to at a rung, higher is better; None: it failed."""

    place: Place
    value: float | None


def rungs_of(count: int) -> list[int]:
    """Return on how many of the items each rung trains, all of them at the last one."""
    shares = [count // FACTOR**power for power in range(MOST_RUNGS)]
    return [share for share in reversed(shares) if share >= FEWEST or share == count]


def next_places(done: Sequence[Evaluation], *, trials: int, rungs: int) -> list[Place]:
    """Return what is evaluated next, of `trials` in all; nothing where all is done.

    All that was asked for before is in `done`. Trials that go on come before new ones, those of higher rungs first. The
    current parameters go through all rungs at the very beginning. At the end, the best trial of a rung goes on where
    there were too few for any to be among the best third.
    """
    begun = {one.place.trial for one in done}
    if not begun:
        first = [Place(trial=CURRENT, rung=rung) for rung in range(rungs)]
        return [*first, *_fresh(1, min(trials, 1 + WIDTH - len(first)))]
    found = [place for rung in reversed(range(rungs - 1)) for place in _promoted(done, rung)][:WIDTH]
    found += _fresh(len(begun), min(trials, len(begun) + WIDTH - len(found)))
    if found:
        return found
    for rung in reversed(range(rungs - 1)):
        if not _ranked(done, rung + 1):
            above = _at(done, rung + 1)
            left = [trial for trial in _ranked(done, rung) if trial not in above]
            if left:
                return [Place(trial=left[0], rung=rung + 1)]
    return []


def _fresh(first: int, end: int) -> list[Place]:
    return [Place(trial=trial, rung=0) for trial in range(first, end)]


def _promoted(done: Sequence[Evaluation], rung: int) -> list[Place]:
    """Return the trials that are among the best of their rung and were not evaluated at the next one."""
    above = _at(done, rung + 1)
    best = _ranked(done, rung)[: len(_at(done, rung)) // FACTOR]
    return [Place(trial=trial, rung=rung + 1) for trial in best if trial not in above]


def _at(done: Sequence[Evaluation], rung: int) -> set[int]:
    """Return the trials that were evaluated at the rung, failed ones too; not the current."""
    return {one.place.trial for one in done if one.place.rung == rung} - {CURRENT}


def _ranked(done: Sequence[Evaluation], rung: int) -> list[int]:
    """Return the trials that have a value at the rung, the best first, of equal ones the earlier; not the current."""
    found = [(-one.value, one.place.trial) for one in done if one.place.rung == rung and one.value is not None]
    return [trial for _, trial in sorted(found) if trial != CURRENT]


def winner_of(done: Sequence[Evaluation], *, rungs: int) -> int | None:
    """Return the trial with the best value at the last rung; None where that is not above the current parameters'."""
    values = {one.place.trial: one.value for one in done if one.place.rung == rungs - 1 and one.value is not None}
    ranked = _ranked(done, rungs - 1)
    return ranked[0] if ranked and CURRENT in values and values[ranked[0]] > values[CURRENT] else None
