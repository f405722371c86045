"""Who has memory of this machine and its GPUs, who waits for it, and what services use: of all projects. Pure.

Each process that works on a project writes its own part of the ledger and reads the others'. All of them decide with
the same function on the same figures; each starts, stops and asks only what is its own.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from overnight.resources.policy import (
    CRITICAL,
    HIGH,
    LOW,
    NORMAL,
    Decision,
    Look,
    Running,
    Service,
    Situation,
    Waiting,
    in_gb,
)
from overnight.resources.sharing import Shares, decide

HOUR_US = 3600 * 10**6
SILENT_S = 90.0
"""A part that is older does not count as waiting: its process is stopped, or too slow to take what it asked for."""

OLD_S = 5.0
"""What a part says of its services is then too old to be relied on."""

Lives = Callable[[int, float], bool]
"""Tells whether the process (pid, started) still lives."""


@dataclass(frozen=True, kw_only=True)
class Want(Waiting):
    """What a run asks for. `key` tells it from others of its process; the name is for people, and not of one alone.

    What is no run, but loaded by the process itself, has a key below 0.
    """

    key: int

    @property
    def is_run(self) -> bool:
        """Return whether it is a run, which begins only where there is a place for it."""
        return self.key >= 0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run that waits for memory, or has it (`granted`); once it has `begun`, it is being worked on."""

    want: Want
    granted: bool = False
    begun: bool = False
    revoked: bool = False
    """Granted and not wanted any more; its worker may just be claiming it, so the memory is not yet anybody else's."""
    used_bytes: int | None = None
    yielding: str | None = None
    """Why it has been told to yield; None for one that stays."""
    why: str | None = None
    """Why it waits."""
    devices: Mapping[str, int | None] = field(default_factory=dict)
    """The GPUs that it has, by UUID, with what it uses of each; None where that was not measured."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A GPU as a process sees it: its UUID, what it is called here, what it has, and which services use it."""

    uuid: str
    name: str
    total_bytes: int
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the worker of a project has written, at `at_s` (civil time, seconds): its runs, and the project's services.

    `places` is how many more runs it can begin; -1 where it begins none any more. `untold` says why it sees no GPU.
    `pids` are the processes of its runs that have GPUs, and of its services.
    """

    project: str
    pid: int
    started: float
    at_s: float
    places: int = 0
    entries: tuple[Entry, ...] = ()
    services: tuple[Service, ...] = ()
    devices: tuple[Device, ...] = ()
    untold: str = ""
    pids: tuple[int, ...] = ()

    @property
    def who(self) -> tuple[str, int, float]:
        """Return what tells it from others: a process may work on several projects."""
        return self.project, self.pid, self.started

    @property
    def most(self) -> int:
        """Return how many more runs may be granted memory: as many as have a place, and one that gets the next one."""
        runs = [entry for entry in self.entries if entry.want.is_run]
        granted = sum(entry.granted and not entry.begun and not entry.revoked for entry in runs)
        return 0 if self.places < 0 else max(0, max(1, self.places) - granted)

    def services_on(self, uuid: str | None) -> tuple[Service, ...]:
        """Return the services as they use that GPU, or with None the machine's memory."""
        found = [device.services for device in self.devices if device.uuid == uuid]
        return self.services if uuid is None else found[0] if found else ()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the machine has, in bytes: all of it, what stays free for the host, and from when a service is busy."""

    capacity_bytes: int
    reserve_bytes: int
    busy_bytes: int | None = None

    @property
    def room_bytes(self) -> int:
        """Return what services and runs may have together."""
        return self.capacity_bytes - self.reserve_bytes


@dataclass(frozen=True, kw_only=True)
class Settled:
    """One process's part after a decision, and what it has to do: runs to stop (with why), services to ask or wake."""

    part: Part
    yields: tuple[tuple[int, str], ...] = ()
    releases: tuple[tuple[str, str], ...] = ()
    wakes: tuple[str, ...] = ()
    runs: Mapping[str, bool] = field(default_factory=dict)
    """All runs of the machine by the names that `releases` uses, and whether they have begun."""
    hopeless: frozenset[int] = frozenset()
    """Keys of reservations that would not fit if no run had any memory."""


def rank_of(bonus_us: int, due_us: int, now_us: int) -> int:
    """Return how urgent a run is by now.

    By the same key as in the queue (due time minus its priority's bonus): who has waited for so long that a CRITICAL
    run that came now would stand behind it counts as CRITICAL, so that nobody waits for ever while smaller ones pass.
    """
    age_us = now_us - due_us + bonus_us
    for hours, rank in ((24, CRITICAL), (4, HIGH), (1, NORMAL)):
        if age_us >= hours * HOUR_US:
            return rank
    return LOW


def living(parts: Iterable[Part], lives: Lives) -> list[Part]:
    """Return the parts whose processes live; what others had is free."""
    return [part for part in parts if lives(part.pid, part.started)]


def told(
    before: Part | None,
    now: Part,
    held: Sequence[tuple[Want, int | None]],
    wanted: Sequence[Want],
    claimable: Collection[int] = (),
    *,
    devices: Mapping[int, Mapping[str, int | None]] | None = None,
) -> Part:
    """Return the part of a process that works on `held` (with what they use, in bytes) while `wanted` wait.

    `devices` are the GPUs that runs of `held` have, by key. What was granted stays granted until the run begins; what
    is in neither list any more is given back, but for those that the worker may be claiming at this moment
    (`claimable`), by an answer that it had before.
    """
    known = {} if before is None else {entry.want.key: entry for entry in before.entries}
    entries = {}
    for want in wanted:
        old = known.get(want.key)
        if old is not None and old.granted and not old.begun and _covers(old.want, want):
            entries[want.key] = Entry(want=want, granted=True, devices=old.devices)
        else:
            entries[want.key] = Entry(want=want)
    for key, old in known.items():
        if old.granted and not old.begun and key in claimable and not (key in entries and entries[key].granted):
            entries[key] = replace(old, revoked=True)
    for want, used_bytes in held:
        old = known.get(want.key)
        yielding = old.yielding if old is not None and old.begun else None
        entries[want.key] = Entry(
            want=want,
            granted=True,
            begun=True,
            used_bytes=used_bytes,
            yielding=yielding,
            devices=(devices or {}).get(want.key, {}),
        )
    return replace(now, entries=tuple(entries.values()))


def _covers(granted: Want, want: Want) -> bool:
    """Tell whether what was granted is enough for what is wanted now."""
    same = (granted.gpus, granted.gpu_bytes) == (want.gpus, want.gpu_bytes)
    return same and want.need_bytes <= granted.need_bytes


def settle(mine: Part, others: Sequence[Part], limits: Limits) -> Settled:
    """Decide about all runs of the machine; return what follows for one process.

    Where no place is left, a LOW run makes its own free for a CRITICAL one.
    """
    machine = Situation(
        capacity_bytes=limits.capacity_bytes,
        reserve_bytes=limits.reserve_bytes,
        busy_bytes=limits.busy_bytes,
        services=services_of(mine, others),
    )
    devices = {
        one.uuid: Situation(name=one.name, capacity_bytes=one.total_bytes, services=services_of(mine, others, one.uuid))
        for one in mine.devices
    }
    named = _names(mine, others)
    shares = _share(named, (mine, *others), machine, devices)
    yields, crowded = _why_yields(machine, shares.machine), _crowded_out(mine)
    for uuid, decision in shares.devices.items():
        yields |= _why_yields(devices[uuid], decision, f" of {devices[uuid].name}")
    names = {id(entry): name for name, entry in named.items()}
    entries, stopping = [], []
    for entry in mine.entries:
        name = names[id(entry)]
        why = crowded.get(id(entry)) or yields.get(name)
        if entry.begun and why is not None and entry.yielding is None:
            stopping.append((entry.want.key, why))
            entries.append(replace(entry, yielding=why))
        elif name in shares.starts:
            entries.append(replace(entry, granted=True, devices=dict.fromkeys(shares.starts[name])))
        else:
            entries.append(entry if entry.granted else replace(entry, why=shares.waits.get(name)))
    own = {service.name for service in mine.services}
    return Settled(
        part=replace(mine, entries=tuple(entries)),
        yields=tuple(stopping),
        releases=tuple(one for one in shares.releases if one[0] in own),
        wakes=tuple(name for name in shares.wakes if name in own),
        runs={name: entry.begun for name, entry in named.items()},
    )


def fits_alone(mine: Part, others: Sequence[Part], limits: Limits, want: Want) -> bool:
    """Tell whether a run would have room beside the services, if no other had any; True also where nobody can tell."""
    services = services_of(mine, others)
    machine = Situation(capacity_bytes=limits.capacity_bytes, reserve_bytes=limits.reserve_bytes, services=services)
    sight = Look(machine).at(want)
    return sight.why is not None or want.need_bytes <= sight.free_bytes


def _share(
    named: Mapping[str, Entry], parts: Sequence[Part], machine: Situation, devices: Mapping[str, Situation]
) -> Shares:
    """Decide, without keeping memory for runs that could not begin with it."""
    names = {id(entry): name for name, entry in named.items()}
    has = {name: entry for name, entry in named.items() if entry.granted}
    devices = {
        uuid: replace(device, running=[_running(*one, uuid) for one in has.items() if uuid in one[1].devices])
        for uuid, device in devices.items()
    }
    machine = replace(machine, running=[_running(*one) for one in has.items()])
    asking = dict(named)
    while True:
        waiting = [replace(entry.want, name=name) for name, entry in asking.items() if not entry.granted]
        shares = decide(replace(machine, waiting=waiting), devices, untold=parts[0].untold)
        starts = shares.starts.keys()
        for part in parts:
            begin = (entry for entry in part.entries if entry.want.is_run and names.get(id(entry)) in starts)
            places = sorted(begin, key=_place)
            for entry in places[part.most :]:
                del asking[names[id(entry)]]
        if starts <= asking.keys():
            return shares


def services_of(mine: Part, others: Sequence[Part], uuid: str | None = None) -> list[Service]:
    """Return the services of the machine, or of a GPU, each once: of those that several know, one's own view."""
    found = {service.name: service for service in mine.services_on(uuid)}
    for part in others:
        for service in part.services_on(uuid):
            # The rest of the machine is everybody's, and each measures it for itself.
            if service.serves:
                old = service.stale or mine.at_s - part.at_s > OLD_S
                found.setdefault(service.name, replace(service, stale=old))
    return list(found.values())


def part_of(content: Mapping[str, Any]) -> Part:  # Any: JSON, see `dataclasses.asdict`
    """Return the part that was written as JSON.

    Raises:
        TypeError, KeyError: it is none.
    """
    entries = tuple(Entry(**{**entry, "want": Want(**entry["want"])}) for entry in content["entries"])
    services = tuple(Service(**service) for service in content["services"])
    devices = tuple(
        Device(**{**device, "services": tuple(Service(**service) for service in device["services"])})
        for device in content.get("devices", ())
    )
    pids = tuple(content.get("pids", ()))
    return Part(**{**content, "entries": entries, "services": services, "devices": devices, "pids": pids})


def _names(mine: Part, others: Sequence[Part]) -> dict[str, Entry]:
    """Return what has memory, and what could begin with some, by names of which there is one each."""
    named: dict[str, Entry] = {}
    for part in (mine, *others):
        silent = mine.at_s - part.at_s > SILENT_S
        for entry in sorted(part.entries, key=lambda entry: not entry.granted):
            if silent and not entry.granted:
                continue
            name = entry.want.name if part is mine else f"{entry.want.name} of {part.project}"
            named[name if name not in named else f"{name} ({part.pid}, {entry.want.key})"] = entry
    return named


def _running(name: str, entry: Entry, uuid: str | None = None) -> Running:
    """Return what a run has of a GPU, or with None of the machine's memory."""
    want = entry.want
    return Running(
        name=name,
        reserved_bytes=want.need_bytes if uuid is None else want.gpu_bytes,
        used_bytes=entry.used_bytes if uuid is None else entry.devices[uuid],
        rank=want.rank,
        order=want.order,
        # One that has not begun has nothing to write down: it would stop before it starts.
        yields=want.yields and entry.begun,
        yielding=entry.yielding is not None,
        whole=uuid is not None and want.gpu_bytes == 0,
    )


def _why_yields(situation: Situation, decision: Decision, of: str = "") -> dict[str, str]:
    growing = max(situation.services, key=lambda service: _soon(service) - (service.used_bytes or 0), default=None)
    soon = 0 if growing is None else _soon(growing)
    why = "" if growing is None else f"yielded: {growing.name} may soon use {in_gb(soon)}{of}"
    made_room = {name: f"yielded to {urgent}, which is CRITICAL" for name, urgent in decision.preempts}
    return dict.fromkeys(decision.yields, why) | made_room


def _soon(service: Service) -> int:
    return max(service.soon_bytes or service.used_bytes or 0, service.back_bytes)


def _crowded_out(mine: Part) -> dict[int, str]:
    """Return the run that gives up its place, where all places are taken and a CRITICAL one waits for one."""
    urgent = [entry for entry in mine.entries if not entry.begun and entry.want.preempts]
    if not urgent or mine.places != 0 or any(entry.yielding for entry in mine.entries):
        return {}
    low = [entry for entry in mine.entries if entry.begun and entry.want.rank == LOW and entry.want.yields]
    first = min(urgent, key=_place)
    newest = sorted(low, key=_place)[-1:]
    return {id(entry): f"yielded to {first.want.name}, which is CRITICAL" for entry in newest}


def _place(entry: Entry) -> tuple[int, int, int]:
    return entry.want.rank, entry.want.order, entry.want.key
