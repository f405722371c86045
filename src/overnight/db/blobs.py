"""Content-addressed files: named by the SHA-256 of what is in them, verified whenever they are read."""

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError, DamagedBlob, MissingExtra, TransientError, UnknownName, said_by
from overnight.base.files import replace_file
from overnight.base.instants import US

NAME_LENGTH = 64
EXTRAS = {"s3fs": "s3", "gcsfs": "gs"}
"""The extra that installs a module for a kind of store."""


def check_root(root: str, key: str) -> None:
    """Refuse a place that blobs cannot be kept in, without a look at it; `key` names the setting.

    Raises:
        ConfigError: nobody knows such URLs.
        MissingExtra: what is needed for them is not installed.
    """
    protocol, sep, _ = root.partition("://")
    if not sep:
        return
    from importlib.util import find_spec

    from fsspec.registry import known_implementations

    if protocol not in known_implementations:
        raise ConfigError(
            f'{key}: {protocol!r} is no kind of store; give a folder, "s3://BUCKET/..." or "gs://BUCKET/..."'
        )
    module = known_implementations[protocol]["class"].partition(".")[0]
    if find_spec(module) is None:
        extra = EXTRAS.get(module)
        advice = f"the extra {extra!r}: pip install 'overnight[{extra}]'" if extra else f"pip install {module}"
        raise MissingExtra(f"{key}: {protocol}:// needs {advice}")


class Blobs:
    """A store of immutable files below one folder or fsspec URL. Safe to use from any thread and process."""

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def _place(self) -> tuple[Any, str]:  # Any: fsspec has no types
        # Loaded on first use: opening a project must not cost the import.
        import fsspec

        # A folder's name may hold what means something in a URL, such as "::".
        if "://" not in self.root:
            return fsspec.filesystem("file"), str(Path(self.root).absolute())
        return fsspec.core.url_to_fs(self.root)  # type: ignore[no-any-return]  # no types

    @cached_property
    def _is_local(self) -> bool:
        protocol = self._place[0].protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def put(self, content: bytes) -> str:
        """Store the content, if it is not there yet, and return its name: 64 hexadecimal digits.

        Raises:
            OSError: it cannot be written; nothing half-written is left.
        """
        name = hashlib.sha256(content).hexdigest()
        files, path = self._find(name)
        if not self._is_local:
            # Also where it is there: it becomes as young as a new one, which not every store can do otherwise.
            with self._reached():
                files.makedirs(path.rpartition("/")[0], exist_ok=True)
                files.pipe_file(path, content)
        elif files.exists(path) and files.size(path) == len(content):
            # As young as a new one: a sweep must not take what was just said to be needed.
            Path(path).touch()
        else:
            # New, or of another size because it was damaged since.
            replace_file(Path(path), content)
        return name

    def get(self, name: str) -> bytes:
        """Return the content.

        Raises:
            UnknownName: there is no such blob.
            DamagedBlob: what is there is not what was stored.
        """
        files, path = self._find(name)
        try:
            with self._reached():
                content = files.cat_file(path)
        except FileNotFoundError as error:
            raise UnknownName(f"blob {name!r} is missing from {self.root}") from error
        if hashlib.sha256(content).hexdigest() != name:
            raise DamagedBlob(f"blob {name!r} in {self.root} is damaged: its content has another hash")
        return bytes(content)

    def sweep(self, needed: Collection[str], before_us: int) -> None:
        """Remove blobs that are not needed and were written before that instant. Local stores only.

        Whoever stores a blob and then says that it is needed has from that instant on to do so.
        """
        assert self._is_local
        for path in Path(self._place[1]).glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.name not in needed and path.stat().st_mtime_ns // 1000 < before_us:
                    path.unlink()

    def discard(self, names: Collection[str], before_us: int) -> int:
        """Remove these blobs as far as they were written before that instant; return how many bytes that set free.

        Whoever stores one of them again makes it young by that.
        """
        files, freed = self._place[0], 0
        for name in names:
            path = self._find(name)[1]
            with contextlib.suppress(FileNotFoundError), self._reached():
                size, written_us = int(files.size(path)), int(files.modified(path).timestamp() * US)
                if written_us < before_us:
                    files.rm_file(path)
                    freed += size
        return freed

    def put_folder(self, folder: Path) -> dict[str, dict[str, object]]:
        """Store every file of a folder and return its manifest: relative name to {sha256, size}."""
        manifest: dict[str, dict[str, object]] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                name = path.relative_to(folder).as_posix()
                manifest[name] = {"sha256": self.put(content), "size": len(content)}
        return manifest

    def verify(self, manifest: Mapping[str, Mapping[str, object]]) -> None:
        """Check that every file of a manifest is there as it was stored.

        Raises:
            UnknownName, DamagedBlob: a file is missing or damaged; the message names it.
        """
        for name, about in manifest.items():
            try:
                self.get(str(about["sha256"]))
            except (UnknownName, DamagedBlob) as error:
                raise type(error)(f"{name}: {error}") from error

    def fetch_folder(self, manifest: Mapping[str, Mapping[str, object]], folder: Path) -> None:
        """Write the files of a manifest into the folder, each verified.

        Raises:
            UnknownName, DamagedBlob: a file is missing or damaged; the message begins with its name.
        """
        root = folder.resolve()
        root.mkdir(parents=True, exist_ok=True)
        for name, about in manifest.items():
            target = (root / name).resolve()
            if not target.is_relative_to(root):
                raise DamagedBlob(f"the manifest names a file outside its folder: {name!r}")
            try:
                content = self.get(str(about["sha256"]))
            except (UnknownName, DamagedBlob) as error:
                raise type(error)(f"{name}: {error}") from error
            replace_file(target, content)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in one line that a store elsewhere cannot be used now, whatever its library calls that.

        Raises:
            TransientError: so it is.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            if self._is_local:
                raise
            raise TransientError(f"{self.root} cannot be used now: {said_by(error)}") from error

    def _find(self, name: str) -> tuple[Any, str]:  # Any: fsspec has no types
        if len(name) != NAME_LENGTH or not set(name) <= set("0123456789abcdef"):
            raise UnknownName(f"{name!r} is not the name of a blob (64 hexadecimal digits)")
        files, base = self._place
        return files, f"{base}/{name[:2]}/{name}"
