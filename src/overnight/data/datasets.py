"""Samples as a folder that programs for fine-tuning load: three parts in two kinds of file, a card and a manifest.

A folder is there whole or not at all: it is written beside its place under another name, forced to disk, and then put
there in one move. What an export that was killed has left there is removed by the next one.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.errors import MissingExtra, UserMistake
from overnight.base.files import sync_folder, write_json
from overnight.data.cards import About, Contents, card
from overnight.data.chats import COLUMNS, FORMATS, Conversation, Record, formatted
from overnight.data.parting import SHARES, groups_of, parted

CARD, MANIFEST = "README.md", "manifest.json"
_AT_ONCE = 2000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A conversation that is exported. `source` has at least a name and a licence; `groups` are the keys by which it
    belongs together with others, such as its source and its cluster of near duplicates."""

    conversation: Conversation
    quality_0_1: float | None
    source: Mapping[str, str]
    groups: Sequence[str]


def write_dataset(samples: Sequence[Sample], target: Path, *, about: About, form: str, seed: int) -> dict[str, Any]:
    """Write the samples into the folder `target`, and return its manifest; one that is there is replaced.

    A sample that the format cannot hold is left out, and counted with the reason in the card and the manifest.

    Raises:
        UserMistake: there is no such format, no sample can be written, or the folder holds something else.
        MissingExtra: msgspec or DuckDB is not installed (extra `data`).
        OSError: it cannot be written; what was there before is untouched.
    """
    if form not in FORMATS:
        raise UserMistake(f"format: {form!r} is not one of {', '.join(FORMATS)}")
    if target.exists() and not (target / MANIFEST).is_file():
        raise UserMistake(f"{target}: there is something else in its place, which is not replaced")
    kept, records, left_out = _records(samples, form)
    if not records:
        raise UserMistake(f"no sample can be written in the format {form!r}: {dict(left_out)}")
    keys = [sample.groups for sample in kept]
    parts = parted(keys, seed=seed)
    contents = Contents(
        format=form,
        seed=seed,
        rows={part: parts.count(part) for part in SHARES},
        groups=len(set(groups_of(keys))),
        qualities_0_1=[sample.quality_0_1 for sample in kept],
        sources=[sample.source for sample in kept],
        left_out=left_out,
    )
    new = target.parent / f".{target.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        manifest = _fill(new, about, contents, list(zip(parts, records, strict=True)))
        _put(new, target)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return manifest


def _records(samples: Sequence[Sample], form: str) -> tuple[list[Sample], list[Record], Mapping[str, int]]:
    kept, records = [], []
    left_out: Counter[str] = Counter()
    for sample in samples:
        try:
            record = formatted(form, sample.conversation)
        except UserMistake as error:
            left_out[str(error)] += 1
            continue
        kept.append(sample)
        records.append(record)
    return kept, records, left_out


def _fill(folder: Path, about: About, contents: Contents, rows: Sequence[tuple[str, Record]]) -> dict[str, Any]:
    held = {CARD: 0}
    for part, count in contents.rows.items():
        if count:
            lines = folder / f"{part}.jsonl"
            _write(lines, _lines([record for at, record in rows if at == part]))
            _parquet(lines, COLUMNS[contents.format])
            held |= {f"{part}.jsonl": count, f"{part}.parquet": count}
    _write(folder / CARD, [card(about, contents).encode()])
    manifest = {
        "name": about.name,
        "format": contents.format,
        "seed": contents.seed,
        "gate_version": about.gate_version,
        "rows": dict(contents.rows),
        "left_out": dict(contents.left_out),
        "files": {name: _told(folder / name, count) for name, count in sorted(held.items())},
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def _lines(records: Sequence[Record]) -> Iterator[bytes]:
    try:
        import msgspec
    except ImportError:
        raise MissingExtra("data sets need the extra `data`: pip install 'overnight[data]'") from None
    encoder = msgspec.json.Encoder()
    for start in range(0, len(records), _AT_ONCE):
        yield encoder.encode_lines(records[start : start + _AT_ONCE])


def _write(path: Path, chunks: Sequence[bytes] | Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _parquet(lines: Path, columns: Mapping[str, str]) -> None:
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("data sets need the extra `data`: pip install 'overnight[data]'") from None
    target = lines.with_suffix(".parquet")
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT * FROM read_ndjson($source, columns = $columns, maximum_object_size = 67108864)) "
            "TO $target (FORMAT parquet)",
            {"source": str(lines), "columns": dict(columns), "target": str(target)},
        )
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _told(path: Path, rows: int) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told = {"sha256": digest, "bytes": path.stat().st_size}
    return {**told, "rows": rows} if rows else told


def _put(new: Path, target: Path) -> None:
    """Move the new folder to its place. Where one is, it is moved away first: two moves, with nothing between them."""
    old = target.parent / f".{target.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(new)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)
