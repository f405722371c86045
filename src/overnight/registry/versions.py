"""What a version is, what it is called, and how two of them differ. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from overnight.base.refs import Bump


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a model, trained here or imported.

    `manifest` lists the artifact's files with SHA-256, size and format, `signature` what goes in and comes out.
    `metrics` were measured on the held-out part of the snapshot; `verdict` is the gate's. `code` is the program's
    version and the project's commit as the training began. `run_id` is that of the training; None for a version from
    elsewhere, of which `origin` tells. From `removed_us` on the artifact is gone, and what is known of it stays.
    """

    version_id: int
    model: str
    number: str
    run_id: int | None
    parent_id: int | None
    snapshot_id: str
    manifest: Mapping[str, Mapping[str, Any]]
    signature: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    created_us: int
    code: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] | None = None
    removed_us: int | None = None

    @property
    def objection(self) -> str | None:
        """Return what the gate said of it, where that was no ACCEPT; None also where it was not asked."""
        decision = self.verdict.get("decision")
        return None if decision in (None, "ACCEPT") else str(decision)


_NUMBER = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
CHAMPION, PREVIOUS, NEWEST = "champion", "previous", "newest"
"""Words for a version: the one that serves, the one that served before it, the one that came last."""
OUTPUT = ("target", "scale")
"""Parts of an agent's signature that change what it answers; the others change what it learns from."""
SCHEMA = (*OUTPUT, "outputs")


def size_of(manifest: Mapping[str, Mapping[str, Any]]) -> int:  # Any: see `Version`
    """Return how many bytes the files of a version have."""
    return sum(int(about["size"]) for about in manifest.values())


def parts_of(number: str) -> tuple[int, int, int]:
    """Return major, minor and patch.

    Raises:
        ValueError: it is not written v1.2.3.
    """
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise ValueError(f"{number!r} is not a version such as v1.2.3")
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


def next_number(
    previous: str | None, before: Mapping[str, Any], now: Mapping[str, Any], bump: Bump | None = None
) -> str:
    """Return the number of the next version, from the signatures of the previous one and of this one.

    A retraining is a patch, other features or settings a minor version, another schema of what goes in or comes out a
    major one. A part of the schema that either does not tell is not compared. `bump` stands above all that.

    Raises:
        ValueError: `previous` is not written v1.2.3.
    """
    if previous is None:
        return "v1.0.0"
    major, minor, patch = parts_of(previous)
    wanted = bump or _bump(before, now)
    match wanted:
        case "major":
            return f"v{major + 1}.0.0"
        case "minor":
            return f"v{major}.{minor + 1}.0"
        case "patch":
            return f"v{major}.{minor}.{patch + 1}"
        case _:
            assert_never(wanted)


def _bump(before: Mapping[str, Any], now: Mapping[str, Any]) -> Bump:
    old, new = _schema(before), _schema(now)
    if any(old[part] != new[part] for part in old.keys() & new.keys()):
        return "major"
    rest = (_rest(before, old), _rest(now, new))
    return "patch" if rest[0] == rest[1] else "minor"


def _schema(signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes in and comes out, as far as it is told; the columns of an agent are features, no schema."""
    found = {part: signature[part] for part in SCHEMA if part in signature}
    if isinstance(signature.get("inputs"), Mapping):
        found["inputs"] = signature["inputs"]
    return found


def _rest(signature: Mapping[str, Any], schema: Collection[str]) -> dict[str, Any]:
    return {part: value for part, value in signature.items() if part not in schema}


def tag_complaint(name: str) -> str | None:
    """Return what is wrong with the name of a tag; None where nothing is."""
    if _TAG.fullmatch(name) is None:
        return "is not a name (1 to 100 letters, digits and _ . -)"
    if _NUMBER.fullmatch(name) or name in (CHAMPION, PREVIOUS, NEWEST):
        return "means a version already"
    return None


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by dotted key, each as (in `a`, in `b`); what is absent is None."""
    flat_a, flat_b = dict(_leaves((), a)), dict(_leaves((), b))
    keys = [*flat_a, *(key for key in flat_b if key not in flat_a)]
    return {key: (flat_a.get(key), flat_b.get(key)) for key in keys if flat_a.get(key) != flat_b.get(key)}


def _leaves(above: tuple[str, ...], value: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            found += _leaves((*above, name), inner)
        else:
            found.append((".".join((*above, name)), inner))
    return found


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Why versions of one model keep their artifact: ids of the champion, the previous one, the best, and others."""

    champion: int | None = None
    previous: int | None = None
    best: int | None = None
    tagged: Mapping[int, Sequence[str]] = field(default_factory=dict)
    deploying: Collection[int] = ()

    def of(self, version_id: int) -> str | None:
        """Return why this one must keep it; None where nothing speaks for it."""
        if version_id == self.champion:
            return "it serves"
        if version_id == self.previous:
            return "it served before the one that serves"
        if version_id == self.best:
            return "it is the best so far, which the next one must not be worse than (gate.form)"
        if version_id in self.tagged:
            return f"it is tagged {', '.join(self.tagged[version_id])}"
        return "it is being rolled out" if version_id in self.deploying else None


def removable(version_ids: Sequence[int], rights: Rights, *, keep: int) -> list[int]:
    """Return the versions whose artifact may go, of all that one model has, newest first: not the `keep` newest."""
    return [one for one in version_ids[keep:] if rights.of(one) is None]
