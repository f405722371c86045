"""Who may use the memory of a machine or of a device: which jobs start, which yield, and why others wait. Pure.

A job starts only where what it needs fits beside what services are expected to use and what others have. A running job
yields (it writes a checkpoint and goes) before services, as they grow, need what it holds. An idle service is asked to
release what it holds where a job could then start, and woken when that job has ended or somebody wants the service.
This module judges one place, a machine's memory or that of one device; `sharing.decide` asks it about all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from overnight.resources.forecast import Series, forecast

CRITICAL, HIGH, NORMAL, LOW = range(4)
"""Ranks: a smaller one is more urgent."""
GB = 10**9
LITTLE_SHARE = 0.1
"""What the screen, or a service that sleeps, may hold of a device that a job has for itself."""


def in_gb(count: int) -> str:
    """Return a number of bytes for people: small models have some MB."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / GB:.2g} GB"


@dataclass(frozen=True, kw_only=True)
class Service:
    """What serves users. The three forecasts are `forecast.Forecast`'s; None, as long as it was never measured.

    `used_bytes` is None where the last probe failed, `stale` says that it is too old; then `peak_bytes`, the most that
    the service is known to use, is kept free for it.
    """

    name: str
    used_bytes: int | None
    soon_bytes: int | None
    start_bytes: int | None
    later_bytes: int | None
    peak_bytes: int | None = None
    stale: bool = False
    serves: bool = True
    """False for what is no service: the other processes of the machine."""
    gain_bytes: int = 0
    """What it would give back if it were asked now; 0 for one that is not idle, or cannot be asked."""
    released_bytes: int | None = None
    """What it held when it was asked to release it; None for one that is awake."""
    moves_bytes: int = 0
    """What it would need of the machine's memory, were it asked to release a device's."""
    wanted: bool = False
    """Whether a released one has to come back: somebody asks for it, or the job that it made room for is gone."""

    @property
    def back_bytes(self) -> int:
        """Return what is kept free for its return."""
        return self.released_bytes or 0 if self.wanted else 0

    @property
    def asleep(self) -> bool:
        """Return whether it has released its memory, and need not come back yet."""
        return self.released_bytes is not None and not self.wanted

    @property
    def known(self) -> bool:
        """Return whether there is a fresh measurement with a forecast."""
        return None not in (self.used_bytes, self.soon_bytes, self.start_bytes, self.later_bytes) and not self.stale


def service_of(
    name: str, series: Series, *, now_s: float, yield_s: float, look_s: float, job_s: float, stale_s: float
) -> Service:
    """Return a service as its series has it: stale where the newest sample is older than `stale_s`.

    The longer nobody could look, the more is expected of it, up to its peak.
    """
    if series.used_bytes is None:
        return Service(name=name, used_bytes=None, soon_bytes=None, start_bytes=None, later_bytes=None)
    told = forecast(series, now_s=now_s, yield_s=yield_s, look_s=look_s, job_s=job_s)
    stale = now_s - series.at_s > stale_s
    return Service(
        name=name,
        used_bytes=series.used_bytes,
        soon_bytes=min(told.soon_bytes, series.peak_bytes) if stale else told.soon_bytes,
        start_bytes=told.start_bytes,
        later_bytes=told.later_bytes,
        peak_bytes=series.peak_bytes,
        stale=stale,
    )


@dataclass(frozen=True, kw_only=True)
class Running:
    """A job that has memory. `order` is its place among those that started; `yielding`: it has been told to.

    One that has a device `whole` reserves nothing of it, and nobody starts beside it.
    """

    name: str
    reserved_bytes: int
    used_bytes: int | None = None
    rank: int = NORMAL
    order: int = 0
    yields: bool = True
    yielding: bool = False
    whole: bool = False

    @property
    def held_bytes(self) -> int:
        """Return what nobody else may count on."""
        return max(self.reserved_bytes, self.used_bytes or 0)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that wants to start. `order` is its place in the queue.

    Beside `need_bytes` of the machine's memory it needs `gpus` devices, and of each `gpu_bytes`, or where that is 0,
    the device for itself.
    """

    name: str
    need_bytes: int
    rank: int = NORMAL
    order: int = 0
    yields: bool = True
    known: bool = True
    """False where the need is assumed, because nobody has said or measured it."""
    preempts: bool = True
    """Whether LOW jobs make room for it, where it is CRITICAL; who has only waited for long is passed by nobody."""
    gpus: int = 0
    gpu_bytes: int = 0
    whole: bool = False
    """Whether it is to be alone there, beside services that sleep at most; it then needs 0 bytes."""

    @property
    def place(self) -> tuple[int, int, str]:
        """Return its place among those that wait: the more urgent first, then the older."""
        return self.rank, self.order, self.name


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A machine, or one device of it, at one moment; `reserve_bytes` stays free for the host."""

    name: str = "the machine"
    capacity_bytes: int
    reserve_bytes: int = 0
    services: Sequence[Service] = ()
    running: Sequence[Running] = ()
    waiting: Sequence[Waiting] = ()
    busy_bytes: int | None = None
    """A service that uses more is busy: no job of unknown size starts beside it."""

    @property
    def room_bytes(self) -> int:
        """Return what services and jobs may have together."""
        return self.capacity_bytes - self.reserve_bytes


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Names of jobs: who starts, who yields; and for each that waits, why, in words. Names of services: who is asked to
    release its memory, for which job, and who is woken.
    """

    starts: tuple[str, ...] = ()
    yields: tuple[str, ...] = ()
    waits: tuple[tuple[str, str], ...] = ()
    preempts: tuple[tuple[str, str], ...] = ()
    """Those of `yields` that make room for a CRITICAL job, each with that job."""
    releases: tuple[tuple[str, str], ...] = ()
    wakes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sight:
    """How a job stands before it starts: what is free for it, and what hinders it however little it needs.

    `why`: nothing can be told, or somebody more urgent waits; `busy` are services, `beside` jobs that are in its way.
    """

    job: Waiting
    free_bytes: int
    expected_bytes: int
    why: str | None
    busy: tuple[Service, ...]
    beside: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Return whether it can start."""
        hindered = self.why is not None or self.busy or self.beside
        return not hindered and self.job.need_bytes <= self.free_bytes


@dataclass(frozen=True, kw_only=True)
class Way:
    """How room is made for a job: who yields to it, and which services are asked; `open` where that is enough."""

    leaving: frozenset[str] = frozenset()
    releases: tuple[tuple[str, str], ...] | None = None
    """None where services are not asked for this one."""
    open: bool = False


CLOSED = Way()


class Look:
    """What is decided about the jobs that wait, one after another in their order."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self._growing = _yields(situation)
        self._leaving = set(self._growing)
        self._held = sum(job.held_bytes for job in situation.running)
        self._here = {job.name: job.whole for job in situation.running}
        self._starts: list[str] = []
        self._waits: list[tuple[str, str]] = []
        self._releases: tuple[tuple[str, str], ...] | None = None
        self._urgent: str | None = None
        self._preempts: tuple[tuple[str, str], ...] = ()

    def at(self, job: Waiting) -> Sight:
        """Return how the next one stands."""
        situation = self.situation
        expected, why = _expected_bytes(situation.services, job.yields)
        if why is None and self._urgent is not None and job.rank > CRITICAL:
            why = f"{self._urgent}, which is CRITICAL, waits for memory"
        return Sight(
            job=job,
            free_bytes=situation.room_bytes - expected - self._held,
            expected_bytes=expected,
            why=why,
            busy=_in_the_way(situation, job),
            beside=tuple(sorted(name for name, whole in self._here.items() if whole or job.whole)),
        )

    def take(self, sight: Sight) -> None:
        """Have it start."""
        self._starts.append(sight.job.name)
        self.keep(sight)

    def keep(self, sight: Sight) -> None:
        """Give nobody behind it what it needs."""
        self._held += sight.job.need_bytes
        self._here[sight.job.name] = sight.job.whole

    def way(self, sight: Sight) -> Way:
        """Return how room would be made for it."""
        if sight.why is not None:
            return CLOSED
        leaving: set[str] | None = None
        if self._is_urgent(sight) and sight.job.preempts:
            leaving = _preempted(self.situation, sight, self._growing)
        if self._releases is not None:
            return Way(leaving=frozenset(leaving or ()), open=leaving is not None)
        # Services are asked for the first job only that needs it: others would make them sleep in turns.
        releases = _releases(self.situation, sight)
        return Way(
            leaving=frozenset(leaving or ()),
            releases=releases,
            open=leaving is not None or bool(releases) or _falls_asleep(self.situation, sight),
        )

    def wait(self, sight: Sight, way: Way) -> None:
        """Have it wait while room is made for it in that way, if in any."""
        job = sight.job
        if self._is_urgent(sight):
            self._urgent = job.name
            if way.leaving:
                self._preempts = tuple((name, job.name) for name in sorted(way.leaving))
                self._leaving |= way.leaving
        if way.releases is not None:
            self._releases = way.releases
        self._waits.append((job.name, self.why(sight)))

    def why(self, sight: Sight) -> str:
        """Return in words why it waits."""
        return (
            sight.why
            or _why_busy(sight)
            or (f"{', '.join(sight.beside)} has some of it" if sight.beside else None)
            or _why(sight.job, sight.free_bytes, self.situation, self._leaving)
        )

    @property
    def clears(self) -> bool:
        """Return whether somebody leaves already, so that room is made here rather than elsewhere."""
        asleep = any(service.asleep for service in self.situation.services)
        return bool(self._leaving) or asleep or any(job.yielding for job in self.situation.running)

    def decision(self) -> Decision:
        """Return all that was decided."""
        return Decision(
            starts=tuple(self._starts),
            yields=tuple(sorted(self._leaving)),
            waits=tuple(self._waits),
            preempts=self._preempts,
            releases=self._releases or (),
            wakes=_wakes(self.situation, self._held),
        )

    def _is_urgent(self, sight: Sight) -> bool:
        """Tell whether others wait with it: the first one that is CRITICAL and for which there would be room."""
        # Nobody waits with one that has only grown old, where services and not jobs hold what it lacks.
        within = self.situation.room_bytes - (0 if sight.job.preempts else sight.expected_bytes)
        first = self._urgent is None and sight.job.rank == CRITICAL
        return first and not sight.busy and sight.job.need_bytes <= within


def _in_the_way(situation: Situation, job: Waiting) -> tuple[Service, ...]:
    """Return the services beside which it does not start, however little it needs.

    For one of unknown size these are the busy ones; for one that is to be alone, all that hold something, but for a
    little that the screen, or who sleeps, still has.
    """
    most = math.inf if job.known or situation.busy_bytes is None else situation.busy_bytes
    found = []
    for service in sorted(situation.services, key=lambda service: service.name):
        little = LITTLE_SHARE * situation.capacity_bytes if service.asleep or not service.serves else 0
        alone = job.whole and (service.used_bytes is None or service.used_bytes > little)
        if alone or (service.serves and (service.used_bytes or 0) > most):
            found.append(service)
    return tuple(found)


def _why_busy(sight: Sight) -> str | None:
    if not sight.busy:
        return None
    used = ", ".join(f"{service.name} ({in_gb(service.used_bytes or 0)})" for service in sight.busy)
    if sight.job.whole:
        return f"there is {used}; set its gpu_memory_gb"
    return f"what it needs is not known, and these services are busy: {used}; set its memory_gb"


def _releases(situation: Situation, sight: Sight) -> tuple[tuple[str, str], ...]:
    """Return which services are asked to make room for a job: as few as it takes, or all in its way; none in vain.

    None for a job that cannot yield: it would be in the way of a service that comes back by itself.
    """
    job, free, every = sight.job, sight.free_bytes, bool(sight.busy)
    chosen: list[tuple[str, str]] = []
    if not job.yields or sight.beside:
        return ()
    for service in sorted(sight.busy or situation.services, key=lambda service: (-service.gain_bytes, service.name)):
        if job.need_bytes <= free and not every:
            break
        if service.gain_bytes <= 0:
            return ()
        chosen.append((service.name, job.name))
        free += service.gain_bytes
    return tuple(chosen) if job.need_bytes <= free else ()


def _falls_asleep(situation: Situation, sight: Sight) -> bool:
    """Tell whether there will be room when the services that were asked have released what they still hold."""
    asleep = [service for service in situation.services if service.asleep]
    coming = sight.free_bytes + sum(service.used_bytes or 0 for service in asleep)
    return (
        bool(asleep)
        and all(service.asleep for service in sight.busy)
        and not sight.beside
        and (sight.job.need_bytes <= coming)
    )


def _wakes(situation: Situation, held: int) -> tuple[str, ...]:
    """Return the released services that have to come back, and whose memory is free."""
    free = situation.room_bytes - held - sum(service.used_bytes or 0 for service in situation.services)
    woken = []
    for service in sorted(situation.services, key=lambda service: service.name):
        lacking = service.back_bytes - (service.used_bytes or 0)
        if service.wanted and service.released_bytes is not None and lacking <= free:
            woken.append(service.name)
            free -= max(0, lacking)
    return tuple(woken)


def _expected_bytes(services: Sequence[Service], yields: bool) -> tuple[int, str | None]:
    """Return what services are expected to use beside a job that starts now; and why it cannot be told."""
    expected = 0
    for service in sorted(services, key=lambda service: service.name):
        told = [service.start_bytes, service.back_bytes]
        if not yields:
            told += [service.later_bytes, service.released_bytes]
        if not service.known:
            if service.peak_bytes is None:
                return 0, f"nothing is known about what {service.name} uses"
            told += [service.peak_bytes, service.used_bytes, service.soon_bytes, service.later_bytes]
        expected += max(number for number in told if number is not None)
    return expected, None


def _yields(situation: Situation) -> set[str]:
    """Return who has to yield, because services are expected to need what they hold: the least urgent, then newest."""
    soon = sum(max(service.soon_bytes or service.used_bytes or 0, service.back_bytes) for service in situation.services)
    staying = [job for job in situation.running if not job.yielding]
    over = soon + sum(job.held_bytes for job in staying) - situation.room_bytes
    return _least_urgent([job for job in staying if job.yields], over)


def _preempted(situation: Situation, sight: Sight, growing: set[str]) -> set[str] | None:
    """Return the LOW jobs that yield to a CRITICAL one, beside those that go anyway; None where that is not enough."""
    leaving = [other for other in situation.running if other.yielding or other.name in growing]
    candidates = [other for other in situation.running if other.rank == LOW and other.yields and other not in leaving]
    lacking = sight.job.need_bytes - sight.free_bytes - sum(other.held_bytes for other in leaving)
    if lacking > sum(other.held_bytes for other in candidates):
        return None
    if sight.beside:
        going = {other.name for other in (*leaving, *candidates)}
        return {other.name for other in candidates if other.name in sight.beside} if going >= {*sight.beside} else None
    return _least_urgent(candidates, lacking)


def _least_urgent(jobs: Sequence[Running], lacking_bytes: int) -> set[str]:
    """Return the least urgent, newest jobs that have this much together, without those that are not needed for it."""
    chosen: list[Running] = []
    for job in sorted(jobs, key=lambda job: (-job.rank, -job.order, job.name)):
        if lacking_bytes <= 0:
            break
        chosen.append(job)
        lacking_bytes -= job.held_bytes
    kept = set()
    for job in reversed(chosen):
        if lacking_bytes + job.held_bytes <= 0:
            lacking_bytes += job.held_bytes
        else:
            kept.add(job.name)
    return kept


def _why(job: Waiting, free_bytes: int, situation: Situation, yielding: set[str]) -> str:
    room_bytes = situation.room_bytes
    needs = f"needs {in_gb(job.need_bytes)}{'' if job.known else ' (assumed; set its memory_gb)'}; "
    if job.need_bytes > room_bytes:
        return f"{needs}{situation.name} has {in_gb(max(0, room_bytes))} for services and jobs together"
    told = f"{needs}{in_gb(max(0, free_bytes))} are free beside what services are expected to use"
    return f"{told}; {', '.join(sorted(yielding))} yields" if yielding else told
