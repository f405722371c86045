"""The GPUs of this machine as the negotiator sees them: what runs, services and all others hold of each."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from overnight.resources.capacity import rest_bytes
from overnight.resources.forecast import Series
from overnight.resources.ledger import Device, Part
from overnight.resources.probes.gpu import Device as Measured
from overnight.resources.probes.gpu import GpuProbe
from overnight.resources.sleeping import Sleepers, view_of

REST = "the rest of this machine"


class Devices:
    """Looks at the GPUs. One thread's."""

    def __init__(self, services: Sleepers) -> None:
        self._services = services
        self._probe = GpuProbe()
        self._known: tuple[Measured, ...] = ()
        self._fresh = False
        self._rest: dict[str, Series] = {}
        self.untold = ""
        """Why there are none."""

    def look(self, now_s: float, *, needed: bool) -> None:
        """Measure, where somebody needs that; where nobody does, or it fails, what was known before grows old."""
        self._fresh = False
        if not needed:
            return
        gpus = self._probe.look()
        self._fresh = gpus.devices is not None
        self.untold = gpus.problem or ""
        if gpus.devices is not None:
            self._known = gpus.devices
            self._services.see(gpus.devices, now_s)

    def held(self, uuids: Iterable[str], pids: Sequence[int]) -> dict[str, int | None]:
        """Return what processes hold of these GPUs; None where that was not measured."""
        known = {device.uuid: device for device in self._known if self._fresh}
        return {uuid: known[uuid].held_bytes(pids) if uuid in known else None for uuid in uuids}

    def views(self, parts: Sequence[Part], now_s: float, *, settled: bool) -> tuple[Device, ...]:
        """Return the GPUs with the services that use them, all others as one of these.

        `settled` says whether what `parts` have written fits what was measured now.
        """
        services = self._services.views_on(now_s)
        found = []
        for place, device in enumerate(self._known):
            own = services.get(device.uuid, [])
            series = self._rest.setdefault(device.uuid, Series())
            if self._fresh and settled:
                series.add(now_s, _rest_of(device, parts))
            rest = replace(view_of(REST, series, now_s), serves=False)
            found.append(
                Device(uuid=device.uuid, name=f"GPU {place}", total_bytes=device.total_bytes, services=(*own, rest))
            )
        return tuple(found)

    def close(self) -> None:
        """Let go of the driver."""
        self._probe.close()


def _rest_of(device: Measured, parts: Sequence[Part]) -> int:
    """Return what is held by processes that are nobody's run and nobody's service, and by the driver."""
    runs = [entry for part in parts for entry in part.entries if device.uuid in entry.devices]
    pids = {pid for part in parts for pid in part.pids}
    return rest_bytes(
        device.total_bytes,
        device.used_bytes,
        told=sum(size or 0 for size in device.process_bytes.values()),
        known=sum(size or 0 for pid, size in device.process_bytes.items() if pid in pids),
        silent=sum(run.want.gpu_bytes or device.total_bytes for run in runs if run.devices[device.uuid] is None),
    )
