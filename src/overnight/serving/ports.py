"""What makes versions serve, wherever they do: in this process, in vLLM, behind a script."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from overnight.base.errors import DeployFailed
from overnight.registry.versions import size_of

__all__ = ["DeployFailed", "Deployer", "VersionRef"]


@dataclass(frozen=True, kw_only=True)
class VersionRef:
    """One version of a model, and the folder in which its files lie; see `registry.versions.Version`."""

    model: str
    number: str
    folder: Path
    manifest: Mapping[str, Mapping[str, Any]]
    signature: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return size_of(self.manifest)


class Deployer(Protocol):
    """Makes versions of models serve. `overnight.testing.deployers` is its conformance suite.

    Every call may come twice, also after a crash in the middle of it, and then changes nothing more; calls for one
    model come one after another, from any thread. None waits for ever. Each raises DeployFailed where it cannot do so.
    """

    def load(self, version: VersionRef) -> None:
        """Make a version resident beside those that are; nobody is answered by it yet.

        Files that are not what the manifest says are not loaded.
        """

    def healthy(self, version: VersionRef) -> str | None:
        """Return why a version that was loaded cannot serve, in one line; None where it can."""

    def swap(self, version: VersionRef) -> None:
        """Let a version that was loaded answer from now on what is routed to the champion.

        Requests that are under way end on the version that they began on; none fails for the swap.
        """

    def unload(self, version: VersionRef) -> None:
        """Take a version away once the requests that it answers have ended; one that is not there is no fault."""
