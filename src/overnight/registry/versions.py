"""What a version is called. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Version:
    """One trained version of a model.

    `manifest` lists the artifact's files with SHA-256 and size, `signature` what goes in and comes out. `metrics` were
    measured on the held-out part of the snapshot; `verdict` is the gate's.
    """

    version_id: int
    model: str
    number: str
    run_id: int
    parent_id: int | None
    snapshot_id: str
    manifest: Mapping[str, Mapping[str, Any]]
    signature: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    created_us: int


_NUMBER = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
OUTPUT = ("target", "scale")
"""Parts of a signature that change what the model answers; the others change what it learns from."""


def next_number(previous: str | None, previous_signature: Mapping[str, Any], signature: Mapping[str, Any]) -> str:
    """Return the number of the next version.

    A retraining is a patch, other inputs or another class a minor version, another target or scale a major one.

    Raises:
        ValueError: `previous` is not written v1.2.3.
    """
    if previous is None:
        return "v1.0.0"
    match = _NUMBER.fullmatch(previous)
    if match is None:
        raise ValueError(f"{previous!r} is not a version such as v1.2.3")
    major, minor, patch = map(int, match.groups())
    if any(previous_signature.get(part) != signature.get(part) for part in OUTPUT):
        return f"v{major + 1}.0.0"
    if dict(previous_signature) != dict(signature):
        return f"v{major}.{minor + 1}.0"
    return f"v{major}.{minor}.{patch + 1}"
