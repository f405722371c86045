"""The tables of `overnight.toml` that describe the machine's memory and who else uses it; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from overnight.base.table import Table

ServiceKind = Literal["vllm", "tgi", "llama.cpp", "ollama"]
Method = Literal["GET", "POST", "PUT", "DELETE"]
Restart = Literal["always", "on_failure", "never"]
StopSignal = Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"]


@dataclass(frozen=True, kw_only=True)
class ResourceSettings(Table):
    """`[resources]`: what of this machine's memory may be used. Gigabytes are 10^9 bytes."""

    max_total_memory_gb: Annotated[float, Gt(0)] | None = None
    """Gigabytes that services and jobs may have together; without it, what the machine has, or the control group (a
    container, say) allows."""

    host_reserve_gb: Annotated[float, Ge(0)] | None = None
    """Gigabytes that are never handed out; without it, 5 % of the capacity, and 1 at least."""

    training_memory_reserve_gb: Annotated[float, Gt(0)] = 40.0
    """Gigabytes that a job is assumed to need where that cannot be estimated; half of the capacity at the most."""

    serving_memory_threshold_gb: Annotated[float, Gt(0)] = 20.0
    """Gigabytes from which a service counts as busy: no job of unknown size starts beside it."""

    resource_check_interval_s: Annotated[float, Gt(0)] = 30.0
    """Seconds between two looks at what is in use; while a job runs, a look each second."""

    local_training_max_size_mb: Annotated[float, Gt(0)] = 1000.0
    """Megabytes (10^6 bytes) up to which a job counts as small enough to be trained on this machine."""


@dataclass(frozen=True, kw_only=True)
class CallSettings(Table):
    """`[services.NAME.release]` and `[services.NAME.wake]`: an HTTP request."""

    url: str | None = None
    """Address of the request; without it, none is made."""

    method: Method = "POST"
    """How it is asked."""

    body: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever JSON the service wants
    """What is sent, as JSON; without it, nothing."""


@dataclass(frozen=True, kw_only=True)
class HealthSettings(Table):
    """`[services.NAME.health]`: how a service is looked at. Without any of it, it counts as working while it lives."""

    url: str | None = None
    """Address that answers GET, such as "http://127.0.0.1:9000/health"."""

    status: Annotated[int, Ge(100), Lt(600)] = 200
    """What it answers where all is well; 200 stands for any 2xx."""

    path: str | None = None
    """Where in the JSON that it answers something stands, such as "status"; it has to be there."""

    equals: str | int | float | bool | None = None
    """What has to stand there."""

    port: int | str | None = None
    """Port of 127.0.0.1 at which somebody answers, such as 9100 or "${STORE_PORT:-9100}"."""

    command: tuple[str, ...] = ()
    """Program that ends with 0, as a list of words; run in the service's folder."""

    every_s: Annotated[float, Gt(0)] = 5.0
    """Seconds from one look to the next, once it works."""

    timeout_s: Annotated[float, Gt(0)] = 2.0
    """Seconds that one look may take."""

    failures: Annotated[int, Ge(1)] = 3
    """Looks in a row that fail until it counts as hung, and is started again."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings(Table):
    """`[services.NAME]`: another program of this machine: one that `overnight up` starts and looks after, one whose
    memory jobs must leave alone (a model server, say), or both. "${NAME}" stands for a variable of the environment,
    "${NAME:-9000}" for 9000 where there is none.
    """

    command: tuple[str, ...] = ()
    """Program and arguments, as a list of words, by which it is started; {python} is Overnight's own. Without it, it is
    somebody else's, and only looked at."""

    folder: str = "."
    """Folder that it works in, relative to the project."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it gets, beside those that Overnight has."""

    enabled: bool = True
    """Whether it is started."""

    required: bool = True
    """Whether `overnight up` fails without it; otherwise that is said, and it goes on."""

    phase: Annotated[int, Ge(0)] = 1
    """Services of a lower phase work before it is started."""

    after: tuple[str, ...] = ()
    """Services that work before it is started, in the same phase or a lower one."""

    health: HealthSettings = field(default_factory=HealthSettings)
    """How it is found out whether it works."""

    start_timeout_s: Annotated[float, Gt(0)] = 60.0
    """Seconds after its start in which it has to work."""

    restart: Restart = "on_failure"
    """When it is started again: "always" when it ends, "on_failure" when it ends with another code than 0, hangs or
    takes too much memory, or "never"."""

    backoff_s: Annotated[float, Ge(0)] = 1.0
    """Seconds until it is started again; twice as many each further time, 60 at the most."""

    max_restarts: Annotated[int, Ge(0)] = 5
    """How often it is started again in `window_s`; then it is given up, until somebody restarts it."""

    window_s: Annotated[float, Gt(0)] = 600.0
    """Seconds that restarts are counted over."""

    max_memory_gb: Annotated[float, Gt(0)] | None = None
    """Gigabytes (10^9 bytes) of memory from which it counts as leaking, and is started again; without it, any."""

    stop_signal: StopSignal = "SIGTERM"
    """Signal by which it is asked to end."""

    grace_s: Annotated[float, Ge(0)] = 10.0
    """Seconds after that in which it has to end, before it is killed."""

    log_mb: Annotated[float, Gt(0)] = 10.0
    """Megabytes (10^6 bytes) of what it prints that are kept in a file; one older file of that size stays beside it."""

    links: Mapping[str, str] = field(default_factory=dict)
    """What it needs of others, by name, each an address of its own at which it tries that now and answers GET with 2xx;
    asked once all is up."""

    words: tuple[str, ...] = ()
    """Words that the command line of its processes holds, all of them; what these processes start belongs to it. What
    Overnight has started is found without."""

    pid_file: str | None = None
    """File with the number of its process, relative to the project; with `words`, that process must hold them too."""

    kind: ServiceKind | None = None
    """What it is, where that is known here: how many requests it works on, and how it gives memory back."""

    url: str | None = None
    """Address that it answers at, such as "http://127.0.0.1:8000"; `kind` needs it."""

    active_url: str | None = None
    """Address of a JSON document that says how many requests it works on."""

    active_path: str | None = None
    """Where that number is in the document, such as "queue.running" or "slots[0].busy"."""

    metrics_url: str | None = None
    """Address of its metrics as Prometheus text; without it, /metrics below `url`, where its `kind` has that."""

    metrics: tuple[str, ...] = ()
    """Metrics whose sum is the number of requests that run or wait; without it, those of its `kind`."""

    idle_s: Annotated[float, Gt(0)] = 120.0
    """Seconds without a request after which it may be asked to give its memory back."""

    release: CallSettings = field(default_factory=CallSettings)
    """How it is asked to give its memory back; without it, as its `kind` does."""

    wake: CallSettings = field(default_factory=CallSettings)
    """How it is woken after that; without it, as its `kind` does, or not at all."""
