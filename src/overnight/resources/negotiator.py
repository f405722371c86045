"""Negotiates memory and GPUs for the runs of one process: measures, decides with all others, tells what follows.

One thread looks every second while a run has memory or waits for some, and rarely else. Whoever works the queue off
tells what it has and wants, takes what was granted, and stops what is to yield; it never waits for this.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from overnight.base.clock import Clock
from overnight.base.instants import US
from overnight.processes.table import memory_bytes, same_process, started_of
from overnight.resources.capacity import assumed_need_bytes
from overnight.resources.devices import REST, Devices
from overnight.resources.forecast import Series
from overnight.resources.ledger import Limits, Part, Settled, Want, fits_alone, living, part_of, settle, told
from overnight.resources.machine import Machine
from overnight.resources.policy import GB, Service
from overnight.resources.sleeping import LOOK_S, STALE_S, Sleeper, Sleepers, view_of

MEMORY = "memory"
"""The part of what this machine's projects share that holds the ledger."""
_SETTLE_S = 3.0
STOP_S = 30.0
"""How long the services that sleep may take to wake when the work ends."""
_HURRY_S = 0.1
ANSWER_S = 5.0
"""How long the first answer to a reservation may take: a look at the machine, and the lock of the ledger."""
_log = logging.getLogger("overnight.memory")


@dataclass(frozen=True, kw_only=True)
class Held:
    """A run that is being worked on, what tells its processes, and the GPUs that it has (UUIDs)."""

    want: Want
    pids: Callable[[], list[int]]
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a reservation: whether it is `granted`, else `why` not.

    `hopeless`: it would not fit if no run of the machine had any memory.
    """

    granted: bool = False
    why: str | None = None
    hopeless: bool = False


@dataclass(frozen=True, kw_only=True)
class _Reserved:
    """What this process itself loads, and by how much it has grown since it began to, or what measures that."""

    want: Want
    used: Callable[[], int] | int | None = None

    @property
    def begun(self) -> bool:
        return self.used is not None

    @property
    def changes(self) -> bool:
        """Return whether it waits for memory, or is being loaded."""
        return not isinstance(self.used, int)

    def used_bytes(self) -> int | None:
        return self.used() if callable(self.used) else self.used


_Told = tuple[Sequence[Held], Sequence[Want], int, int]
"""What is worked on, what waits, how many more could begin, and how often the worker had told."""


class Negotiator:
    """Grants memory to the runs of this process. Safe to use from any thread."""

    def __init__(
        self,
        machine: Machine,
        project: str,
        limits: Limits,
        *,
        clock: Clock,
        host_bytes: Callable[[], int | None],
        sleepers: Sequence[Sleeper] = (),
        wake: Callable[[Any], object] = lambda prepared: None,  # Any: JSON
        idle_look_s: float = 30.0,
        granted: Callable[[], object],
        stop_run: Callable[[int, str], object],
    ) -> None:
        """`host_bytes` measures what the whole machine uses, `sleepers` are the services of this project, and
        `wake` wakes one by what was written down when it was put to sleep.

        `granted` is called when a run may begin, `stop_run` takes one that has to yield, and why; both from this
        object's thread.
        """
        self._machine = machine
        self._clock = clock
        self._limits = limits
        self._host_bytes = host_bytes
        self._idle_look_s = idle_look_s
        self._on_granted = granted
        self._stop_run = stop_run
        pid = os.getpid()
        self._me = Part(project=project, pid=pid, started=started_of(pid) or 0.0, at_s=0.0)
        self._rest = Series()
        self._runs_seen: tuple[frozenset[object], float] = (frozenset(), 0.0)
        self._others_busy = False
        self._services = Sleepers(machine, project, clock, sleepers, wake)
        self._devices = Devices(self._services)
        self._serves = bool(sleepers)
        self._told: _Told = ((), (), 0, 0)
        self._reserved: Mapping[int, _Reserved] = {}
        self._answers: Mapping[int, Answer] = {}
        self._answered = threading.Condition()
        self._claimable: dict[int, int] = {}
        """Runs that may no longer begin, and how often the worker had told by when it could know that."""
        self._news = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self.granted: Mapping[int, tuple[str, ...]] = {}
        """The keys of runs that may begin, each with its GPUs."""

    @property
    def room_gb(self) -> float:
        """What services and runs may have together."""
        return self._limits.room_bytes / GB

    def assumed_bytes(self, gb: float) -> int:
        """Return what is reserved for a run of which nothing is known, where that much is assumed."""
        return min(assumed_need_bytes(gb, self._limits.capacity_bytes), self._limits.room_bytes)

    def tell(self, held: Sequence[Held], wanted: Sequence[Want], places: int) -> None:
        """Say which runs are being worked on, which wait for memory, and how many more could begin."""
        before, self._told = self._told, (held, wanted, places, self._told[3] + 1)
        changed = _keys(before) != _keys(self._told)
        if held or wanted:
            self._services.often = True
            if self._thread is None:
                self.start()
        if changed:
            self._news.set()

    def reserve(self, want: Want, *, within_s: float = ANSWER_S) -> Answer:
        """Ask for memory for what this process itself loads; another wish with the same key replaces it.

        One that has only become more urgent meanwhile is the same wish.

        The answer may take so long; it may change until it is granted, and holds until `release` then.
        """
        with self._answered:
            known = self._reserved.get(want.key)
            if known is None or replace(known.want, rank=want.rank) != want:
                self._forget(want.key)
                known = _Reserved(want=want)
            self._reserved = {**self._reserved, want.key: replace(known, want=want)}
        self._services.often = True
        self.start()
        self._news.set()
        with self._answered:
            self._answered.wait_for(lambda: want.key in self._answers, within_s)
            return self._answers.get(want.key, Answer(why="nobody has decided yet"))

    def use(self, key: int, used: Callable[[], int] | int) -> None:
        """Say by how much this process has grown with what was granted, or what measures that while it is loaded."""
        with self._answered:
            known = self._reserved.get(key)
            if known is not None:
                self._reserved = {**self._reserved, key: replace(known, used=used)}
        self._news.set()

    def release(self, key: int) -> None:
        """Give back what was reserved; what was not is no fault."""
        with self._answered:
            self._forget(key)
        self._news.set()

    def _forget(self, key: int) -> None:
        self._reserved = {name: one for name, one in self._reserved.items() if name != key}
        self._answers = {name: one for name, one in self._answers.items() if name != key}

    def start_for_services(self) -> None:
        """Begin to look where the project has services, or has put one to sleep that it no longer names."""
        if self._services.any:
            self.start()

    def start(self) -> None:
        """Begin to look; without services, the first run that wants memory does that."""
        with self._starting:
            if self._thread is None and not self._closing:
                self._services.start()
                self._thread = threading.Thread(target=self._work, name="overnight-memory", daemon=True)
                self._thread.start()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """End, give back what was granted, and wake the services of this project that sleep, where memory is free.

        That takes `STOP_S` at the most; `hurry` is asked several times a second, and ends it. What still sleeps then
        stays written down.
        """
        with self._starting:
            self._closing = True
            thread = self._thread
        self._news.set()
        if thread is not None:
            thread.join()
            self._wake_services(hurry)
            self._services.stop(hurry)
            self._devices.close()
            with suppress(OSError):
                self._machine.edit(MEMORY, self._without_me, durable=False)

    def _wake_services(self, hurry: Callable[[], bool]) -> None:
        """Have those woken that nobody's memory keeps asleep, now that no run of this process has any."""
        self.tell((), (), -1)
        if self._services.asleep() and not hurry():
            # They learn from this that the runs are gone for which they sleep.
            self.step()
        for look in range(round(STOP_S / _HURRY_S)):
            if not self._services.asleep() or hurry():
                return
            if look % round(LOOK_S / _HURRY_S) == 0:
                self.step()
                if not self._services.working:
                    return
            threading.Event().wait(_HURRY_S)

    def look(self) -> Settled:
        """Measure and decide once.

        Raises:
            OSError: the ledger cannot be written; nothing was granted.
        """
        held, wanted, places, number = self._told
        # A turn that the worker had begun before has ended once it tells again; what it claimed is then in `held`.
        self._claimable = {key: since for key, since in self._claimable.items() if number <= since}
        claimable = self.granted.keys() | self._claimable.keys()
        now_s, civil_s = self._clock.monotonic(), self._clock.now_us() / US
        pids = {one.want.key: one.pids() for one in held}
        measured = [(one.want, memory_bytes(pids[one.want.key]) if pids[one.want.key] else None) for one in held]
        reserved = self._reserved.values()
        measured += [(one.want, one.used_bytes()) for one in reserved if one.begun]
        asking = [one.want for one in reserved if not one.begun]
        gpus = any(want.gpus for want in (*(one.want for one in held), *wanted))
        # Before the GPUs: a service that is first looked at meanwhile would be known, and what it holds of them not.
        services = self._services.views(now_s)
        self._devices.look(now_s, needed=self._serves or gpus)
        on_devices = {one.want.key: self._devices.held(one.devices, pids[one.want.key]) for one in held}
        gpu_pids = (*self._services.pids(), *(pid for one in held if one.devices for pid in pids[one.want.key]))
        host = self._host_bytes()
        settled: list[Settled] = []

        def change(content: Any) -> Any:  # Any: JSON
            parts = living(_parts(content), same_process)
            before = next((part for part in parts if part.who == self._me.who), None)
            others = [part for part in parts if part.who != self._me.who]
            self._others_busy = any(part.entries for part in others)
            now = replace(self._me, at_s=civil_s, places=places, untold=self._devices.untold, pids=gpu_pids)
            now = told(before, now, measured, (*wanted, *asking), claimable, devices=on_devices)
            # What a service holds that nobody has looked at yet would seem to be somebody else's.
            settled_down = self._settled_down((now, *others), now_s) and all(
                one.used_bytes is not None for one in services
            )
            rest = self._rest_of(host if settled_down else None, now, others, services, now_s)
            devices = self._devices.views((now, *others), now_s, settled=settled_down)
            now = replace(now, services=(*services, rest), devices=devices)
            done = settle(now, others, self._limits)
            hopeless = {one.key for one in asking if not fits_alone(now, others, self._limits, one)}
            settled.append(replace(done, hopeless=frozenset(hopeless)))
            return self._content((done.part, *others))

        # Not durable: with the machine all go down whose memory it tells of.
        self._machine.edit(MEMORY, change, durable=False)
        return settled[-1]

    def _rest_of(
        self, host: int | None, mine: Part, others: Sequence[Part], services: Sequence[Service], now_s: float
    ) -> Service:
        """Return what all other processes of the machine use, as one service: it may grow as well."""
        if host is not None:
            known = [service for part in others for service in part.services if service.serves]
            seen = {service.name: service.used_bytes or 0 for service in (*known, *services)}
            runs = sum(entry.used_bytes or 0 for part in (mine, *others) for entry in part.entries)
            self._rest.add(now_s, max(0, host - runs - sum(seen.values())))
        return replace(view_of(REST, self._rest, now_s), serves=False)

    def _settled_down(self, parts: Sequence[Part], now_s: float) -> bool:
        """Tell whether what others have written fits what was measured now.

        What a run that has just begun or ended takes is not yet, or still, in their figures: its memory would seem to
        be somebody else's.
        """
        runs = frozenset((part.who, entry.want.key, entry.begun) for part in parts for entry in part.entries)
        if runs != self._runs_seen[0]:
            self._runs_seen = (runs, now_s)
        fresh = self._rest.used_bytes is not None and now_s - self._rest.at_s < STALE_S - LOOK_S
        return not fresh or now_s - self._runs_seen[1] >= _SETTLE_S

    def step(self) -> None:
        """Measure and decide once, and have done what follows; where that fails, nothing may begin meanwhile."""
        try:
            self._follow(self.look())
        except Exception as error:  # noqa: BLE001 - a full disk, a broken file
            self._publish({})
            _log.error("event=memory_not_decided error=%r", str(error))
            _log.debug("it failed here", exc_info=True)

    def _work(self) -> None:
        while not self._closing:
            self.step()
            changes = any(one.changes for one in self._reserved.values())
            busy = changes or any(self._told[:2]) or self._others_busy or bool(self._claimable)
            busy = busy or self._services.unsettled
            self._services.often = busy
            if not self._news.wait(LOOK_S if busy else self._idle_look_s) and not busy:
                # What is written down now and then is fresh all the same.
                self._services.often = True
                self._news.wait(STALE_S - LOOK_S)
            self._news.clear()

    def _follow(self, settled: Settled) -> None:
        entries = [entry for entry in settled.part.entries if entry.granted and not entry.begun and not entry.revoked]
        if self._publish({entry.want.key: tuple(entry.devices) for entry in entries if entry.want.is_run}):
            self._on_granted()
        self._answer(settled)
        for key, why in settled.yields:
            self._stop_run(key, why)
        self._services.follow(settled.releases, settled.wakes, settled.runs)

    def _answer(self, settled: Settled) -> None:
        """Tell those who asked for what this process itself loads."""
        with self._answered:
            # What was decided about an earlier wish is no answer.
            wants = [one.want for one in self._reserved.values()]
            self._answers = {
                entry.want.key: Answer(
                    granted=entry.granted, why=entry.why, hopeless=entry.want.key in settled.hopeless
                )
                for entry in settled.part.entries
                if entry.want in wants
            }
            self._answered.notify_all()

    def _publish(self, granted: Mapping[int, tuple[str, ...]]) -> bool:
        """Say which runs may begin; return whether there are new ones."""
        before, self.granted = self.granted, granted
        # After the new answer is there: who has told since can have had no other one.
        self._claimable |= dict.fromkeys(before.keys() - granted.keys(), self._told[3])
        return bool(granted.keys() - before.keys())

    def _without_me(self, content: Any) -> Any:  # Any: JSON
        kept = [part for part in living(_parts(content), same_process) if part.who != self._me.who]
        return self._content(kept)

    def _content(self, parts: Sequence[Part]) -> dict[str, Any]:  # Any: JSON
        return {"limits": asdict(self._limits), "parts": [asdict(part) for part in parts]}


def ledger_of(machine: Machine) -> tuple[Limits | None, list[Part]]:
    """Return what the machine has, as whoever decided last has it, and the parts of all processes that live."""
    content = machine.read(MEMORY)
    limits = None
    with suppress(TypeError, KeyError):
        limits = Limits(**content["limits"])
    return limits, living(_parts(content), same_process)


def _keys(told: _Told) -> tuple[object, ...]:
    held, wanted, places, _ = told
    return [(one.want.key, one.want.need_bytes) for one in held], list(wanted), places > 0


def _parts(content: Any) -> list[Part]:  # Any: JSON
    """Return the parts; one that is damaged is left out."""
    found = content.get("parts") if isinstance(content, Mapping) else None
    parts = []
    for part in found if isinstance(found, list) else ():
        with suppress(TypeError, KeyError, ValueError):
            parts.append(part_of(part))
    return parts
