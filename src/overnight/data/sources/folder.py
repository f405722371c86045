"""Rows of a folder of files, in the order of their names.

A table in it (CSV, TSV, JSON lines, Parquet) gives its rows, with the column `file` unless it has one of its own. Any
other file is one row: its name, size, time and, where it is text, what it says. A file that cannot be read costs that
file only.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError
from overnight.base.instants import iso
from overnight.data.sources import delimited, jsonl, parquet
from overnight.data.sources.lines import Malformed, packed_name, text_of
from overnight.data.sources.place import locate
from overnight.data.sources.reading import Found

TEXT_BYTES = 2**20
"""Bytes of the longest file whose text is read."""

Table = Literal["csv", "jsonl", "parquet"]

File = tuple[str, Path | None, str | None]
"""Relative name, and the file, or why it is not read."""


def read(name: str, settings: SourceSettings, project_dir: Path) -> Iterator[Found]:
    """Yield what the files of source `name` hold, file by file.

    Raises:
        ConfigError: there is no such folder, it lies outside of the project, or `pattern` is none.
        MissingExtra: there is a Parquet file, and DuckDB is not installed.
    """
    for relative, file, reason in files(name, settings, project_dir):
        if file is None:
            yield Found(relative, None, reason)
        else:
            yield from _rows(relative, file, settings.max_mb)


def files(name: str, settings: SourceSettings, project_dir: Path) -> Iterator[File]:
    """Yield the files that match the source's pattern by relative name; a hidden folder is named once.

    Raises:
        ConfigError: there is no such folder, it lies outside of the project, or `pattern` is none.
    """
    assert settings.path is not None, "kinds.check asks for it"
    folder = locate(name, settings.path, project_dir, folder=True)
    allowed = (folder.resolve(), project_dir.resolve())
    named = set[str]()
    for relative in _matching(name, folder, settings.pattern):
        file = folder / relative
        hidden = _hidden(relative)
        if hidden:
            if hidden not in named:
                yield _shown(hidden), None, "hidden"
            named.add(hidden)
        elif not file.is_dir() or file.is_symlink():
            reason = _why_not(relative, file, allowed)
            yield _shown(relative), None if reason else file, reason


def table_kind(file: Path) -> Table | None:
    """Return the kind of source that reads this file as a table, by its name; None where it is no table."""
    suffix = Path(file.stem if packed_name(file) else file.name).suffix.lower()
    if suffix in (".csv", ".tsv"):
        return "csv"
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    return "parquet" if file.suffix.lower() == ".parquet" else None


def table(kind: Table, file: Path, max_mb: float) -> Iterator[Found]:
    """Return the rows of one file that is a table.

    Raises:
        ConfigError: the file cannot be read as such.
        MissingExtra: it is a Parquet file, and DuckDB is not installed.
    """
    if kind == "parquet":
        return parquet.rows(file)
    return delimited.rows(file, max_mb) if kind == "csv" else jsonl.rows(file, max_mb)


def _matching(name: str, folder: Path, pattern: str) -> list[str]:
    if ".." in Path(pattern).parts:
        raise ConfigError(f"sources.{name}.pattern: {pattern!r} leads out of the folder; allowed is one such as '**/*'")
    try:
        return sorted({path.relative_to(folder).as_posix() for path in folder.glob(pattern)} - {"."})
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f"sources.{name}.pattern: {pattern!r} is no pattern: {error}") from error


def _hidden(relative: str) -> str | None:
    """Return the part of the name up to the first hidden folder or file, if there is one."""
    parts = relative.split("/")
    for index, part in enumerate(parts):
        if part.startswith("."):
            return "/".join(parts[: index + 1])
    return None


def _why_not(relative: str, file: Path, allowed: tuple[Path, ...]) -> str | None:
    if _shown(relative) != relative:
        return "its name is not UTF-8"
    try:
        target = file.resolve()
    except (OSError, RuntimeError):
        return "a link that leads round in a circle"
    if not any(target.is_relative_to(folder) for folder in allowed):
        return "a link that leads outside of the project"
    if target.is_dir():
        return "a link to a folder; these are not followed"
    return None if target.is_file() else "no file that can be read"


def _shown(relative: str) -> str:
    return relative.encode(errors="surrogateescape").decode(errors="replace")


def _rows(relative: str, file: Path, max_mb: float) -> Iterator[Found]:
    kind = table_kind(file)
    try:
        if kind is None:
            yield _whole(relative, file)
            return
        for where, row, reason in table(kind, file, max_mb):
            yield Found(f"{relative}, {where}", None if row is None else {"file": relative, **row}, reason)
    except ConfigError as error:
        yield Found(relative, None, str(error))
    except OSError as error:
        yield Found(relative, None, f"cannot be read: {error.strerror}")


def _whole(relative: str, file: Path) -> Found:
    """Return the one row of a file that is no table."""
    with file.open("rb") as stream:
        stat = os.fstat(stream.fileno())
        content = stream.read(TEXT_BYTES + 1)
    try:
        text = text_of(content).removeprefix("\ufeff") if len(content) <= TEXT_BYTES else None
    except Malformed:
        text = None
    return Found(
        relative,
        {
            "id": relative,
            "title": file.stem,
            "file": relative,
            "bytes": stat.st_size,
            "published_at": iso(stat.st_mtime_ns // 1000),
            "text": text,
        },
    )
