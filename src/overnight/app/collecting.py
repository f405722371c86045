"""Removes the artifacts of versions that nobody needs any more; what is known of a version stays for ever.

First the row says that the artifact is gone, then its files go, as far as no other version, job or snapshot needs
them. A file that was written within the last hour stays for now: somebody may be about to register it again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from overnight.app.models import find_model, find_version, known_models
from overnight.app.workplace import Workplace
from overnight.base.errors import InvalidTransition
from overnight.base.instants import US
from overnight.data.tables import snapshots
from overnight.db.writer import Tx
from overnight.proof.forms import Form
from overnight.registry import deployments, store
from overnight.registry.tables import verdicts
from overnight.registry.verdicts import best as best_so_far
from overnight.registry.versions import Rights, Version, removable
from overnight.training.tables import jobs

YOUNG_US = 3600 * US


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was removed, or would be: the versions, and the bytes of the files that nobody needs."""

    versions: Sequence[Version]
    bytes: int


def collect(
    project: Workplace,
    model: str | None = None,
    ref: str | None = None,
    *,
    dry_run: bool = False,
) -> Collected:
    """Remove the artifacts that may go: of all models, of one, or of one version of it that is named.

    A version that is named goes though it is among the newest `registry.keep`; nothing else is different for it.

    Raises:
        UnknownName: there is no such model or version.
        InvalidTransition: the version that is named serves, has served before, is the best so far where the gate
            compares with that one, is tagged or is being rolled out.
    """
    keep = 0 if ref is not None else project.config.registry.keep
    names = known_models(project) if model is None else [find_model(project, model).model_type]
    only = None if ref is None else find_version(project, str(model), ref).version_id

    def change(tx: Tx) -> list[Version]:
        found = [one for name in names for one in _removable(project, tx, name, only, keep=keep)]
        for version in () if dry_run else found:
            store.forget_artifact(tx, version.version_id)
        return found

    doomed = project.database.writer.do(change)
    if dry_run:
        gone = {version.version_id for version in doomed}
        files = _files(doomed)
        return Collected(versions=doomed, bytes=sum(files[name] for name in files.keys() - _needed(project, gone)))
    return Collected(versions=doomed, bytes=_remove_files(project))


def _removable(project: Workplace, tx: Tx, model: str, only: int | None, *, keep: int) -> list[Version]:
    store.serialize(tx, model)
    known = store.history(tx.connection, model)
    rights = _rights(project, tx.connection, model, known)
    if only is not None:
        known = [one for one in known if one.version_id == only]
        why = rights.of(only)
        if why is not None:
            raise InvalidTransition(f"the artifact of {model} {known[0].number} stays: {why}")
    may_go = set(removable([one.version_id for one in known], rights, keep=keep))
    return [one for one in known if one.version_id in may_go and one.manifest and one.removed_us is None]


def _rights(project: Workplace, connection: sa.Connection, model: str, known: Iterable[Version]) -> Rights:
    champion, before = store.serving(connection, model), store.served_before(connection, model)
    best = best_so_far(connection, model) if Form(project.config.gate.form) is Form.NON_INFERIORITY else None
    rollout = deployments.open_of(connection, model)
    rolled_out = () if rollout is None else (rollout.candidate, rollout.champion)
    tagged: dict[int, list[str]] = {}
    for name, version_id in store.tags_of(connection, model).items():
        tagged.setdefault(version_id, []).append(name)
    return Rights(
        champion=None if champion is None else champion.version_id,
        previous=None if before is None else before.version_id,
        best=next((one.version_id for one in known if one.number == best), None),
        tagged=tagged,
        deploying={one.version_id for one in known if one.number in rolled_out},
    )


def _files(versions: Iterable[Version]) -> dict[str, int]:
    """Return the files of versions: SHA-256 to size."""
    return {str(about["sha256"]): int(about["size"]) for one in versions for about in one.manifest.values()}


def _all_versions(project: Workplace) -> list[Version]:
    with project.database.read() as connection:
        return [one for model in store.models(connection) for one in store.history(connection, model)]


def _needed(project: Workplace, gone: Collection[int] = ()) -> set[str]:
    """Return the blobs that somebody needs: versions, but for those that are `gone`, jobs, snapshots and verdicts."""
    versions = _all_versions(project)
    needed = set(_files(one for one in versions if one.removed_us is None and one.version_id not in gone))
    needed |= {one.snapshot_id for one in versions}
    needed |= {str(one.metrics["answers"]) for one in versions if one.metrics.get("answers")}
    with project.database.read() as connection:
        for column in (jobs.c.snapshot_id, snapshots.c.snapshot_id, snapshots.c.rejected, verdicts.c.evidence):
            needed |= {name for (name,) in connection.execute(sa.select(column).distinct())}
    return needed


def _remove_files(project: Workplace) -> int:
    """Remove what removed versions have left and nobody needs; return the bytes that this set free."""
    left = set(_files(one for one in _all_versions(project) if one.removed_us is not None))
    return project.artifacts.discard(left - _needed(project), project.clock.now_us() - YOUNG_US) if left else 0
