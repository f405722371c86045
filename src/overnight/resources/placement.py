"""Where a job trains: on this machine or in a pool, and why. Pure.

The rule, with the names of its settings:

1. A place cannot take a job that needs more memory, cores or GPUs than it ever has, or is expected to take longer than
   its `max_hours`. This machine takes none with more data than `local_training_max_size_mb`; a pool takes none that
   reads files from outside the project's folder.
2. A job stays on this machine if that can take it, unless it would wait for longer than `local_queue_max_s` and a pool
   that can take it is known to make it wait for less.
3. Else it goes to the cheapest pool by the hour (one without a price costs nothing that is known), then to the one with
   the shortest wait (one that is not known is the longest), then to the first by name.

What is not known speaks neither for nor against a place, and is told as not known.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from overnight.base.errors import UserMistake

LOCAL = "local"
"""What this machine is called among the pools."""


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What is known of a job: MB = 10^6 bytes, GB = 10^9 bytes, None means not known.

    `bound` says why it cannot leave this machine.
    """

    data_mb: float
    memory_gb: float | None = None
    cpus: float = 0.0
    gpus: int = 0
    duration_s: float | None = None
    bound: str | None = None


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """What is known of a place: what it has for one job, the expected wait, USD an hour. None means not known."""

    name: str
    memory_gb: float | None = None
    cpus: float | None = None
    gpus: int | None = None
    wait_s: float | None = None
    price_per_hour: float | None = None
    max_hours: float | None = None

    @property
    def local(self) -> bool:
        """True for this machine."""
        return self.name == LOCAL


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings of the rule."""

    max_data_mb: float
    max_wait_s: float


@dataclass(frozen=True, kw_only=True)
class Considered:
    """What speaks for and against a place, a sentence each; `fits` says whether it can take the job."""

    name: str
    fits: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a job goes, why, and what was considered. `pool` None means that no place can take it."""

    pool: str | None
    reason: str
    considered: tuple[Considered, ...]

    @property
    def chosen(self) -> str:
        """Return where it goes.

        Raises:
            UserMistake: no place can take it; the message says why not.
        """
        if self.pool is None:
            why = "; ".join(f"{one.name}: {', '.join(one.reasons)}" for one in self.considered)
            raise UserMistake(f"no place can take this job: {why}")
        return self.pool


def place(job: JobFacts, pools: Sequence[PoolFacts], rules: Rules) -> Placement:
    """Choose among the places, of which this machine is one, by the rule above."""
    against = {pool.name: _against(job, pool, rules) for pool in pools}
    considered = tuple(
        Considered(name=pool.name, fits=not against[pool.name], reasons=(*against[pool.name], *_figures(job, pool)))
        for pool in pools
    )
    here = next(pool for pool in pools if pool.local)
    others = [pool for pool in pools if not pool.local and not against[pool.name]]
    if against[LOCAL]:
        best = min(others, key=_order, default=None)
        why = f"this machine cannot take it: {against[LOCAL][0]}"
        return Placement(pool=None if best is None else best.name, reason=why, considered=considered)
    if here.wait_s is not None and here.wait_s > rules.max_wait_s:
        sooner = [pool for pool in others if pool.wait_s is not None and pool.wait_s < here.wait_s]
        if sooner:
            best = min(sooner, key=_order)
            why = f"this machine would make it wait for about {_time(here.wait_s)}, and {best.name} for less"
            return Placement(pool=best.name, reason=why, considered=considered)
    return Placement(pool=LOCAL, reason="this machine can take it", considered=considered)


def wait_s(left_s: Sequence[float | None], places: int) -> float | None:
    """Return how long a job waits behind others that take so long, in their order, in so many places.

    None means not known, because of one of them it is not known how long it takes.
    """
    if len(left_s) < places:
        return 0.0
    free_at = [0.0] * places
    for one in left_s:
        if one is None:
            return None
        heapq.heapreplace(free_at, free_at[0] + one)
    return free_at[0]


def _order(pool: PoolFacts) -> tuple[float, float, str]:
    return pool.price_per_hour or 0.0, float("inf") if pool.wait_s is None else pool.wait_s, pool.name


def _against(job: JobFacts, pool: PoolFacts, rules: Rules) -> tuple[str, ...]:
    """Return why the place cannot take the job."""
    found = []
    if pool.local and job.data_mb > rules.max_data_mb:
        found.append(
            f"{job.data_mb:,.0f} MB of data are more than {rules.max_data_mb:,.0f} MB "
            "(resources.local_training_max_size_mb)"
        )
    if not pool.local and job.bound is not None:
        found.append(job.bound)
    if None not in (job.memory_gb, pool.memory_gb) and (job.memory_gb or 0) > (pool.memory_gb or 0):
        found.append(f"it needs {job.memory_gb:.3g} GB of memory, and {pool.memory_gb:.3g} GB is all there is")
    if pool.cpus is not None and job.cpus > pool.cpus:
        found.append(f"it needs {job.cpus:g} cores, and {pool.cpus:g} are all there are")
    if pool.gpus is not None and job.gpus > pool.gpus:
        found.append(f"it needs {job.gpus} GPU{'s' if job.gpus > 1 else ''}, and this place has {pool.gpus}")
    if job.duration_s is not None and pool.max_hours is not None and job.duration_s > pool.max_hours * 3600:
        found.append(f"it takes about {_time(job.duration_s)}, longer than max_hours = {pool.max_hours:g}")
    return tuple(found)


def _figures(job: JobFacts, pool: PoolFacts) -> tuple[str, ...]:
    """Return what is known of the job there."""
    wait = "how long it waits is not known" if pool.wait_s is None else f"it waits for about {_time(pool.wait_s)}"
    need = "not known" if job.memory_gb is None else f"{job.memory_gb:.3g} GB"
    has = "not known" if pool.memory_gb is None else f"{pool.memory_gb:.3g} GB"
    found = [f"{job.data_mb:,.1f} MB of data", f"memory: need {need}, capacity {has}", wait]
    if pool.price_per_hour is None:
        found += [] if pool.local else ["no price is set"]
    elif job.duration_s is None:
        found.append(f"{pool.price_per_hour:.4g} USD an hour; how long it takes is not known")
    else:
        hours = job.duration_s / 3600
        found.append(
            f"about {pool.price_per_hour * hours:.3g} USD ({hours:.3g} h at {pool.price_per_hour:.4g} USD an hour)"
        )
    return tuple(found)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
