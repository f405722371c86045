"""Who shares out this machine's memory among the runs of a project: what is measured, and within which limits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from overnight.base.clock import Clock
from overnight.base.config import Config
from overnight.base.errors import ConfigError, NotMeasured
from overnight.base.resource_settings import ResourceSettings
from overnight.base.settings import STATE_FOLDER, environment
from overnight.resources.capacity import Host, capacity_bytes, reserve_bytes
from overnight.resources.ledger import Limits
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.negotiator import Negotiator
from overnight.resources.policy import GB
from overnight.resources.probes.host import look
from overnight.resources.sleeping import Sleeper


def negotiator_of(
    config: Config, clock: Clock, *, granted: Callable[[], object], stop_run: Callable[[int, str], object]
) -> Negotiator:
    """Return what negotiates for the runs of a project; see there.

    Raises:
        ConfigError: a service is described in a way in which it cannot be looked at, or the machine does not tell how
            much memory it has.
    """
    settings, host = config.resources, measured()
    if host is None and settings.max_total_memory_gb is None:
        raise ConfigError("resources.max_total_memory_gb: set it, because this machine does not tell its memory")
    limits = limits_of(settings, host)
    # What the machine has beyond what may be used takes in others first.
    spare = 0 if host is None else host.capacity_bytes - limits.capacity_bytes
    return Negotiator(
        Machine(shared_folder(environment()), clock),
        str(config.project_dir),
        limits,
        clock=clock,
        host_bytes=lambda: None if (now := measured()) is None else now.used_bytes - spare,
        sleepers=watched(config, clock),
        wake=_wake,
        idle_look_s=settings.resource_check_interval_s,
        granted=granted,
        stop_run=stop_run,
    )


def watched(config: Config, clock: Clock) -> Sequence[Sleeper]:
    """Return the services of a project, to be looked at.

    Raises:
        ConfigError: one is described in a way in which it cannot be looked at.
    """
    if not config.services:
        return ()
    # Loaded by projects that describe some alone.
    from overnight.app.watched import Watched
    from overnight.resources.probes.processes import Glance
    from overnight.supervisor.described import services_of
    from overnight.supervisor.record import FOLDER

    glance = Glance(clock)
    found = []
    for name, one in services_of(config).items():
        # What is started here has a file with its number.
        unsaid = one.command and one.pid_file is None and not one.words
        told = replace(one, pid_file=f"{STATE_FOLDER}/{FOLDER}/{name}.pid") if unsaid else one
        found.append(Watched(name, told, clock, config.project_dir, glance))
    return found


def _wake(prepared: Mapping[str, Any]) -> None:  # Any: JSON
    from overnight.resources.probes import hooks

    hooks.wake(prepared)


def limits_of(settings: ResourceSettings, host: Host | None) -> Limits:
    """Return what services and runs may have together on this machine."""
    if host is None:
        host = Host(capacity_bytes=int((settings.max_total_memory_gb or 0) * GB), available_bytes=0)
    capacity = capacity_bytes(settings, host)
    return Limits(
        capacity_bytes=capacity,
        reserve_bytes=reserve_bytes(settings, capacity),
        busy_bytes=int(settings.serving_memory_threshold_gb * GB),
    )


def measured() -> Host | None:
    """Return the machine's memory; None where it does not tell."""
    try:
        return look()
    except NotMeasured:
        return None
