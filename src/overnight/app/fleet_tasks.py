"""The tasks of a fleet: its nightly training, its productions, and the actions that name them by a word.

Loaded by projects that have agents alone: the flows stand on most of the package.
"""

from dataclasses import replace

from overnight.base.errors import InvalidTask
from overnight.base.vocabulary import suggestion
from overnight.engine.model import Task
from overnight.fleet import roster
from overnight.flows import production as production_flow
from overnight.flows.nightly import flow as nightly
from overnight.flows.nightly import tuning
from overnight.flows.nightly.night import Nightly
from overnight.flows.production import Production

NIGHTLY, ACT = "nightly", "act"
"""Actions by a word of their own."""


def tasks(night: Nightly) -> list[Task]:
    """Return the tasks of the nightly training, of tuning and of the production.

    Raises:
        ConfigError, InvalidTask: a table of the fleet is wrong.
    """
    return [*nightly.tasks(night), *tuning.tasks(night), *production_flow.tasks(_production_of(night))]


def _production_of(night: Nightly) -> Production:
    return Production(
        config=night.config,
        database=night.database,
        registry=night.registry,
        environment=night.environment,
        state_dir=night.state_dir,
    )


def with_flow(task: Task, night: Nightly) -> Task:
    """Return the task with the flow that its action names by a word.

    Raises:
        InvalidTask: the project has no such agent, or no agents at all.
    """
    action, name = task.action, task.agent_name
    where = f"task {task.task_id!r}"
    known = roster.learners(night.agents) if action == NIGHTLY else night.config.agents
    if (name is not None or action == ACT) and name not in known:
        wrong = "is not an agent that learns here" if action == NIGHTLY else "is not an agent of this project"
        raise InvalidTask(f"{where}: agent_name: {name!r} {wrong}{suggestion(str(name), sorted(known))}")
    if action == NIGHTLY and not known:
        raise InvalidTask(f"{where}: action: 'nightly' trains the fleet, and the project has no agents")
    if action == NIGHTLY:
        chosen = nightly.of_agents(night, () if name is None else (name,), task.strategy)
        # Each agent has a strategy of its own, which is found out as it is trained.
        return replace(task, action=chosen, flow=True, strategy=None)
    if task.strategy is not None:
        raise InvalidTask(f"{where}: strategy: what agents do follows from how they were trained; leave it out")
    return replace(task, action=production_flow.of_agent(_production_of(night), str(name)), flow=True)
