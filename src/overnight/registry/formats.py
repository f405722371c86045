"""What a file of a version is, told by its content; pickles are refused.

A pickle runs whatever code it names when it is loaded, so none is taken, under whatever name and however wrapped.
Loaded on first use: opening a project must not cost the import of what looks into archives.
"""

import bz2
import json
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from overnight.base.errors import UserMistake

TAKEN = "safetensors, skops, ONNX, GGUF, npz, JSON and other data without code"
PICKLED = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth"})
"""Endings that say that a file is a pickle; under any other name it is known by its content."""
_HEAD = 65_536
_LONGEST_TEXT = 64_000_000
"""Bytes of the largest file that is looked through for a pickle of the first protocols, which begin like text."""
_NUMPY = b"\x93NUMPY"
_UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", lambda head: zlib.decompressobj(31).decompress(head, _HEAD)),
    (b"x", lambda head: zlib.decompressobj().decompress(head, _HEAD)),
    (b"BZh", lambda head: bz2.BZ2Decompressor().decompress(head, _HEAD)),
    (b"\xfd7zXZ", lambda head: lzma.LZMADecompressor().decompress(head, _HEAD)),
)


def format_of(path: Path, name: str) -> str:
    """Return what a file is: safetensors, skops, onnx, gguf, npz, npy, json, text or data.

    Raises:
        UserMistake: it is a pickle; `name` names it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if path.suffix.lower() in PICKLED:
        raise _refused(name, f"a file that ends in {path.suffix} is loaded as a pickle")
    if _is_pickle(head) or _is_wrapped(head) or _is_old_pickle(path, head):
        raise _refused(name, "it is a pickle")
    if zipfile.is_zipfile(path):
        return _format_of_zip(path, name)
    if head.startswith(_NUMPY):
        if _holds_objects(head):
            raise _refused(name, "its array holds pickled objects")
        return "npy"
    return _plain_format(path, head)


def _refused(name: str, why: str) -> UserMistake:
    return UserMistake(f"{name!r} is refused: {why}, and that runs code when it is loaded; taken are {TAKEN}")


def _plain_format(path: Path, head: bytes) -> str:
    if _is_safetensors(path, head):
        return "safetensors"
    if head.startswith(b"GGUF"):
        return "gguf"
    if path.suffix.lower() == ".onnx":
        return "onnx"
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # Where the head was cut within a letter, it is text all the same.
        if error.start < len(head) - 3 or len(head) < _HEAD:
            return "data"
    return "json" if path.suffix.lower() in (".json", ".jsonl") else "text"


def _is_safetensors(path: Path, head: bytes) -> bool:
    length = int.from_bytes(head[:8], "little")
    if len(head) < 10 or head[8:9] != b"{" or length > path.stat().st_size - 8:
        return False
    with path.open("rb") as file, suppress(ValueError):
        return isinstance(json.loads(file.read(8 + length)[8:]), dict)
    return False


def _format_of_zip(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as file:
        members = file.namelist()
        for member in members:
            with file.open(member) as inside:
                head = inside.read(_HEAD)
            if Path(member).suffix.lower() in PICKLED or _is_pickle(head):
                raise _refused(name, f"it holds the pickle {member!r}")
            if _holds_objects(head):
                raise _refused(name, f"its array {member!r} holds pickled objects")
    if members and all(member.endswith(".npy") for member in members):
        return "npz"
    return "skops" if "schema.json" in members else "data"


def _holds_objects(head: bytes) -> bool:
    """Tell whether this is how a NumPy array of objects begins: magic, version, length of the header, header.

    Source: numpy.lib.format. Objects are pickled behind it.
    """
    if not head.startswith(_NUMPY):
        return False
    begin = 10 if head[6:7] == b"\1" else 12
    return b"|O" in head[begin : begin + int.from_bytes(head[8:begin], "little")]


def _is_pickle(head: bytes) -> bool:
    """Tell whether this is how a pickle of protocol 2 or later begins."""
    if head[:1] != b"\x80" or head[1:2] not in (b"\2", b"\3", b"\4", b"\5"):
        return False
    try:
        list(islice(pickletools.genops(head), 3))
    except ValueError as error:
        # Cut off where only the head was read, which is not unknown.
        return "unknown" not in str(error)
    return True


def _is_wrapped(head: bytes) -> bool:
    """Tell whether a compressed pickle begins so."""
    for magic, unpack in _UNPACKERS:
        if head.startswith(magic):
            with suppress(zlib.error, lzma.LZMAError, OSError, EOFError):
                return _is_pickle(unpack(head))
    return False


def _is_old_pickle(path: Path, head: bytes) -> bool:
    """Tell whether this is a pickle of protocol 0 or 1, which begins like text: it reads as one to its last byte."""
    size = path.stat().st_size
    if not size or size > _LONGEST_TEXT or head[:1] not in b"(}]cid":
        return False
    with path.open("rb") as file:
        content = file.read()
    if not content.endswith(b"."):
        return False
    seen = set[str]()
    try:
        for operation, _, place in pickletools.genops(content):
            seen.add(operation.name)
            if operation.name == "STOP" and place != size - 1:
                return False
    except (ValueError, UnicodeDecodeError):
        return False
    return bool(seen & {"PUT", "BINPUT", "LONG_BINPUT", "GLOBAL", "INST"})
