"""Checkpoints of a training: written beside, forced to disk, renamed, verified when they are read.

A checkpoint is two files below the job's folder: `epoch_0010.npz` with the arrays, and then `epoch_0010.json`, which
names the first one's SHA-256 (and its own) and makes it valid. A training that stops within an epoch leaves
`epoch_0010_batch_00032.*`: 10 epochs and 32 batches of the next one are done. Whatever instant a process is killed at,
the newest pair whose digest is right is a whole one.
"""

import contextlib
import fcntl
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overnight.base.errors import StaleToken
from overnight.base.files import replace_file, sync_folder, write_json
from overnight.training.arrays import packed, unpacked
from overnight.training.ports import State

_NAME = re.compile(r"epoch_(\d{4,})(?:_batch_(\d{5,}))?\.json")
_WRITER = "writer.json"


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """How far a training is: whole epochs, and batches of the next one."""

    epoch: int = 0
    batch: int = 0

    @property
    def name(self) -> str:
        """Return what the files of a checkpoint at this place are called, without an ending."""
        return f"epoch_{self.epoch:04}" + (f"_batch_{self.batch:05}" if self.batch else "")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was read and verified. `course` is the loop's own JSON, `score` higher for a better model."""

    place: Place
    state: State
    course: Mapping[str, Any]  # Any: JSON
    score: float | None = None


@dataclass(kw_only=True)
class Checkpoints:
    """The checkpoints of one job. One process writes at a time: who has the highest token."""

    folder: Path
    token: int
    keep: int = 3
    """How many of the newest are kept, beside the best one."""
    damaged: list[str] = field(default_factory=list)
    """Those that `newest` has passed over, because they are not what was written."""

    def take(self) -> None:
        """Become the one that writes.

        Raises:
            StaleToken: somebody with a higher token writes already.
        """
        with self.alone():
            write_json(self.folder / _WRITER, {"token": self.token})

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else take the job, or write for it, within the block.

        Raises:
            StaleToken: somebody else has taken it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{_WRITER}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            holder = _read(self.folder / _WRITER).get("token", 0)
            if holder > self.token:
                raise StaleToken(f"somebody else trains this job now (token {holder}, and this is {self.token})")
            yield

    def save(self, place: Place, state: State, course: Mapping[str, Any], score: float | None = None) -> Path:
        """Write a checkpoint, remove those that are not kept any longer, and return its file of arrays.

        `course` is the loop's own JSON; `score` is higher for a better model, None where nothing was measured.

        Raises:
            StaleToken: somebody else trains the job now; nothing was written.
            OSError: the disk does not take it; the earlier checkpoints are untouched.
        """
        with self.alone():
            return self._save(place, state, course, score)

    def _save(self, place: Place, state: State, course: Mapping[str, Any], score: float | None) -> Path:
        path = self.folder / f"{place.name}.npz"
        if place in self._places() and self._load(place) is not None:
            # The same training gives the same state there; between its two files it would not be whole for a moment.
            return path
        content = packed(state.arrays)
        replace_file(path, content)
        about = {
            "epoch": place.epoch,
            "batch": place.batch,
            "sha256": hashlib.sha256(content).hexdigest(),
            "token": self.token,
            "score": score,
            "course": dict(course),
            "values": dict(state.values),
        }
        write_json(self.folder / f"{place.name}.json", {**about, "about_sha256": _digest(about)})
        self._prune()
        return path

    def adopt(self, name: str, arrived: Path) -> None:
        """Take a checkpoint of that name that another host has made, and has sent into the folder `arrived`.

        Raises:
            StaleToken: somebody else trains the job now; nothing was taken.
        """
        with self.alone():
            # As it is written: what makes it valid comes last.
            for ending in ("npz", "json"):
                (arrived / f"{name}.{ending}").replace(self.folder / f"{name}.{ending}")
                sync_folder(self.folder)
            self._prune()

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; None where there is none."""
        self.damaged = []
        for place in reversed(self._places()):
            found = self._load(place)
            if found is not None:
                return found
            self.damaged.append(place.name)
        return None

    def _load(self, place: Place) -> Checkpoint | None:
        about = _read(self.folder / f"{place.name}.json")
        if about.pop("about_sha256", None) != _digest(about):
            return None
        try:
            content = (self.folder / f"{place.name}.npz").read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != about.get("sha256"):
            return None
        state = State(arrays=unpacked(content), values=about["values"])
        return Checkpoint(place=place, state=state, course=about["course"], score=about["score"])

    def _places(self) -> list[Place]:
        """Return where checkpoints were made, oldest first."""
        matches = (_NAME.fullmatch(path.name) for path in self.folder.glob("epoch_*.json"))
        return sorted(Place(epoch=int(m[1]), batch=int(m[2] or 0)) for m in matches if m is not None)

    def _prune(self) -> None:
        places = self._places()
        for place in _superfluous(places, {one: self._score(one) for one in places}, self.keep):
            # What makes it valid goes first.
            for ending in ("json", "npz"):
                (self.folder / f"{place.name}.{ending}").unlink(missing_ok=True)
        whole = {place.name for place in self._places()}
        for path in self.folder.glob("epoch_*.npz"):
            # Left by a process that was killed between the two files.
            if path.stem not in whole:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".epoch_*.tmp"):
            path.unlink(missing_ok=True)

    def _score(self, place: Place) -> float | None:
        score = _read(self.folder / f"{place.name}.json").get("score")
        return score if isinstance(score, int | float) else None


def _superfluous(places: Sequence[Place], scores: Mapping[Place, float | None], keep: int) -> list[Place]:
    """Return the places, oldest first, that are neither among the newest nor the best; of equals the oldest is best."""
    measured = [(score, place) for place, score in scores.items() if score is not None]
    best = max(measured, key=lambda one: one[0], default=(0.0, None))[1]
    return [place for place in places[: max(0, len(places) - keep)] if place != best]


def _digest(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object in the file; an empty one where there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
    return {}
