"""Training a project's fleet, and how it does: what `overnight train` and `overnight stats` call."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from overnight.app.results import AgentResult, TrainingResult
from overnight.app.runtime import import_from
from overnight.app.seeing import seen_through
from overnight.app.workplace import Workplace
from overnight.base.errors import ConfigError, NotMeasured, RunFailed, UserMistake
from overnight.base.ids import RunId
from overnight.base.instants import to_datetime
from overnight.base.vocabulary import suggestion
from overnight.data.categories import categories
from overnight.engine import store as runs
from overnight.engine.model import Run, State
from overnight.fleet import roster
from overnight.flows.nightly.closing import next_start
from overnight.flows.nightly.night import TASK, training_task
from overnight.learning import choosing
from overnight.registry import artifacts
from overnight.registry import store as registry
from overnight.registry.versions import Version
from overnight.reports.health import health
from overnight.reports.history import times_of

Json = dict[str, Any]  # Any: whatever JSON holds


def begin(
    project: Workplace, *, agents: Sequence[str] = (), force: bool = False, strategy: str | None = None
) -> tuple[RunId, bool]:
    """Return the run of the nightly training that has not ended, or submit one; and whether there was one already.

    `agents` are those that are trained (none named: all); with `force`, what sources gave before does not count.
    `strategy` is one of strategy learning, or "learned": whichever executes the training of each agent.

    Raises:
        ConfigError: the project has no agents.
        UnknownName: there is no such strategy.
        UserMistake: there is no agent of that name, or it is not trained, or the strategy is an ensemble.
    """
    if strategy is not None:
        choosing.check(project.config.learning, strategy)
    known = roster.learners(project.nightly.agents)
    if not known:
        raise ConfigError("there are no agents to train; `overnight init --example music_video DIR` shows a fleet")
    for name in agents:
        if name not in known:
            raise UserMistake(f"there is no agent {name!r} to train{suggestion(name, sorted(known))}")
    with project.database.read() as connection:
        # The oldest one: where there are several, the others end when they find it under way.
        begun = runs.unfinished(connection, task_id=TASK, limit=1)
    if begun:
        return begun[0].run_id, True
    wish: Json = {"agents": list(agents)} if agents else {}
    if force:
        wish["force"] = True
    if strategy is not None:
        wish["strategy"] = strategy
    return project.submit(TASK, wish or None), False


def expected_times(project: Workplace) -> dict[str, float]:
    """Return how long each agent's newest training took, in seconds."""
    return times_of(_results(project))


def trained_by(project: Workplace, run_id: RunId) -> list[str]:
    """Return the agents that a nightly run trains, as far as they have records to learn from."""
    args = project.get(run_id).args
    wish = {} if args is None else json.loads(args)
    known = roster.learners(project.nightly.agents)
    sourced = {*categories(project.config), roster.TRAININGS}
    return [name for name, agent in known.items() if agent.data in sourced and name in (wish.get("agents") or known)]


def _results(project: Workplace) -> list[Json]:
    """Return the results of all nightly trainings, oldest first."""
    with project.database.read() as connection:
        nights = runs.newest(connection, limit=1_000_000, task_id=TASK, state=State.COMPLETED)
    return [json.loads(run.result) for run in reversed(nights) if run.result is not None]


def train(
    project: Workplace,
    *,
    agents: Sequence[str] = (),
    force: bool = False,
    verbose: bool = False,
    strategy: str | None = None,
) -> TrainingResult:
    """Begin or go on with the nightly training, work on it here unless another process does, and return the result.

    Raises:
        see `Project.train`.
    """
    run_id, _ = begin(project, agents=agents, force=force, strategy=strategy)
    run = seen_through(project, run_id, lambda: _see_through(project, run_id, verbose=verbose))
    if run.result is None:
        reason = run.error.message if run.error is not None else "no reason recorded"
        raise RunFailed(f"training run {run_id} ended {run.state}: {reason}")
    return result_of_run(project, json.loads(run.result))


LOOK_S = 0.2


def _see_through(project: Workplace, run_id: RunId, *, verbose: bool) -> Run:
    """Wait for the run; with `verbose` each change of it and of its trainings is a line on stderr."""
    said: dict[int, str] = {}
    while True:
        run = project.wait(run_id, LOOK_S if verbose else None)
        if verbose:
            with project.database.read() as connection:
                children = runs.children_of(connection, run_id)
            for one in (*children, run):
                line = f"{one.task_id}: {one.state.replace('_', ' ').lower()}"
                if said.get(one.run_id) != line:
                    said[one.run_id] = line
                    sys.stderr.write(f"{line}\n")
        if run.state.final:
            return run


def result_of_run(project: Workplace, result: Json) -> TrainingResult:
    """Return the objects of a result; a trained agent is loaded when it is asked for."""
    return TrainingResult(
        result=result,
        agents={
            name: AgentResult(name, line, partial(_agent_of, project, name, line))
            for name, line in result["agents"].items()
        },
    )


def _agent_of(project: Workplace, name: str, line: Json) -> Any:  # Any: the project's own class
    """Return the agent that a training has made."""
    from overnight.training.versions import AGENT, Trained

    run_id = line["run"]
    if line["state"] == "handed back":
        return project.parcels.take(run_id)
    if line["state"] is None:
        raise NotMeasured(f"agent {name!r}: state not kept, because it has no save(folder) and load(folder)")
    with project.database.read() as connection:
        version = registry.of_run(connection, run_id)
    assert version is not None, "a trained agent has a version"
    import_from(project.folder)
    with TemporaryDirectory() as folder:
        artifacts.fetch(project.artifacts, version, Path(folder))
        if name not in project.nightly.instances:
            return Trained.load(Path(folder)).agent
        agent = project.parcels.copy_of(training_task(name))
        agent.load(Path(folder) / AGENT)
        return agent


def stats(project: Workplace) -> Json:
    """Return how the fleet does; see `reports.health`."""
    names = list(roster.learners(project.nightly.agents))
    with project.database.read() as connection:
        champions = {name: registry.serving(connection, name) for name in names}
    results = _results(project)
    serving = {name: version.number for name, version in champions.items() if version is not None}
    now = to_datetime(project.clock.now_us()).isoformat()
    return health(
        names,
        serving,
        results,
        online=[name for name in names if _loads(project, champions[name])],
        next_training=next_start(project.nightly, now) if names else None,
    )


def _loads(project: Workplace, version: Version | None) -> bool:
    """Tell whether a version that serves can really be loaded: with its files, its class and all that it builds on."""
    from overnight.training.versions import Trained

    if version is None or not version.manifest:
        return False
    import_from(project.folder)
    with TemporaryDirectory() as folder:
        try:
            artifacts.fetch(project.artifacts, version, Path(folder))
            Trained.load(Path(folder))
        except (Exception, SystemExit):  # noqa: BLE001 - whatever stops it, this agent cannot serve
            return False
    return True
