"""Training a project's fleet, and how it does: what `overnight train` and `overnight stats` call."""

import json
from typing import Any

from overnight.app.project import Project
from overnight.base.errors import ConfigError
from overnight.base.ids import RunId
from overnight.engine import store as runs
from overnight.engine.model import State
from overnight.flows.nightly import TASK
from overnight.registry import store as registry
from overnight.reports.health import LOOK_BACK, health

Json = dict[str, Any]  # Any: whatever JSON holds


def begin(project: Project) -> tuple[RunId, bool]:
    """Return the run of the nightly training that has not ended, or submit one; and whether there was one already.

    Raises:
        ConfigError: the project has no agents.
    """
    if not project.config.agents:
        raise ConfigError("there are no agents to train; `overnight init --example music_video DIR` shows a fleet")
    with project.database.read() as connection:
        # The oldest one: where there are several, the others end when they find it under way.
        begun = runs.unfinished(connection, task_id=TASK, limit=1)
    return (begun[0].run_id, True) if begun else (project.submit(TASK), False)


def stats(project: Project) -> Json:
    """Return how the fleet does; see `reports.health`."""
    names = list(project.config.agents)
    with project.database.read() as connection:
        champions = {name: registry.serving(connection, name) for name in names}
    nights = project.runs(limit=LOOK_BACK, task_id=TASK, state=State.COMPLETED)
    results = [json.loads(run.result) for run in reversed(nights) if run.result is not None]
    serving = {name: version.number for name, version in champions.items() if version is not None}
    return health(names, serving, results)
