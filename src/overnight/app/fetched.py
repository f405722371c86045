"""The files of versions that are resident: taken from where versions are kept into a folder each, verified, loaded."""

import shutil
import threading

from overnight.app.workplace import Workplace
from overnight.base.errors import DeployFailed, HardFailure, OvernightError, UnknownName, said_by
from overnight.registry import artifacts
from overnight.registry import store as registry
from overnight.registry.versions import Version
from overnight.serving.host import verify
from overnight.serving.ports import VersionRef
from overnight.serving.resident import Model
from overnight.training.kinds import load_trainer

FOLDER = "models"
"""Below the state folder: each version has a folder of its number there."""


class Files:
    """Safe to use from any thread; who holds `lock` is alone with the folders."""

    def __init__(self, project: Workplace) -> None:
        self._project = project
        self.lock = threading.RLock()

    def named(self, model: str, number: str) -> VersionRef:
        """Return a version whose files need not be there, for whoever takes it away.

        Raises:
            UnknownName: there is no such version.
        """
        return self._named(self._version(model, number))

    def fetch(self, model: str, number: str) -> VersionRef:
        """Return a version whose files lie in its folder, verified.

        Raises:
            UnknownName: there is no such version.
            HardFailure: its files are missing or altered.
        """
        version = self._version(model, number)
        ref = self._named(version)
        with self.lock:
            try:
                verify(ref)
            except HardFailure:
                self.remove(ref)
                try:
                    artifacts.fetch(self._project.artifacts, version, ref.folder)
                except OvernightError as error:
                    raise HardFailure(f"{model} {number}: {said_by(error)}") from error
        return ref

    def remove(self, ref: VersionRef) -> None:
        """Remove the folder of a version."""
        shutil.rmtree(ref.folder, ignore_errors=True)

    def load(self, ref: VersionRef) -> Model:
        """Load a version by the class that it was trained with.

        Raises:
            DeployFailed: it was trained by none that answers.
        """
        spec = ref.signature.get("trainer")
        if not isinstance(spec, str):
            raise DeployFailed(
                f"{ref.model} was trained by no class that answers; [models.{ref.model}.deployer] says what serves it"
            )
        with self._project.loading():
            return load_trainer(ref.model, spec).load(ref.folder)

    def _version(self, model: str, number: str) -> Version:
        with self._project.database.read() as connection:
            version = registry.of_number(connection, model, number)
        if version is None:
            raise UnknownName(f"model {model!r} has no version {number!r}")
        return version

    def _named(self, version: Version) -> VersionRef:
        return VersionRef(
            model=version.model,
            number=version.number,
            folder=self._project.state_dir / FOLDER / str(version.version_id),
            manifest=version.manifest,
            signature=version.signature,
        )
