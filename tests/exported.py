"""Exported folders that a test delivers, and what it finds at the target."""

import hashlib
import json
import os
from pathlib import Path

import fsspec

MB = 1 << 20


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def exported(folder: Path, files: dict[str, bytes], *, name: str = "facts") -> Path:
    """Write a folder as `datasets.write_dataset` does."""
    for file, content in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    told = {file: {"sha256": digest(content), "bytes": len(content)} for file, content in files.items()}
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"name": name, "files": told}))
    return folder


def some_files(size: int = 300_000) -> dict[str, bytes]:
    return {"README.md": b"# facts\n", "parts/train.jsonl": os.urandom(size), "empty.jsonl": b""}


def files_at(url: str) -> dict[str, bytes]:
    """What lies below a path or URL, by name."""
    files, base = fsspec.core.url_to_fs(url)
    return {path.removeprefix(base).strip("/"): files.cat_file(path) for path in files.find(base)}


def files_of(folder: Path) -> dict[str, bytes]:
    return files_at(str(folder))
