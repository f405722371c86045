"""Files that are written as the old one or the new one, never half of one; and those that a person has named, read."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from overnight.base.errors import NotJson, UserMistake, said_by


def replace_file(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write `content` to a temporary file beside `path`, force it to disk, and rename it over `path`.

    What is not `durable` is not forced to disk: after a crash of the machine it may be damaged, or the old one.

    Raises:
        OSError: it cannot be written, and the error names it; the old file is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # The kernel does not say which file it could not write.
            error.filename = str(path)
        raise
    if durable:
        sync_folder(path.parent)


Stamp = tuple[int, int]
"""When a file was changed last (nanoseconds since the epoch), and its size in bytes."""


def stamp_of(path: Path) -> Stamp | None:
    """Return what tells whether a file has changed; None where it cannot be looked at."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def sync_folder(folder: Path) -> None:
    """Force a rename inside `folder` to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def text_of(path: Path, *, errors: str = "strict") -> str:
    """Return what is in a file that a person has named; `errors` as in `bytes.decode`.

    Raises:
        UserMistake: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except (OSError, UnicodeDecodeError) as error:
        raise UserMistake(f"{path}: cannot be read: {said_by(error)}") from None


def to_json(value: Any, *, what: str = "the value") -> str:
    """Return compact JSON text.

    Raises:
        NotJson: `value` holds something else than finite numbers, text, booleans, None, lists and objects.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
        if not text.isascii():
            text.encode()  # half a surrogate pair is no text
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"{what} is not JSON: {error}") from error


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace `path` by `value` as indented JSON; `durable` as in `replace_file`."""
    try:
        text = json.dumps(value, allow_nan=False, indent=2, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise NotJson(f"what should go into {path.name} is not JSON: {error}") from error
    replace_file(path, text + "\n", durable=durable)
