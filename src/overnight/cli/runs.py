"""`overnight runs`: what ran, how it went, and changing its course."""

from typing import Annotated

import typer

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion
from overnight.base.zones import zone_of
from overnight.cli.place import number, place_of
from overnight.cli.printing import STYLES, moment, note, print_json, print_table, say, short_moment, span_us

RunArgument = Annotated[int, typer.Argument(metavar="ID", parser=number, help="The run's number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight runs list --state failed",
        help="The runs of the project: list, show, logs, cancel, fork.",
    )
    group.command("list", epilog="Example: overnight runs list --state failed --task hello")(_list)
    group.command("show", epilog="Example: overnight runs show 12")(_show)
    group.command("logs", epilog="Example: overnight runs logs 12 -f")(_logs)
    group.command("cancel", epilog="Example: overnight runs cancel 12")(_cancel)
    group.command("fork", epilog="Example: overnight runs fork 12 --step 3")(_fork)
    app.add_typer(group, name="runs")


def _list(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only runs in this state.")] = None,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this task.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest runs, the newest first."""
    from overnight.app.describing import run_json
    from overnight.cli.describe import remark

    wanted = None if state is None else _state(state)
    with place_of(ctx).open() as project:
        found = project.runs(limit=limit, task_id=task, state=wanted)
        if task is not None and not found and not project.runs(limit=1, task_id=task):
            project.book.get(task)
        zone = zone_of(project.config)
    if as_json:
        print_json([run_json(run) for run in found])
        return
    if not found:
        say("no runs" if state or task else "no runs yet; `overnight tasks run NAME` makes one")
        return
    rows = [
        (
            str(run.run_id),
            run.task_id,
            run.state,
            short_moment(run.created_us, zone),
            span_us(run.worked_us) if run.worked_us else "",
            remark(run, zone),
        )
        for run in found
    ]
    zone_name = moment(found[0].created_us, zone).rpartition(" ")[2]
    print_table(("RUN", "TASK", "STATE", f"CREATED ({zone_name})", "WORKED", ""), rows)


def _state(text: str) -> str:
    from overnight.engine.model import State

    name = text.upper().replace("-", "_")
    if name not in tuple(State):
        raise UserMistake(f"--state: {text!r} is not a state{suggestion(text, list(State))}")
    return name


def _show(ctx: typer.Context, run_id: RunArgument, as_json: Json = False) -> None:
    """Show all that is known of a run.

    That is its times, story, steps, use, error and result.
    """
    from overnight.app.describing import run_json, step_json, steps_of
    from overnight.cli.describe import facts, shortened, story

    with place_of(ctx).open() as project:
        run = project.get(run_id)
        steps = steps_of(project, run_id)
        now_us = project.clock.now_us()
        zone = zone_of(project.config)
    if as_json:
        print_json({**run_json(run), "steps": [step_json(step) for step in steps]})
        return
    say(f"run {run.run_id} of {run.task_id}: {run.state}", style=STYLES.get(run.state))
    for name, text in facts(run, zone, now_us):
        say(f"  {name:<13}{text}")
    say("story")
    for line in story(run, zone):
        say(f"  {line}")
    if steps:
        say("steps")
        for step in steps:
            took = span_us(step.finished_us - step.started_us)
            say(f"  {step.ordinal:>3}  {step.kind} {step.name}  ({took})  {shortened(step.result, 200)}")


def _logs(
    ctx: typer.Context,
    run_id: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print what a run printed, if it ran in a child process."""
    from overnight.cli.logs import copy_log

    with place_of(ctx).open() as project:
        if not copy_log(project, run_id, follow=follow):
            note(f"run {run_id} has printed nothing")


def _cancel(ctx: typer.Context, run_id: RunArgument) -> None:
    """End a run, whatever state it is in."""
    with place_of(ctx).open() as project:
        run = project.cancel(run_id)
        if run.state.final:
            say(f"run {run_id} of {run.task_id} is {run.state}")
        elif project.is_worked_on or project.database.dialect.shared:
            say(f"run {run_id} of {run.task_id}: its worker was asked to stop it")
        else:
            say(f"run {run_id} of {run.task_id} will be cancelled by the next `overnight run`: its worker died")


def _fork(
    ctx: typer.Context,
    run_id: RunArgument,
    step: Annotated[int, typer.Option(metavar="N", min=0, help="The first step that is done anew.")] = 0,
) -> None:
    """Run an ended run once more.

    It is a new run, which takes over the steps before N.
    """
    with place_of(ctx).open() as project:
        new = project.fork(run_id, step)
        say(f"run {new} is in the queue: run {run_id} once more from step {step}")
        if not project.is_worked_on:
            say("  overnight run --until-idle     work on it now")
