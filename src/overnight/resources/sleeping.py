"""The services of a project as the negotiator sees them: looked at all the time, put to sleep and woken.

Each is looked at by a thread of its own, because one that does not answer must not keep the others from being seen.
Which ones sleep is written down for the machine, so that whoever works on the project next wakes them.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from overnight.base.clock import Clock
from overnight.base.errors import said_by
from overnight.base.instants import US
from overnight.resources.forecast import Series
from overnight.resources.machine import Machine
from overnight.resources.policy import Service, service_of
from overnight.resources.probes.gpu import Device

ASLEEP = "asleep"
"""The part of what this machine's projects share that says which services sleep."""
LOOK_S = 1.0
"""Between two looks while a run has memory or waits for some."""
YIELD_S = 10.0
"""How long a run that was told to yield holds its memory; see docs/adr/0019."""
JOB_S = 7200.0
"""How far ahead to look beside a run that cannot yield."""
STALE_S = 5.0
"""An older look counts as one that failed."""
_AGAIN_S = 60.0
"""After a call that failed, or was in vain, a service is left alone for so long."""
_VAIN_S = 180.0
"""Memory that the run has not taken so long after it was given back was given back in vain,"""
_LEFT_ALONE_S = 3600.0
"""and the service is left alone for so long."""
_TRIES = 5
"""Times that one that the project no longer names may fail to wake; then it counts as removed."""
_END_S = 5.0
"""How long a look under way may take when all ends."""
_HURRY_S = 0.1
_log = logging.getLogger("overnight.memory")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look at a service found: memory in bytes (None: the look failed), and how many requests it works on.

    `gain_bytes` is what it would give back now; 0 where it is not idle, or cannot be asked. `frees_gpu` says whether
    its processes, `pids`, would give back what they hold of GPUs, `moves`, that it would go to the machine's memory.
    """

    used_bytes: int | None
    active: float | None = None
    gain_bytes: int = 0
    pids: tuple[int, ...] = ()
    frees_gpu: bool = False
    moves: bool = False
    problem: str | None = None


class Sleeper(Protocol):
    """A service that can be looked at, and perhaps be put to sleep."""

    name: str

    def look(self, at_s: float) -> Seen:
        """Look at it, at this time (seconds); raises nothing."""

    def prepare(self) -> Any:  # Any: JSON
        """Return what `release` and `wake` need, changing nothing: it is written down before anything is asked."""

    def release(self, prepared: Any) -> None:  # Any: JSON
        """Have it give its memory back."""


@dataclass(frozen=True, kw_only=True)
class Sleep:
    """A service that was put to sleep: for which run, since when (civil time, s), what it held, what `wake` needs.

    `devices` tells what it held of GPUs, by UUID.
    """

    held_bytes: int
    for_run: str
    since_s: float
    prepared: Any  # Any: JSON
    devices: Mapping[str, int] = field(default_factory=dict)


def view_of(name: str, series: Series, now_s: float) -> Service:
    """Return who uses memory as the policy sees it; `now_s` is of the clock that only moves forward."""
    return service_of(name, series, now_s=now_s, yield_s=YIELD_S, look_s=LOOK_S, job_s=JOB_S, stale_s=STALE_S)


def _bounded(view: Service, most_bytes: int) -> Service:
    """Return one that moves what it held of GPUs into the machine's memory: how fast says nothing of how far."""
    if view.soon_bytes is None or view.start_bytes is None:
        return view
    most = max(most_bytes, view.used_bytes or 0)
    return replace(view, soon_bytes=min(view.soon_bytes, most), start_bytes=min(view.start_bytes, most))


class Sleepers:
    """The services of one project. Safe to use from any thread."""

    def __init__(
        self,
        machine: Machine,
        project: str,
        clock: Clock,
        sleepers: Sequence[Sleeper],
        wake: Callable[[Any], object],  # Any: JSON
    ) -> None:
        self._machine = machine
        self._project = project
        self._clock = clock
        self._sleepers = {sleeper.name: sleeper for sleeper in sleepers}
        self._wake_by = wake
        self._series = {name: Series() for name in self._sleepers}
        self._on_devices: dict[tuple[str, str], Series] = {}
        """By the UUID of the GPU and the name of the service."""
        self._seen: dict[str, Seen] = {}
        self._tries: dict[str, int] = {}
        """How often a service did not wake."""
        self._again_s: dict[str, float] = {}
        self._runs: Mapping[str, bool] | None = None
        """Those of the machine, and whether they have begun; None until that is known."""
        self._todo: dict[str, str | None] = {}
        """What is to be done next: released, for the run of this name, or woken (None)."""
        self.often = False
        """Whether each is looked at again and again; else only once more when there is something to do about it."""
        self._some_asleep = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to look."""
        for sleeper in self._sleepers.values():
            thread = threading.Thread(
                target=self._watch, args=(sleeper,), name=f"overnight-service-{sleeper.name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        if self._gone():
            thread = threading.Thread(target=self._wake_gone, name="overnight-services-gone", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def any(self) -> bool:
        """True where there is something to look at, or to wake."""
        return bool(self._sleepers) or bool(self._gone())

    def _gone(self) -> dict[str, Sleep]:
        """Return the services that sleep and that the project no longer names."""
        return {name: sleep for name, sleep in self.asleep().items() if name not in self._sleepers}

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """End. What still sleeps stays written down, and whoever works on the project next wakes it."""
        self._ended.set()
        for _ in range(round(_END_S / _HURRY_S)):
            # One that waits for an answer ends with it, or with this process.
            alive = [thread for thread in self._threads if thread.is_alive()]
            if not alive or hurry():
                break
            alive[0].join(_HURRY_S)
        for name, sleep in self.asleep().items():
            _log.warning("event=service_left_asleep service=%s for=%r", name, sleep.for_run)

    @property
    def working(self) -> bool:
        """True while a service is to be released or woken."""
        return bool(self._todo)

    @property
    def unsettled(self) -> bool:
        """True while there is something to do about a service: one sleeps, or is about to."""
        return self._some_asleep or self.working

    def views(self, now_s: float) -> list[Service]:
        """Return the services as the policy sees them."""
        asleep = self.asleep() if self._threads else {}
        self._some_asleep = bool(asleep)
        with self._lock:
            views = [self._view(name, asleep.get(name), now_s) for name in self._sleepers]
            gone = ((name, sleep) for name, sleep in asleep.items() if name not in self._sleepers)
            return views + [self._gone_view(name, sleep, sleep.held_bytes) for name, sleep in gone]

    def _gone_view(self, name: str, sleep: Sleep, held_bytes: int) -> Service:
        # What it still uses counts as the rest of the machine.
        return Service(
            name=name,
            used_bytes=0,
            soon_bytes=0,
            start_bytes=0,
            later_bytes=0,
            released_bytes=held_bytes,
            wanted=self._in_vain(sleep),
        )

    def see(self, devices: Sequence[Device], now_s: float) -> None:
        """Take what the services hold of GPUs."""
        with self._lock:
            for name, seen in self._seen.items():
                for device in devices if seen.used_bytes is not None else ():
                    held = device.held_bytes(seen.pids) or 0
                    if held or (device.uuid, name) in self._on_devices:
                        self._on_devices.setdefault((device.uuid, name), Series()).add(now_s, held)

    def pids(self) -> list[int]:
        """Return the processes of all services."""
        with self._lock:
            return [pid for seen in self._seen.values() for pid in seen.pids]

    def views_on(self, now_s: float) -> dict[str, list[Service]]:
        """Return the services as they use each GPU, by its UUID."""
        asleep = self.asleep() if self._threads else {}
        found: dict[str, list[Service]] = {}
        with self._lock:
            for uuid, name in self._on_devices:
                found.setdefault(uuid, []).append(self._view(name, asleep.get(name), now_s, uuid))
            for name in asleep.keys() - self._sleepers.keys():
                for uuid, held in asleep[name].devices.items():
                    found.setdefault(uuid, []).append(self._gone_view(name, asleep[name], held))
        return found

    def _view(self, name: str, sleep: Sleep | None, now_s: float, uuid: str | None = None) -> Service:
        """Return a service as it uses a GPU, or with None the machine's memory."""
        seen = self._seen.get(name) or Seen(used_bytes=None)
        view = view_of(name, self._series[name] if uuid is None else self._on_devices[uuid, name], now_s)
        if sleep is not None:
            wanted = self._in_vain(sleep) or bool(seen.active)
            held = sleep.held_bytes if uuid is None else sleep.devices.get(uuid, 0)
            view = replace(view, released_bytes=held, wanted=wanted)
            return _bounded(view, held + sum(sleep.devices.values())) if seen.moves and uuid is None else view
        if self._todo.get(name) is not None:
            return replace(view, released_bytes=view.used_bytes or 0)
        if now_s < self._again_s.get(name, now_s) or name in self._todo or view.stale:
            return view
        if uuid is None:
            return replace(view, gain_bytes=seen.gain_bytes)
        gain = view.used_bytes or 0 if seen.frees_gpu else 0
        return replace(view, gain_bytes=gain, moves_bytes=gain if seen.moves else 0)

    def _in_vain(self, sleep: Sleep) -> bool:
        """Tell whether the run is gone for which it sleeps, or has not taken the memory."""
        if self._runs is None:
            return False
        begun = self._runs.get(sleep.for_run)
        return begun is None or (not begun and self._civil_s() - sleep.since_s > _VAIN_S)

    def _civil_s(self) -> float:
        return self._clock.now_us() / US

    def follow(self, releases: Sequence[tuple[str, str]], wakes: Sequence[str], runs: Mapping[str, bool]) -> None:
        """Have done what was decided; `runs` are those that have memory or wait for it, and whether they have begun."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._runs = runs
            for name, run in (*releases, *((name, None) for name in wakes)):
                if now_s >= self._again_s.get(name, now_s):
                    self._todo.setdefault(name, run)

    def _watch(self, sleeper: Sleeper) -> None:
        while not self._ended.is_set():
            now_s = self._clock.monotonic()
            try:
                self._do(sleeper.name)
                seen = sleeper.look(now_s)
            except Exception as error:  # noqa: BLE001 - a full disk, an answer that nobody thought of
                seen = Seen(used_bytes=None, problem=said_by(error))
            with self._lock:
                before = self._seen.get(sleeper.name)
                self._seen[sleeper.name] = seen
                if seen.used_bytes is not None:
                    self._series[sleeper.name].add(now_s, seen.used_bytes)
            if seen.problem is not None and (before is None or before.problem is None):
                _log.warning("event=service_not_seen service=%s problem=%r", sleeper.name, seen.problem)
            while not self._ended.wait(LOOK_S) and not self.often and sleeper.name not in self._todo:
                pass

    def _wake_gone(self) -> None:
        while gone := self._gone():
            for name in gone:
                self._do(name)
                if self._tries.get(name, 0) >= _TRIES:
                    _log.error("event=service_given_up service=%s: nothing names it, and it does not wake", name)
                    self._note(name, None)
            if self._ended.wait(LOOK_S):
                return

    def _do(self, name: str) -> None:
        with self._lock:
            wish = (self._todo[name],) if name in self._todo else ()
        for run in wish:
            if run is None:
                self._wake(name)
            else:
                self._release(name, run)
        with self._lock:
            self._todo.pop(name, None)

    def _release(self, name: str, run: str) -> None:
        with self._lock:
            held_bytes = self._series[name].used_bytes or 0
            devices = {uuid: series.used_bytes or 0 for (uuid, one), series in self._on_devices.items() if one == name}
        sleeper = self._sleepers[name]
        try:
            prepared = sleeper.prepare()
        except Exception as error:  # noqa: BLE001 - whatever a service does
            self._failed(name, "release", error)
            return
        # Written down first: one that sleeps and is not known to would never be woken.
        since_s = self._civil_s()
        sleep = Sleep(held_bytes=held_bytes, for_run=run, since_s=since_s, prepared=prepared, devices=devices)
        self._note(name, sleep)
        try:
            sleeper.release(prepared)
        except Exception as error:  # noqa: BLE001 - it may sleep in part
            self._failed(name, "release", error)
            self._wake(name)
            return
        _log.info("event=service_released service=%s for=%r held_bytes=%d", name, run, held_bytes)

    def _wake(self, name: str) -> None:
        sleep = self.asleep().get(name)
        if sleep is None:
            return
        try:
            self._wake_by(sleep.prepared)
        except Exception as error:  # noqa: BLE001 - it stays noted as asleep, and is woken the next time
            self._failed(name, "wake", error)
            self._tries[name] = self._tries.get(name, 0) + 1
            return
        vain = self._runs is not None and self._runs.get(sleep.for_run) is False and not self._ended.is_set()
        self._again_s[name] = self._clock.monotonic() + (_LEFT_ALONE_S if vain else _AGAIN_S)
        self._note(name, None)
        _log.info("event=service_woken service=%s", name)

    def _failed(self, name: str, what: str, error: Exception) -> None:
        self._again_s[name] = self._clock.monotonic() + _AGAIN_S
        _log.warning("event=service_%s_failed service=%s error=%r", what, name, said_by(error))

    def asleep(self) -> dict[str, Sleep]:
        """Return which services of this project sleep."""
        found: dict[str, Sleep] = {}
        content = self._machine.read(ASLEEP)
        mine = content.get(self._project) if isinstance(content, Mapping) else None
        for name, sleep in (mine if isinstance(mine, Mapping) else {}).items():
            with suppress(TypeError):
                found[name] = Sleep(**sleep)
        return found

    def _note(self, name: str, sleep: Sleep | None) -> None:
        def change(content: Any) -> Any:  # Any: JSON
            every = dict(content) if isinstance(content, Mapping) else {}
            mine = {key: value for key, value in every.get(self._project, {}).items() if key != name}
            if sleep is not None:
                mine[name] = asdict(sleep)
            return {**every, self._project: mine}

        self._machine.edit(ASLEEP, change)
