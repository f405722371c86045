"""Who is in the fleet, what each agent must be told, and in which order agents are trained."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from overnight.base.errors import ConfigError, UserMistake, one_line
from overnight.base.fleet_settings import AgentSettings
from overnight.base.vocabulary import suggestion
from overnight.proof.forms import GateSpec
from overnight.proof.metrics import check_asked, metric_named

Agents = Mapping[str, AgentSettings]
ComputedFrom = Callable[[str, str], Collection[str]]

TRAININGS = "trainings"
"""The category of what the trainings of a project have measured; see `flows.nightly`."""


def enabled(agents: Agents) -> dict[str, AgentSettings]:
    """Return the agents that belong to the fleet at present; what comes after others comes after those alone."""
    there = {name: agent for name, agent in agents.items() if agent.enabled}
    gone = agents.keys() - there.keys()
    return {
        name: dataclasses.replace(agent, after=tuple(parent for parent in agent.after if parent not in gone))
        for name, agent in there.items()
    }


def learners(agents: Agents) -> dict[str, AgentSettings]:
    """Return the agents that are trained: all but services and those that only act."""
    return {name: agent for name, agent in agents.items() if agent.key is None and agent.learns}


def check(
    agents: Agents, categories: Collection[str], computed_from: ComputedFrom, instances: Collection[str] = ()
) -> None:
    """Refuse a fleet that cannot work; `computed_from` tells of a category's column what goes into its formula,
    and `instances` are agents that are there as objects.

    Raises:
        ConfigError: the message names the setting.
    """
    trained = learners(agents)
    for name, agent in agents.items():
        if name not in trained:
            _check_untrained(f"agents.{name}", agent)
        else:
            _check_learner(f"agents.{name}", agent, categories, is_object=name in instances)
            _check_inputs(f"agents.{name}.inputs", agent, computed_from)
        for parent in agent.after:
            if parent not in agents:
                raise ConfigError(f"agents.{name}.after: there is no agent {parent!r} (agents: {', '.join(agents)})")
    levels(agents)


def check_gate(agents: Agents, spec: GateSpec) -> None:
    """Refuse what the gate is to ask where the metric of an agent can never answer it.

    Raises:
        ConfigError: it cannot; the message names the agent and both settings.
    """
    for name, agent in learners(agents).items():
        if agent.metric is not None:
            try:
                check_asked(metric_named(agent.metric), spec, grouped=agent.group is not None)
            except UserMistake as error:
                raise ConfigError(f"gate.{one_line(error)} (agents.{name}.metric = {agent.metric!r})") from None


def check_order(agents: Agents, order: Sequence[str]) -> None:
    """Refuse an order of agents at work that names one that is not there.

    Raises:
        ConfigError: it does.
    """
    for name in order:
        if name not in agents:
            raise ConfigError(f"production.order: there is no agent {name!r}{suggestion(name, sorted(agents))}")


def _check_untrained(key: str, agent: AgentSettings) -> None:
    if agent.class_ is None and agent.key is None:
        raise ConfigError(f'{key}.class: missing; name the "module:Class" that acts')
    for name in ("data", "target", "inputs", "group", "metric", "records"):
        value = getattr(agent, name)
        if value not in (None, ()):
            raise ConfigError(f"{key}.{name}: {value!r} would never be used: the agent is not trained")


def _check_learner(key: str, agent: AgentSettings, categories: Collection[str], *, is_object: bool) -> None:
    if agent.class_ is None and not is_object:
        raise ConfigError(f'{key}.class: missing; name "module:Class", or the `key` of a service')
    if agent.data is None:
        raise ConfigError(f"{key}.data: missing; name the category whose records it learns from")
    if agent.data not in categories and agent.data != TRAININGS:
        known = suggestion(agent.data, sorted(categories)) if categories else "; the project has no categories yet"
        raise ConfigError(f"{key}.data: there is no category {agent.data!r}{known}")
    if agent.scale is not None and not agent.scale[0] < agent.scale[1]:
        raise ConfigError(f"{key}.scale: {list(agent.scale)} must be the lowest and the highest value of the target")
    if agent.metric is not None:
        try:
            metric_named(agent.metric)
        except UserMistake as error:
            raise ConfigError(f"{key}.metric: {one_line(error)}") from None


def _check_inputs(key: str, agent: AgentSettings, computed_from: ComputedFrom) -> None:
    if agent.target is not None and agent.target in agent.inputs:
        raise ConfigError(f"{key}: {agent.target!r} is the target, which an agent may not learn from")
    told = sorted({*agent.inputs} & {*computed_from(agent.data or "", agent.target or "")})
    if told:
        raise ConfigError(
            f"{key}: {', '.join(map(repr, told))} may not be learnt from: {agent.target!r} is computed from it"
        )


def levels(agents: Agents) -> list[list[str]]:
    """Return the agents in groups, each of which needs only earlier groups.

    Raises:
        ConfigError: `after` goes round in a circle.
    """
    sorter = TopologicalSorter({name: agent.after for name, agent in agents.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigError(f"agents: after goes round in a circle: {' -> '.join(error.args[1])}") from error
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found.append(ready)
        sorter.done(*ready)
    return found


def descendants(agents: Agents, name: str) -> set[str]:
    """Return the agents that come after this one, at any distance."""
    children = {child for child, agent in agents.items() if name in agent.after}
    return children.union(*(descendants(agents, child) for child in children))
