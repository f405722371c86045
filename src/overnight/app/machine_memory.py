"""How this machine's memory and GPUs are shared out at the moment: what everybody has, wants, and why it waits."""

from dataclasses import dataclass
from typing import Any

from overnight.app.memory import limits_of, measured, watched
from overnight.app.workplace import Workplace
from overnight.base.instants import US
from overnight.base.settings import environment
from overnight.resources.capacity import Host
from overnight.resources.devices import REST
from overnight.resources.ledger import Entry, Limits, Part, Want, services_of
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.negotiator import ledger_of
from overnight.resources.policy import Service, in_gb
from overnight.resources.probes.gpu import Device, GpuProbe
from overnight.resources.sleeping import Sleeper


@dataclass(frozen=True, kw_only=True)
class Use:
    """Who uses memory, in bytes. `expected_bytes` is what is kept free for a service, `reserved_bytes` for a run."""

    name: str
    used_bytes: int | None
    expected_bytes: int | None = None
    reserved_bytes: int | None = None
    begun: bool = True
    """False for a run that has been granted memory, or waits for some, and does not run yet."""
    project: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceUse:
    """A GPU, and who uses it."""

    device: Device
    services: tuple[Use, ...] = ()
    running: tuple[Use, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MachineMemory:
    """The memory of this machine. `host` is None where it could not be measured; `age_s` is that of the decisions.

    `gpus` is None where they could not be measured, and `gpus_problem` says why.
    """

    host: Host | None
    limits: Limits
    services: tuple[Use, ...]
    running: tuple[Use, ...]
    waiting: tuple[Use, ...]
    gpus: tuple[DeviceUse, ...] | None
    gpus_problem: str | None
    age_s: float | None

    @property
    def kept_bytes(self) -> int:
        """Return what is kept for services and runs together."""
        runs = sum(max(one.reserved_bytes or 0, one.used_bytes or 0) for one in self.running)
        return runs + sum(max(one.expected_bytes or 0, one.used_bytes or 0) for one in self.services)

    @property
    def free_bytes(self) -> int:
        """Return what a run could have now."""
        return max(0, self.limits.room_bytes - self.kept_bytes)


def machine_memory(project: Workplace) -> MachineMemory:
    """Return how this machine's memory is shared out, over all projects of this user."""
    machine = Machine(shared_folder(environment()), project.clock)
    _, parts = ledger_of(machine)
    host = measured()
    gpus = GpuProbe()
    mine = next((part for part in parts if part.project == str(project.folder)), None)
    uses = _services(mine, parts)
    if mine is None:
        # Nobody looks at this project's services all the time: they are looked at now.
        uses += [_seen(project, one) for one in watched(project.config, project.clock)]
    if host is not None and all(one.name != REST for one in uses):
        known = sum(one.used_bytes or 0 for one in uses)
        known += sum(entry.used_bytes or 0 for part in parts for entry in part.entries)
        uses.append(Use(name=REST, used_bytes=max(0, host.used_bytes - known)))
    entries = [(part, entry) for part in parts for entry in part.entries]
    try:
        measured_gpus = gpus.look()
        return MachineMemory(
            host=host,
            limits=limits_of(project.config.resources, host),
            services=tuple(uses),
            running=tuple(_run(part, entry) for part, entry in entries if entry.granted),
            waiting=tuple(_run(part, entry) for part, entry in entries if not entry.granted),
            gpus=_devices(measured_gpus.devices, mine, parts),
            gpus_problem=measured_gpus.problem,
            age_s=None if mine is None else max(0.0, project.clock.now_us() / US - mine.at_s),
        )
    finally:
        gpus.close()


def waits_of(project: Workplace) -> dict[int, str | None]:
    """Return the runs of the project that wait for memory, each with why, as whoever works on it has found."""
    _, parts = ledger_of(Machine(shared_folder(environment()), project.clock))
    entries = [entry for part in parts if part.project == str(project.folder) for entry in part.entries]
    return {entry.want.key: entry.why for entry in entries if not entry.granted}


def as_json(found: MachineMemory) -> dict[str, Any]:
    """Return it as JSON-able values, in bytes."""
    return {
        "capacity_bytes": found.limits.capacity_bytes,
        "reserve_bytes": found.limits.reserve_bytes,
        "used_bytes": None if found.host is None else found.host.used_bytes,
        "limited_by": None if found.host is None else found.host.limited_by,
        "free_bytes": found.free_bytes,
        "decided_s_ago": found.age_s,
        "services": [vars(one) for one in found.services],
        "running": [vars(one) for one in found.running],
        "waiting": [vars(one) for one in found.waiting],
        "gpus": None if found.gpus is None else [_device_json(one) for one in found.gpus],
        "gpus_problem": found.gpus_problem,
    }


def _device_json(one: DeviceUse) -> dict[str, Any]:
    device = one.device
    return {
        "name": device.name,
        "uuid": device.uuid,
        "total_bytes": device.total_bytes,
        "used_bytes": device.used_bytes,
        "busy_percent": device.busy_percent,
        "services": [vars(use) for use in one.services],
        "running": [vars(use) for use in one.running],
    }


def _devices(devices: tuple[Device, ...] | None, mine: Part | None, parts: list[Part]) -> tuple[DeviceUse, ...] | None:
    """Return the GPUs with who uses them, as far as somebody negotiates about them."""
    if devices is None:
        return None
    entries = [(part, entry) for part in parts for entry in part.entries]
    return tuple(
        DeviceUse(
            device=device,
            services=tuple(_services(mine, parts, device.uuid)),
            running=tuple(_run(*one, device) for one in entries if device.uuid in one[1].devices),
        )
        for device in devices
    )


def _services(mine: Part | None, parts: list[Part], uuid: str | None = None) -> list[Use]:
    """Return who uses a GPU, or with None the machine's memory, beside the runs."""
    if mine is not None:
        return [_service(one) for one in services_of(mine, [part for part in parts if part is not mine], uuid)]
    found = services_of(parts[0], parts[1:], uuid) if parts else []
    return [_service(one) for one in found if one.serves]


def _service(one: Service) -> Use:
    note = None
    if one.released_bytes is not None:
        note = "asleep"
    elif not one.known:
        note = "not measured" if one.used_bytes is None else "the last look at it is too old"
    return Use(name=one.name, used_bytes=one.used_bytes, expected_bytes=one.start_bytes, note=note)


def _seen(project: Workplace, one: Sleeper) -> Use:
    seen = one.look(project.clock.monotonic())
    return Use(name=one.name, used_bytes=seen.used_bytes, note=seen.problem)


def _run(part: Part, entry: Entry, device: Device | None = None) -> Use:
    """Return what a run has of a GPU, or with None of the machine's memory."""
    want, note = entry.want, entry.yielding or entry.why
    if note is None and not entry.granted:
        note = f"needs {_needs(want)}; its turn comes when a place is free"
    return Use(
        name=want.name,
        used_bytes=entry.used_bytes if device is None else entry.devices[device.uuid],
        # Nothing is shown as reserved for one that needs a GPU alone.
        reserved_bytes=want.need_bytes or None if device is None else want.gpu_bytes or device.total_bytes,
        begun=entry.begun,
        project=part.project,
        note=note,
    )


def _needs(want: Want) -> str:
    memory = [in_gb(want.need_bytes)] if want.need_bytes else []
    gpus = [f"{want.gpus} GPU{'s' if want.gpus > 1 else ''}"] if want.gpus else []
    return " and ".join(memory + gpus)
