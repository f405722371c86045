"""Versions that go from one project to another: a folder or a tar file, whose content is verified when it comes in.

It holds `version.json`, with all that is known of the version and the SHA-256 of each file and of itself, and the files
below `files/`. An imported version serves nobody until somebody lets it.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from overnight.app.models import find_model, find_version, version_json
from overnight.app.workplace import Workplace
from overnight.base.errors import UserMistake
from overnight.base.files import to_json, write_json
from overnight.base.instants import from_datetime, iso
from overnight.db.writer import Tx
from overnight.registry import artifacts, store
from overnight.registry.versions import Version, parts_of

Json = dict[str, Any]  # Any: JSON
ABOUT, FILES, TAR = "version.json", "files", ".tar"
FORMAT = 1
_LARGEST_ABOUT = 64_000_000


def export(project: Workplace, model: str, ref: str, target: Path) -> Version:
    """Write a version into a new folder, or a new file that ends in .tar; its files are verified before.

    Raises:
        UnknownName: there is no such model or version.
        UserMistake: the target is there already.
        PermanentError, DamagedBlob: its artifact was removed, is missing or altered.
    """
    version = find_version(project, model, ref)
    if target.exists() and not (target.is_dir() and target.suffix != TAR and not any(target.iterdir())):
        raise UserMistake(f"{target} exists already; name a new folder, or a new file that ends in {TAR}")
    if not target.absolute().parent.is_dir():
        raise UserMistake(f"there is no folder {target.absolute().parent}")
    with TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as made:
        folder = Path(made) / "version"
        artifacts.fetch(project.artifacts, version, folder / FILES)
        about = _about(project, version)
        write_json(folder / ABOUT, {**about, "sha256": _digest(about)})
        if target.suffix == TAR:
            packed = Path(made) / "packed"
            _pack(folder, packed)
            packed.replace(target)
        else:
            # An empty folder may be there.
            folder.replace(target)
    return version


def _about(project: Workplace, version: Version) -> Json:
    known = version_json(version, find_model(project, version.model))
    left_out = ("files", "serves", "tags", "artifact_removed")
    return {
        "format": FORMAT,
        "program": version.code.get("overnight"),
        "project": project.config.name,
        "exported": iso(project.clock.now_us()),
        "model_type": version.model,
        **{name: value for name, value in known.items() if name not in left_out},
        "files": {name: dict(about) for name, about in version.manifest.items()},
    }


def _digest(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_json(json.loads(json.dumps(about, sort_keys=True))).encode()).hexdigest()


def _pack(folder: Path, target: Path) -> None:
    with target.open("wb") as raw:
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.add(path, path.relative_to(folder).as_posix())
        raw.flush()
        os.fsync(raw.fileno())


def import_version(project: Workplace, source: Path, *, by: str, name: str | None = None) -> Version:
    """Take in a version that was exported, under its own number, as one of its own model or of the one that is named.

    One that is here already is not taken twice; where its artifact was removed, that is back.

    Raises:
        UserMistake: it is none, is not whole, or was altered, with the file; or another version has its number here.
    """
    with _opened(source) as folder:
        about = _read(source, folder)
        _verify(source, folder / FILES, about["files"])
        manifest = artifacts.put(project.artifacts, folder / FILES)
    values = _values(about, manifest, name)
    values["origin"] = {
        **{key: about.get(key) for key in ("project", "exported", "program", "run_id", "job_id", "parent", "origin")},
        "imported": iso(project.clock.now_us()),
        "by": by,
    }

    def change(tx: Tx) -> Version:
        store.serialize(tx, values["model"])
        there = store.of_number(tx.connection, values["model"], values["number"])
        if there is not None:
            return _same(tx, there, values)
        made = store.insert(tx, values)
        tx.emit({"event": "model_ready", "model": made.model, "version": made.number, "serves": False})
        project.trainings.registry.told(tx, made, False)
        return made

    return project.database.writer.do(change)


def _same(tx: Tx, there: Version, values: Json) -> Version:
    """Return the version that is here already, with its artifact back.

    Raises:
        UserMistake: it is another one.
    """
    if _digests(there.manifest) != _digests(values["manifest"]) or there.snapshot_id != values["snapshot_id"]:
        raise UserMistake(
            f"{there.model} {there.number} is here already and is another version; --as NAME imports it as a version "
            f"of another model"
        )
    store.regain_artifact(tx, there.version_id)
    found = store.of_id(tx.connection, there.version_id)
    assert found is not None
    return found


def _digests(manifest: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: about["sha256"] for name, about in manifest.items()}


def _values(about: Json, manifest: artifacts.Manifest, name: str | None) -> Json:
    # The answers on held-out items are a blob of the other project.
    metrics = {key: value for key, value in about["metrics"].items() if key != "answers"}
    return {
        "model": name or about["model_type"],
        "number": about["version"],
        "run_id": None,
        "parent_id": None,
        "snapshot_id": about["snapshot"],
        "manifest": manifest,
        "metrics": metrics,
        "created_us": about["created_us"],
        **{key: about[key] for key in ("signature", "verdict", "code")},
    }


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """Give the folder of an export; that of a tar file is there for the length of the block.

    Raises:
        UserMistake: there is none, or the tar file holds something else.
    """
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise UserMistake(f"there is no folder or file {source}")
    with TemporaryDirectory() as folder:
        try:
            with tarfile.open(source, mode="r:") as archive:
                for member in archive:
                    _unpack(source, archive, member, Path(folder))
        except (tarfile.TarError, EOFError) as error:
            raise UserMistake(f"{source} is no exported version: it is no whole tar file ({error})") from error
        yield Path(folder)


def _unpack(source: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    content = archive.extractfile(member) if member.isreg() and _is_inside(member.name) else None
    if content is None:
        raise UserMistake(f"{source} is no exported version: it holds {member.name!r}, which is no file of one")
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as out:
        shutil.copyfileobj(content, out)


def _is_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name == ABOUT or (parts[:1] == (FILES,) and len(parts) > 1 and ".." not in parts)


def _read(source: Path, folder: Path) -> Json:
    """Return what the archive says of its version, with `created_us`.

    Raises:
        UserMistake: it says nothing, or not what was exported.
    """
    path = folder / ABOUT
    if not path.is_file() or path.stat().st_size > _LARGEST_ABOUT:
        raise UserMistake(f"{source} is no exported version: it has no {ABOUT}")
    try:
        found: Json = json.loads(path.read_bytes())
        told = {name: value for name, value in found.items() if name != "sha256"}
        if found["format"] != FORMAT:
            raise UserMistake(f"{source}: format {found['format']!r} is not known here (known is {FORMAT})")
        if _digest(told) != found["sha256"]:
            raise UserMistake(f"{source} was altered: {ABOUT} is not what was exported (SHA-256 differs)")
        parts_of(found["version"])
        return {**told, "created_us": from_datetime(_instant(found["created"]))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserMistake(f"{source} is no exported version: its {ABOUT} cannot be read ({error})") from error


def _instant(text: str) -> Any:  # Any: a datetime
    from datetime import datetime

    return datetime.fromisoformat(text)


def _verify(source: Path, folder: Path, manifest: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare each file with its SHA-256.

    Raises:
        UserMistake: one is missing, altered or too many.
    """
    if not manifest:
        raise UserMistake(f"{source} is no exported version: it lists no files")
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name, about in manifest.items():
        if name not in there:
            raise UserMistake(f"{source} is not whole: {FILES}/{name} is missing")
        with there[name].open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"]:
                raise UserMistake(f"{source} was altered: {FILES}/{name} is not what was exported (SHA-256 differs)")
    strange = sorted(there.keys() - manifest.keys())
    if strange:
        raise UserMistake(f"{source} was altered: {FILES}/{strange[0]} is not among the files that were exported")
