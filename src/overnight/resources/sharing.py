"""Which jobs start on a machine and its devices together. Pure.

A job starts where the machine's memory and as many devices as it needs have room for it, each judged by itself as
`policy` says. Of those devices it gets the ones with the least room, so that large pieces stay whole. Who waits for one
place takes nothing of another, but a CRITICAL job that others make room for keeps what it has found; and nobody makes
room for a job at one place while it could not start for want of another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from overnight.resources.policy import CLOSED, CRITICAL, Decision, Look, Sight, Situation, Waiting, Way


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What was decided: who starts, on which devices; why the others wait; and of each place, who yields there.

    Services are asked and woken once for all places.
    """

    starts: Mapping[str, tuple[str, ...]]
    waits: Mapping[str, str]
    machine: Decision
    devices: Mapping[str, Decision] = field(default_factory=dict)
    releases: tuple[tuple[str, str], ...] = ()
    wakes: tuple[str, ...] = ()


NO_DEVICES: Mapping[str, Situation] = {}


def decide(machine: Situation, devices: Mapping[str, Situation] = NO_DEVICES, *, untold: str = "") -> Shares:
    """Return who starts, who yields and why the others wait, of the jobs in `machine`.

    `devices` are its devices in their order, by names; `untold` says why there are none. Who yields still has its
    memory, and nobody starts on it before it has gone. Memory that is too small for the first in the queue goes to the
    next one that it is enough for, except that nothing less urgent starts while a CRITICAL job waits for memory that
    the place has. The same call decides in the daemon and in the benchmarks; who calls it looks again every second.
    """
    sharing = _Sharing(machine, devices, untold)
    for job in sorted(machine.waiting, key=lambda job: job.place):
        sharing.at(job)
    return sharing.shares()


def on_device(job: Waiting) -> Waiting:
    """Return what a job asks of each of its devices."""
    return replace(job, need_bytes=job.gpu_bytes, whole=not job.gpu_bytes, known=True)


class _Sharing:
    def __init__(self, machine: Situation, devices: Mapping[str, Situation], untold: str) -> None:
        self.machine = Look(machine)
        self.devices = {name: Look(situation) for name, situation in devices.items()}
        self.untold = untold
        self.starts: dict[str, tuple[str, ...]] = {}
        self.waits: dict[str, str] = {}

    def at(self, job: Waiting) -> None:
        """Decide about the next one."""
        here = self.machine.at(job)
        # Who asks for no memory waits for none.
        ready = here.fits or (job.gpus > 0 and job.need_bytes == 0)
        sights = {name: look.at(on_device(job)) for name, look in self.devices.items()} if job.gpus else {}
        fitting = sorted((name for name in sights if sights[name].fits), key=lambda name: sights[name].free_bytes)
        chosen = fitting[: job.gpus]
        if ready and len(chosen) == job.gpus:
            if job.need_bytes or not job.gpus:
                self.machine.take(here)
            for name in chosen:
                self.devices[name].take(sights[name])
            self.starts[job.name] = tuple(name for name in self.devices if name in chosen)
        else:
            self._wait(here, ready, sights, chosen)

    def _wait(self, here: Sight, ready: bool, sights: Mapping[str, Sight], chosen: Sequence[str]) -> None:
        """Have a job wait, and room be made for it where it can start with that."""
        job = here.job
        missing = job.gpus - len(chosen)
        others = sorted(
            (name for name in sights if name not in chosen),
            key=lambda name: (not self.devices[name].clears, -sights[name].free_bytes),
        )
        ways = {name: self._way(here, name, sights[name]) for name in others}
        making = [name for name in others if ways[name].open][:missing]
        way = CLOSED if ready else self.machine.way(here)
        opens = (ready or way.open) and len(making) == missing
        for name in making if opens else others:
            self.devices[name].wait(sights[name], ways[name] if opens else CLOSED)
        if not ready:
            self.machine.wait(here, way if opens or not way.open else CLOSED)
        if opens and job.rank == CRITICAL and job.preempts:
            for name in chosen:
                self.devices[name].keep(sights[name])
            if ready:
                self.machine.keep(here)
        self.waits[job.name] = self._why_devices(job, sights, others) if ready else self.machine.why(here)

    def _way(self, here: Sight, name: str, sight: Sight) -> Way:
        """Return how room would be made on a device; closed where the machine has none for what services move to it."""
        look = self.devices[name]
        way = look.way(sight)
        asked = {service for service, _ in way.releases or ()}
        moves = sum(service.moves_bytes for service in look.situation.services if service.name in asked)
        afford = here.why is None and here.job.need_bytes + moves <= here.free_bytes
        return way if afford or not moves else CLOSED

    def _why_devices(self, job: Waiting, sights: Mapping[str, Sight], others: Sequence[str]) -> str:
        gpus = "1 GPU" if job.gpus == 1 else f"{job.gpus} GPUs"
        alone = "" if job.gpu_bytes else " for itself"
        if not self.devices:
            return f"needs {gpus}; this machine tells of none{self.untold and f' ({self.untold})'}"
        if len(self.devices) < job.gpus:
            return f"needs {gpus}; this machine has {len(self.devices)}"
        look = self.devices[others[0]]
        return f"needs {gpus}{alone}; {look.situation.name}: {look.why(sights[others[0]])}"

    def shares(self) -> Shares:
        """Return all that was decided."""
        machine = self.machine.decision()
        devices = {name: look.decision() for name, look in self.devices.items()}
        every = [(self.machine.situation, machine)]
        every += [(look.situation, devices[name]) for name, look in self.devices.items()]
        asked = {name: job for _, decision in every for name, job in decision.releases}
        wakes = {name for _, decision in every for name in decision.wakes}
        held_up = {
            service.name
            for situation, decision in every
            for service in situation.services
            if service.released_bytes is not None and service.name not in decision.wakes
        }
        return Shares(
            starts=self.starts,
            waits=self.waits,
            machine=machine,
            devices=devices,
            releases=tuple(sorted(asked.items())),
            wakes=tuple(sorted(wakes - held_up)),
        )
