"""The tables of `overnight.toml` that describe models that serve; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from overnight.base.table import Table

Deploy = Literal["gradual_rollout", "canary", "immediate", "none"]


@dataclass(frozen=True, kw_only=True)
class DeployerSettings(Table):
    """`[models.NAME.deployer]`: what makes versions of that model serve."""

    kind: Literal["inside", "http", "command"] = "inside"
    """In the daemon ("inside", for models of the built-in trainers and of classes like them), by addresses of another
    server ("http"), or by programs ("command")."""

    load_url: str | None = None
    """Address that is sent POST {model, version, folder, name} to make a version resident, for "http"; these four
    in braces, here and in the addresses below, stand for what they say."""

    healthy_url: str | None = None
    """Address that answers GET with a code from 200 to 299 while a version can serve; without it, one that was loaded
    can."""

    swap_url: str | None = None
    """Address that is sent the same POST to let a version be the champion; without it, requests name their version."""

    unload_url: str | None = None
    """Address that is sent the same POST to take a version away."""

    loaded_text: str | None = None
    """What `load_url` says, where it refuses, of a version that is there already, such as "already been loaded"."""

    body: Mapping[str, str] = field(default_factory=dict)
    """Further keys of what is sent, such as `lora_name = "{name}"` and `lora_path = "{folder}"` for vLLM."""

    load: tuple[str, ...] = ()
    """Program that makes a version resident, as a list of words, for "command"; {model}, {version}, {folder} and {name}
    stand for what they say."""

    healthy: tuple[str, ...] = ()
    """Program that ends with 0 while a version can serve."""

    swap: tuple[str, ...] = ()
    """Program that lets a version be the champion."""

    unload: tuple[str, ...] = ()
    """Program that takes a version away."""

    timeout_s: Annotated[float, Gt(0)] = 120.0
    """Seconds that one address or program may take."""


@dataclass(frozen=True, kw_only=True)
class ServedSettings(Table):
    """`[models.NAME]`: how versions of a model serve; NAME is its model_type, or an agent's name."""

    deploy: Deploy | None = None
    """What follows when the gate accepts a version; without it gradual_rollout, and immediate for agents of the
    fleet."""

    rollout: Mapping[str, Any] = field(default_factory=dict)  # Any: checked where rollouts are known
    """How a new version is rolled out, where others than the usual settings are wanted, such as
    `monitor_duration_seconds` and `min_requests`; see `overnight deploy --set`."""

    record: Annotated[float, Ge(0), Le(1)] | bool = False
    """Whether requests are recorded, or which share of them: the newest 10,000 are what a new version is tried on
    first, and what experiences are made of once their outcome is told."""

    timeout_s: Annotated[float, Gt(0)] = 30.0
    """Seconds after which an answer of the daemon's has timed out; where it is a candidate's, the champion answers
    then."""

    deployer: DeployerSettings = field(default_factory=DeployerSettings)
    """What makes its versions serve."""


@dataclass(frozen=True, kw_only=True)
class AbTestSettings(Table):
    """`[ab_test]`: how two versions are compared on users. OVERNIGHT_AB_TEST_ENABLED is short for its first setting."""

    enabled: bool = True
    """Whether the strategy ab_test may be asked for."""

    min_samples: Annotated[int, Ge(1)] = 50
    """Requests that the candidate has to answer before a winner is named."""

    confidence: Annotated[float, Gt(0.5), Lt(1)] = 0.95
    """Of the intervals of all that is compared, together."""
