"""Production: the agents act on one brief, one after another, each with what those before it have answered."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.config import Config
from overnight.base.errors import PermanentError, UserMistake
from overnight.base.files import write_json
from overnight.db.database import Database
from overnight.engine.flow import Flow
from overnight.engine.model import Needs, State, Task
from overnight.fleet import roster
from overnight.registry import store
from overnight.registry.registering import Registry

TASK, ACT = "production", "act"
KEPT, RESULT = Path("data") / "productions", "production.json"
"""Where a production's files are kept, in the state folder and below the number of its run."""
TIMEOUT_S = 3600.0
"""For one agent's act: services that make videos take their time."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Production:
    """What the flow works with."""

    config: Config
    database: Database
    registry: Registry
    environment: Callable[[], Mapping[str, str]]
    state_dir: Path


def tasks(production: Production) -> list[Task]:
    """Return the flow's task and the one in which an agent acts; none where the project has no agents."""
    if not production.config.agents:
        return []
    roster.check_order(production.config.agents, production.config.production.order)

    def run(flow: Flow, brief: Any = None) -> Json:  # Any: JSON
        return produce(flow, production, _brief(production, brief))

    return [
        Task(task_id=ACT, action="overnight.training.acting:act_job", timeout_s=TIMEOUT_S, max_concurrent=None),
        Task(task_id=TASK, action=run),
    ]


def of_agent(production: Production, name: str) -> Callable[..., Json]:
    """Return a flow in which one agent acts on the brief that it is given, or on the configured one."""

    def run(flow: Flow, brief: Any = None) -> Json:  # Any: JSON
        acted = _act(flow, production, name, _brief(production, brief))
        flow.step("clean up", _clean_up, production, flow.run_id)
        if acted["status"] != "done":
            raise PermanentError(f"agent {name!r}: {acted['error']}")
        return {"agent": name, "output": acted["output"]}

    return run


def produce(flow: Flow, production: Production, brief: Json) -> Json:
    """Let each agent act once and return what came of it: `status`, and each agent's `output` or why it has none.

    `status` is success if every agent acted, partial if some did, failed if none did. What agents have made is in
    `folder` (from the project's folder on), one folder for each, and all of this beside it in production.json.
    """
    agents: dict[str, Json] = {}
    given = dict(brief)
    for name in _order(production.config):
        agents[name] = acted = _act(flow, production, name, given)
        if acted["status"] == "done":
            given[name] = acted["output"]
    done = [one for one in agents.values() if one["status"] == "done"]
    status = "success" if len(done) == len(agents) else "partial" if done else "failed"
    folder = _kept(production, flow.run_id)
    result = {"status": status, "brief": brief, "agents": agents, "folder": str(folder)}
    flow.step("keep", _keep, production.state_dir.parent / folder, result)
    flow.step("clean up", _clean_up, production, flow.run_id)
    return result


def _act(flow: Flow, production: Production, name: str, given: Json) -> Json:
    ready = flow.step(f"prepare {name}", _prepare, production, flow.run_id, name)
    if "agent" not in ready:
        return ready
    # A version answers at once; what else an agent does may take as much memory as its table says.
    memory_gb = 0.0 if ready["version"] else production.config.agents[name].memory_gb
    args = {**ready, "given": given}
    [ended] = flow.wait(flow.start(ACT, args, name=f"act {name}", needs=Needs(memory_gb=memory_gb)))
    done = ended.state is State.COMPLETED
    error = None if done or ended.error is None else ended.error.message
    return {"status": "done" if done else "failed", "output": ended.result, "error": error}


def _brief(production: Production, brief: Any) -> Json:  # Any: JSON
    """Return what is to be made: what was handed in, else what is configured."""
    wanted = production.config.production.brief if brief is None else brief
    if not isinstance(wanted, Mapping):
        raise UserMistake(f'brief: {wanted!r} is no object, such as {{"title": "Neon Rain"}}')
    return dict(wanted)


def _order(config: Config) -> Sequence[str]:
    return config.production.order or list(roster.enabled(config.agents))


def _work(production: Production, flow_id: int) -> Path:
    return production.state_dir / "production" / str(flow_id)


def _kept(production: Production, flow_id: int) -> Path:
    """Return the folder from the project's folder on, in which agents work: so their files are found when it moves."""
    return Path(production.state_dir.name) / KEPT / str(flow_id)


def _keep(folder: Path, result: Json) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULT, result)


def _prepare(production: Production, flow_id: int, name: str) -> Json:
    """Return what the act is called with, and lay out the version that serves; say why the agent cannot act, if so."""
    agent = production.config.agents[name]
    if not agent.enabled:
        return {"status": "disabled", "error": f"agents.{name}.enabled is false"}
    if agent.key is not None and not production.environment().get(agent.key):
        return {"status": "not configured", "error": f"{agent.key} is not set"}
    if agent.class_ is None and agent.key is not None:
        return {"status": "not available", "error": "this service has no class that could call it"}
    about = {"name": name, "class": agent.class_, "settings": dict(agent.settings), "key": agent.key}
    ready = {"agent": about, "folder": str(_kept(production, flow_id) / name), "version": None}
    if name not in roster.learners(production.config.agents):
        return ready
    with production.database.read() as connection:
        version = store.serving(connection, name)
    if version is None or not version.manifest:
        return {"status": "not available", "error": "no version serves"}
    folder = _work(production, flow_id) / name
    production.registry.fetch(version, folder)
    return {**ready, "version": str(folder)}


def _clean_up(production: Production, flow_id: int) -> None:
    shutil.rmtree(_work(production, flow_id), ignore_errors=True)
