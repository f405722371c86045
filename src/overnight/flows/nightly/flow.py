"""Nightly training: harvest, validate, train in dependency order, (production), report, clean up.

A durable flow. Each agent is trained by a run of its own in a child process; here its answers are judged, and the
version is registered. What one source or agent does wrong never stops the others; what the machine does wrong (a full
disk, a busy database) stops the flow, which is tried again where it stands.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from overnight.base.backoff import Backoff
from overnight.base.errors import (
    ConfigError,
    InvalidTransition,
    OvernightError,
    PermanentError,
    UnknownName,
    UserMistake,
    one_line,
    said_by,
)
from overnight.base.files import write_json
from overnight.base.gate_settings import GateSettings
from overnight.base.learning_settings import LearningSettings
from overnight.data.categories import categories
from overnight.data.quality import computed_from
from overnight.engine import store as runs
from overnight.engine.flow import Flow
from overnight.engine.model import Overlap, Priority, State, Task
from overnight.fleet import roster
from overnight.flows.nightly import closing, records, trainings
from overnight.flows.nightly.night import TASK, Json, Nightly, Parts, Wish, training_needs, training_task
from overnight.learning import choosing
from overnight.proof.forms import GateSpec
from overnight.registry.verdicts import spec_of
from overnight.reports.nightly import Aims, Phase, result_of

RETRY_S = 5.0
"""The longest wait for the second try: others wait for what this agent predicts."""


def tasks(night: Nightly) -> list[Task]:
    """Return the flow's task and one training task per agent; none where the project has no agents that learn.

    Raises:
        ConfigError: an agent names a category or a parent that is not there, lacks a setting or comes after itself; or
            the schedule cannot be read; or the gate asks what cannot be answered.
    """
    agents, config = night.agents, night.config
    declared = {*categories(config), *config.categories}
    roster.check(agents, declared, computed_from, night.instances)
    if not roster.learners(agents):
        return []
    roster.check_gate(agents, _asked(config.gate))
    settings = config.nightly
    if settings.strategy is not None:
        _check_strategy(config.learning, settings.strategy)
    found = [
        Task(
            task_id=training_task(name),
            agent_name=name,
            action="overnight.training.job:train_job",
            timeout_s=agent.timeout_s,
            # The second try is for what lies outside of the training; the next night is the third.
            max_retries=1,
            retry=Backoff(base_s=min(RETRY_S, config.engine.retry.base_s)),
            needs=training_needs(night, agent),
        )
        for name, agent in roster.learners(agents).items()
    ]

    return [
        *found,
        Task(
            task_id=TASK,
            action=of_agents(night, ()),
            priority=Priority.HIGH,
            schedule=settings.schedule if settings.enabled else None,
            timezone=config.project.timezone,
            # A training that was begun by hand is tonight's.
            overlap=Overlap.SKIP,
        ),
    ]


def _check_strategy(settings: LearningSettings, strategy: str) -> None:
    try:
        choosing.check(settings, strategy)
    except (UnknownName, UserMistake) as error:
        raise ConfigError(f"nightly.strategy: {one_line(error).removeprefix('strategy: ')}") from None


def _asked(settings: GateSettings) -> GateSpec:
    try:
        return spec_of(settings)
    except UserMistake as error:
        raise ConfigError(f"gate.{one_line(error)}") from None


def of_agents(night: Nightly, chosen: tuple[str, ...], by: str | None = None) -> Callable[..., Json]:
    """Return the flow as a task's action; without a word of the run itself it trains the chosen agents, or all.

    They are trained `by` a strategy; None: by that of `[nightly]`, if it has one.
    """
    usual = by or night.config.nightly.strategy

    def run(flow: Flow, agents: Any = chosen, force: bool = False, strategy: Any = usual) -> Json:  # Any: JSON
        return nightly(flow, night, Wish(agents=tuple(agents), force=force, strategy=strategy))

    return run


def nightly(flow: Flow, night: Nightly, wish: Wish) -> Json:
    """Run the phases and return the result that is also in `holistic_training_result.json`.

    Raises:
        InvalidTransition: another nightly training of this project is under way.
    """
    flow.step("begin", _begin, night, flow.run_id)
    course = _Course(flow=flow, night=night, wish=wish, started=flow.now())
    for name, built_in in course.phases_in_order():
        course.perform(name, built_in)
    return flow.step("result", _result, night, course.result())


@dataclass(kw_only=True)
class _Course:
    """One run of the flow: what it has found out so far, phase by phase."""

    flow: Flow
    night: Nightly
    wish: Wish
    started: datetime
    parts: Parts = field(default_factory=Parts)
    phases: dict[str, Phase] = field(default_factory=dict)
    closing: Json = field(default_factory=dict)

    def phases_in_order(self) -> list[tuple[str, Callable[[], Phase]]]:
        """Return the phases: the built-in ones, and the project's own between the production run and the report."""
        before = {"harvesting": self.harvest, "validation": self.validate, "training": self.train}
        before["production"] = lambda: _production(self.flow, self.night)
        after = {"monitoring": self.monitor, "cleanup": self.clean_up}
        own = {name: _nothing for name in self.night.config.nightly.phases if name not in {*before, *after}}
        return [*before.items(), *own.items(), *after.items()]

    def perform(self, name: str, built_in: Callable[[], Phase]) -> None:
        """Do a phase, the built-in or the project's own one, and note its time by the flow's own recorded instants."""
        spec = self.night.config.nightly.phases.get(name)
        began = self.flow.now()
        phase = built_in() if spec is None else _own_phase(self.flow, self.night, name, spec, self.parts)
        seconds = (self.flow.now() - began).total_seconds()
        self.phases[name] = phase.timed(seconds, getattr(self.night.config.nightly.budgets, name, None))

    def harvest(self) -> Phase:
        """Ask the sources of every category that an agent learns from."""
        for category in dict.fromkeys(str(agent.data) for agent in self.wish.chosen(self.night).values()):
            self.parts.harvested[category] = self.flow.step(
                f"harvest {category}", records.harvest, self.night, category, self.wish.force
            )
        stale = [name for name, category in self.parts.harvested.items() if category.get("stale")]
        return Phase.of(self.parts.harvested, stale)

    def validate(self) -> Phase:
        """Lay out what each agent may learn from."""
        for name in self.wish.chosen(self.night):
            self.parts.validated[name] = self.flow.step(
                f"validate {name}", records.lay_out, self.night, name, self.parts.harvested
            )
        return Phase.of({name: _without_ids(one) for name, one in self.parts.validated.items()})

    def train(self) -> Phase:
        """Train, judge and register the agents."""
        until = self.started + timedelta(seconds=self.night.config.nightly.timeout_s)
        self.parts.agents = trainings.train_all(self.flow, self.night, self.wish, self.parts.validated, until)
        return Phase.of(self.parts.agents)

    def monitor(self) -> Phase:
        """Write what people and other programs read."""
        self.closing["services"] = self.flow.step("services", _services, self.night)
        result = self.so_far()
        figures = self.flow.step("figures", closing.metrics_of_project, self.night, result)
        self.closing["figures"] = figures
        files = self.flow.step("report", closing.report, self.night, self.flow.run_id, {**result, "figures": figures})
        self.closing["files"] = files
        return Phase(status="success", details=files)

    def clean_up(self) -> Phase:
        """Archive, remove, tidy, and look when the next night is."""
        now = self.flow.now().isoformat()
        cleaned = self.flow.step("clean up", closing.clean_up, self.night, self.flow.run_id, now)
        self.closing["cleaned"] = cleaned
        return Phase(status="success", details=cleaned)

    def so_far(self) -> Json:
        """Return the result of the phases that are over, its agents in the order of their tables."""
        found = {**self.parts.agents, **self.closing.get("services", {})}
        agents = {name: found[name] for name in (*self.night.agents, *found) if name in found}
        return result_of(self.flow.run_id, self.started, self.phases, agents, aims=_aims(self.night))

    def result(self) -> Json:
        """Return the result of the night."""
        return {
            **self.so_far(),
            "figures": self.closing.get("figures", {}),
            "report": self.closing.get("files", {}).get("report"),
            "next_scheduled": self.closing.get("cleaned", {}).get("next_scheduled"),
        }


def _nothing() -> Phase:
    return Phase(status="skipped")


def _begin(night: Nightly, flow_id: int) -> None:
    """Make sure that only one nightly training is under way, and remove what ended ones have left behind."""
    with night.database.read() as connection:
        others = [run for run in runs.unfinished(connection, task_id=TASK) if run.run_id != flow_id]
        folders = [path for path in (night.state_dir / "work").glob("*") if path.name.isdigit()]
        ended = {path: runs.get(connection, int(path.name)) for path in folders}
    for other in others:
        # A flow that waits for its trainings holds no slot of its task, so that the engine starts a second one.
        if other.started_us is not None:
            raise InvalidTransition(f"run {other.run_id} of task {TASK!r} is under way: wait for it, or cancel it")
    for path, run in ended.items():
        if run is None or run.state.final:
            shutil.rmtree(path, ignore_errors=True)


def _without_ids(laid_out: Json) -> Json:
    """Return what the result says about an agent's records: how many are held out, not which."""
    held_out = laid_out.get("held_out")
    return laid_out if held_out is None else {**laid_out, "held_out": len(held_out)}


def _own_phase(flow: Flow, night: Nightly, name: str, spec: str, parts: Parts) -> Phase:
    """Call a phase of the project's own: `function(flow, night, parts) -> dict`; what it does wrong stops nothing.

    The dict of one that takes the place of harvesting, validation or training is what the built-in one would have
    found: by category, by agent, by agent.
    """
    try:
        details = night.load(f"nightly.phases.{name}", spec)(flow, night, parts)
        if not isinstance(details, Mapping):
            raise ConfigError(f"nightly.phases.{name}: {spec!r} must return a dict, not {type(details).__name__}")
    except OvernightError as error:
        if not isinstance(error, UserMistake | PermanentError):
            raise
        return Phase(status="failed", details={"error": one_line(error)})
    except Exception as error:  # noqa: BLE001 - the project's own code
        return Phase(status="failed", details={"error": said_by(error)})
    field = {"harvesting": "harvested", "validation": "validated", "training": "agents"}.get(name)
    if field is None:
        return Phase(status="success", details=details)
    setattr(parts, field, dict(details))
    return Phase.of(details)


def _production(flow: Flow, night: Nightly) -> Phase:
    """Let the agents act on the brief, where that is asked for."""
    if not night.config.nightly.production:
        return Phase(status="skipped", details={"reason": "nightly.production is off"})
    [ended] = flow.wait(flow.start("production"))
    if ended.state is not State.COMPLETED:
        return Phase(status="failed", details={"error": ended.error.message if ended.error else "no reason recorded"})
    return Phase(status=ended.result["status"], details=ended.result)


def _services(night: Nightly) -> Json:
    """Return how the services stand: those whose key is not set are not configured."""
    set_here = night.environment()
    return {
        name: {"service": "configured" if set_here.get(agent.key) else "not configured", "key": agent.key}
        for name, agent in night.agents.items()
        if agent.key is not None
    }


def _aims(night: Nightly) -> Aims:
    """Return what the settings say about each agent's weight and about what is aimed at."""
    agents, nightly = night.agents, night.config.nightly
    return Aims(
        weights={name: agent.weight for name, agent in agents.items()},
        qualities={name: agent.quality_target for name, agent in agents.items()},
        overall_quality=nightly.quality_target,
        time_ms=nightly.time_target_ms,
        improvement=nightly.improvement_target,
    )


def _result(night: Nightly, result: Json) -> Json:
    """Write the result for other programs and return it."""
    write_json(night.state_dir / "holistic_training_result.json", result)
    return result
