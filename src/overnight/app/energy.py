"""Measures how much energy this machine uses while the daemon works."""

from collections.abc import Sequence
from pathlib import Path

from overnight.app.workplace import Workplace
from overnight.resources.energy import Reading, used_j
from overnight.resources.probes.energy import readings
from overnight.resources.probes.gpu import GpuProbe
from overnight.resources.used import Energy, add

LOOK_EVERY_S = 60.0
KEEP_EVERY_S = 600.0
"""So much of what was measured is lost, at the most, when the daemon is killed."""


class EnergyMeter:
    """Looks at the counters, and keeps what was used. One thread's."""

    def __init__(self, project: Workplace, root: Path = Path("/")) -> None:
        """`root` holds `sys`."""
        self._project, self._root = project, root
        self._now_s = project.clock.monotonic
        self._gpus = GpuProbe()
        self._before: tuple[float, Sequence[Reading]] | None = None
        self._joules = self._seconds = 0.0

    def work(self) -> None:
        """Look, and write down what was used once it is worth it."""
        self._look()
        if self._seconds >= KEEP_EVERY_S:
            self._keep()

    def close(self) -> None:
        """Write down the rest, and let go of the GPUs."""
        self._look()
        self._keep()
        self._gpus.close()

    def _look(self) -> None:
        now_s, found = self._now_s(), readings(self._root, self._gpus)
        if self._before is not None:
            before_s, before = self._before
            joules = used_j(before, found, now_s - before_s)
            if joules is not None:
                self._joules += joules
                self._seconds += now_s - before_s
        self._before = (now_s, found)

    def _keep(self) -> None:
        if self._seconds > 0:
            used = Energy(joules=self._joules, seconds=self._seconds)
            self._project.database.writer.do(lambda tx: add(tx, used))
            self._joules = self._seconds = 0.0
