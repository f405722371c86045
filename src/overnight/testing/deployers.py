"""The conformance suite of the deployer protocol.

In a pytest file, subclass `DeployerConformance` and write `build`, which returns a `Stage`: the deployer, and a look at
what it drives.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from overnight.base.errors import DeployFailed
from overnight.serving.ports import Deployer, VersionRef

MODEL = "echo"
FILE = "model.txt"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A deployer and what it drives: which versions are resident, and which one answers; None: none does.

    `answer` asks a champion once, as a user does, and raises what a user would see.
    """

    deployer: Deployer
    resident: Callable[[], set[str]]
    answer: Callable[[], str | None]


def version(folder: Path, number: str, model: str = MODEL) -> VersionRef:
    """Return a version whose only file holds its number."""
    place = folder / model / number
    place.mkdir(parents=True, exist_ok=True)
    (place / FILE).write_text(number)
    about = {"sha256": hashlib.sha256(number.encode()).hexdigest(), "size": len(number)}
    return VersionRef(model=model, number=number, folder=place, manifest={FILE: about})


class DeployerConformance(ABC):
    """What every deployer keeps to."""

    @abstractmethod
    def build(self, folder: Path) -> Stage:
        """Return a new stage; `folder` is empty and its own."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        """A stage."""
        folder = tmp_path / "stage"
        folder.mkdir()
        return self.build(folder)

    @pytest.fixture
    def old(self, tmp_path: Path) -> VersionRef:
        """The first version."""
        return version(tmp_path, "v1.0.0")

    @pytest.fixture
    def new(self, tmp_path: Path) -> VersionRef:
        """The second version."""
        return version(tmp_path, "v1.0.1")

    def test_a_loaded_version_answers_nobody_before_it_is_swapped_in(
        self, stage: Stage, old: VersionRef, new: VersionRef
    ) -> None:
        """Loading is not serving."""
        stage.deployer.load(old)
        stage.deployer.swap(old)
        stage.deployer.load(new)
        assert (stage.resident(), stage.answer()) == ({"v1.0.0", "v1.0.1"}, "v1.0.0")
        assert stage.deployer.healthy(new) is None
        stage.deployer.swap(new)
        assert stage.answer() == "v1.0.1"
        stage.deployer.unload(old)
        assert (stage.resident(), stage.answer()) == ({"v1.0.1"}, "v1.0.1")

    def test_every_call_may_come_twice(self, stage: Stage, old: VersionRef, new: VersionRef) -> None:
        """Whoever comes back after a crash calls again."""
        for call in (stage.deployer.load, stage.deployer.swap):
            call(old)
            call(old)
        stage.deployer.load(new)
        stage.deployer.load(old)
        assert (stage.resident(), stage.answer()) == ({"v1.0.0", "v1.0.1"}, "v1.0.0")
        for _ in range(2):
            stage.deployer.unload(new)
        assert (stage.resident(), stage.answer()) == ({"v1.0.0"}, "v1.0.0")

    def test_a_rollout_goes_back_as_it_came(self, stage: Stage, old: VersionRef, new: VersionRef) -> None:
        """The champion before is still there."""
        for ref in (old, new):
            stage.deployer.load(ref)
            stage.deployer.swap(ref)
        stage.deployer.swap(old)
        stage.deployer.unload(new)
        assert (stage.resident(), stage.answer()) == ({"v1.0.0"}, "v1.0.0")

    def test_what_is_not_loaded_is_not_swapped_in(self, stage: Stage, old: VersionRef, new: VersionRef) -> None:
        """A swap that cannot be done changes nothing."""
        stage.deployer.load(old)
        stage.deployer.swap(old)
        with pytest.raises(DeployFailed) as failed:
            stage.deployer.swap(new)
        assert "\n" not in str(failed.value)
        assert stage.answer() == "v1.0.0"
        assert stage.deployer.healthy(new) is not None
        stage.deployer.unload(new)

    def test_altered_files_are_not_loaded(self, stage: Stage, old: VersionRef) -> None:
        """What was proven is what is loaded."""
        (old.folder / FILE).write_text("another model")
        with pytest.raises(DeployFailed, match=r"model\.txt"):
            stage.deployer.load(old)
        assert stage.resident() == set()

    def test_no_request_fails_while_versions_are_swapped(self, stage: Stage, old: VersionRef, new: VersionRef) -> None:
        """Users do not see that anything happens."""
        stage.deployer.load(old)
        stage.deployer.swap(old)
        with asked(stage) as seen:
            for ref, other in [(new, old), (old, new)] * 3:
                stage.deployer.load(ref)
                stage.deployer.swap(ref)
                stage.deployer.unload(other)
        assert seen
        assert set(seen) <= {"v1.0.0", "v1.0.1"}


@contextmanager
def asked(stage: Stage) -> Iterator[list[str | None]]:
    """Ask the champion again and again during the block; give the list of who has answered."""
    over, seen = Event(), list[str | None]()

    def ask() -> None:
        while not (over.is_set() and seen):
            seen.append(stage.answer())

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(ask) for _ in range(2)]
        try:
            yield seen
        finally:
            over.set()
    for future in futures:
        future.result()
