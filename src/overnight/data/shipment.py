"""What an exported folder has to bring to another place: the files that its manifest names, and the manifest."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from overnight.base.errors import DamagedBlob, TransientError, UserMistake
from overnight.data.datasets import MANIFEST

PIECE = 1 << 20
"""Bytes that are sent and read at once."""
_LOGIN, _QUERY = re.compile(r"(?<=://)[^/]*@"), re.compile(r"\?.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file: its name below the folder, with "/", where it lies here, its SHA-256, its size in bytes."""

    name: str
    path: Path
    sha256: str
    size: int

    @property
    def part(self) -> str:
        """Its temporary name at the target."""
        return part_of(self.name)

    def pieces(self, offset: int, sent: Callable[[int], None]) -> Iterator[bytes]:
        """Yield what is in it from there on; `sent` is told how much of a piece was taken, when the next is asked for.

        Raises:
            DamagedBlob: it has become shorter.
        """
        left = self.size - offset
        with self.path.open("rb") as file:
            file.seek(offset)
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise DamagedBlob(f"{self.path} was cut short while it was sent; export it again")
                left -= len(piece)
                yield piece
                sent(len(piece))

    def begins_with(self, size: int, sha256: str) -> bool:
        """Tell whether its first `size` bytes, at the most all, have this SHA-256."""
        if size > self.size:
            return False
        if size == self.size:
            return sha256 == self.sha256
        digest, left = hashlib.sha256(), size
        with self.path.open("rb") as file:
            while left and (piece := file.read(min(left, PIECE))):
                digest.update(piece)
                left -= len(piece)
        return not left and digest.hexdigest() == sha256


@dataclass(frozen=True, kw_only=True)
class Found:
    """What stands at a target for an item.

    `whole`: the file itself, verified. `other`: something else under its name. `part_bytes` and `part_sha256` are
    those of its temporary file, 0 and "" where there is none.
    """

    whole: bool = False
    other: bool = False
    part_bytes: int = 0
    part_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """What stands at a target: for each item, and the manifests under its name and its temporary name, if any."""

    found: Sequence[Found]
    manifest: bytes | None
    coming: bytes | None


class Place(Protocol):
    """Where a dataset is delivered to: a folder that is elsewhere. Used by one thread at a time.

    Names are relative to the folder. Every method makes the folders that it needs, may be repeated after a failure,
    and raises UserMistake where a person has to do something, TransientError where it may work the next time. Nothing
    but temporary files (`part_of`) is removed or written to, but by `settle`.
    """

    shown: str
    """Its address, without what is secret in it."""

    def look(self, items: Sequence[Item]) -> Stock:
        """Return what stands there; the temporary file of an item that is whole is removed."""

    def send(self, item: Item, offset: int, sent: Callable[[int], None]) -> bool:
        """Write the item's temporary file from `offset` on, which is 0 or what it holds already.

        Return whether what is there now, read at the target, has the item's SHA-256.
        """

    def settle(self, items: Sequence[Item], manifest: Item) -> None:
        """Give the items their names, and at last the manifest: as long as they change, none is there by its name."""


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """A dataset, and what it is made of."""

    dataset: str
    items: Sequence[Item]
    manifest: Item

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(item.size for item in self.items) + self.manifest.size


def shipment_of(folder: Path) -> Shipment:
    """Read the manifest of an exported folder, and verify each file that it names.

    Raises:
        UserMistake: there is no manifest, or it is none.
        DamagedBlob: a file is not what the manifest says.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserMistake(f"{folder}: there is no {MANIFEST}: give a folder that a dataset was exported to") from None
    told = _told(content)
    if told is None:
        raise UserMistake(f"{path}: is no manifest of a dataset; export it again")
    return Shipment(
        dataset=told["name"],
        items=[_item(folder, name, about) for name, about in told["files"].items()],
        manifest=Item(name=MANIFEST, path=path, sha256=digest_of(content), size=len(content)),
    )


def dataset_in(manifest: bytes) -> str | None:
    """Return the name of the dataset that a manifest is of; None where it is none."""
    told = _told(manifest)
    return None if told is None else told["name"]


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of something small."""
    return hashlib.sha256(content).hexdigest()


def part_of(name: str) -> str:
    """Return the temporary name of a file at a target: hidden, beside it, and nobody else's."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}.{last}.overnight"


def shown(target: str) -> str:
    """Return an address without what may be secret in it: who logs in, with which password, and a signature."""
    return _QUERY.sub("", _LOGIN.sub("", target)) if "://" in target else target


def without_secrets(text: str, target: str) -> str:
    """Return what a library says of an address without what `shown` leaves out of it."""
    login, query = _LOGIN.search(target), _QUERY.search(target)
    secrets = [login[0][:-1], *login[0][:-1].split(":")[1:]] if login else []
    for secret in [*secrets, *([query[0]] if query and "://" in target else [])]:
        text = text.replace(secret, "***") if secret else text
    return text


def no_room(place: str, said: str) -> TransientError:
    """Return the error of a target whose disk is full; `said` is what was said of it there."""
    return TransientError(f"{place}: no room is left there ({said}): make room; what has arrived stays there")


def not_allowed(place: str, said: str) -> UserMistake:
    """Return the error of a target that may not be written to; `said` is what was said of it there."""
    return UserMistake(f"{place}: may not be written ({said}): allow it, or deliver to another folder")


def _told(content: bytes) -> dict[str, Any] | None:
    """Return a manifest; None where it is none, as far as it is looked at here."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    usable = isinstance(told, dict) and isinstance(told.get("name"), str) and isinstance(told.get("files"), dict)
    return told if usable else None


def _item(folder: Path, name: str, about: Any) -> Item:  # Any: JSON
    if not name.isprintable() or any(part in ("", ".", "..") for part in name.split("/")) or name == MANIFEST:
        raise UserMistake(f"{folder / MANIFEST}: {name!r} is no name of a file below its folder; export it again")
    path = folder / name
    try:
        with path.open("rb") as file:
            sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except FileNotFoundError:
        raise DamagedBlob(f"{path} is missing, though the manifest names it; export it again") from None
    if not isinstance(about, dict) or about.get("sha256") != sha256:
        raise DamagedBlob(f"{path} is not what the manifest says; export it again")
    return Item(name=name, path=path, sha256=sha256, size=size)
