"""`overnight learn`: which strategy executes which type of task best, measured by exercises, proven, applied."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.base.errors import UserMistake
from overnight.cli import learn_evidence
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overnight.app.project import Project
    from overnight.engine.model import Run

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Level = Annotated[str, typer.Option("--complexity", metavar="easy|medium|hard", help="How hard the exercises are.")]
Focus = Annotated[str | None, typer.Option("--focus", metavar="TYPE", help="Only exercises of this type of task.")]
Tasks = Annotated[
    Path | None, typer.Option("--tasks", metavar="FILE", help="Exercises of your own, as JSON or TOML, instead.")
]
Budget = Annotated[str | None, typer.Option("--budget", metavar="TIME", help="Time for all of it, such as 30m.")]
Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of this type of task alone.")]
MOST_SCORE = 100.0
EXIT_CODES = {"ACCEPT": 0, "REJECT": 1, "UNDERPOWERED": 3}


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight learn run --complexity medium",
        help="Find out which strategy executes best, and apply it.",
    )
    group.callback()(_group)
    group.command("run", epilog="Example: overnight learn run --complexity medium --iterations 3")(_run)
    group.command("generate", epilog="Example: overnight learn generate --complexity hard --json")(_generate)
    group.command("validate", epilog="Example: overnight learn validate")(_validate)
    group.command("status", epilog="Example: overnight learn status")(_status)
    group.command("apply", epilog="Example: overnight learn apply")(_apply)
    group.command("set", epilog="Example: overnight learn set conservative --type small_data")(_set)
    group.command("unset", epilog="Example: overnight learn unset --type small_data")(_unset)
    group.command("rollback", epilog="Example: overnight learn rollback")(_rollback)
    learn_evidence.add_to(group)
    app.add_typer(group, name="learn", rich_help_panel="Learning")


def _group() -> None:
    """Nothing is done here."""


def _run(
    ctx: typer.Context,
    *,
    complexity: Level = "medium",
    iterations: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds of fresh exercises.")] = 3,
    validate: Annotated[bool, typer.Option(help="Compare the best strategy with the default, and apply it.")] = True,
    focus: Focus = None,
    tasks: Tasks = None,
    budget: Budget = None,
    as_json: Json = False,
) -> None:
    """Have strategies execute exercises; apply what is proven.

    The best becomes the default where fresh exercises show that it is better. Within a budget, at most half of it is
    for learning, and what cannot be told is compared again as long as time is left. Exit code: 0 when it was seen
    through, whatever came of it; 1 failed; 130 interrupted, and the same command goes on.
    """
    wish = {**_wish(complexity, focus, tasks, budget), "iterations": iterations, "validate": validate}
    found = _perform(ctx, wish, as_json=as_json)
    raise typer.Exit(0 if found else 1)


def _validate(
    ctx: typer.Context,
    *,
    complexity: Level = "medium",
    focus: Focus = None,
    tasks: Tasks = None,
    budget: Budget = None,
    as_json: Json = False,
) -> None:
    """Compare the best strategy with the default, on fresh exercises.

    The best one has the best average score so far. Exit code: 0 it is better, and the default now, or is that already;
    1 it is not; 3 that could not be told.
    """
    wish = {**_wish(complexity, focus, tasks, budget), "iterations": 0, "validate": True}
    found = _perform(ctx, wish, as_json=as_json)
    if not found:
        raise typer.Exit(1)
    if found["verdict"] is None:
        raise typer.Exit(0 if found["measured"] and found["candidate"] is None else 3)
    raise typer.Exit(EXIT_CODES[found["verdict"]["decision"]])


def _wish(complexity: str, focus: str | None, tasks: Path | None, budget: str | None) -> dict[str, Any]:
    from overnight.app.learning import tasks_of
    from overnight.learning.exercises import complexity_of

    return {
        "complexity": complexity_of(complexity),
        "focus": focus,
        "tasks": None if tasks is None else tasks_of(tasks),
        "budget_s": None if budget is None else _seconds(budget),
    }


def _seconds(budget: str) -> float:
    from overnight.base.errors import InvalidTask
    from overnight.engine.cron import parse_every

    try:
        return parse_every(budget).period_us / 1e6
    except InvalidTask:
        raise UserMistake(
            f"budget: {budget!r} is no time; write a whole number and s, m, h or d, such as 30m"
        ) from None


def _perform(ctx: typer.Context, wish: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Learn, see it through, say what came of it, and return that; {} where it failed."""
    from overnight.app import learning
    from overnight.cli.running import see_flow_through

    with place_of(ctx).open() as project:
        run = see_flow_through(
            project, lambda: learning.begin(project, wish), what="the learning", quiet=as_json, sum_up=_sum_up
        )
        if not run.state.final:
            note("interrupted; the same command goes on with it, with all that was measured")
            raise typer.Exit(130)
        if run.error is not None:
            note(f"it failed: {run.error.message}")
            return {}
        found: dict[str, Any] = project.result(run.run_id)
        if as_json:
            print_json({"run_id": run.run_id, **found})
        else:
            _show(learning.status(project))
            _show_outcome(found)
        return found


def _sum_up(runs: "Sequence[Run]") -> tuple[float, float | None, str]:
    """Return how many of the executions that were asked for so far are done."""
    children = runs[1:]
    if not children:
        return 0.0, None, "begins"
    done = sum(run.state.final for run in children)
    return float(done), float(len(children)), f"executions: {done} of {len(children)}"


def _show_outcome(found: dict[str, Any]) -> None:
    verdict = found["verdict"]
    if verdict is None:
        say(f"no change: {found['reason']}")
        return
    others = "" if verdict["type"] else " and of work that is no exercise"
    applied = (
        f"and is the default of {', '.join(verdict['types'])}{others} now" if found["applied"] else "the default stays"
    )
    say(f"{verdict['candidate']} against {verdict['champion']}: {verdict['decision']}, {applied}")
    say(f"  {verdict['reason']}")


def _generate(
    ctx: typer.Context,
    *,
    complexity: Level = "medium",
    count: Annotated[int, typer.Option(min=1, metavar="N", help="How many.")] = 10,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another one gives other exercises.")] = 1,
    focus: Focus = None,
    as_json: Json = False,
) -> None:
    """Show exercises such as are executed; nothing is executed."""
    from overnight.learning.drawing import draw
    from overnight.learning.exercises import complexity_of

    with place_of(ctx).open() as project:
        agent = bool(project.config.learning.agent.command)
    made = draw(complexity_of(complexity), count, seed, agent=agent, focus=focus)
    if as_json:
        tasks = [
            {"type": one.type, "task": one.task, "expectedChecks": one.to_dict()["expectedChecks"]} for one in made
        ]
        print_json({"complexity": complexity, "tasks": tasks})
        return
    for one in made:
        say(f"{one.type}: {one.task}")
        for check in one.checks:
            say(f"  {check.name}: {check.said}")


def _status(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show what was measured of each strategy, and which execute."""
    from overnight.app import learning

    with place_of(ctx).open() as project:
        found = learning.status(project)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from overnight.reports.sparks import spark

    priced = any(one["avgCost"] is not None for one in found["strategies"].values())
    columns = _COLUMNS | (_COST if priced else {})
    rows = [
        (
            name + (" *" if one["pareto"] else ""),
            str(one["uses"]),
            *(_figure(one, key, form) for key, form in columns.values()),
            spark([point["score"] for point in one["trend"]], MOST_SCORE),
        )
        for name, one in found["strategies"].items()
    ]
    print_table(("STRATEGY", "USES", *columns, "TREND"), rows)
    if any(one["pareto"] for one in found["strategies"].values()):
        compared = "score, time and cost" if priced else "score and time; no cost was measured"
        say(f"  * no other one is better in {compared}")
    for one in found["imported"]:
        say(f"imported, not measured here: {one['strategy']} at {one['type']}: {one['score']:.1f} ({one['project']})")
    default = found["default"]
    say(f"default: {default['strategy']} ({default['why']})")
    for type_, choice in found["types"].items():
        if choice != default:
            say(f"  {type_}: {choice['strategy']} ({choice['why']})")


_COLUMNS = {
    "SCORE": ("avgScore", "{:.1f}"),
    "SUCCESS": ("successRate", "{:.0%}"),
    "TIME": ("avgExecutionTime", "{:.2f} s"),
}
_COST = {"COST": ("avgCost", "{:.4g} USD")}


def _figure(one: dict[str, Any], key: str, form: str) -> str:
    if one[key] is None:
        return "not measured"
    return form.format(one[key]) + ("" if one["measured"] else " (too few)")


def _apply(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Make the candidate of the newest verdict the default.

    `learn run` does it by itself; this is for after a rollback. Exit code: 0 applied; 1 the verdict is REJECT, and 3
    UNDERPOWERED: then nothing is changed.
    """
    from overnight.app import learning
    from overnight.learning.defaults import set_by

    with place_of(ctx).open() as project:
        verdict = learning.apply(project)
        if as_json:
            print_json(verdict)
        elif verdict["decision"] == "ACCEPT":
            for one in set_by(verdict["type"], verdict["types"]):
                _say_default(project, one or None)
        else:
            say(f"no change: {verdict['candidate']} against {verdict['champion']}: {verdict['decision']}")
            say(f"  {verdict['reason']}")
    raise typer.Exit(EXIT_CODES[verdict["decision"]])


def _set(
    ctx: typer.Context, strategy: Annotated[str, typer.Argument(metavar="STRATEGY")], *, type_: Type = None
) -> None:
    """Have a strategy execute until it is unset."""
    from overnight.app import learning

    with place_of(ctx).open() as project:
        learning.set_default(project, strategy, type_)
        _say_default(project, type_)


def _unset(ctx: typer.Context, *, type_: Type = None) -> None:
    """Take back what was set by hand."""
    from overnight.app import learning

    with place_of(ctx).open() as project:
        learning.unset(project, type_)
        _say_default(project, type_)


def _rollback(ctx: typer.Context, *, type_: Type = None) -> None:
    """Go back to the defaults before the newest verdict.

    With --type to that of this type before the newest verdict on it.
    """
    from overnight.app import learning

    with place_of(ctx).open() as project:
        for one in learning.rollback(project, type_):
            _say_default(project, one or None)


def _say_default(project: "Project", type_: str | None) -> None:
    from overnight.app import learning

    found = learning.default_of(project, type_)
    say(f"{type_ or 'default'}: {found.strategy} ({found.why})")
