"""One file with a project's state: the database as of one instant, and the blobs, each with its SHA-256.

A backup is a zip file: `overnight.db`, `blobs/...` and `manifest.json`. It may be made while a worker works, because
SQLite copies its own file page by page under one reader's view. Other databases have tools of their own: for PostgreSQL
this module says which command line to run.
"""

import contextlib
import errno
import hashlib
import json
import os
import shlex
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import sqlalchemy as sa

from overnight.app import schema
from overnight.app.lock import ProjectLock
from overnight.base.clock import Clock
from overnight.base.config import Config
from overnight.base.errors import (
    DatabaseBroken,
    DatabaseBusy,
    NewerDatabase,
    PermanentError,
    ProjectLocked,
    UserMistake,
)
from overnight.base.files import sync_folder
from overnight.base.instants import iso
from overnight.base.settings import STATE_FOLDER
from overnight.db.database import dialect_of

FORMAT = 1
DATABASE = "overnight.db"
BLOBS = "blobs"
MANIFEST = "manifest.json"

_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1 << 30
_BUSY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file of a backup: its path inside, its size in bytes, and its SHA-256 as hexadecimal text."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup holds. `schema` is the migration that its database is at, `created` an instant in ISO 8601."""

    program: str
    schema: str | None
    created: str
    files: tuple[Member, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together, as they are when unpacked."""
        return sum(member.size for member in self.files)

    @property
    def blobs(self) -> int:
        """How many blobs there are."""
        return len(self.files) - 1


def database_file(config: Config) -> Path | None:
    """Return the file of the project's SQLite database; None where the database is a PostgreSQL server.

    Raises:
        UserMistake: the database lives in memory, so there is no file.
        ConfigError: it is neither SQLite nor PostgreSQL.
    """
    if dialect_of(config.database_url).name != "sqlite":
        return None
    url = sa.make_url(config.database_url)
    if not url.database or url.database == ":memory:":
        raise UserMistake(f"engine.database: {config.engine.database!r} is in memory; there is nothing on disk")
    return Path(url.database)


def back_up(config: Config, target: Path, *, clock: Clock, program: str, overwrite: bool = False) -> Manifest:
    """Write the project's state into the file `target`, read it back, check all of it, and only then name it so.

    A worker may work meanwhile. `program` is the version that goes into the manifest.

    Raises:
        UserMistake: `target` exists and `overwrite` is False, or the project has no database file yet.
        DatabaseBroken: the database, a blob, or what was read back is damaged; nothing is left at `target`.
        OSError: the folder cannot be written.
    """
    source = database_file(config)
    assert source is not None, "callers send PostgreSQL to pg_dump"
    if target.is_dir():
        raise UserMistake(f"{target} is a folder; name a file, such as {target / 'backup.zip'}")
    if target.exists() and not overwrite:
        raise UserMistake(f"{target} exists already; --force replaces it")
    if not source.is_file():
        raise UserMistake(f"there is no database yet ({source}), so there is nothing to back up")
    if not target.parent.is_dir():
        raise UserMistake(f"there is no folder {target.parent}")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        copy, archive = Path(folder) / DATABASE, Path(folder) / "archive"
        _copy_database(source, copy)
        version = _examine(copy)
        # After the database: a blob is on disk before a row names it.
        blobs = list(_blobs(config.project_dir / STATE_FOLDER / BLOBS))
        created = iso(clock.now_us()) or ""
        _write(archive, copy, blobs, program=program, version=version, created=created)
        copy.unlink()
        manifest = verify(archive, Path(folder))
        archive.chmod(0o600)
        archive.replace(target)
    sync_folder(target.parent)
    return manifest


def restore(config: Config, archive: Path, *, clock: Clock, overwrite: bool = False) -> Manifest:
    """Check the whole backup, then put its blobs and its database in the place of the project's.

    The exchange of the database is one rename; blobs are added, because their names are their contents. The old
    database is kept beside the new one until the new one has been opened and checked there.

    Raises:
        UserMistake: `archive` is no backup, or there is a database already and `overwrite` is False.
        NewerDatabase: the backup was made by a newer Overnight.
        PermanentError: the backup is damaged. Nothing was changed, as in all of these cases.
        ProjectLocked, DatabaseBusy: a worker, or another program, uses the database.
    """
    database = database_file(config)
    assert database is not None, "callers send PostgreSQL to pg_restore"
    if not archive.is_file():
        raise UserMistake(f"there is no file {archive}")
    if database.exists() and not overwrite:
        raise UserMistake(f"the project has a database already ({database}); --force replaces it")
    state = config.project_dir / STATE_FOLDER
    state.mkdir(exist_ok=True)
    if not database.parent.is_dir():
        raise UserMistake(f"engine.database: there is no folder {database.parent}")
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".restore.") as folder:
        manifest = verify(archive, Path(folder))
        if manifest.schema not in schema.known_versions():
            raise NewerDatabase(
                f"{archive}: its database is at version {manifest.schema}, this program knows versions up to "
                f"{schema.HEAD}: install a newer overnight; nothing was changed"
            )
        with _alone(state, clock):
            with zipfile.ZipFile(archive) as file:
                for member in manifest.files:
                    if member.path != DATABASE:
                        _put_blob(file, member, state / member.path)
            _forget_children(Path(folder) / DATABASE)
            _exchange(Path(folder) / DATABASE, database)
    return manifest


def verify(archive: Path, folder: Path) -> Manifest:
    """Read the whole backup, compare every hash, and leave its database, checked by SQLite itself, in `folder`.

    Raises:
        UserMistake: it is not a backup.
        PermanentError, DatabaseBroken: it is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            manifest = _manifest(file, archive)
            for member in manifest.files:
                with _unpacked(folder / DATABASE if member.path == DATABASE else None) as out:
                    _check(file, member, out, archive)
    except zipfile.BadZipFile as error:
        raise UserMistake(f"{archive} is not a backup of Overnight, or is damaged: {error}") from error
    except (zlib.error, EOFError, RuntimeError) as error:
        raise PermanentError(f"{archive} is damaged: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise PermanentError(f"{archive} is damaged: it points outside of itself") from error
    found = _examine(folder / DATABASE)
    if found != manifest.schema:
        raise PermanentError(f"{archive}: its database is at version {found}, its manifest says {manifest.schema}")
    return manifest


def pg_dump_line(config: Config, target: Path) -> str:
    """Return the command line that backs up the project's PostgreSQL database; it holds no password.

    The rows of `stream` stay behind: their cursors are transaction ids, which mean nothing in another cluster.
    """
    words = ["pg_dump", "--format=custom", "--exclude-table-data=stream", f"--file={target}", _without_password(config)]
    return shlex.join(words)


def pg_restore_line(config: Config, archive: Path) -> str:
    """Return the command line that restores what `pg_dump_line` made; it holds no password."""
    words = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction"]
    return shlex.join([*words, f"--dbname={_without_password(config)}", str(archive)])


def _without_password(config: Config) -> str:
    url = sa.make_url(config.database_url)
    secret = [name for name in url.query if "password" in name]
    bare = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    return bare.set(query=url.query).difference_update_query(secret).render_as_string(hide_password=False)


# Writing.


def _copy_database(source: Path, target: Path) -> None:
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            # All pages in one step: copied in parts, it would start again at every commit of a busy worker.
            old.backup(new, pages=-1)
    except sqlite3.Error as error:
        raise DatabaseBroken(f"{source} cannot be copied: {error}") from error


def _blobs(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        # A name with a dot in front is a file that somebody is still writing.
        if path.is_file() and not path.name.startswith("."):
            yield f"{BLOBS}/{path.relative_to(folder).as_posix()}", path


def _write(
    archive: Path, database: Path, blobs: list[tuple[str, Path]], *, program: str, version: str | None, created: str
) -> None:
    with archive.open("wb") as raw:
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            members = [_pack(file, DATABASE, database), *(_pack_blob(file, name, path) for name, path in blobs)]
            content = {
                "format": FORMAT,
                "program": program,
                "schema": version,
                "created": created,
                "files": [asdict(member) for member in members],
            }
            file.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(content, indent=1))
        raw.flush()
        os.fsync(raw.fileno())


def _pack(file: zipfile.ZipFile, name: str, path: Path) -> Member:
    about = zipfile.ZipInfo(name)
    about.compress_type = zipfile.ZIP_DEFLATED
    with path.open("rb") as source, file.open(about, "w", force_zip64=True) as target:
        size, digest = _pump(source, target)
    return Member(path=name, size=size, sha256=digest)


def _pack_blob(file: zipfile.ZipFile, name: str, path: Path) -> Member:
    member = _pack(file, name, path)
    if member.sha256 != path.name:
        raise DatabaseBroken(
            f"{path} is damaged: a blob is named by its SHA-256; put it right or away, then back up again"
        )
    return member


def _pump(source: IO[bytes], target: IO[bytes] | None) -> tuple[int, str]:
    """Copy everything and return the number of bytes and their SHA-256."""
    size, digest = 0, hashlib.sha256()
    while chunk := source.read(_CHUNK):
        size += len(chunk)
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return size, digest.hexdigest()


# Reading.


def _manifest(file: zipfile.ZipFile, archive: Path) -> Manifest:
    names = file.namelist()
    if MANIFEST not in names or file.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
        raise UserMistake(f"{archive} is not a backup of Overnight: it has no {MANIFEST}")
    try:
        content: dict[str, Any] = json.loads(file.read(MANIFEST))  # Any: JSON that is checked below
        if content["format"] != FORMAT:
            raise UserMistake(f"{archive}: format {content['format']!r} is not known here (known is {FORMAT})")
        manifest = Manifest(
            program=str(content["program"]),
            schema=content["schema"],
            created=str(content["created"]),
            files=tuple(Member(**member) for member in content["files"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(f"{archive} is damaged: its {MANIFEST} cannot be read ({error})") from error
    listed = [member.path for member in manifest.files]
    if sorted(names) != sorted([*listed, MANIFEST]) or DATABASE not in listed:
        raise PermanentError(f"{archive} is damaged: it does not hold the files that its {MANIFEST} lists")
    strange = next((path for path in listed if not _is_ours(path)), None)
    if strange is not None:
        raise PermanentError(f"{archive} holds {strange!r}, which is no file of a backup")
    return manifest


def _is_ours(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return path == DATABASE or (parts[:1] == (BLOBS,) and len(parts) > 1 and ".." not in parts and "\\" not in path)


@contextlib.contextmanager
def _unpacked(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open a file for writing and force it to disk at the end; without a path there is nothing to write to."""
    if path is None:
        yield None
        return
    with path.open("wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


def _check(file: zipfile.ZipFile, member: Member, out: IO[bytes] | None, archive: Path) -> None:
    with file.open(member.path) as source:
        if _pump(source, out) != (member.size, member.sha256):
            raise PermanentError(f"{archive} is damaged: {member.path} is not what was backed up (SHA-256 differs)")


def _examine(database: Path) -> str | None:
    """Let SQLite check the file and return the migration that it is at.

    Raises:
        DatabaseBroken: the file is damaged.
    """
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            wrong = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            has = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if has else None
    except sqlite3.Error as error:
        raise DatabaseBroken(f"the database is damaged: {error}") from error
    if wrong:
        raise DatabaseBroken(f"the database is damaged: {wrong[0]}")
    return None if row is None else str(row[0])


# Putting back.


@contextlib.contextmanager
def _alone(state: Path, clock: Clock) -> Iterator[None]:
    try:
        lock = ProjectLock(state / "lock", clock)
    except ProjectLocked as error:
        raise ProjectLocked(f"a restore needs the project for itself, but {error}") from None
    try:
        yield
    finally:
        lock.release()


def _forget_children(copy: Path) -> None:
    """Leave its children to the worker that worked meanwhile: whoever takes its place here may not end them.

    The worker itself counts as dead here, because nobody holds a lock of its name in this project's folder.
    """
    with contextlib.closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DELETE FROM children")


def _put_blob(file: zipfile.ZipFile, member: Member, target: Path) -> None:
    if target.is_file():
        with target.open("rb") as there:
            if _pump(there, None) == (member.size, member.sha256):
                return
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.restore")
    with _unpacked(staged) as out:
        _check(file, member, out, Path(file.filename or ""))
    staged.replace(target)
    sync_folder(target.parent)


def _exchange(new: Path, database: Path) -> None:
    """Put the checked file `new` in the place of the database, which nobody uses."""
    kept = _set_aside(database) if database.exists() else []
    new.replace(database)
    sync_folder(database.parent)
    try:
        _examine(database)
    except BaseException:
        for aside, original in kept:
            aside.replace(original)
        raise
    for aside, _ in kept:
        aside.unlink()


def _set_aside(database: Path) -> list[tuple[Path, Path]]:
    """Give every file of the old database a second name, so that it can be put back, and return (second, first) names.

    The old one keeps its first name until it is replaced: at no instant is there no database. Its write-ahead log goes,
    because SQLite would play it into the new file.
    """
    logs = [] if _close_log(database) else [Path(f"{database}{suffix}") for suffix in ("-wal", "-shm")]
    kept = []
    for original in [database, *(log for log in logs if log.exists())]:
        aside = original.with_name(f"{original.name}.before-restore")
        aside.unlink(missing_ok=True)
        os.link(original, aside)
        kept.append((aside, original))
    for log in logs:
        log.unlink(missing_ok=True)
    return kept


def _close_log(database: Path) -> bool:
    """Bring the write-ahead log into the database file and remove it; return False where the file is too damaged.

    Raises:
        DatabaseBusy: another program has the database open. SQLite removes the log only for the last one.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise DatabaseBusy(f"another program has {database} open; close it, then restore again") from error
        return False
    return True
