"""Who may use a machine's memory: which jobs start, which yield, and why the others wait. Pure.

A job starts only where what it needs fits beside what services are expected to use and what others have. A running job
yields (it writes a checkpoint and goes) before services, as they grow, need what it holds. The same call decides in the
daemon, in the benchmarks and in the simulation; whoever calls it looks again every second or few.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from overnight.resources.forecast import Series, forecast

CRITICAL, HIGH, NORMAL, LOW = range(4)
"""Ranks: a smaller one is more urgent."""
GB = 10**9


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
    """A job that has memory. `order` is its place among those that started; `yielding`: it has been told to."""

    name: str
    reserved_bytes: int
    used_bytes: int | None = None
    rank: int = NORMAL
    order: int = 0
    yields: bool = True
    yielding: bool = False

    @property
    def held_bytes(self) -> int:
        """Return what nobody else may count on."""
        return max(self.reserved_bytes, self.used_bytes or 0)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that wants to start. `order` is its place in the queue."""

    name: str
    need_bytes: int
    rank: int = NORMAL
    order: int = 0
    yields: bool = True


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A machine (or one device of it) at one moment; `reserve_bytes` stays free for the host."""

    capacity_bytes: int
    reserve_bytes: int = 0
    services: Sequence[Service] = ()
    running: Sequence[Running] = ()
    waiting: Sequence[Waiting] = ()

    @property
    def room_bytes(self) -> int:
        """Return what services and jobs may have together."""
        return self.capacity_bytes - self.reserve_bytes


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Names of jobs: who starts, who yields; and for each that waits, why, in words."""

    starts: tuple[str, ...] = ()
    yields: tuple[str, ...] = ()
    waits: tuple[tuple[str, str], ...] = ()


def decide(situation: Situation) -> Decision:
    """Return who starts, who yields and why the others wait.

    Who yields still has its memory, and nobody starts on it before it has gone. Memory that is too small for the first
    in the queue goes to the next one that it is enough for, except that nothing less urgent starts while a CRITICAL job
    waits for memory that the machine has.
    """
    growing = _yields(situation)
    starts: list[str] = []
    waits: list[tuple[str, str]] = []
    preempted: set[str] = set()
    held = sum(job.held_bytes for job in situation.running)
    urgent: str | None = None
    for job in sorted(situation.waiting, key=lambda job: (job.rank, job.order, job.name)):
        expected, why = _expected_bytes(situation.services, job.yields)
        free = situation.room_bytes - expected - held
        if why is None and urgent is not None and job.rank > CRITICAL:
            why = f"{urgent}, which is CRITICAL, waits for memory"
        if why is None and job.need_bytes <= free:
            starts.append(job.name)
            held += job.need_bytes
            continue
        if job.rank == CRITICAL and job.need_bytes <= situation.room_bytes and urgent is None:
            urgent = job.name
            preempted = _preempted(situation, job, free, growing) if why is None else set()
        waits.append((job.name, why or _why(job, free, situation.room_bytes, growing | preempted)))
    return Decision(starts=tuple(starts), yields=tuple(sorted(growing | preempted)), waits=tuple(waits))


def _expected_bytes(services: Sequence[Service], yields: bool) -> tuple[int, str | None]:
    """Return what services are expected to use beside a job that starts now; and why it cannot be told."""
    expected = 0
    for service in sorted(services, key=lambda service: service.name):
        told = [service.start_bytes] if yields else [service.start_bytes, service.later_bytes]
        if not service.known:
            if service.peak_bytes is None:
                return 0, f"nothing is known about what {service.name} uses"
            told += [service.peak_bytes, service.used_bytes, service.soon_bytes, service.later_bytes]
        expected += max(number for number in told if number is not None)
    return expected, None


def _yields(situation: Situation) -> set[str]:
    """Return who has to yield, because services are expected to need what they hold: the least urgent, then newest."""
    soon = sum(service.soon_bytes or service.used_bytes or 0 for service in situation.services)
    staying = [job for job in situation.running if not job.yielding]
    over = soon + sum(job.held_bytes for job in staying) - situation.room_bytes
    return _least_urgent([job for job in staying if job.yields], over)


def _preempted(situation: Situation, job: Waiting, free: int, growing: set[str]) -> set[str]:
    """Return the LOW jobs that yield to a CRITICAL one; nobody where that is not enough."""
    leaving = [other for other in situation.running if other.yielding or other.name in growing]
    candidates = [other for other in situation.running if other.rank == LOW and other.yields and other not in leaving]
    lacking = job.need_bytes - free - sum(other.held_bytes for other in leaving)
    if lacking > sum(other.held_bytes for other in candidates):
        return set()
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


def _why(job: Waiting, free_bytes: int, room_bytes: int, yielding: set[str]) -> str:
    needs = f"needs {job.need_bytes / GB:.1f} GB; "
    if job.need_bytes > room_bytes:
        return f"{needs}the machine has {max(0, room_bytes) / GB:.1f} GB for services and jobs together"
    told = f"{needs}{max(0, free_bytes) / GB:.1f} GB are free beside what services are expected to use"
    return f"{told}; {', '.join(sorted(yielding))} yields" if yielding else told
