"""What flows that make versions work with: where the files go, what trained them, and who is told."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.files import to_json
from overnight.db.blobs import Blobs
from overnight.db.writer import Tx
from overnight.registry import artifacts, store
from overnight.registry.store import Candidate
from overnight.registry.versions import Version

AT_ONCE = "immediate"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The registry of a project, as flows see it."""

    blobs: Blobs
    """Where the files of versions are kept."""
    code: Callable[[], Mapping[str, Any]]  # Any: JSON
    """Tells the version of the program, and the commit of the project where there is one."""
    told: Callable[[Tx, Version, bool], None]
    """Sees to it, in the transaction of a new version, that others are told of it, and whether it serves."""

    strategy: Callable[[str], str | None]
    """Tells how an accepted version of a model comes to serve: by which strategy; None: when a person says so."""
    begin: Callable[[Tx, Version, str], None]
    """Begins to roll a version out by a strategy, in the transaction of the version."""

    def put(self, folder: Path) -> artifacts.Manifest:
        """Store the files of a folder; see `artifacts.put`."""
        return artifacts.put(self.blobs, folder)

    def fetch(self, version: Version, folder: Path) -> None:
        """Write the files of a version into a folder; see `artifacts.fetch`."""
        artifacts.fetch(self.blobs, version, folder)

    def register(self, tx: Tx, candidate: Candidate, *, serve: bool, why: str) -> Version:
        """Add a version and have others told; see `store.register`.

        With `serve` it may serve: how it comes to that, and whether, the settings of its model say. The first version
        has nobody to share the requests with.
        """
        store.serialize(tx, candidate.model)
        known = store.of_run(tx.connection, candidate.run_id)
        if known is not None:
            return known
        how = self.strategy(candidate.model) if serve else None
        alone = not store.is_rolled_out(tx.connection, candidate.model)
        first = store.serving(tx.connection, candidate.model) is None
        at_once = how is not None and alone and (how == AT_ONCE or first)
        version = store.register(tx, candidate, serve=at_once, why=why)
        self.told(tx, version, at_once)
        if how is not None and not at_once:
            self.begin(tx, version, how)
        return version


def identity(project: str, version: Version) -> str:
    """Return what a version is known by outside of its project: the same whenever it is told again."""
    told = [project, version.model, version.number, version.snapshot_id, version.created_us]
    return hashlib.sha256(to_json(told).encode()).hexdigest()[:32]
