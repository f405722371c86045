"""Tuning the parameters of an agent: begun, looked at, and taken back, from any process."""

import json
from typing import Any

from overnight.app.seeing import result_of
from overnight.app.workplace import Workplace
from overnight.base.errors import UnknownName, UserMistake
from overnight.base.files import to_json
from overnight.base.ids import RunId
from overnight.base.settings import user
from overnight.base.tuning import TUNE
from overnight.base.vocabulary import suggestion
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.engine.model import Run
from overnight.engine.submit import Request, submit
from overnight.fleet import roster
from overnight.flows.nightly.trainings import spec_of
from overnight.flows.nightly.tuning_steps import version_of
from overnight.training.agents import load_class
from overnight.training.tuning import ledger
from overnight.training.tuning.halving import CURRENT
from overnight.training.tuning.ledger import Tried
from overnight.training.tuning.sampler import needs_hpo
from overnight.training.tuning.space import space_of

Json = dict[str, Any]  # Any: whatever JSON holds


def begin(project: Workplace, agent: str, *, trials: int, seed: int) -> tuple[RunId, bool]:
    """Ask for a tuning of an agent, or return its one that has not ended; and whether there was one already.

    Raises:
        UnknownName: there is no such agent.
        MissingExtra: Optuna is not installed.
        ConfigError, UserMistake: nothing of the agent may be tuned, or it has no version to be compared with.
    """
    class_ = _spec(project, agent)["class_"]
    needs_hpo()
    with project.database.read() as connection:
        going = _going(runs.unfinished(connection, task_id=TUNE), agent)
    if going is not None:
        return going, True
    if class_ is None:
        raise UserMistake(f"agent {agent!r} is an object, of which no other can be made to try parameters with")
    with project.loading():
        space = space_of(agent, load_class(agent, class_))
    version_of(project.nightly, agent)
    told = {name: one.to_dict() for name, one in space.items()}
    wish = {"agent": agent, "space": told, "trials": trials, "seed": seed, "by": user()}
    args = to_json(wish, what="what is to be tuned")

    def change(tx: Tx) -> tuple[RunId, bool]:
        begun = _going(runs.unfinished(tx.connection, task_id=TUNE), agent)
        if begun is not None:
            return begun, True
        tx.news = True
        [run_id] = submit(tx, [Request(task_id=TUNE, args=args)])
        return RunId(run_id), False

    return project.database.writer.do(change)


def tune(project: Workplace, agent: str, *, trials: int, seed: int) -> Json:
    """Begin or go on with the tuning of an agent, see it through, and return its result with all `trials`.

    Raises:
        RunFailed: it ended without one; and see `begin`.
    """
    run_id, _ = begin(project, agent, trials=trials, seed=seed)
    return {"run_id": run_id, **result_of(project, run_id, "the tuning"), "trials": trials_of(project, run_id)}


def _going(unfinished: list[Run], agent: str) -> RunId | None:
    return next((run.run_id for run in unfinished if wish_of(run)["agent"] == agent), None)


def wish_of(run: Run) -> Json:
    """Return what a tuning was asked for: `agent`, `trials` beside that of the current parameters, `seed`."""
    assert run.args is not None, "a tuning has an agent"
    return dict(json.loads(run.args))


def _spec(project: Workplace, agent: str) -> Json:
    known = roster.learners(project.nightly.agents)
    if agent not in known:
        there = suggestion(agent, sorted(known)) if known else "; the project has no agents that are trained"
        raise UnknownName(f"there is no agent {agent!r} to tune{there}")
    return spec_of(agent, known[agent])


def trials_of(project: Workplace, run_id: RunId) -> list[Json]:
    """Return the trials of a tuning, each as it stands at the highest rung that it came to, the best first.

    Each has `trial`, `parameters`, `value` (higher is better) with `lower` and `upper`, `rung`, `items` (trained on),
    `measured`, `seconds` (of all its evaluations), `run_id`, `error`, and `current`: whether it is that of the
    parameters that the agent had.
    """
    with project.database.read() as connection:
        rows = ledger.tried(connection, run_id)
    found = [_trial([row for row in rows if row.trial == trial]) for trial in sorted({row.trial for row in rows})]
    return sorted(found, key=lambda one: (one["value"] is None, -one["rung"], -(one["value"] or 0.0), one["trial"]))


def _trial(rows: list[Tried]) -> Json:
    last = rows[-1]
    told = {
        name: getattr(last, name)
        for name in ("trial", "value", "lower", "upper", "rung", "items", "measured", "run_id", "error")
    }
    return {
        **told,
        "parameters": dict(last.parameters),
        "seconds": sum(row.seconds for row in rows),
        "current": last.trial == CURRENT,
    }


def roll_back(project: Workplace, agent: str) -> Json:
    """Have an agent trained with the parameters from before its newest tuned ones, and return its settings then.

    Raises:
        UnknownName: there is no such agent.
        UserMistake: it has no tuned parameters.
    """
    spec = _spec(project, agent)
    return {**spec["settings"], **project.database.writer.do(lambda tx: ledger.roll_back(tx, spec, user()))}
