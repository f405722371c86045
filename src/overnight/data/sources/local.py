"""Sources of this machine and its databases: rows out of files, folders and SQL, and when a file last changed."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError
from overnight.base.instants import iso
from overnight.data.sources import folder, sql
from overnight.data.sources.place import locate
from overnight.data.sources.reading import Found, Validators


def read_local(
    name: str, settings: SourceSettings, project_dir: Path, *, variables: Mapping[str, str]
) -> Iterator[Found]:
    """Yield what source `name` holds, of kind csv, jsonl, parquet, folder or sql, in its own order.

    `variables` are those of the environment; the address of a database may name one as "${NAME}".

    Raises:
        ConfigError: the source as a whole cannot be read, or there is nothing in it at all.
        MissingExtra: a library or a package that it needs is not installed.
        TransientError: the database is held by another program, cannot be reached, or takes too long.
    """
    nothing = True
    for found in _read(name, settings, project_dir, variables):
        nothing = False
        yield found
    if nothing:
        key = "query" if settings.kind == "sql" else "path"
        raise ConfigError(f"sources.{name}.{key} found no records in {sql.place_of(settings)}")


def stamp(name: str, settings: SourceSettings, project_dir: Path) -> Validators | None:
    """Return what changes when a file of the source does: sizes and times of change; None where it has no files.

    Raises:
        ConfigError: there is no such file or folder, or it lies outside of the project.
        MissingExtra: the package that holds it is not installed.
    """
    if settings.path is None or settings.kind == "sql":
        return None
    if settings.kind == "folder":
        found = {relative: file for relative, file, _ in folder.files(name, settings, project_dir) if file is not None}
    else:
        found = {settings.path: locate(name, settings.path, project_dir)}
    seal, newest_us = sha256(), 0
    for relative, file in found.items():
        try:
            stat = file.stat()
        except OSError:  # removed since it was listed, as if it had never been there
            continue
        seal.update(f"{relative}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        newest_us = max(newest_us, stat.st_mtime_ns // 1000)
    return Validators(etag=seal.hexdigest(), last_modified=iso(newest_us) if newest_us else None)


def _read(name: str, settings: SourceSettings, project_dir: Path, variables: Mapping[str, str]) -> Iterator[Found]:
    match settings.kind:
        case "sql":
            return sql.read(name, settings, project_dir, variables=variables)
        case "folder":
            return folder.read(name, settings, project_dir)
        case "csv" | "jsonl" | "parquet" as kind:
            return _file(name, kind, settings, project_dir)
        case "json" | "feed" as kind:
            raise AssertionError(f"{kind} is read elsewhere")


def _file(name: str, kind: folder.Table, settings: SourceSettings, project_dir: Path) -> Iterator[Found]:
    assert settings.path is not None, "kinds.check asks for it"
    file = locate(name, settings.path, project_dir)
    try:
        yield from folder.table(kind, file, settings.max_mb)
    except ConfigError as error:
        raise ConfigError(f"sources.{name}.path: {settings.path}: {error}") from error
