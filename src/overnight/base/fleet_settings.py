"""The tables of `overnight.toml` that describe the fleet and its nightly training; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MinLen

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class AgentSettings(Table):
    """`[agents.NAME]`: a learner of the fleet, a service that it uses, or an agent that only acts."""

    class_: Annotated[str, MinLen(1)] | None = field(default=None, metadata={"key": "class"})
    """The agent's class, as "module:Class", or the name of an entry point of the group `overnight.agents`."""

    key: str | None = None
    """The variable of the environment that holds the key of a service; such an agent is not trained, and acts where its
    key is set and it has a class."""

    learns: bool = True
    """Whether it is trained; one that does not learn only acts in productions, as its class does."""

    after: tuple[str, ...] = ()
    """Agents that are trained before it."""

    data: str | None = None
    """The category whose records it learns from, or "trainings": what the trainings of this project have measured."""

    target: str | None = None
    """Column that it learns to predict; without it, the agent is shown whole records."""

    scale: tuple[float, float] | None = None
    """Lowest and highest value of a target that is a number; records beyond are set aside."""

    inputs: tuple[str, ...] = ()
    """Columns that it may learn from, and that the naive baseline may use; no other is shown to it. The name of an
    agent in `after` stands for what that agent predicts. Without inputs: every column but the target."""

    group: str | None = None
    """Column whose equal values make one query, for metrics that rank."""

    metric: str | None = None
    """What it is measured by: absolute_error, accuracy, macro_f1, ndcg@K, spearman, reciprocal_rank,
    exemplar_accuracy, or score (its own `evaluate`); without it, what its class names or what suits the target."""

    best: float | None = None
    """Best value of its own `evaluate`; without it 1 for scores from 0 to 1, and 0 for scores of 0 and below."""

    records: Annotated[int, Ge(2)] | None = None
    """Records that it is trained on at the most; what is held out is taken first."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: the agent's own TOML
    """Settings of its own, which its class reads as `ctx.settings`."""

    timeout_s: Annotated[float, Gt(0)] = 300.0
    """Seconds that one training may take."""

    memory_gb: Annotated[float, Gt(0)] = 2.0
    """Gigabytes (10^9 bytes) that one training may take, or one act of an agent that is not trained; what takes more is
    stopped."""

    weight: Annotated[float, Ge(0)] = 1.0
    """How much it counts in means over the fleet."""

    quality_target: Annotated[float, Ge(0), Le(10)] | None = None
    """The quality that is aimed at; only shown."""

    enabled: bool = True
    """Whether it belongs to the fleet at present."""


@dataclass(frozen=True, kw_only=True)
class ProductionSettings(Table):
    """`[production]`: the agents at work, one after another."""

    order: tuple[str, ...] = ()
    """The agents that act, in this order; without it, all of them in that of their tables."""

    brief: Mapping[str, Any] = field(default_factory=dict)  # Any: the agents' own TOML
    """What is to be made: the input of every agent, beside what the agents before it have answered."""


@dataclass(frozen=True, kw_only=True)
class BudgetSettings(Table):
    """`[nightly.budgets]`: seconds that a phase should take; an overrun is a line in the report."""

    harvesting: Annotated[float, Gt(0)] = 30.0
    """Asking the sources."""

    validation: Annotated[float, Gt(0)] = 10.0
    """Checking the records."""

    training: Annotated[float, Gt(0)] = 180.0
    """Training and judging the agents."""

    production: Annotated[float, Gt(0)] = 600.0
    """The production run."""

    monitoring: Annotated[float, Gt(0)] = 60.0
    """Writing the reports."""

    cleanup: Annotated[float, Gt(0)] = 30.0
    """Clearing up."""


@dataclass(frozen=True, kw_only=True)
class MonitoringSettings(Table):
    """`[nightly.monitoring]`: what a nightly training leaves in `.overnight/logs`."""

    track_metrics: bool = True
    """Write `training_metrics.json`: what every nightly training has measured."""

    generate_reports: bool = True
    """Write the daily report, as text and as HTML."""

    save_logs: bool = True
    """Write `training_monitor.log`: what happened when, with the stack traces of what failed."""

    log_retention_days: Annotated[float, Gt(0)] = 30.0
    """Days after which logs and reports go into the archive."""


@dataclass(frozen=True, kw_only=True)
class NightlySettings(Table):
    """`[nightly]`: the nightly training of the fleet."""

    enabled: bool = True
    """Whether it starts by its schedule; `overnight train` always works."""

    schedule: str = "0 3 * * *"
    """When it starts: minute, hour, day of month, month, day of week, as in cron."""

    timeout_s: Annotated[float, Gt(0)] = 1800.0
    """Seconds after which no agent is trained any more; what is still being trained is stopped."""

    parallel: bool = True
    """Whether agents that do not need each other are trained at the same time, as memory and cores allow."""

    strategy: str | None = None
    """The strategy of strategy learning that agents are trained by, or "learned": whichever executes the training of
    each; without it, by their settings alone."""

    production: bool = False
    """Whether the agents act on `production.brief` when the training is over."""

    quality_target: Annotated[float, Ge(0), Le(10)] | None = None
    """The overall quality that is aimed at; only shown."""

    time_target_ms: Annotated[float, Gt(0)] | None = None
    """The time for one agent's training that is aimed at, in milliseconds; only shown."""

    improvement_target: float | None = None
    """The gain of a night that is aimed at, in %; only shown."""

    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    """What it leaves in the logs."""

    budgets: BudgetSettings = field(default_factory=BudgetSettings)
    """Seconds that each phase should take."""

    phases: Mapping[str, str] = field(default_factory=dict)
    """Phases of the project's own, as "module:function": one with the name of a built-in phase takes its place, another
    one follows the training."""

    metrics: Mapping[str, str] = field(default_factory=dict)
    """Figures of the project's own, as "module:function": called with the result, its number is shown beside."""
