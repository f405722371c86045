"""A place that fsspec reaches: a folder here, an object store, a server.

Few of them can add to a file, so that one of which a part was sent is sent anew. None is trusted with a checksum of its
own: what was written is read back. An object store has no names to change: there a copy of its own takes the place of
that. An upload to one that was killed may leave invisible parts, which its own rules for them remove.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overnight.base.errors import OvernightError, TransientError, UserMistake, one_line
from overnight.base.files import sync_folder
from overnight.data.datasets import MANIFEST
from overnight.data.shipment import PIECE, Found, Item, Stock, no_room, not_allowed, part_of, shown, without_secrets
from overnight.db.blobs import check_root

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = (FileExistsError, IsADirectoryError, NotADirectoryError)
_OLD = part_of(f"{MANIFEST}.old")


class Store:
    """Implements shipment.Place for a path or an fsspec URL."""

    def __init__(self, target: str) -> None:
        """Look at the address, and not yet at what is there.

        Raises:
            UserMistake: there are no such URLs, or what they need is not installed.
        """
        if not target:
            raise UserMistake("the target is empty: give a folder or a URL")
        check_root(target, "target")
        self._target = target
        self.shown = shown(target)
        with self._reached():
            import fsspec
            from fsspec.implementations.local import LocalFileSystem

            # A folder's name may hold what means something in a URL, such as "::".
            if "://" not in target:
                self._files, base = fsspec.filesystem("file"), str(Path(target).expanduser().absolute())
            else:
                self._files, base = fsspec.core.url_to_fs(target)
            self._base = base.rstrip("/")
            self._is_local = isinstance(self._files, LocalFileSystem)
            self._has_names = type(self._files).mv is not fsspec.AbstractFileSystem.mv

    def look(self, items: Sequence[Item]) -> Stock:
        """Return what stands there; a temporary file counts only where it is whole."""
        with self._reached():
            self._files.invalidate_cache()
            return Stock(
                found=[self._look(item) for item in items],
                manifest=self._content(MANIFEST),
                coming=self._content(part_of(MANIFEST)),
            )

    def send(self, item: Item, offset: int, sent: Callable[[int], None]) -> bool:
        """Write the item's temporary file, and read it back; what is cut short is removed."""
        assert offset == 0, "no part of a file is found here"
        path = self._path(item.part)
        with self._written(path) as file:
            for piece in item.pieces(0, sent):
                with self._reached():
                    file.write(piece)
        with self._reached():
            return self._holds(path, item)

    def settle(self, items: Sequence[Item], manifest: Item) -> None:
        """Give the items their names, and at last the manifest."""
        final, old = self._path(MANIFEST), self._path(_OLD)
        with self._reached():
            if self._size(final) is not None:
                self._move(final, old)
            for item in items:
                self._move(self._path(item.part), self._path(item.name))
            self._sync(items)
            self._move(self._path(manifest.part), final)
            if self._size(old) is not None:
                self._files.rm_file(old)
            self._sync([manifest])

    @contextmanager
    def _written(self, path: str) -> Iterator[Any]:  # Any: fsspec has no types
        with self._reached():
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            file = self._files.open(path, "wb")
        try:
            yield file
            with self._reached():
                if self._is_local:
                    file.flush()
                    os.fsync(file.fileno())
                file.close()
        except Exception:
            for clear in (file.close, lambda: self._files.rm_file(path)):
                with suppress(Exception):
                    clear()
            raise

    def _content(self, name: str) -> bytes | None:
        try:
            return bytes(self._files.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def _look(self, item: Item) -> Found:
        path, part = self._path(item.name), self._path(item.part)
        if self._holds(path, item):
            if self._size(part) is not None:
                self._files.rm_file(part)
            return Found(whole=True)
        other = self._size(path) is not None
        if not self._holds(part, item):
            return Found(other=other)
        return Found(other=other, part_bytes=item.size, part_sha256=item.sha256)

    def _holds(self, path: str, item: Item) -> bool:
        """Tell whether a file there is the item, from what is read of it."""
        if self._size(path) != item.size:
            return False
        digest = hashlib.sha256()
        with self._files.open(path, "rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
        return digest.hexdigest() == item.sha256

    def _size(self, path: str) -> int | None:
        """Return the size of a file; None where there is none."""
        try:
            about = self._files.info(path)
        except FileNotFoundError:
            return None
        if about["type"] == "directory":
            raise UserMistake(f"{self.shown}: a folder is in the way, {path.removeprefix(self._base)[1:]}")
        return int(about["size"])

    def _move(self, path: str, to: str) -> None:
        if self._has_names:
            self._files.mv(path, to)
        else:
            # Not its `mv`, which takes a name with a bracket or a star for a pattern.
            self._files.cp_file(path, to)
            self._files.rm_file(path)

    def _sync(self, items: Sequence[Item]) -> None:
        if self._is_local:
            for folder in {Path(self._path(item.name)).parent for item in items}:
                sync_folder(folder)

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in one line what is wrong, whatever a library calls it."""
        try:
            yield
        except OvernightError:
            raise
        except Exception as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> OvernightError:
        number = error.errno if isinstance(error, OSError) else None
        said = without_secrets(one_line(error) or type(error).__name__, self._target)
        if number in _FULL:
            return no_room(self.shown, said)
        if isinstance(error, PermissionError) or number in _DENIED:
            return not_allowed(self.shown, said)
        if isinstance(error, _IN_THE_WAY):
            return UserMistake(f"{self.shown}: something else is in the way ({said}): deliver to another folder")
        if isinstance(error, FileNotFoundError):
            return UserMistake(f"{self.shown}: is not there ({said}): make the bucket, or deliver to another one")
        return TransientError(f"{self.shown}: cannot be used now: {type(error).__name__}: {said}")
