"""The run in which one exercise is executed by one strategy, several times with different seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from overnight.base.argv import names_in
from overnight.base.errors import said_by
from overnight.base.ports import RunContext
from overnight.base.settings import environment
from overnight.learning import agents, trainings
from overnight.learning.checks import ProgramCheck, check_pattern
from overnight.learning.desk import COST, AgentCommand
from overnight.learning.executed import CannotExecute, Executed, all_known, counted
from overnight.learning.exercises import TRAINING, Exercise
from overnight.learning.scoring import agreement_of, score
from overnight.learning.strategies import Strategy

Json = dict[str, Any]


def run_exercise(
    ctx: RunContext,
    *,
    exercise: Json,
    strategy: Json,
    seed: int,
    repeats: int,
    weights: Mapping[str, float],
    agent: Json,
    answers: Sequence[Mapping[str, str]] | None = None,
) -> Json:
    """Execute an exercise `repeats` times and return what it is worth, with all that was measured.

    A repeat that raises has passed no check and given no answer; what it raised stands beside it. One without an
    answer, or whose answer passes no check of it, agrees with no other and has taken the whole limit (see
    `executed.counted`): failing alike, and quickly, is worth nothing. `agent` are the settings of `[learning.agent]`.
    With `answers`, one for each repeat, these are judged by the checks that programs make, and no agent is asked.

    Raises:
        CannotExecute: there is no agent, or nothing can be executed here, whatever the strategy.
    """
    what, how = Exercise.from_dict(exercise), Strategy.from_dict(strategy)
    if answers is not None:
        what = replace(what, checks=tuple(check for check in what.checks if isinstance(check, ProgramCheck)))
        execute = _kept(answers, seed)
    else:
        execute = _by_training if what.kind == TRAINING else _by_agent(agent)
    done: list[Executed | str] = []
    for repeat in range(repeats):
        ctx.progress(repeat, repeats)
        try:
            done.append(counted(execute(what, how, seed + repeat), what.checks))
        except CannotExecute:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an execution raises, it has failed
            done.append(said_by(error))
    good = [one for one in done if not isinstance(one, str)]
    passed = [sum(check.passed for check in one.checks.values()) / len(what.checks) for one in good]
    success = sum(passed) / repeats
    time_s = sum(_time_s(one, what.limit_s) for one in done) / repeats
    agreement = agreement_of([() if isinstance(one, str) else one.answers for one in done])
    costs = all_known([None if isinstance(one, str) else one.cost_usd for one in done])
    found = score(success_rate=success, time_s=time_s, limit_s=what.limit_s, agreement=agreement, weights=weights)
    return {
        "success_rate": success,
        "time_s": time_s,
        "cost_usd": None if costs is None else sum(costs) / repeats,
        "score": found.total,
        "parts": {"success": found.success, "speed": found.speed, "reliability": found.reliability},
        "repeats": [{"error": one} if isinstance(one, str) else one.to_dict() for one in done],
    }


def _time_s(one: Executed | str, limit_s: float) -> float:
    """Return how long a repeat has taken: all of the limit, or more, where it has failed."""
    if isinstance(one, str):
        return limit_s
    return one.time_s if one.answers else max(limit_s, one.time_s)


Execute = Callable[[Exercise, Strategy, int], Executed]


def _kept(answers: Sequence[Mapping[str, str]], first: int) -> Execute:
    return lambda exercise, strategy, seed: agents.judge(exercise, answers[seed - first])


def _by_training(exercise: Exercise, strategy: Strategy, seed: int) -> Executed:
    return trainings.execute(exercise, [way.training for way in strategy.ways], seed)


def _by_agent(settings: Json) -> Execute:
    agent = agent_of(settings, environment())
    return lambda exercise, strategy, seed: agents.execute(
        exercise, [way.agent for way in strategy.ways], agent, seed=seed
    )


def agent_of(settings: Json, variables: Mapping[str, str]) -> AgentCommand:
    """Return the agent that `[learning.agent]` describes; `variables` are those of this process.

    Raises:
        CannotExecute: there is none, its prompt is not put in, or a variable is not set.
        UserMistake: the pattern that finds its cost cannot be used.
    """
    if not settings["command"]:
        raise CannotExecute("learning.agent.command: missing; exercises of this type are executed by a coding agent")
    known = ("prompt", "workspace", "model", "temperature", "role", "python")
    for name in names_in(settings["command"]):
        if name not in known:
            raise CannotExecute(f"learning.agent.command: there is no {{{name}}}; known are {', '.join(known)}")
    if "prompt" not in names_in(settings["command"]):
        raise CannotExecute("learning.agent.command: names no {prompt}, without which the agent knows of no task")
    for name in settings["environment"]:
        if name not in variables:
            raise CannotExecute(f"learning.agent.environment: the variable {name} is not set")
    if settings["cost_pattern"] is not None:
        check_pattern(settings["cost_pattern"], COST, "learning.agent.cost_pattern")
    return AgentCommand(
        argv=tuple(settings["command"]),
        environment={name: variables[name] for name in settings["environment"]},
        visible=tuple(str(Path(one).expanduser()) for one in settings["visible"]),
        network=settings["network"],
        timeout_s=settings["timeout_s"],
        cost=settings["cost_pattern"],
    )
