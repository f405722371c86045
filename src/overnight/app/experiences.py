"""Experiences: looked through, taken into the database, and what there is of them."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from overnight.app.fitting import check_of
from overnight.app.workplace import Workplace
from overnight.base.errors import NotJson, UnfitExperiences, UserMistake
from overnight.data import experiences as store
from overnight.data.batches import Batch, checked, quality_0_1, shortcoming
from overnight.data.experiences import Held, Parcel, Taken, millionths
from overnight.flows.continuous import rules_of
from overnight.training.experiences import complaint, named
from overnight.training.kinds import kind_of

MOST_DETAILS = 100
"""Experiences that cannot be used and that are told one by one."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of a batch. `accepted` experiences are new, `duplicates` were there before or came twice.

    `buffer_size` counts the unused ones of enough quality, up to the 10,000 that one job is trained on. `job_id` names
    the job that was submitted because there are enough now, and took them out of the buffer.
    """

    batch_id: str
    model_type: str
    accepted: int
    duplicates: int
    buffer_size: int
    job_id: str | None = None


def parcel_of(project: Workplace, batch: Batch) -> Parcel:
    """Look through a batch and return what the database takes.

    Raises:
        UserMistake: nobody can train that model_type, or the batch is too large.
        UnfitExperiences: some cannot be used; all of them are named, up to a bound.
    """
    kind = kind_of(batch.model_type, project.config.training.models)
    checked(batch)
    check = check_of(project, kind.model_type, kind.trainer, kind.settings)
    rows: dict[str, tuple[str, int, str]] = {}
    wrong = []
    for place, one in enumerate(batch.experiences):
        try:
            why = shortcoming(one) or check(one)
            if why is None:
                name, text = named(one)
                rows[name] = (name, millionths(quality_0_1(one)), text)
        except NotJson as error:
            why = str(error)
        if why is not None:
            wrong.append((place, why))
    if wrong:
        details = [f"experiences[{place}]: {why}" for place, why in wrong[:MOST_DETAILS]]
        raise UnfitExperiences(complaint(wrong, len(batch.experiences)), details)
    return Parcel(
        batch_id=batch.batch_id, model_type=batch.model_type, rows=list(rows.values()), sent=len(batch.experiences)
    )


def submit(project: Workplace, parcel: Parcel) -> "Future[Taken]":
    """Ask for a batch to be taken; see `taken` for what comes of it."""
    return project.database.writer.submit(lambda tx: store.take(tx, parcel))


def taken(project: Workplace, future: "Future[Taken]") -> tuple[str, int]:
    """Wait until a batch is on disk; return its id, and how many of its experiences were new.

    Raises:
        UserMistake: another batch has had its id.
    """
    found = project.database.writer.wait(future)
    if found.accepted is None:
        raise UserMistake(
            f"batch_id: {found.batch_id!r} was sent before with other experiences; give this batch an id of its own"
        )
    return found.batch_id, found.accepted


def sequence_of(experiences: Iterable[Any]) -> Sequence[Any]:  # Any: as they came, checked later
    """Return the experiences as a list.

    Raises:
        UserMistake: it is no list.
    """
    if not isinstance(experiences, Iterable) or isinstance(experiences, str | bytes | dict):
        raise UserMistake(f"experiences: {type(experiences).__name__} is not a list of objects")
    return list(experiences)


def buffer_size(project: Workplace, model_type: str) -> int:
    """Return how many experiences the buffer of a model_type holds."""
    with project.database.read() as connection:
        return store.size(connection, model_type, rules_of(project.config, model_type).min_quality_0_1)


def buffer_of(project: Workplace, model_type: str) -> tuple[list[int], list[Any]]:  # Any: an experience's own JSON
    """Return the numbers of the experiences in the buffer, and these themselves."""
    with project.database.read() as connection:
        rows = store.newest(connection, model_type, rules_of(project.config, model_type).min_quality_0_1)
    return [number for number, _ in rows], [json.loads(body) for _, body in rows]


def held(project: Workplace) -> list[Held]:
    """Return what there is of each model_type, by its name."""
    own = {name: one.min_quality for name, one in project.config.loop.items() if one.min_quality is not None}
    with project.database.read() as connection:
        return store.held(connection, project.config.training.min_experience_quality, own)
