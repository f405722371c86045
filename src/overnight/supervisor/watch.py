"""Looks after the services of a project, in a thread of its own: what is seen is looked at here, and decided elsewhere.

Looks at health are made by helping threads, so that one that waits for an answer holds up no other.
"""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from overnight.base.argv import filled
from overnight.base.clock import Clock
from overnight.base.errors import InvalidTransition, UnknownName, one_line
from overnight.base.files import write_json
from overnight.base.instants import iso
from overnight.base.resource_settings import ServiceSettings
from overnight.base.vocabulary import suggestion
from overnight.processes.memory import TreeMemory
from overnight.processes.table import pids_below
from overnight.supervisor import health, minder, policy, record
from overnight.supervisor.health import Health
from overnight.supervisor.links import Link, tried
from overnight.supervisor.minder import Order
from overnight.supervisor.owners import MARK, owner_of
from overnight.supervisor.policy import Act, Decision, Seen, State, Status
from overnight.supervisor.record import Record
from overnight.supervisor.spec import stopping_order, with_needed
from overnight.supervisor.startup import Mode, mode_of, turn_of

LOOK_EVERY_S = 0.1
_STARTING_EVERY_S = 0.25
_MEMORY_EVERY_S = 2.0
LINKS_EVERY_S = 30.0
"""Between two trials of links: what was reached may be gone, and what was not, such as a model, may serve by now."""
_AT_ONCE = 16
STATUS_FILE = "services.json"
LOGS = Path("logs") / "services"
_log = logging.getLogger("overnight.services")


@dataclass(kw_only=True)
class _Service:
    """A service, and what was last seen of it."""

    state: State
    record: Record | None = None
    memory: TreeMemory
    looking: "Future[Health] | None" = None
    look_at_s: float = 0.0
    measured_at_s: float = 0.0
    memory_bytes: int | None = None
    problem: str | None = None
    not_started: str | None = None


@dataclass(kw_only=True)
class _Links:
    """What services need of others: tried once all is up, and again and again."""

    tried: list[Link] | None = None
    future: "Future[list[Link]] | None" = None
    next_at_s: float = 0.0

    def look(self, begin: "Callable[[], Future[list[Link]]]", now_s: float) -> None:
        """Take what came of it, or begin to try where it is time."""
        if self.future is not None and self.future.done():
            self.tried, self.future, self.next_at_s = self.future.result(), None, now_s + LINKS_EVERY_S
        if self.future is None and now_s >= self.next_at_s:
            self.future = begin()

    @property
    def reached(self) -> bool:
        """Whether all of them were reached when they were tried last."""
        return all(link.ok for link in self.tried or ())


class Supervisor:
    """Starts, adopts, probes, restarts and stops the services of a project."""

    def __init__(
        self,
        services: Mapping[str, ServiceSettings],
        *,
        project: Path,
        state_dir: Path,
        clock: Clock,
        environment: Mapping[str, str],
        only: frozenset[str] | None = None,
    ) -> None:
        """`services` are those that are started here; `only` these begin by themselves, None: all of them.

        `environment` is what each gets beside its own.
        """
        self._project, self._state_dir, self._clock = project, state_dir, clock
        self._folder = state_dir / record.FOLDER
        self._environment = environment
        self._settings = dict(services)
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE, "overnight-health")
        self._minders: list[subprocess.Popen[bytes]] = []
        self._links = _Links()
        self._told = Mode.STARTING
        self._came_up = False
        now = clock.monotonic()
        self._services = {
            name: _Service(
                state=State(since_s=now, status=Status.WAITING if only is None or name in only else Status.DOWN),
                record=record.find(self._folder, name),
                memory=TreeMemory(clock),
            )
            for name in services
        }
        self._thread = threading.Thread(target=self._go, name="overnight-services", daemon=True)

    # What is known, from any thread.

    @property
    def mode(self) -> Mode:
        """How the project stands with its services. Once it has come up, what cannot be started degrades it."""
        if self._ended.is_set():
            return Mode.FAILED if self._told is Mode.FAILED else Mode.DOWN
        with self._lock:
            states = {name: one.state for name, one in self._services.items()}
        wanted = {name: one for name, one in self._settings.items() if states[name].status is not Status.DOWN}
        mode = mode_of(wanted, states)
        if mode is Mode.FAILED and self._came_up:
            mode = Mode.DEGRADED
        if mode not in (Mode.FULL, Mode.DEGRADED):
            return mode
        with self._lock:
            self._links.look(self._try_links, self._clock.monotonic())
            if self._links.tried is None:
                return Mode.STARTING
            self._came_up = True
            return mode if self._links.reached else Mode.DEGRADED

    def _try_links(self) -> "Future[list[Link]]":
        wanted = {
            name: one.links
            for name, one in self._settings.items()
            if one.links and self._services[name].state.status is Status.UP
        }
        return self._pool.submit(tried, wanted)

    def status(self) -> dict[str, Any]:  # Any: JSON
        """Return how all of them stand: `mode`, `services` by name, and `links`, once they were tried."""
        mode, now_s, now_us = self.mode, self._clock.monotonic(), self._clock.now_us()
        with self._lock:
            services = {
                name: {
                    "status": str(one.state.status),
                    "since": iso(now_us - int((now_s - one.state.since_s) * 1e6)),
                    "adopted": one.state.status is Status.UP and not one.state.ours,
                    "pid": one.record.keeper_pid if one.record is not None and one.state.ours else None,
                    "phase": self._settings[name].phase,
                    "required": self._settings[name].required,
                    "restarts": len(one.state.restarts),
                    "memory_bytes": one.memory_bytes if one.state.ours else None,
                    "why": one.state.why or (one.problem if one.state.status is Status.STARTING else None),
                    "log": str(self._log_of(name)) if one.record and self._log_of(name).exists() else None,
                }
                for name, one in self._services.items()
            }
            links = [vars(link) for link in self._links.tried or ()]
        return {"mode": str(mode), "services": services, "links": links}

    def given_up(self) -> dict[str, str]:
        """Return the services that are given up, each with the reason.

        It waits for no lock, so that the daemon's health can be told while a service is being started: which services
        there are does not change, and a state is replaced as a whole.
        """
        found = {name: one.state for name, one in self._services.items()}
        return {name: state.why or "" for name, state in found.items() if state.status is Status.GIVEN_UP}

    # What people ask for, from any thread.

    def ask(self, name: str, what: str) -> None:
        """Have a service started, with what it comes after, or stopped or restarted (`what`: start, stop, restart).

        Raises:
            UnknownName: there is no such service.
            InvalidTransition: it was adopted, and is not ours to stop.
        """
        with self._lock:
            one = self._services.get(name)
            if one is None:
                raise UnknownName(
                    f"there is no service {name!r} that is started here{suggestion(name, self._services)}"
                )
            now = self._clock.monotonic()
            if what == "start":
                for needed in sorted(with_needed(self._settings, [name])):
                    state = self._services[needed].state
                    self._take(needed, Decision(state=policy.asked_to_start(state, now)))
                return
            if one.state.status is Status.UP and not one.state.ours:
                raise InvalidTransition(f"service {name} ran before this project began, and is not ours to {what}")
            self._take(name, policy.asked_to_stop(one.state, now, again=what == "restart"))

    # Its life.

    def start(self) -> None:
        """Begin."""
        self._write()
        self._thread.start()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop what was started here, those that others need last, and end; at once when `hurry` says so."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for group in stopping_order(self._settings):
            self._stop_all([name for name in group if self._services[name].state.ours], hurry)
        self._write()
        self._pool.shutdown(cancel_futures=True)

    def _stop_all(self, names: list[str], hurry: Callable[[], bool]) -> None:
        now = self._clock.monotonic()
        for name in names:
            one = self._services[name]
            self._take(name, policy.asked_to_stop(replace(one.state, again=False), now))
        while any(self._services[name].state.status is Status.STOPPING for name in names):
            for name in names:
                one = self._services[name]
                if one.state.status is Status.STOPPING:
                    if hurry() and one.record is not None:
                        one.record.kill()
                    now = self._clock.monotonic()
                    seen = self._seen(name, one, now, look=False)
                    self._take(name, policy.decide(self._settings[name], one.state, seen, now, ready=False))
            self._reap()
            threading.Event().wait(LOOK_EVERY_S / 2)

    def _go(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self.work()
            except Exception as error:  # noqa: BLE001  # a full disk: the services go on, and the next look tries again
                _log.error("event=services_failed error=%r", one_line(error))

    def work(self) -> None:
        """Look at all services, and do what follows."""
        now = self._clock.monotonic()
        with self._lock:
            states = {name: one.state for name, one in self._services.items()}
            for name, one in self._services.items():
                turn = turn_of(name, self._settings, states)
                if turn.lost is not None and one.state.status is Status.WAITING:
                    lost = replace(one.state, status=Status.GIVEN_UP, why=f"needs {turn.lost}, which is not up")
                    self._take(name, Decision(state=lost))
                    continue
                seen = self._seen(name, one, now, look=turn.ready or one.state.status is not Status.WAITING)
                self._take(name, policy.decide(self._settings[name], one.state, seen, now, ready=turn.ready))
            self._reap()
        if self.mode is not self._told:
            self._write()

    def _take(self, name: str, decision: Decision) -> None:
        one = self._services[name]
        before, one.state = one.state, decision.state
        if decision.act is Act.START:
            self._begin(name, one)
        elif decision.act is Act.STOP and one.record is not None:
            one.record.end()
        elif decision.act is Act.KILL and one.record is not None:
            one.record.kill()
        if before.status is not one.state.status:
            one.look_at_s = 0.0
            one.looking = None
            told = {"status": str(one.state.status), "ours": one.state.ours, "why": one.state.why}
            _log.info("event=service name=%s %s", name, " ".join(f"{key}={value!r}" for key, value in told.items()))
            if one.state.status is Status.DOWN and one.record is not None and not one.record.alive:
                record.forget(self._folder, name)
                one.record = None
            self._write()

    def _seen(self, name: str, one: _Service, now: float, *, look: bool = True) -> Seen:
        """Return what is known of a service at this moment; a look at its health that is due is begun."""
        alive = one.record is not None and one.record.alive
        ended, failed = one.not_started, True
        if not alive and one.record is not None and ended is None:
            told = record.find(self._folder, name) or one.record
            ended, failed = told.ended, told.failed
        found = self._health(name, one, now, alive=alive) if look else None
        if found is not None:
            one.problem = found.problem
        taken = self._taken(name, one, found, alive=alive) if found is not None else None
        return Seen(
            alive=alive,
            ended=ended,
            failed=failed,
            healthy=None if found is None else found.healthy,
            problem=one.problem,
            taken=taken,
            memory_bytes=self._memory(one, now) if alive else None,
        )

    def _health(self, name: str, one: _Service, now: float, *, alive: bool) -> Health | None:
        """Return what the newest look at its health has found; None where none has ended since it was asked last."""
        settings = self._settings[name].health
        if not health.looked_at(settings):
            lived = now - one.state.since_s >= policy.SETTLED_S or one.state.status is not Status.STARTING
            return Health(healthy=alive and lived, problem=None if alive else "it does not run")
        if one.looking is not None and one.looking.done():
            found = one.looking.result()
            every = settings.every_s if one.state.status is Status.UP else _STARTING_EVERY_S
            one.looking, one.look_at_s = None, now + every
            return found
        if one.looking is None and now >= one.look_at_s:
            words = tuple(filled(settings.command, {"python": sys.executable}))
            cwd, env = str(self._cwd(name)), self._env(name)
            one.looking = self._pool.submit(health.look, settings, words, cwd, env)
        return None

    def _taken(self, name: str, one: _Service, found: Health, *, alive: bool) -> str | None:
        """Return who else has the service's port, before it is started; None where nobody has, or where it is it."""
        before = one.state.status in (Status.WAITING, Status.BACKING_OFF)
        port = health.port_of(self._settings[name].health)
        if not before or alive or not found.answered or port is None:
            return None
        owner = owner_of(port)
        mine = owner is not None and owner.service == self._mark(name)
        strange = owner is not None and owner.service is not None and not mine
        if found.healthy and not strange:
            return None
        who = "somebody" if owner is None else str(owner)
        how = "" if found.healthy else f", and does not answer as its health should: {found.problem}"
        return f"port {port} is taken by {who}{how}"

    def _memory(self, one: _Service, now: float) -> int | None:
        if one.record is not None and one.record.keeper_pid is not None and now >= one.measured_at_s:
            one.measured_at_s = now + _MEMORY_EVERY_S
            used = one.memory.used_bytes(pids_below(one.record.keeper_pid))
            one.memory_bytes = used if used > 0 else None
        return one.memory_bytes

    # How one is started.

    def _begin(self, name: str, one: _Service) -> None:
        settings = self._settings[name]
        order = Order(
            name=name,
            argv=tuple(filled(settings.command, {"python": sys.executable})),
            env=self._env(name),
            cwd=str(self._cwd(name)),
            folder=str(self._folder),
            log=str(self._log_of(name)),
            log_bytes=int(settings.log_mb * 1e6),
            stop_signal=int(signal.Signals[settings.stop_signal]),
            grace_s=settings.grace_s,
        )
        try:
            self._minders.append(minder.begin(order))
        except OSError as error:
            one.not_started = f"could not be started: {one_line(error)}"
            one.record = None
            return
        one.not_started, one.memory_bytes = None, None
        one.record = record.find(self._folder, name)

    def _cwd(self, name: str) -> Path:
        return (self._project / Path(self._settings[name].folder).expanduser()).resolve()

    def _env(self, name: str) -> dict[str, str]:
        return {**self._environment, **self._settings[name].environment, MARK: self._mark(name)}

    def _mark(self, name: str) -> str:
        return f"{self._state_dir.resolve()}:{name}"

    def _log_of(self, name: str) -> Path:
        return self._state_dir / LOGS / f"{name}.log"

    def _reap(self) -> None:
        self._minders = [one for one in self._minders if one.poll() is None]

    def _write(self) -> None:
        """Write how all of them stand, for those who do not ask the daemon."""
        told = self.status()
        self._told = Mode(told["mode"])
        try:
            write_json(self._state_dir / STATUS_FILE, told)
        except OSError as error:
            _log.error("event=services_file_lost error=%r", one_line(error))
