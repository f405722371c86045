"""The tables of `overnight.toml` that describe the machine's memory and who else uses it; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from overnight.base.table import Table

ServiceKind = Literal["vllm", "tgi", "llama.cpp", "ollama"]
Method = Literal["GET", "POST", "PUT", "DELETE"]


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
class ServiceSettings(Table):
    """`[services.NAME]`: another program of this machine whose memory jobs must leave alone, a model server, say."""

    words: tuple[str, ...] = ()
    """Words that the command line of its processes holds, all of them; what these processes start belongs to it."""

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
