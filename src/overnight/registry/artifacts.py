"""The files of a version: stored under what they hold, and how they come back whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overnight.base.errors import DamagedBlob, PermanentError, UnknownName
from overnight.base.instants import to_datetime
from overnight.db.blobs import Blobs
from overnight.registry.versions import Version

Manifest = dict[str, dict[str, Any]]  # Any: JSON


def put(blobs: Blobs, folder: Path) -> Manifest:
    """Store every file of a folder and return its manifest: relative name to {sha256, size, format}.

    Raises:
        UserMistake: one of them is a pickle; nothing was stored.
    """
    from overnight.registry.formats import format_of

    formats = {
        path.relative_to(folder).as_posix(): format_of(path, path.relative_to(folder).as_posix())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {name: {**about, "format": formats[name]} for name, about in blobs.put_folder(folder).items()}


def fetch(blobs: Blobs, version: Version, folder: Path) -> None:
    """Write the files of a version into the folder, each verified.

    Raises:
        PermanentError: they were removed, or never kept.
        DamagedBlob: one is missing or altered; the message says which.
    """
    if not version.manifest:
        raise PermanentError(f"the state of {version.model} {version.number} was not kept, so that it cannot be loaded")
    with _told_of(version):
        blobs.fetch_folder(version.manifest, folder)


def verify(blobs: Blobs, version: Version) -> None:
    """Check that every file of a version is there as it was stored.

    Raises:
        PermanentError: they were removed.
        DamagedBlob: one is missing or altered; the message says which.
    """
    with _told_of(version):
        blobs.verify(version.manifest)


@contextmanager
def _told_of(version: Version) -> Iterator[None]:
    """Name the version in what is said of its files."""
    told = f"{version.model} {version.number}"
    if version.removed_us is not None:
        when = f"{to_datetime(version.removed_us):%Y-%m-%d}"
        raise PermanentError(f"the artifact of {told} was removed on {when} (registry.keep); train the model again")
    try:
        yield
    except (UnknownName, DamagedBlob) as error:
        raise DamagedBlob(f"{told}: {error}; restore it from a backup, or train again") from error
