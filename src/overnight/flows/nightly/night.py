"""What the nightly training works with, and what its parts share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.config import Config
from overnight.base.errors import PermanentError, UserMistake, one_line
from overnight.base.fleet_settings import AgentSettings
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.engine.model import Needs
from overnight.fleet import roster
from overnight.registry.registering import Registry

if TYPE_CHECKING:
    from overnight.data.harvest import Harvest

TASK = "nightly"
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """What the flow works with: settings, database, blobs and the project's folders."""

    config: Config
    database: Database
    blobs: Blobs
    registry: Registry
    harvest: Callable[..., "Harvest"]
    """Harvests a category; see `Project.harvest`."""
    load: Callable[[str, str], Callable[..., Any]]
    """Loads the function that a setting (its key, "module:function") names."""
    environment: Callable[[], Mapping[str, str]]
    """The variables of the environment, for the keys of services."""
    state_dir: Path
    instances: frozenset[str] = frozenset()
    """The agents that are handed over as objects, and have no class that could be named."""

    @property
    def agents(self) -> dict[str, AgentSettings]:
        """The agents that belong to the fleet at present."""
        return roster.enabled(self.config.agents)

    @property
    def name(self) -> str:
        """What reports call the project."""
        return self.config.name

    def work(self, flow_id: int) -> Path:
        """Return the folder that a night's trainings work in."""
        return self.state_dir / "work" / str(flow_id)

    @property
    def logs(self) -> Path:
        """The folder of reports and logs."""
        return self.state_dir / "logs"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a run was asked for: which agents are trained (empty: all), whether what sources gave before counts, and by
    which strategy they are trained (None: by their settings alone).
    """

    agents: tuple[str, ...] = ()
    force: bool = False
    strategy: str | None = None

    def chosen(self, night: Nightly) -> dict[str, AgentSettings]:
        """Return the agents that are trained."""
        learners = roster.learners(night.agents)
        return {name: agent for name, agent in learners.items() if not self.agents or name in self.agents}


@dataclass(kw_only=True)
class Parts:
    """What the phases have found out so far, each by category or agent."""

    harvested: Json = field(default_factory=dict)
    validated: Json = field(default_factory=dict)
    agents: Json = field(default_factory=dict)


def safely(work: Callable[[], Json]) -> Json:
    """Return what `work` answers, or why it never will: one agent must not stop the others."""
    try:
        return work()
    except (UserMistake, PermanentError) as error:
        return {"error": one_line(error)}


def training_task(agent: str) -> str:
    """Return the id of the task that trains this agent."""
    return f"train:{agent}"


def training_needs(night: Nightly, agent: AgentSettings) -> Needs:
    """Return what a training of this agent reserves."""
    locks = () if night.config.nightly.parallel else ("one training at a time",)
    return Needs(cpus=1.0, memory_gb=agent.memory_gb, locks=locks)
