"""Content-addressed files: named by the SHA-256 of what is in them, verified whenever they are read."""

import contextlib
import hashlib
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from overnight.base.errors import DamagedBlob, UnknownName
from overnight.base.files import replace_file

NAME_LENGTH = 64


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
        # One of another size was damaged since; it is replaced by what it should be.
        if files.exists(path) and files.size(path) == len(content):
            if self._is_local:
                # As young as a new one: a sweep must not take what was just said to be needed.
                Path(path).touch()
            return name
        if self._is_local:
            replace_file(Path(path), content)
        else:
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            files.pipe_file(path, content)
        return name

    def get(self, name: str) -> bytes:
        """Return the content.

        Raises:
            UnknownName: there is no such blob.
            DamagedBlob: what is there is not what was stored.
        """
        files, path = self._find(name)
        try:
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

    def put_folder(self, folder: Path) -> dict[str, dict[str, object]]:
        """Store every file of a folder and return its manifest: relative name to {sha256, size}."""
        manifest: dict[str, dict[str, object]] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                name = path.relative_to(folder).as_posix()
                manifest[name] = {"sha256": self.put(content), "size": len(content)}
        return manifest

    def fetch_folder(self, manifest: Mapping[str, Mapping[str, object]], folder: Path) -> None:
        """Write the files of a manifest into the folder, each verified.

        Raises:
            UnknownName, DamagedBlob: a file is missing or damaged.
        """
        root = folder.resolve()
        root.mkdir(parents=True, exist_ok=True)
        for name, about in manifest.items():
            target = (root / name).resolve()
            if not target.is_relative_to(root):
                raise DamagedBlob(f"the manifest names a file outside its folder: {name!r}")
            replace_file(target, self.get(str(about["sha256"])))

    def _find(self, name: str) -> tuple[Any, str]:  # Any: fsspec has no types
        if len(name) != NAME_LENGTH or not set(name) <= set("0123456789abcdef"):
            raise UnknownName(f"{name!r} is not the name of a blob (64 hexadecimal digits)")
        files, base = self._place
        return files, f"{base}/{name[:2]}/{name}"
