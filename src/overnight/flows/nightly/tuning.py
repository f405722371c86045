"""Tuning: parameters of an agent are tried, and the best ones are what it is trained with where the gate accepts them.

A durable flow. A trial at a rung is a run of its own in a child process; what it came to is a row, and what is tried
next follows from the rows and the seed. Trials see the items alone that the version that serves has learnt from, so
that what is better about the best one are its parameters. It is trained on all of them, and judged as a version of a
nightly training is.
"""

import json
from collections.abc import Mapping
from typing import Any

from overnight.base.backoff import Backoff
from overnight.base.errors import PermanentError
from overnight.base.ids import RunId
from overnight.base.tuning import TUNE
from overnight.engine.flow import Ended, Flow
from overnight.engine.model import BUILT_IN, Run, Task
from overnight.fleet import roster
from overnight.flows.nightly import trainings
from overnight.flows.nightly.night import Json, Nightly, training_needs, training_task
from overnight.flows.nightly.tuning_steps import adopt, ask, begin, choose, clean_up, prepare, tell

RETRY_S = 5.0


def tasks(night: Nightly) -> list[Task]:
    """Return the flow, and for each agent that is trained the task in which a trial of it is evaluated."""
    agents = roster.learners(night.agents)

    def run(flow: Flow, **wish: Any) -> Json:  # Any: JSON
        return tune(flow, night, wish)

    trials = [
        Task(
            task_id=trial_task(name),
            agent_name=name,
            action="overnight.training.tuning.trial:run_trial",
            timeout_s=agent.timeout_s,
            # The second try is for what lies outside of the training.
            max_retries=1,
            retry=Backoff(base_s=min(RETRY_S, night.config.engine.retry.base_s)),
            needs=training_needs(night, agent),
            max_concurrent=None,
            tags=(BUILT_IN,),
        )
        for name, agent in agents.items()
    ]
    return [Task(task_id=TUNE, action=run, max_concurrent=None, tags=(BUILT_IN,)), *trials] if agents else []


def trial_task(agent: str) -> str:
    """Return the id of the task that evaluates a trial of this agent."""
    return f"trial:{agent}"


def trial_of(run: Run) -> tuple[int, int] | None:
    """Return trial and rung of a run that evaluates one; None for another run."""
    if not run.task_id.startswith(trial_task("")):
        return None
    args = json.loads(run.args or "{}")
    return int(args["trial"]), int(args["rung"])


def tune(flow: Flow, night: Nightly, wish: Mapping[str, Any]) -> Json:
    """Try parameters, have the best ones judged, and return what came of it.

    `wish`: `agent`, `space` (the fields of each `Range`), `trials` (beside that of the current parameters), `seed` and
    `by`.

    Returns `agent`, `metric`, `best` (the metric's best value), `rungs` (items of each), `winner` (the number of the
    trial whose parameters were judged, or None), `parameters` (its), `verdict`, `version`, `adopted` and `reason`; of
    one that was judged also `run` (which trained it), `held_out` (items) and `alpha` (the level of the gate).

    Raises:
        UserMistake: the agent has no version whose parameters could be compared.
        PermanentError: the current parameters cannot be tried, or the best ones not be trained or judged.
    """
    begun = flow.step("begin", begin, night, flow.run_id, dict(wish))
    number = 1
    while asked := flow.step(f"ask {number}", ask, night, begun):
        runs = [
            flow.start(trial_task(begun["agent"]), one["args"], name=f"trial {one['trial']} at rung {one['rung']}")
            for one in asked
        ]
        flow.step(f"tell {number}", tell, night, begun, asked, [_told(end) for end in flow.wait(*runs)])
        number += 1
    chosen = flow.step("choose", choose, night, begun)
    found = {
        **chosen,
        "agent": begun["agent"],
        "rungs": begun["rungs"],
        "verdict": None,
        "version": None,
        "adopted": False,
    }
    if chosen["winner"] is not None:
        found = {**found, **_judged(flow, night, begun, chosen)}
    flow.step("clean up", clean_up, night, flow.run_id)
    return found


def _judged(flow: Flow, night: Nightly, begun: Json, chosen: Json) -> Json:
    """Train the best parameters on all training items and have the version judged; they are kept if it is accepted."""
    name = begun["agent"]
    ready = flow.step("prepare", prepare, night, begun, chosen)
    [ended] = flow.wait(flow.start(training_task(name), ready["args"]))
    line = flow.step("judge", trainings.judge, night, name, ready, ended, False)
    if line.get("error"):
        raise PermanentError(f"trial {chosen['winner']} could not be judged: {line['error']}")
    adopted = flow.step("adopt", adopt, night, begun, ready, chosen, line)
    verdict = line["verdict"]
    told = {name: line[name] for name in ("version", "run", "held_out")}
    return {**told, "verdict": verdict, "alpha": ready["alpha"], "adopted": adopted, "reason": verdict["reason"]}


def _told(end: Ended) -> Json:
    error = None if end.error is None else end.error.message
    return {"run_id": RunId(end.run_id), "state": end.state, "result": end.result, "error": error}
