"""A service of a project, looked at, put to sleep and woken as its settings say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock
from overnight.base.resource_settings import ServiceSettings
from overnight.resources.idleness import Idleness
from overnight.resources.probes import hooks
from overnight.resources.probes.processes import Glance
from overnight.resources.probes.services import ServiceProbe
from overnight.resources.sleeping import Seen


class Watched:
    """A service of the project: looked at, put to sleep and woken as its settings say."""

    def __init__(self, name: str, settings: ServiceSettings, clock: Clock, folder: Path, glance: Glance) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._probe = ServiceProbe(name, settings, clock, folder)
        self._idleness = Idleness()
        self._glance = glance

    def look(self, at_s: float) -> Seen:
        """Look at it; raises nothing."""
        sample = self._probe.look(self._glance.processes())
        self._idleness = self._idleness.after(
            at_s=at_s, active=sample.active, served=sample.served, idle_s=self._settings.idle_s
        )
        idle = self._idleness.for_s >= self._settings.idle_s and hooks.can_release(self._settings)
        # vLLM empties the GPU into the machine's memory.
        moves = self._settings.kind == "vllm" and self._settings.release.url is None
        return Seen(
            used_bytes=sample.used_bytes,
            active=sample.active,
            gain_bytes=sample.used_bytes or 0 if idle and not moves else 0,
            pids=sample.pids,
            frees_gpu=idle,
            moves=moves,
            problem=sample.problem,
        )

    def prepare(self) -> dict[str, Any]:  # Any: JSON
        """Return what `release` and `wake` need."""
        return hooks.prepare(self._settings, self._clock)

    def release(self, prepared: Mapping[str, Any]) -> None:  # Any: JSON
        """Have it give its memory back."""
        hooks.release(prepared)
