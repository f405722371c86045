"""Versions that programs make serve, such as a script around any server."""

from collections.abc import Mapping, Sequence

from overnight.base.errors import ConfigError, DeployFailed
from overnight.base.serving_settings import DeployerSettings
from overnight.processes.call import CallFailed, call
from overnight.serving.deployers import templates
from overnight.serving.host import verified
from overnight.serving.ports import VersionRef


class Command:
    """Calls a program for each wish; one without a program is granted. Nothing of a program outlives its call."""

    def __init__(self, settings: DeployerSettings, where: str, *, env: Mapping[str, str], cwd: str) -> None:
        """`where` names the settings.

        Raises:
            ConfigError: there is no program for loading or swapping, or a word is unknown.
        """
        if not settings.load and not settings.swap:
            raise ConfigError(f"{where}: kind 'command' needs load, swap or both")
        for name in ("load", "healthy", "swap", "unload"):
            templates.check(f"{where}.{name}", getattr(settings, name))
        self._settings, self._env, self._cwd = settings, env, cwd

    def load(self, version: VersionRef) -> None:
        """Call the program; see `serving.ports.Deployer`."""
        verified(version)
        self._call(self._settings.load, version)

    def healthy(self, version: VersionRef) -> str | None:
        """Return how the program of its health has failed."""
        try:
            self._call(self._settings.healthy, version)
        except DeployFailed as error:
            return str(error)
        return None

    def swap(self, version: VersionRef) -> None:
        """Call the program."""
        self._call(self._settings.swap, version)

    def unload(self, version: VersionRef) -> None:
        """Call the program."""
        self._call(self._settings.unload, version)

    def _call(self, argv: Sequence[str], version: VersionRef) -> None:
        if argv:
            words = templates.words_of(version)
            program = [templates.filled(word, words) for word in argv]
            try:
                call(program, env=self._env, cwd=self._cwd, timeout_s=self._settings.timeout_s)
            except (CallFailed, OSError) as error:
                raise DeployFailed(str(error)) from error
