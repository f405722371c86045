"""The card of a data set: what is in it, where that is from, how it was made, and how good it is. Pure.

Its head is the one that the library `datasets` reads: it says which file is which part.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BANDS = 10
_BAR = 40
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""What the library calls each part."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a card says that its samples do not: `made` is how they were made, a sentence a line."""

    name: str
    made: Sequence[str]
    gate_version: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in a data set. `left_out` counts the samples that could not be written, by reason."""

    format: str
    seed: int
    rows: Mapping[str, int]
    groups: int
    qualities_0_1: Sequence[float | None]
    sources: Sequence[Mapping[str, str]]
    left_out: Mapping[str, int]


def card(about: About, contents: Contents) -> str:
    """Return the card as Markdown, with a head in YAML."""
    total = sum(contents.rows.values())
    parts = [
        _head(about, contents),
        f"# {_inline(about.name)}\n",
        f"{total:,} conversations in the format `{contents.format}`, in `.jsonl` and, the same, in `.parquet`.\n",
        _table(
            ("part", "rows", "share"),
            [(part, f"{n:,}", f"{n / max(1, total):.1%}") for part, n in contents.rows.items()],
        ),
        f"Parted with the seed {contents.seed}: samples that were made from one text, have one skeleton or "
        f"are near duplicates are in one part ({contents.groups:,} groups).\n",
        "## Quality\n",
        _histogram(contents.qualities_0_1),
        f"Judged by version {_inline(about.gate_version)} of the gate.\n",
        "## Sources and licences\n",
        _sources(contents.sources),
        "## How it was made\n",
        "\n".join(f"- {_inline(line)}" for line in about.made) + "\n",
    ]
    if contents.left_out:
        rows = [(reason, f"{n:,}") for reason, n in sorted(contents.left_out.items())]
        parts += ["## What was left out\n", _table(("reason", "samples"), rows)]
    return "\n".join(parts)


def _head(about: About, contents: Contents) -> str:
    licences = sorted({source["licence"].lower() for source in contents.sources})
    lines = ["---", f"pretty_name: {json.dumps(about.name)}", f"license: {json.dumps(licences)}"]
    # The library reads one kind of file from a folder.
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for part, n in contents.rows.items():
        if n:
            lines += [f"  - split: {_SPLITS[part]}", f"    path: {part}.jsonl"]
    return "\n".join([*lines, "---", ""])


def _histogram(qualities_0_1: Sequence[float | None]) -> str:
    """Return how many samples have which quality, 0 to 10."""
    known = [quality for quality in qualities_0_1 if quality is not None]
    held = Counter(min(BANDS - 1, int(quality * BANDS)) for quality in known)
    most = max(held.values(), default=1)
    rows = [
        (f"{band} to {band + 1}", f"{held[band]:,}", "#" * round(_BAR * held[band] / most)) for band in range(BANDS)
    ]
    if len(known) < len(qualities_0_1):
        rows.append(("not measured", f"{len(qualities_0_1) - len(known):,}", ""))
    mean = f"The mean is {10 * sum(known) / len(known):.2f} of 10.\n" if known else "It was not measured.\n"
    return f"{mean}\n{_table(('quality', 'samples', ''), rows)}"


def _sources(sources: Sequence[Mapping[str, str]]) -> str:
    held = Counter((source["name"], source.get("version", ""), source["licence"]) for source in sources)
    rows = [(name, version, licence, f"{n:,}") for (name, version, licence), n in sorted(held.items())]
    return _table(("source", "version", "licence", "samples"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_inline(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
