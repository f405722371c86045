"""The tables of `overnight.toml` that describe the daemon: its address, log, alerts and traces; see `base.config`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from overnight.base.table import Table

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings(Table):
    """`[server]`: where `overnight up` answers, on this machine alone (127.0.0.1)."""

    port: Annotated[int, Ge(0), Le(65535)] = 8090
    """Port of the HTTP API; 0 means any free one, which `overnight status` names."""

    max_body_mb: Annotated[float, Gt(0)] = 64.0
    """Megabytes (10^6 bytes) that a request's body may have."""

    requests_per_s: Annotated[float, Gt(0)] = 1000.0
    """Requests that one address may make in the long run; up to twice as many at once."""

    connections: Annotated[int, Gt(0)] = 2000
    """Requests that are answered at a time, streams among them."""


@dataclass(frozen=True, kw_only=True)
class LogSettings(Table):
    """`[log]`: what the daemon writes into `master_orchestrator.log`."""

    level: LogLevel = "INFO"
    """The least important lines that are written."""

    max_mb: Annotated[float, Gt(0)] = 10.0
    """Megabytes (10^6 bytes) from which a new file is begun."""

    keep: Annotated[int, Ge(0)] = 5
    """Older files that are kept."""


@dataclass(frozen=True, kw_only=True)
class StatsSettings(Table):
    """`[notify.stats]`: how the fleet does, told regularly."""

    schedule: str | None = None
    """When what `overnight stats` prints is sent, as a cron line in the project's time zone; without it, never."""


@dataclass(frozen=True, kw_only=True)
class MorningSettings(Table):
    """`[notify.morning]`: what the last day has brought, told regularly."""

    schedule: str | None = None
    """When the morning report is written, and sent where there are addresses, as a cron line in the project's time
    zone; without it, only by `overnight report --morning`."""


@dataclass(frozen=True, kw_only=True)
class NotifySettings(Table):
    """`[notify]`: who is told when something is wrong, once for each cause and hour. Needs the extra `notify`."""

    urls: tuple[str, ...] = ()
    """Where alerts go, as Apprise URLs; "${NAME}" stands for a variable of the environment,
    "${NAME:-usual}" for the rest where there is none."""

    failed: bool = True
    """Whether a run that FAILED is told."""

    missed: bool = True
    """Whether instants of a trigger that nobody worked on are told."""

    failure_rate: Annotated[float, Gt(0), Le(1)] | None = 0.5
    """Share of the runs that ended in the last hour (10 at least) from which failures are told as such."""

    queue_age_s: Annotated[float, Gt(0)] | None = 3600.0
    """Seconds that a ready run may wait for its start before that is told."""

    targets: bool = True
    """Whether runs that took longer than their task's `target_s` are told, and days, months and years that were over
    with less than the least of `[targets.NAME]`."""

    stats: StatsSettings = field(default_factory=StatsSettings)
    """How the fleet does, told regularly."""

    morning: MorningSettings = field(default_factory=MorningSettings)
    """What the last day has brought."""


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings(Table):
    """`[telemetry]`: where traces of runs go. Needs the extra `otel`."""

    otlp_endpoint: str | None = None
    """Address of an OpenTelemetry collector that takes OTLP over HTTP, such as "http://127.0.0.1:4318"."""
