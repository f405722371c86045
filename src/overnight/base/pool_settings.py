"""The tables of `overnight.toml` that describe other places than this machine; see `base.config`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, MinLen

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class PoolSettings(Table):
    """`[pools.NAME]`: a place with capacity and a price, other than this machine, where jobs may train."""

    ssh: Annotated[tuple[str, ...], MinLen(1)]
    """What runs a command there, as a list of words; the command comes behind them as one word. In it, and in `up`,
    `ready` and `down`, {name} stands for the name of the job's machine, {job_id} for its id, {max_hours} for
    `max_hours`."""

    python: str = "python3"
    """The Python there that has Overnight installed, of the same version as here."""

    folder: Annotated[str, MinLen(1)] = "overnight-jobs"
    """Where jobs train there, each in a folder of its own; relative to the home folder."""

    memory_gb: Annotated[float, Gt(0)] | None = None
    """Gigabytes (10^9 bytes) of memory that a job can have there; without it, it is not known."""

    cpus: Annotated[float, Gt(0)] | None = None
    """Cores that a job can have there; without it, it is not known."""

    gpus: Annotated[int, Ge(0)] | None = None
    """GPUs that a job can have there; without it, it is not known."""

    jobs: Annotated[int, Ge(1)] = 1
    """Jobs that train there at the same time."""

    up: tuple[str, ...] = ()
    """A command that brings a machine up for a job, as a list of words; safe to repeat while the machine is there."""

    ready: tuple[str, ...] = ()
    """A command that ends with code 0 once the machine can be used; it is asked again until then."""

    down: tuple[str, ...] = ()
    """A command that takes the machine down; safe to repeat, also where there is none. It must be there if `up` is."""

    timeout_s: Annotated[float, Gt(0)] = 600.0
    """Seconds that `up` may take, and `down`, and that it may take until `ready` says so."""

    silence_s: Annotated[float, Ge(3)] = 60.0
    """Seconds without a word from there after which the connection counts as lost."""

    price_per_hour: Annotated[float, Ge(0)] | None = None
    """USD that an hour costs, of the machine where `up` brings one up, else of a training; without it, no cost is
    counted."""

    max_hours: Annotated[float, Gt(0)] | None = None
    """Hours that one job may have of it; then it is stopped, and its machine taken down."""
