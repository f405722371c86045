"""Versions that serve in this process."""

from overnight.base.errors import DeployFailed, ModelFailed, UserMistake
from overnight.serving.host import ModelHost
from overnight.serving.ports import VersionRef


class Inside:
    """Loads versions into a host of this process."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host

    def load(self, version: VersionRef) -> None:
        """Load the version; see `serving.ports.Deployer`."""
        try:
            self._host.load(version)
        except (ModelFailed, UserMistake) as error:
            raise DeployFailed(str(error)) from error

    def healthy(self, version: VersionRef) -> str | None:
        """Ask the version what the champion has answered before, as far as there is something."""
        return self._host.healthy(version)

    def swap(self, version: VersionRef) -> None:
        """Replace one reference."""
        self._host.swap(version)

    def unload(self, version: VersionRef) -> None:
        """Wait for the requests that it answers, and let it go."""
        self._host.unload(version)
